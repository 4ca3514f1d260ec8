"""What a notice says, and what every kind of target offers."""

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dicom_node.section import Section
from dicom_node.visible import visible

Event = Literal["failed", "quarantine", "health"]
EVENTS: tuple[Event, ...] = ("failed", "quarantine", "health")
"""A job or a delivery failed; an object went to quarantine; the node is not ready (a full disk, a step that stalls), or is again."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message."""

    node: str
    """AE title of the node."""
    event: Event
    summary: str
    lines: tuple[str, ...] = ()
    """A sentence for each thing, no more than are read."""

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "lines": list(self.lines), "text": self.text}

    @property
    def text(self) -> str:
        return visible("\n".join([f"{self.node}: {self.summary}", *self.lines]))


class NotifyTarget(Section):
    """Somebody to tell."""

    type: str
    events: tuple[Event, ...] = EVENTS

    @property
    @abstractmethod
    def name(self) -> str:
        """What sentences call it; the same target has the same name."""

    @abstractmethod
    def tell(self, notice: Notice) -> None:
        """Send it; `NodeError` when it did not arrive."""
