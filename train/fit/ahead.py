"""Batches drawn by processes while the device computes. What is drawn depends on the step alone, so drawing ahead changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from s2ldm_core.problem import ProblemError
from train.errors import TrainError

T = TypeVar("T")

_WAITING = 2
"""Batches that each process has ready, at most."""


class _Drawn(Dataset[T | ProblemError], Generic[T]):
    """What ``draw`` gives for a step and round, or the error that it raises, of which PyTorch would keep the text alone."""

    def __init__(self, draw: Callable[[int, int], T]) -> None:
        self._draw = draw

    def __getitem__(self, key: tuple[int, int]) -> tuple[tuple[int, int], T | ProblemError]:  # type: ignore[override]
        try:
            return key, self._draw(*key)
        except ProblemError as error:
            return key, error


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

    Raises
    ------
    TrainError
        ``worker_died`` when a process was killed from outside; what ``draw`` raises.
    """
    if workers == 0:
        yield draw
        return
    loader: DataLoader[T | ProblemError] = DataLoader(
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
        if isinstance(batch, ProblemError):
            raise batch
        if key != (step, number):
            raise ValueError(f"round {key} is next, not {(step, number)}")
        return batch

    try:
        yield take
    except RuntimeError as error:  # told by a signal, wherever the training is
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TrainError(
            "worker_died",
            "A process that draws crops died, most likely for want of memory.",
            "Run the same command again with fewer data.workers: it goes on from the last checkpoint.",
        ) from error
    finally:
        drawn.clear()  # ends the processes


def _as_it_is(item: T) -> T:
    return item
