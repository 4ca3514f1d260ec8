"""The capacity simulation against what queueing theory gives in closed form, and by hand."""

import statistics

import numpy as np
import pytest

from bench.queueing import Arrival, Machines, Simulation, Step


def _one(name: str = "translate", seconds: float = 1.0, threads: float = 1.0) -> Step:
    return Step(name=name, base_seconds=seconds, slice_seconds=0.0, threads=threads)


def _poisson(rate: float, count: int, *, seed: int) -> list[Arrival]:
    draw = np.random.default_rng(seed)
    times, factors = np.cumsum(draw.exponential(1 / rate, count)), draw.exponential(1.0, count)
    return [Arrival(at=float(at), slices=1, factor=float(factor)) for at, factor in zip(times, factors, strict=True)]


def test_one_server_answers_as_an_m_m_1_queue() -> None:
    """Mean time in the system is 1 / (1 - rate)."""
    simulation = Simulation([_one()], [Machines(count=1, cores=1, servers={"translate": 1})])
    assert statistics.mean(simulation.turnaround(_poisson(0.6, 15_000, seed=1))) == pytest.approx(2.5, rel=0.1)


def test_three_machines_on_one_queue_answer_as_m_m_3() -> None:
    """Erlang's C for a load of 2.1 on 3 servers is 0.4923: the mean is 1 + C / (3 - 2.1)."""
    simulation = Simulation([_one()], [Machines(count=3, cores=1, servers={"translate": 1})])
    found = statistics.mean(simulation.turnaround(_poisson(2.1, 15_000, seed=2)))
    assert found == pytest.approx(1 + 0.4923 / 0.9, rel=0.1)


def test_many_servers_on_one_core_answer_as_processor_sharing() -> None:
    """The mean of M/G/1 with processor sharing is that of M/M/1, whatever the service times are."""
    simulation = Simulation([_one()], [Machines(count=1, cores=1, servers={"translate": 10_000})])
    fixed = [Arrival(at=one.at, slices=1) for one in _poisson(0.5, 10_000, seed=3)]
    assert statistics.mean(simulation.turnaround(fixed)) == pytest.approx(2.0, rel=0.1)


def test_steps_of_one_machine_slow_each_other_by_their_threads() -> None:
    """At 0 the first runs alone on two cores for 2 s; then its second step (1 thread) and the other's first (2 threads) share them."""
    steps = [_one("translate", 2.0, threads=2.0), _one("derive", 1.0)]
    servers = {"translate": 1, "derive": 1}
    found = Simulation(steps, [Machines(count=1, cores=2, servers=servers)]).turnaround(
        [Arrival(at=0.0, slices=1), Arrival(at=0.0, slices=1)]
    )
    # derive: 1 s of work at 2/3 of the speed ends at 3.5; the second translation has 1 s left there and ends at 4.5.
    assert found == pytest.approx([3.5, 5.5])


def test_work_grows_with_slices() -> None:
    step = Step(name="derive", base_seconds=1.0, slice_seconds=0.1)
    simulation = Simulation([step], [Machines(count=1, cores=1, servers={"derive": 1})])
    assert simulation.turnaround([Arrival(at=5.0, slices=20)]) == pytest.approx([3.0])
    assert simulation.busy == {"derive": pytest.approx(3.0)}
