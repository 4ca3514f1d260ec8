"""Answers of a destination on their way into the catalog."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dicom_node.catalog import InstanceAnswer, Verdict
from dicom_node.deliver.answers import AnswerLog
from dicom_node.deliver.destinations import Answer
from tests.catalog_jobs import Clock


class Book:
    """Keeps what it is given; ``ours``: whether the delivery is still the sender's."""

    def __init__(self) -> None:
        self.pages: list[list[str]] = []
        self.ours = True

    def record(self, answers: Sequence[InstanceAnswer]) -> bool:
        self.pages.append([one.sop_instance_uid for one in answers])
        return self.ours


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def log(book: Book, clock: Clock) -> AnswerLog:
    return AnswerLog(book.record, clock=clock.monotonic)


def _answer(number: int) -> Answer:
    return Answer(path=Path("1.dcm"), sop_instance_uid=str(number), status=0, verdict=Verdict.ACCEPTED)


def test_answers_that_come_fast_are_recorded_together(log: AnswerLog, book: Book, clock: Clock) -> None:
    for number in range(100):
        log.add(_answer(number))
        clock.advance(0.01)
    log.flush()

    assert [uid for page in book.pages for uid in page] == [str(number) for number in range(100)]
    assert 4 <= len(book.pages) <= 6


def test_answer_that_comes_alone_is_recorded_at_once(log: AnswerLog, book: Book, clock: Clock) -> None:
    for number in range(3):
        log.add(_answer(number))
        clock.advance(1)

    assert book.pages == [["0"], ["1"], ["2"]]


def test_nothing_is_recorded_twice(log: AnswerLog, book: Book) -> None:
    log.add(_answer(0))
    log.add(_answer(1))
    log.flush()
    log.flush()

    assert book.pages == [["0"], ["1"]]


def test_delivery_that_another_node_has_is_found_out(log: AnswerLog, book: Book, clock: Clock) -> None:
    log.add(_answer(0))
    assert not log.lost

    book.ours = False
    clock.advance(1)
    log.add(_answer(1))
    book.ours = True
    clock.advance(1)
    log.add(_answer(2))

    assert log.lost
