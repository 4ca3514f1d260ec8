"""Too little memory: smaller tiles give the same answer, and what fits in none says so."""

import os
import subprocess
import sys

import pytest
import torch

from s2ldm_core.memory import SMALLEST, in_tiles_that_fit, ran_out_of_memory
from s2ldm_core.tiling import TILE, Triple

_SHORT = """
import resource, torch
from s2ldm_core.memory import in_tiles_that_fit
from s2ldm_core.systems import Condition, build_system
from s2ldm_core.systems.base import How
from s2ldm_core.tiling import TILE

torch.set_num_threads(1)
torch.manual_seed(0)
system = build_system("unet", {"channels": (32, 32), "blocks": (1, 1), "core_channels": (16, 16)}).eval()
for parameter in system.parameters():
    torch.nn.init.normal_(parameter, std=0.1)
source, condition = torch.rand(1, 1, 32, 192, 192) * 2 - 1, Condition(phase=torch.tensor([0]))

def answer(tile):
    return system.predict_change(source, condition, How(tile=tile))

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024

def within(room):
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held() + room * 2**20, most))
    try:
        return in_tiles_that_fit(answer)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

with torch.inference_mode():
    # How much a tile needs differs between processors; the first room that is too small for it still holds half of it.
    room, tile = 400, TILE
    while tile == TILE:
        found, tile = within(room)
        room = room * 3 // 4
    whole = answer(TILE)
print(tile, float((found - whole).abs().max()), float(whole.abs().mean()))
"""


def _fits(voxels: int, error: Exception) -> tuple[list[Triple], object]:
    """The tiles that are tried where ``voxels`` at a time fit, and what comes of it."""
    tried: list[Triple] = []

    def answer(tile: Triple) -> str:
        tried.append(tile)
        if tile[0] * tile[1] * tile[2] > voxels:
            raise error
        return "answer"

    try:
        return tried, in_tiles_that_fit(answer)
    except RuntimeError as caught:
        return tried, caught


def test_tiles_are_halved_until_they_fit() -> None:
    tried, found = _fits(200_000, torch.OutOfMemoryError("CUDA out of memory"))
    assert tried == [(32, 192, 192), (16, 96, 96)]
    assert found == ("answer", (16, 96, 96))


def test_what_fits_in_no_tile_says_so() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory")
    tried, found = _fits(0, error)
    assert (tried[0], tried[-1]) == (TILE, SMALLEST)
    assert found is error


def test_other_faults_are_not_tried_again() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    tried, found = _fits(0, error)
    assert (tried, found) == ([TILE], error)


def test_what_a_library_of_the_processor_s_says_for_it_is_known() -> None:
    error = RuntimeError("could not create a primitive")
    assert _fits(200_000, error)[1] == ("answer", (16, 96, 96))
    assert _fits(0, error)[1] is error


def test_the_allocator_s_own_words_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46, dtype=torch.uint8)
    assert ran_out_of_memory(caught.value)


def test_a_process_that_is_short_of_memory_gives_the_same_answer_in_smaller_tiles() -> None:
    """The process may hold so much more than it does, by the system's own limit, and less and less."""
    # What is freed goes back at once: kept in pieces it would count as held, and the room would shrink until no tile fits beside it.
    exact = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _SHORT],
        env={**os.environ, **exact},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    tile, difference, change = done.stdout.rsplit(maxsplit=2)
    assert tile in ("(16, 96, 96)", "(8, 48, 48)")
    assert float(difference) < 1e-4 < float(change)
