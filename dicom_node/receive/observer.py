"""Who is told what receiving does."""

from typing import Protocol


class ReceiveObserver(Protocol):
    """Told what the listener does; for metrics. Called from many threads, and must not block."""

    def stored(self, *, route: str, outcome: str, size: int) -> None:
        """A C-STORE was answered; `outcome` is ``new``, ``same``, ``conflict`` or a reason code, `size` in bytes."""

    def rejected(self, *, reason: str) -> None:
        """An association was turned away."""

    def associations(self, *, opened: int) -> None:
        """An association began (1) or ended (-1)."""
