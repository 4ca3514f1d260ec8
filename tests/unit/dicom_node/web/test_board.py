"""What renews itself on the first page: looked up once for all, and never later than is promised."""

from collections.abc import Mapping
from typing import Any

import pytest

from dicom_node.errors import CatalogAwayError, NodeError
from dicom_node.web.board import FRESH_SECONDS, RENEWED_SECONDS, Board
from tests.unit.dicom_node.web.conftest import Console


class Sight:
    """Something to look at, and how often it was; ``at`` is the time in seconds."""

    def __init__(self) -> None:
        self.at, self.value, self.looks, self.drawn = 0.0, 1, 0, 0
        self.error: NodeError | None = None
        self.board = Board(self._look, self._draw, monotonic=lambda: self.at)

    def _look(self) -> Mapping[str, Any]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return {"value": self.value}

    def _draw(self, values: Mapping[str, Any], may_view: bool) -> str:
        self.drawn += 1
        return f"{values['value']} {may_view}"


def test_ten_who_look_at_once_cost_one_look() -> None:
    sight = Sight()

    shown = [sight.board.shown(may_view=number % 2 == 0).html for number in range(10)]

    assert (sight.looks, sight.drawn) == (1, 2)
    assert shown == ["1 True", "1 False"] * 5


def test_change_is_seen_within_three_seconds_on_a_page_that_renews_itself() -> None:
    sight = Sight()
    mark = sight.board.shown(may_view=True).mark
    sight.value = 2
    sight.at += FRESH_SECONDS  # somebody asked just before the change, and the page just before that time is over

    assert sight.board.shown(may_view=True).html == "2 True"
    assert sight.board.shown(may_view=True).mark != mark
    assert RENEWED_SECONDS + FRESH_SECONDS <= 3


def test_page_that_is_opened_shows_what_is_now() -> None:
    sight = Sight()
    sight.board.shown(may_view=True)
    sight.value = 2

    assert sight.board.shown(may_view=True, anew=True).html == "2 True"
    assert sight.board.shown(may_view=False).html == "2 False"


def test_catalog_that_does_not_answer_is_asked_once_for_all() -> None:
    sight = Sight()
    sight.error = CatalogAwayError("catalog_unusable", "It does not answer.")
    for _ in range(3):
        with pytest.raises(CatalogAwayError):
            sight.board.shown(may_view=True)
    assert sight.looks == 1

    sight.error, sight.at = None, FRESH_SECONDS
    assert sight.board.shown(may_view=True).html == "1 True"


def test_renewal_brings_nothing_until_something_changes(console: Console) -> None:
    def renewal(page: str) -> str:
        return page.split('hx-get="')[1].split('"')[0]

    address = renewal(console.client.get("/").text)
    assert (console.client.get(address).status_code, console.client.get(address).content) == (204, b"")

    console.catalog.cancel_job(console.job, who="anna")
    changed = renewal(console.client.get("/").text)
    assert changed != address
    assert "Cancelled" in console.client.get(address).text
