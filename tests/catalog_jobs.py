"""A catalog with a clock of its own, and jobs brought to any state: for tests of what the catalog remembers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dicom_node.catalog import (
    Catalog,
    DeliveryRow,
    DerivedInstance,
    InstanceAnswer,
    JobState,
    NewInstance,
    SeriesRow,
    Verdict,
)
from dicom_node.catalog.database import LEASE_SECONDS
from dicom_node.config import SeriesSettings
from dicom_node.deliver.destinations.dicom.status import verdict
from dicom_node.series.signals import SIGNALS

QUIET = 20.0


class Clock:
    """A clock that only moves when told to. `monotonic` passes with `advance` alone, the time of day also with `step`."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
        self.passed = 0.0

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.passed += seconds

    def step(self, seconds: float) -> None:
        """Set the time of day, forwards or backwards."""
        self.time += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return self.passed


def instance(
    number: int, *, digest: str = "d", series: str = "1.2.3", route: str = "CECT_ART", **more: object
) -> NewInstance:
    values: dict[str, object] = {
        "series_instance_uid": series,
        "study_instance_uid": "1.2",
        "sop_instance_uid": f"{series}.{number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "path": Path(f"/spool/{number}.dcm"),
        "digest": f"{digest}{number}",
        "size": 100,
        "route": route,
        "calling_ae": "PACS",
        "peer": "127.0.0.1",
    }
    return NewInstance(**(values | more))


def due(catalog: Catalog, clock: Clock) -> list[tuple[SeriesRow, str]]:
    """The series that are complete, each with the signal that says so."""
    settings = SeriesSettings(quiet_seconds=QUIET)
    known = [
        replace(one, silent_seconds=(clock() - one.series.last_received_at).total_seconds())
        for one in catalog.series_evidence()
    ]
    return [
        (evidence.series, next(one.name for one in SIGNALS if one.holds(evidence, settings)))
        for evidence in known
        if any(one.holds(evidence, settings) for one in SIGNALS)
    ]


def run_out(catalog: Catalog, clock: Clock) -> int:
    """What the sweep gives back after a node was killed; the number of jobs and deliveries."""
    clock.advance(LEASE_SECONDS)
    return catalog.sweep_leases()


def complete(
    catalog: Catalog,
    clock: Clock,
    *,
    phase: str = "arterial",
    model_identity: str = "demo 1",
    late: str = "rerun",
    resend: str = "ignore",
) -> int | None:
    """Let quiet time pass and complete the one series that is due; the new job or None."""
    clock.advance(QUIET)
    ((series, signal),) = due(catalog, clock)
    return catalog.complete_series(
        series.key,
        signal=signal,
        phase=phase,
        model="demo",
        model_identity=model_identity,
        late=late,
        resend=resend,
        seen_at=series.last_received_at,
    )


def job_in(catalog: Catalog, clock: Clock, state: JobState) -> int:
    """A job of three instances, brought to a state."""
    catalog.add_instances([instance(number) for number in range(3)])
    job_id = complete(catalog, clock)
    assert job_id is not None
    way: list[tuple[JobState, Callable[[], object]]] = [
        (JobState.SELECTING, lambda: catalog.accept_job(catalog.get_job(job_id), details={"slices": 3})),
        (JobState.QUEUED, lambda: catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")),
        (
            JobState.TRANSLATING,
            lambda: catalog.finish_translation(catalog.get_job(job_id), result_path=Path("/r"), details={}),
        ),
        (JobState.TRANSLATED, lambda: catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w")),
        (JobState.DERIVING, lambda: derive(catalog, job_id)),
        (JobState.DELIVERING, lambda: deliver(catalog, clock)),
    ]
    for reached, step in way:
        if reached is state:
            break
        assert step()
    assert catalog.get_job(job_id).state is state
    return job_id


def derive(
    catalog: Catalog, job_id: int, destinations: tuple[str, ...] = ("pacs",), *, uncertainty: str | None = None
) -> bool:
    """Three images in the series 2.25.9; with ``uncertainty`` three more in the series of that UID."""
    derived = [
        DerivedInstance(
            sop_instance_uid=f"{uid}.{number}" if uid == uncertainty else f"2.25.{number}",
            sop_class_uid="1",
            series_instance_uid=uid,
            path=Path(f"/d/{uid}/{number}"),
        )
        for uid in ("2.25.9", uncertainty)
        if uid is not None
        for number in range(3)
    ]
    return catalog.finish_derivation(
        catalog.get_job(job_id),
        series_instance_uid="2.25.9",
        instances=derived,
        destinations=destinations,
        uncertainty_series_instance_uid=uncertainty,
    )


def answer(
    catalog: Catalog,
    delivery: DeliveryRow,
    sop_instance_uid: str,
    verdict: Verdict,
    *,
    status: int | None = None,
    comment: str = "",
) -> bool:
    """Record one answer of the destination."""
    return catalog.set_answers(
        delivery,
        [InstanceAnswer(sop_instance_uid=sop_instance_uid, verdict=verdict, status=status, comment=comment)],
    )


def deliver(catalog: Catalog, clock: Clock) -> bool:
    delivery = catalog.claim_delivery(clock())
    assert delivery is not None
    for one in catalog.delivery_instances(delivery.id):
        answer(catalog, delivery, one.sop_instance_uid, verdict(0x0000), status=0x0000)
    return catalog.finish_delivery(delivery)


def gone(_: object) -> bool:
    """What removes files for retention, where there are none."""
    return True
