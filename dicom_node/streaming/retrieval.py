"""What a C-GET or C-MOVE becomes (PS3.7 9.1.3, 9.1.4): sub-operations, told of as they go, of which the acceptor knows no more."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from dicom_node.streaming.status import PENDING


class Opened(NamedTuple):
    """A data set to send: its transfer syntax, where it is read from, and its length in bytes."""

    transfer_syntax_uid: str
    data_set: BinaryIO
    length: int


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """An object that goes to the peer, by C-STORE on its own association.

    ``open`` takes the transfer syntaxes that the peer takes for its SOP class, and gives the data set in one of them. It
    raises OSError where the object is gone, ValueError where it cannot be had in any.
    """

    sop_class_uid: str
    sop_instance_uid: str
    open: Callable[[Collection[str]], Opened]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One response: its status and how many sub-operations there are of each kind (PS3.7 table 9.1-3).

    ``remaining`` is None where it must not be said, ``identifier`` the encoded list of what failed, or empty.
    """

    status: int
    remaining: int | None
    completed: int
    failed: int
    warning: int
    identifier: bytes = b""

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it."""
        return self.status != PENDING


class Retrieval(Protocol):
    """The sub-operations of one request. Called from the association's own thread."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin. ``wake``, from any thread, has `report` and `next_parcel` asked again."""

    def report(self) -> Progress | None:
        """What the peer is to be told now; None if nothing new. After a last one nothing more is asked."""

    def next_parcel(self) -> Parcel | None:
        """The next object for the peer itself; None if there is none now. Asked only when the one before was answered."""

    def stored(self, status: int | None) -> None:
        """How the peer answered the parcel; None: it could not be sent."""

    def cancel(self) -> None:
        """The peer wants no more (C-CANCEL-RQ)."""

    def end(self) -> None:
        """The association is over, and nobody is left to tell."""
