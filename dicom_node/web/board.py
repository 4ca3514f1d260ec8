"""The part of the first page that renews itself: made once for all who look at it."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dicom_node.errors import NodeError

#: How often a page renews itself, and how old what it gets may be: together, how late a change is seen.
RENEWED_SECONDS = 2
FRESH_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What somebody sees; ``mark`` differs where ``html`` does."""

    html: str
    mark: str


class Board:
    """Looks into the catalog at most once a second however many pages are open, and only while one is. Thread-safe.

    Parameters
    ----------
    look
        Gives what there is to show.
    draw
        Makes HTML of it, for somebody who may see pictures or for somebody who may not.
    monotonic
        Seconds from any beginning.
    """

    def __init__(
        self,
        look: Callable[[], Mapping[str, Any]],
        draw: Callable[[Mapping[str, Any], bool], str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._draw, self._monotonic = look, draw, monotonic
        self._lock = threading.Lock()
        self._stale_at = float("-inf")
        self._found: Mapping[str, Any] | NodeError = {}
        self._drawn: dict[bool, Shown] = {}

    def shown(self, *, may_view: bool, anew: bool = False) -> Shown:
        """What is to be seen; ``anew``: not what was seen before, however lately.

        Raises
        ------
        NodeError
            As ``look``; so long as it is fresh, to everybody, as a catalog that does not answer is not asked by each.
        """
        with self._lock:
            if anew or self._monotonic() >= self._stale_at:
                self._look_again()
            if isinstance(self._found, NodeError):
                raise self._found
            if may_view not in self._drawn:
                html = self._draw(self._found, may_view)
                self._drawn[may_view] = Shown(html=html, mark=hashlib.blake2b(html.encode(), digest_size=8).hexdigest())
            return self._drawn[may_view]

    def _look_again(self) -> None:
        self._drawn = {}
        try:
            self._found = self._look()
        except NodeError as error:
            self._found = error
        # From when it was seen: a look that takes long does not make it older for those who waited for it.
        self._stale_at = self._monotonic() + FRESH_SECONDS
