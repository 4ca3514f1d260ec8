"""What decides that a series is complete, on a clock that may be stepped and with archives that count its images."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.catalog import Catalog
from dicom_node.config import Settings, parse_settings
from dicom_node.errors import ConfigError, RetriableDeliverError
from dicom_node.series import CompletionStep
from tests.catalog_jobs import Clock, instance
from tests.ct_series import body_hu
from tests.peers import wait_until
from tests.tiny_model import add_series

Writer = Callable[..., list[Path]]
QUIET, CONFIRMED = 20.0, 2.0


@pytest.fixture
def settings() -> Settings:
    return parse_settings(
        {
            "series": {"quiet_seconds": QUIET, "confirmed_seconds": CONFIRMED, "confirm_with": "pacs"},
            "routes": {"CECT_ART": {"phase": "arterial"}},
            "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}},
        }
    )


class Node:
    """The completion step of a catalog, on its clock."""

    def __init__(
        self, settings: Settings, catalog: Catalog, clock: Clock, count: Callable[[str, str], int] | None = None
    ) -> None:
        self.catalog, self.clock = catalog, clock
        self.step = CompletionStep(
            settings, catalog, model_identity=lambda model: f"{model} 1", count=count, monotonic=clock.monotonic
        )
        self.step.run_once()

    @property
    def signal(self) -> str | None:
        return self.catalog.list_series()[-1].completion_signal

    def after(self, seconds: float) -> str | None:
        """What has decided on the first series once so much time has passed."""
        self.clock.advance(seconds)
        self.step.run_once()
        return self.signal

    def await_background(self) -> None:
        """Until nothing that was asked beside the sweep is unanswered; the clock stands still."""
        self.step.run_once()
        background = [self.step._stacks]
        if self.step._confirmation is not None:
            background.append(self.step._confirmation._background)
        wait_until(
            lambda: all(answer is not None for one in background for _, answer in one._answers.values()),
            seconds=10,
            what="answers",
        )
        self.step.run_once()


def test_count_that_is_right_completes_after_confirmed_seconds(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART")
    node = Node(settings, catalog, clock, count=lambda _study, _series: 4)
    node.after(CONFIRMED / 2)
    node.await_background()
    assert node.after(CONFIRMED / 2 - 0.1) is None

    assert node.after(0.1) == "confirmed"
    (series,), (job,) = catalog.list_series(), catalog.list_jobs()
    assert series.completion_evidence == job.details["completion"]
    assert (series.completion_evidence["counted"], series.completion_evidence["stack"]) == (4, "regular")


@pytest.mark.parametrize("there", [0, 3, 5])
def test_another_count_waits_for_the_quiet_time(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer, there: int
) -> None:
    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART")
    node = Node(settings, catalog, clock, count=lambda _study, _series: there)
    node.after(CONFIRMED / 2)
    node.await_background()
    assert node.after(QUIET - CONFIRMED) is None

    assert node.after(CONFIRMED) == "released"
    assert catalog.list_series()[0].completion_evidence["counted"] == there


def test_count_that_becomes_right_later_completes_confirmed_seconds_after_that(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    there = [3]
    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART")
    node = Node(settings, catalog, clock, count=lambda _study, _series: there[0])
    node.after(CONFIRMED)
    node.await_background()
    there[0] = 4
    node.after(4.0)
    node.await_background()
    assert node.after(CONFIRMED - 0.1) is None

    assert node.after(0.1) == "confirmed"


def test_image_that_comes_after_the_count_begins_the_wait_anew(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(4))
    add_series(catalog, paths[:3], route="CECT_ART")
    node = Node(settings, catalog, clock, count=lambda _study, _series: 3)
    node.after(CONFIRMED / 2)
    node.await_background()
    add_series(catalog, paths[3:], route="CECT_ART")

    assert node.after(CONFIRMED / 2) is None
    node.await_background()
    assert node.after(CONFIRMED) is None


def test_gap_takes_the_short_way_away_and_no_more(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(6))
    add_series(catalog, [*paths[:3], *paths[4:]], route="CECT_ART")
    node = Node(settings, catalog, clock, count=lambda _study, _series: 5)
    node.after(CONFIRMED / 2)
    node.await_background()
    assert node.after(QUIET - CONFIRMED) is None

    assert node.after(CONFIRMED) == "released"
    assert catalog.list_series()[0].completion_evidence["stack"] == "gap"


def test_regular_stack_alone_completes_nothing(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART")
    node = Node(settings, catalog, clock)
    node.after(CONFIRMED)
    node.await_background()

    assert node.after(QUIET - CONFIRMED - 0.1) is None
    assert node.after(0.1) == "released"


def test_archive_that_cannot_be_asked_is_told_of_and_the_quiet_time_decides(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    asked = []

    def count(study: str, series: str) -> int:
        asked.append(series)
        raise RetriableDeliverError("no_connection", "The peer PACS could not be reached.")

    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART")
    node = Node(settings, catalog, clock, count=count)
    node.after(CONFIRMED)
    node.await_background()
    for _ in range(8):
        assert node.after(2.0) is None

    assert node.after(2.0) == "released"
    assert len(asked) == 1
    assert node.step.confirm_problem is not None
    assert node.step.confirm_problem.code == "no_connection"


def test_archive_that_hangs_holds_up_no_series(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    asked, hung = threading.Event(), threading.Event()

    def count(study: str, series: str) -> int:
        asked.set()
        hung.wait(60)
        return 4

    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART")
    node = Node(settings, catalog, clock, count=count)
    node.after(CONFIRMED)
    assert asked.wait(10)
    assert node.after(QUIET) == "released"
    hung.set()


def test_next_series_of_the_study_ends_the_wait_for_an_open_association(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="SENDER", peer="127.0.0.1")
    paths = write_ct_series(body_hu(4))
    add_series(catalog, paths, route="CECT_ART", association_id="a")
    study = catalog.list_series()[0].study_instance_uid
    node = Node(settings, catalog, clock)
    follow = instance(1, series="9.9", study_instance_uid=study, calling_ae="SENDER", association_id="a")
    catalog.add_instance(follow)
    node.after(CONFIRMED)
    node.await_background()
    assert node.after(QUIET - CONFIRMED - 0.1) is None

    assert node.after(0.1) == "next_series"


@pytest.mark.parametrize("other", [{"study_instance_uid": "9"}, {"calling_ae": "OTHER"}, {"peer": "127.0.0.2"}])
def test_series_of_another_study_or_sender_says_nothing(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer, other: dict[str, str]
) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="SENDER", peer="127.0.0.1")
    add_series(catalog, write_ct_series(body_hu(4)), route="CECT_ART", association_id="a")
    study = catalog.list_series()[0].study_instance_uid
    node = Node(settings, catalog, clock)
    like = {"study_instance_uid": study, "calling_ae": "SENDER"}
    catalog.add_instance(instance(1, series="9.9", association_id="a", **(like | other)))
    node.after(CONFIRMED)
    node.await_background()

    assert node.after(QUIET) is None


def test_series_that_are_mixed_say_nothing_of_each_other(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    catalog.open_association("a", called_ae="CECT_ART", calling_ae="SENDER", peer="127.0.0.1")
    paths = write_ct_series(body_hu(4))
    add_series(catalog, paths[:3], route="CECT_ART", association_id="a")
    study = catalog.list_series()[0].study_instance_uid
    catalog.add_instance(instance(1, series="9.9", study_instance_uid=study, calling_ae="SENDER", association_id="a"))
    add_series(catalog, paths[3:], route="CECT_ART", association_id="a")
    node = Node(settings, catalog, clock)
    node.after(CONFIRMED)
    node.await_background()

    assert node.after(QUIET) is None


@pytest.mark.parametrize("step_seconds", [3600.0, -3600.0])
def test_step_of_the_clock_neither_closes_nor_delays_a_series(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer, step_seconds: float
) -> None:
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="CECT_ART")
    node = Node(settings, catalog, clock)
    clock.step(step_seconds)
    assert node.after(QUIET - 0.1) is None

    assert node.after(0.1) == "released"


def test_last_association_is_the_one_that_sent_last_whatever_the_clock_said(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(4))
    for name, sent, outcome in (("a", paths[:2], "aborted"), ("b", paths[2:], "released")):
        catalog.open_association(name, called_ae="CECT_ART", calling_ae="SENDER", peer="127.0.0.1")
        add_series(catalog, sent, route="CECT_ART", association_id=name)
        catalog.close_association(name, outcome=outcome)
        clock.step(-3600)
    node = Node(settings, catalog, clock)

    assert node.after(QUIET) == "released"


def test_series_sent_again_whole_after_an_abort_waits_for_the_quiet_time_alone(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(4))
    for name, outcome in (("a", "aborted"), ("b", "released")):
        catalog.open_association(name, called_ae="CECT_ART", calling_ae="SENDER", peer="127.0.0.1")
        add_series(catalog, paths, route="CECT_ART", association_id=name)
        catalog.close_association(name, outcome=outcome)
    node = Node(settings, catalog, clock)

    assert node.after(QUIET) == "released"


def test_silence_while_the_node_was_down_proves_nothing(
    settings: Settings, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    add_series(catalog, write_ct_series(np.zeros((3, 8, 8))), route="CECT_ART")
    clock.advance(3600)
    node = Node(settings, catalog, clock)

    assert node.signal is None
    assert node.after(QUIET) == "released"


@pytest.mark.parametrize("name", ["pasc", "nowhere"])
def test_confirm_with_names_a_destination(name: str) -> None:
    with pytest.raises(ConfigError, match=r"series\.confirm_with"):
        parse_settings({"series": {"confirm_with": name}})


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ({"fetch_missing": True}, r"series\.fetch_missing needs series\.confirm_with"),
        ({"fetch_missing": True, "confirm_with": "web"}, r"'web', whose type cannot send images"),
    ],
)
def test_what_is_missing_is_fetched_from_a_destination_that_can_send_it(series: dict[str, Any], said: str) -> None:
    described = {
        "destinations": {
            "pacs": {"ae_title": "PACS", "host": "10.0.0.5", "port": 104},
            "web": {"type": "stow", "url": "https://archive.example/dicom-web"},
        },
    }
    with pytest.raises(ConfigError, match=said):
        parse_settings({**described, "series": series})
    parse_settings({**described, "series": {"fetch_missing": True, "confirm_with": "pacs"}})
