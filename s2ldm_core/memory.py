"""What to do when an answer does not fit into memory: compute it in smaller pieces."""

import gc
from collections.abc import Callable
from typing import Final, TypeVar

import torch

from s2ldm_core.tiling import TILE, Triple

SMALLEST: Final[Triple] = (8, 48, 48)
"""Voxels of the model grid; what does not fit into memory in these does not fit at all."""
_OF_PROCESSORS: Final = ("can't allocate memory", "could not create a primitive")
"""What PyTorch's allocator and oneDNN say where the machine's memory does not suffice, in a plain `RuntimeError`.

oneDNN says the same of what it cannot compute at all; that fails in smaller tiles just as well.
"""

Answer = TypeVar("Answer")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory, the machine's or an accelerator's, does not suffice."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_PROCESSORS)
    )


def in_tiles_that_fit(
    answer: Callable[[Triple], Answer], *, tile: Triple = TILE, smallest: Triple = SMALLEST
) -> tuple[Answer, Triple]:
    """What ``answer`` gives with the first tile that memory suffices for, and that tile: ``tile``, or its halves, none below ``smallest``.

    The last error where not even the smallest fits. Only for answers that do not depend on how they are tiled.
    """
    while True:
        try:
            return answer(tile), tile
        except (MemoryError, RuntimeError) as error:
            smaller = _halved(tile, smallest)
            if smaller == tile or not ran_out_of_memory(error):
                raise
        tile = smaller
        release_memory()


def release_memory() -> None:
    """Give back what nobody holds any more, to the accelerator as well."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _halved(tile: Triple, smallest: Triple) -> Triple:
    z, y, x = (max(least, n // 2) for n, least in zip(tile, smallest, strict=True))
    return z, y, x
