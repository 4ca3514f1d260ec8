"""A sender that asks for storage commitment of a whole series has sent it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog
from dicom_node.config import parse_settings
from dicom_node.series import CompletionStep
from tests.catalog_jobs import Clock, instance
from tests.ct_series import body_hu
from tests.peers import wait_until
from tests.tiny_model import add_series

Writer = Callable[..., list[Path]]
CONFIRMED = 2.0
SETTINGS = parse_settings({"series": {"quiet_seconds": 20.0, "confirmed_seconds": CONFIRMED}})


@pytest.fixture
def step(catalog: Catalog, clock: Clock) -> CompletionStep:
    return CompletionStep(SETTINGS, catalog, model_identity=lambda model: model, monotonic=clock.monotonic)


def after(step: CompletionStep, clock: Clock, seconds: float) -> None:
    """Let time pass, and the step look once it knows how the slices lie."""
    clock.advance(seconds)
    step.run_once()
    wait_until(
        lambda: all(answer is not None for _, answer in step._stacks._answers.values()), seconds=10, what="the stack"
    )
    step.run_once()


def ask(catalog: Catalog, uids: Sequence[str], *, calling_ae: str = "PACS", peer: str = "127.0.0.1") -> None:
    catalog.add_commitment_request(
        f"2.25.{len(uids)}", [("1.2", uid) for uid in uids], calling_ae=calling_ae, called_ae="S2LDM", peer=peer
    )


def sent(catalog: Catalog, paths: Sequence[Path]) -> list[str]:
    add_series(catalog, paths, route="CECT_ART")
    return [one.sop_instance_uid for one in catalog.series_instances(catalog.list_series()[0].key)]


def signal(catalog: Catalog) -> str | None:
    return catalog.list_series()[-1].completion_signal


def test_series_whose_sender_asks_about_all_of_it_is_complete(
    step: CompletionStep, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    uids = sent(catalog, write_ct_series(body_hu(4)))
    step.run_once()
    ask(catalog, uids)
    after(step, clock, CONFIRMED - 0.1)
    assert signal(catalog) is None
    after(step, clock, 0.1)
    assert signal(catalog) == "commitment"
    (series,), (job,) = catalog.list_series(), catalog.list_jobs()
    assert series.completion_evidence is not None
    assert series.completion_evidence["commitment"] is True
    assert job.details["completion"] == series.completion_evidence


def test_part_of_a_series_and_more_than_has_come_are_no_sign(
    step: CompletionStep, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    uids = sent(catalog, write_ct_series(body_hu(4)))
    step.run_once()
    ask(catalog, uids[:3])
    ask(catalog, [*uids, "1.2.3.4"])
    after(step, clock, CONFIRMED)
    assert signal(catalog) is None
    catalog.add_instance(instance(4, series="1.2.3"))  # what was missing, of another series
    after(step, clock, 0.1)
    assert catalog.list_series()[-1].completion_signal == "commitment"


def test_what_comes_behind_the_request_takes_the_sign_away(
    step: CompletionStep, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    first, *others = write_ct_series(body_hu(5))
    uids = sent(catalog, others)
    step.run_once()
    ask(catalog, uids)
    clock.advance(CONFIRMED / 2)
    add_series(catalog, [first], route="CECT_ART")
    after(step, clock, CONFIRMED)
    after(step, clock, CONFIRMED)
    assert signal(catalog) is None


def test_request_of_somebody_else_is_no_sign(
    step: CompletionStep, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    uids = sent(catalog, write_ct_series(body_hu(4)))
    step.run_once()
    ask(catalog, uids, calling_ae="STRANGER", peer="10.0.0.9")
    after(step, clock, CONFIRMED)
    assert signal(catalog) is None


def test_series_with_a_gap_waits_for_the_quiet_time(
    step: CompletionStep, catalog: Catalog, clock: Clock, write_ct_series: Writer
) -> None:
    paths = write_ct_series(body_hu(6))
    uids = sent(catalog, [*paths[:2], *paths[3:]])
    step.run_once()
    ask(catalog, uids)
    after(step, clock, CONFIRMED)
    assert signal(catalog) is None
