"""The heap of a process that lives for years: rings of objects that nobody holds are freed, however long they were held before."""

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from dicom_node.heap import settle


class _Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def test_what_was_set_aside_and_dropped_since_is_freed() -> None:
    ring = _Ring()
    gone = weakref.ref(ring)
    settle()
    del ring
    gc.collect()
    assert gone() is not None  # it was set aside
    settle()
    assert gone() is None


def test_what_is_held_is_set_aside_and_no_longer_looked_through() -> None:
    held = [_Ring() for _ in range(1000)]
    settle()
    assert gc.get_freeze_count() > len(held)
    assert not any(isinstance(one, _Ring) for one in gc.get_objects())


_THREADS = """
import ctypes, sys, threading
from dicom_node.heap import share_arenas
if sys.argv[1] == "share":
    share_arenas()
together = threading.Barrier(12)
def work():
    held = [bytes(2000) for _ in range(20)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for one in threads: one.start()
for one in threads: one.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="another allocator than glibc's")
def test_threads_share_two_arenas() -> None:
    def arenas(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", _THREADS, how], capture_output=True, text=True, check=True)
        return done.stderr.count("Arena")

    assert arenas("share") == 2
    assert arenas("leave") > 2


_FREED = """
import sys
from dicom_node.heap import settle
def mib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024
settle()
before = mib()
held = [bytes(2000) for _ in range(100_000)]
held = held[::500]
if sys.argv[1] == "settle":
    settle()
print(mib() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another allocator than glibc's")
def test_what_is_freed_between_what_is_held_goes_back_to_the_system() -> None:
    def more_mib(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", _FREED, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert more_mib("settle") < 20
    assert more_mib("leave") > 100
