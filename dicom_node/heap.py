"""What a process that lives for years holds: set aside what stays, so that the rest is collected early and fast."""

import ctypes
import gc
from typing import Final

_M_ARENA_MAX: Final = -8
"""As in glibc's ``malloc.h``."""
_ARENAS: Final = 2


def share_arenas() -> None:
    """Have all threads that come share two arenas of the allocator, where it is glibc's (`mallopt`); before any starts.

    By itself it makes eight a processor, and each keeps for good what the largest work ever done there took.
    """
    _glibc("mallopt", _M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """Free what nobody holds, give it back to the system, and set aside what is left from the interpreter's collections.

    Rings of objects, such as the catalog's statements and data sets are, are freed by a full collection alone. That one
    waits until a quarter as many objects have come as there are old ones, which is after hundreds of series where the
    standard's tables are read, and then looks at all of them. What was set aside before is looked at again, which takes
    some tenths of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _glibc("malloc_trim", 0)


class HeapStep:
    """`settle`, now and again: what stays is not all there from the beginning."""

    def run_once(self) -> bool:
        """Settle."""
        settle()
        return False  # nobody's work comes of it


def _glibc(function: str, *arguments: int) -> None:
    """Call it where the C library has it."""
    found = getattr(ctypes.CDLL(None), function, None)
    if found is not None:
        found(*arguments)
