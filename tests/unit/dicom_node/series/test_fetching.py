"""How often an archive is asked for what is missing, and how long it is waited for."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from dicom_node.catalog import Catalog, SeriesRow
from dicom_node.errors import DeliverError
from dicom_node.series.fetching import Fetching
from tests.catalog_jobs import Clock
from tests.peers import wait_until
from tests.tiny_model import add_series


@pytest.fixture
def series(catalog: Catalog, write_ct_series: Callable[..., list[Path]]) -> SeriesRow:
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="CECT_VEN")
    (series,) = catalog.list_series()
    return series


def given_up(fetching: Fetching, series: SeriesRow, clock: Clock) -> Callable[[], bool]:
    def look() -> bool:
        clock.advance(1)
        return not fetching.is_waited_for(series)

    return look


@pytest.mark.parametrize("fault", [None, DeliverError("fetch_refused", "It will not.", "Ask.")])
def test_what_does_not_come_is_asked_for_twice_and_then_gone_without(
    series: SeriesRow, clock: Clock, fault: Exception | None
) -> None:
    asked: list[Collection[str]] = []

    def fetch(_: SeriesRow, held: Collection[str]) -> int:
        asked.append(held)
        if fault is not None:
            raise fault
        return 1

    fetching = Fetching(fetch, lambda _: {"1.2"}, monotonic=clock.monotonic)
    began = clock.monotonic()
    wait_until(given_up(fetching, series, clock), seconds=10, what="it to be given up")
    assert asked == [{"1.2"}, {"1.2"}]
    assert clock.monotonic() - began >= 20, "each time there was time for it to come"
    clock.advance(100)
    assert not fetching.is_waited_for(series)
    assert len(asked) == 2


def test_an_archive_that_hangs_is_waited_for_ten_minutes(series: SeriesRow, clock: Clock) -> None:
    for_ever = threading.Event()
    fetching = Fetching(lambda *_: int(for_ever.wait(30)), lambda _: (), monotonic=clock.monotonic)
    assert fetching.is_waited_for(series)
    clock.advance(599)
    assert fetching.is_waited_for(series)
    clock.advance(2)
    assert not fetching.is_waited_for(series)
    for_ever.set()


def test_a_series_that_is_received_again_is_fetched_again(series: SeriesRow, clock: Clock) -> None:
    asked: list[int] = []

    def fetch(*_: object) -> int:
        asked.append(1)
        return 1

    fetching = Fetching(fetch, lambda _: (), monotonic=clock.monotonic)
    wait_until(given_up(fetching, series, clock), seconds=10, what="it to be given up")
    fetching.keep([])
    assert fetching.is_waited_for(series)
    wait_until(lambda: len(asked) == 3, seconds=10, what="it to be asked for")
