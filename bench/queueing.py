"""A queueing simulation of the node's steps on machines whose cores are shared.

Every step has so many servers on each machine; a waiting series goes to whichever machine has a server of its next step free, the one with
least to do first, in the order in which it began to wait: that is how nodes take work from one catalog. Tasks that run on one machine share
its cores: with more threads at work than cores, each goes on at cores ÷ threads of its speed (processor sharing).
"""

import heapq
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a series' way."""

    name: str
    base_seconds: float
    slice_seconds: float
    """It takes ``base_seconds + slices * slice_seconds`` where nothing else runs."""
    threads: float = 1.0

    def seconds(self, slices: int) -> float:
        return self.base_seconds + slices * self.slice_seconds


@dataclass(frozen=True, kw_only=True)
class Machines:
    """``count`` equal machines."""

    count: int
    cores: float
    servers: Mapping[str, int]
    """Step → how many series at a time."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A complete series: ``at`` seconds, its slices, and how much slower than usual it is (1: as usual)."""

    at: float
    slices: int
    factor: float = 1.0


@dataclass
class _Machine:
    cores: float
    free: dict[str, int]
    running: dict[int, list[float]] = field(default_factory=dict)
    """Task → seconds left at full speed, threads."""
    seen: float = 0.0
    version: int = 0

    @property
    def speed(self) -> float:
        threads = sum(threads for _, threads in self.running.values())
        return min(1.0, self.cores / threads) if threads else 1.0

    def advance(self, now: float) -> None:
        done = (now - self.seen) * self.speed
        for task in self.running.values():
            task[0] -= done
        self.seen = now


class Simulation:
    """One run over ``arrivals``.

    Parameters
    ----------
    steps
        In their order.
    machines
        Each step needs a server somewhere; a step may have some on machines of several kinds.
    """

    def __init__(self, steps: Sequence[Step], machines: Sequence[Machines]) -> None:
        self._steps = tuple(steps)
        self._machines = [
            _Machine(cores=kind.cores, free=dict(kind.servers)) for kind in machines for _ in range(kind.count)
        ]
        self._waiting: list[deque[int]] = [deque() for _ in steps]
        self._events: list[tuple[float, int, int, int]] = []
        self._order = itertools.count()
        self.busy = {step.name: 0.0 for step in steps}
        """Seconds during which servers of each step were held, all together."""

    def turnaround(self, arrivals: Sequence[Arrival]) -> list[float]:
        """Seconds from each arrival to the end of its last step."""
        stage = [0] * len(arrivals)
        began = [0.0] * len(arrivals)
        ended = [0.0] * len(arrivals)
        for number, arrival in enumerate(arrivals):
            heapq.heappush(self._events, (arrival.at, next(self._order), -1, number))
        while self._events:
            now, _, machine, subject = heapq.heappop(self._events)
            if machine < 0:
                self._waiting[0].append(subject)
            else:
                host = self._machines[machine]
                if host.version != subject:  # something began or ended there since this end was foreseen
                    continue
                host.advance(now)
                for number in [n for n, (left, _) in host.running.items() if left <= 1e-9]:
                    del host.running[number]
                    step = self._steps[stage[number]]
                    host.free[step.name] += 1
                    self.busy[step.name] += now - began[number]
                    stage[number] += 1
                    if stage[number] == len(self._steps):
                        ended[number] = now
                    else:
                        self._waiting[stage[number]].append(number)
                self._foresee(machine, now)
            for index, step in enumerate(self._steps):
                while self._waiting[index] and (found := self._free_machine(step.name)) is not None:
                    number = self._waiting[index].popleft()
                    host = self._machines[found]
                    host.advance(now)
                    host.free[step.name] -= 1
                    host.running[number] = [
                        step.seconds(arrivals[number].slices) * arrivals[number].factor,
                        step.threads,
                    ]
                    began[number] = now
                    self._foresee(found, now)
        return [end - arrival.at for end, arrival in zip(ended, arrivals, strict=True)]

    def _free_machine(self, step: str) -> int | None:
        able = [number for number, machine in enumerate(self._machines) if machine.free.get(step, 0)]
        return min(
            able, key=lambda number: len(self._machines[number].running) / self._machines[number].cores, default=None
        )

    def _foresee(self, machine: int, now: float) -> None:
        host = self._machines[machine]
        host.version += 1
        if host.running:
            left = max(0.0, min(seconds for seconds, _ in host.running.values()))
            heapq.heappush(self._events, (now + left / host.speed, next(self._order), machine, host.version))
