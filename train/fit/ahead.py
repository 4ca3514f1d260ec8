"""Batches drawn by processes while the device computes. What is drawn depends on the step alone, so drawing ahead changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")

_WAITING = 2
"""Batches that each process has ready, at most."""


class _Drawn(Dataset[T], Generic[T]):
    """What ``draw`` gives for a step and round."""

    def __init__(self, draw: Callable[[int, int], T]) -> None:
        self._draw = draw

    def __getitem__(self, key: tuple[int, int]) -> tuple[tuple[int, int], T]:  # type: ignore[override]
        return key, self._draw(*key)


class _Keys:
    """Every step and round, in order."""

    def __init__(self, *, first_step: int, rounds: int) -> None:
        self._first, self._rounds = first_step, rounds

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((step, number) for step in count(self._first) for number in range(self._rounds))


@contextmanager
def drawn_ahead(
    draw: Callable[[int, int], T], *, first_step: int, rounds: int, workers: int
) -> Iterator[Callable[[int, int], T]]:
    """A function like ``draw(step, round)``, to be called for every round of every step in order from ``first_step``.

    ``workers`` processes, not threads: these would take turns with the one that feeds the device. They are forks, so that nothing
    of the store is read twice; 0: drawn when asked for, in this process.
    """
    if workers == 0:
        yield draw
        return
    loader: DataLoader[T] = DataLoader(
        _Drawn(draw),
        batch_size=None,
        sampler=_Keys(first_step=first_step, rounds=rounds),
        num_workers=workers,
        prefetch_factor=_WAITING,
        collate_fn=_as_it_is,
        multiprocessing_context="fork",
    )
    drawn = [iter(loader)]

    def take(step: int, number: int) -> T:
        key, batch = next(drawn[0])
        if key != (step, number):
            raise ValueError(f"round {key} is next, not {(step, number)}")
        return batch

    try:
        yield take
    finally:
        drawn.clear()  # ends the processes


def _as_it_is(item: T) -> T:
    return item
