"""A line that comes again and again is written so often, and counted."""

import logging

from dicom_node.service.flood import LINES, SECONDS, FloodFilter
from tests.catalog_jobs import Clock


def record(event: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "node", "msg": {"event": event}})


def test_of_a_flood_some_lines_pass_and_the_rest_is_counted() -> None:
    clock = Clock()
    flood = FloodFilter(monotonic=clock.monotonic)

    assert [flood.filter(record("rejected")) for _ in range(LINES + 7)] == [True] * LINES + [False] * 7
    assert flood.filter(record("derived"))  # another event

    clock.advance(SECONDS)
    after = record("rejected")
    assert flood.filter(after)
    assert after.msg == {"event": "rejected", "suppressed": 7}


def test_what_comes_now_and_then_is_written_always() -> None:
    clock = Clock()
    flood = FloodFilter(monotonic=clock.monotonic)
    for _ in range(3 * LINES):
        clock.advance(1.0)
        one = record("delivered")
        assert flood.filter(one)
        assert "suppressed" not in one.msg
