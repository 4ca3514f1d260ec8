"""Batches drawn by threads while the device computes. What is drawn depends on the step alone, so drawing ahead changes nothing."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def drawn_ahead(
    draw: Callable[[int, int], T], *, first_step: int, rounds: int, workers: int
) -> Iterator[Callable[[int, int], T]]:
    """A function like ``draw(step, round)``, to be called for every round of every step in order from ``first_step``."""
    if workers == 0:
        yield draw
        return
    waiting: deque[tuple[tuple[int, int], Future[T]]] = deque()
    wanted = ((step, number) for step in count(first_step) for number in range(rounds))
    with ThreadPoolExecutor(workers, thread_name_prefix="crops") as pool:

        def take(step: int, number: int) -> T:
            while len(waiting) <= workers:
                key = next(wanted)
                waiting.append((key, pool.submit(draw, *key)))
            key, future = waiting.popleft()
            if key != (step, number):
                raise ValueError(f"round {key} is next, not {(step, number)}")
            return future.result()

        try:
            yield take
        finally:
            for _, future in waiting:
                future.cancel()
