"""The process that looks at series: one that hangs, dies or takes too much takes nothing with it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dicom_node.config import Route
from dicom_node.series import Examiner, examine_series, examiner
from dicom_node.series.examiner import ExaminerDiedError, ExaminerError
from tests import peers
from tests.ct_series import body_hu

ROUTE = Route(phase="arterial", anatomy="any")


def hanging(connection: Connection, memory_bytes: int) -> None:
    connection.send("ready")
    threading.Event().wait()


def dying(connection: Connection, memory_bytes: int) -> None:
    connection.send("ready")
    connection.recv()
    os._exit(3)


def greedy(connection: Connection, memory_bytes: int) -> None:
    examiner.examine_series = lambda *_, **__: bytearray(8 * 2**30)
    examiner.serve(connection, memory_bytes)


@pytest.fixture
def make() -> Iterator[Callable[..., Examiner]]:
    with ExitStack() as stack:

        def examiner_of(**options: object) -> Examiner:
            made = Examiner(**options)
            stack.callback(made.stop)
            return made

        yield examiner_of


def test_it_says_what_selection_says(make: Callable[..., Examiner], write_ct_series: Callable[..., list[Path]]) -> None:
    paths = write_ct_series(body_hu(12))
    examiner = make()
    examiner.start()

    for min_slices in (8, 20):
        decision = examiner.examine(paths, route=ROUTE, min_slices=min_slices)
        expected = examine_series(paths, route=ROUTE, min_slices=min_slices)
        assert decision is not None
        assert (decision.code, decision.slices) == (expected.code, expected.slices)


@pytest.mark.parametrize(
    ("main", "code"),
    [(hanging, "examination_timeout"), (dying, "examiner_died"), (greedy, "examination_memory")],
)
def test_what_goes_wrong_is_said_and_the_next_series_is_looked_at(
    make: Callable[..., Examiner], main: Callable[[Connection, int], None], code: str
) -> None:
    examiner = make(main=main, seconds=1.0)

    for _ in range(2):
        with pytest.raises(ExaminerError) as raised:
            examiner.examine([], route=ROUTE, min_slices=8)
        assert raised.value.code == code


def test_that_its_process_died_is_told_from_what_it_says(make: Callable[..., Examiner]) -> None:
    with pytest.raises(ExaminerDiedError):
        make(main=dying).examine([], route=ROUTE, min_slices=8)
    with pytest.raises(ExaminerError) as raised:
        make(main=hanging, seconds=0.5).examine([], route=ROUTE, min_slices=8)
    assert not isinstance(raised.value, ExaminerDiedError)


def test_stopped_it_gives_the_series_back(make: Callable[..., Examiner]) -> None:
    examiner = make(main=hanging)
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(examiner.examine([], route=ROUTE, min_slices=8)))
    asking.start()
    peers.wait_until(lambda: examiner._process is not None and examiner._done == 0, seconds=30.0, what="the process")

    examiner.stop()
    asking.join(30.0)

    assert answers == [None]
