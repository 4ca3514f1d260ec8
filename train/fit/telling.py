"""How a run says where it is: a bar on a terminal, a line a minute without one, and means of what was logged since."""

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from train.checkpoint import Position

#: Seconds between two lines where there is no terminal (nohup, SLURM).
LINE_SECONDS = 60.0
_GIB = 2.0**30
_KIB_A_GIB = 2.0**20


class Meter:
    """What the steps since the last line came to."""

    def __init__(self, device: torch.device, *, crops: int) -> None:
        self._device, self._crops = device, crops
        self._restart()

    def _restart(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._steps, self._began = 0, time.monotonic()

    def add(self, values: Mapping[str, float]) -> None:
        """The values of one step; a part may be missing from some."""
        self._steps += 1
        for name, value in values.items():
            self._sums[name] += value
            self._counts[name] += 1

    def read(self, *, lr: float) -> dict[str, float]:
        """Means since the last reading, with the learning rate, crops a second by the wall clock, and the most memory used so far
        (of the GPU where there is one, else of this process), GiB.
        """
        seconds = max(time.monotonic() - self._began, 1e-9)
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        speed = {"lr": lr, "crops_per_second": self._steps * self._crops / seconds, "memory_gib": self._memory_gib()}
        self._restart()
        return {**means, **speed}

    def _memory_gib(self) -> float:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _GIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_A_GIB


@contextmanager
def shown(console: Console, stage: str, position: Position, *, main: bool) -> Iterator[Callable[[float], None]]:
    """Shows how far a stage is whenever it is told; ``position`` is looked at anew each time."""
    if not main:
        yield lambda progress: None
    elif console.is_terminal:
        with _bar(console, stage, position) as show:
            yield show
    else:
        yield _lines(console, stage, position)


@contextmanager
def _bar(console: Console, stage: str, position: Position) -> Iterator[Callable[[float], None]]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("step {task.fields[step]}"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task(stage, total=1.0, step=position.step)
        yield lambda progress: bar.update(task, completed=progress, step=position.step)


def _lines(console: Console, stage: str, position: Position) -> Callable[[float], None]:
    began = said = time.monotonic()
    first: float | None = None

    def show(progress: float) -> None:
        nonlocal said, first
        now = time.monotonic()
        first = progress if first is None else first
        if now - said < LINE_SECONDS:
            return
        said = now
        gone = progress - first
        left = f", {(now - began) * (1.0 - progress) / gone / 60:.0f} min left" if gone > 0 else ""
        console.print(f"{stage}: {progress:.0%}, step {position.step}{left}", markup=False, highlight=False)

    return show
