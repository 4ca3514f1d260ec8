"""The story of a series, from the catalog's rows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dicom_node.catalog import AttemptRow, Catalog, DeliveryRow, DeliveryState, JobRow, SeriesRow
from dicom_node.web.answers import Event

_MOST_DELIVERIES = 1000
_ENDED = {"done": "Done", "refused": "Refused", "failed": "Failed", "cancelled": "Cancelled"}


def story_of(catalog: Catalog, key: int) -> list[Event]:
    """What happened to a series, oldest first; raises `CatalogError` (``series_unknown``)."""
    series = catalog.get_series(key)
    jobs = catalog.jobs_of_series([key])[key]
    deliveries = [one for job in jobs for one in catalog.list_deliveries(job_id=job.id, limit=_MOST_DELIVERIES)]
    return timeline(series, jobs, deliveries, catalog.attempts_of([one.id for one in deliveries]))


def timeline(
    series: SeriesRow,
    jobs: Sequence[JobRow],
    deliveries: Sequence[DeliveryRow],
    attempts: Mapping[int, Sequence[AttemptRow]],
) -> list[Event]:
    """What happened, oldest first.

    ``jobs`` are those of the series, ``deliveries`` those of these jobs, ``attempts`` theirs by delivery. Of another
    step that was repeated the catalog keeps the last attempt, and how many there were.
    """
    events = [*_reception(series)]
    for job in jobs:
        events += _job(job)
    events += [event for delivery in deliveries for event in _delivery(delivery, attempts[delivery.id])]
    return sorted(events, key=lambda event: event.at)


def _reception(series: SeriesRow) -> Iterator[Event]:
    sender = {"from": series.calling_ae, "address": series.peer, "called": series.route}
    yield _event(series.first_received_at, "received", "First image received", sender)
    if series.last_received_at != series.first_received_at:
        yield _event(series.last_received_at, "received", "Last image received", {"images": series.instance_count})
    if series.completed_at is not None:
        known = {"signal": series.completion_signal, **(series.completion_evidence or {})}
        yield _event(series.completed_at, "complete", "Complete", known, problem=series.reason)


def _job(job: JobRow) -> Iterator[Event]:
    uncertain = (job.route_settings or {}).get("uncertainty")
    asked = {
        "phase": job.phase,
        "model": job.model_identity,
        "images": job.instance_count,
        "uncertainty": "asked for" if uncertain else None,
    }
    yield _event(job.created_at, "job", f"Job {job.id} opened", asked)
    if job.started_at is not None:
        seen = {one["rule"]: "objects" if one["objects"] else _short(one["details"]) for one in job.rules or ()}
        yield _event(job.started_at, "selection", f"Job {job.id}: selection", seen)
    for act in job.details.get("by_hand", ()):
        facts = {"by": act.get("who"), "destination": act.get("to")}
        yield _event(datetime.fromisoformat(act["at"]), "by-hand", f"Job {job.id}: {act['did']} asked for", facts)
    made = {name: value for name, value in job.details.items() if name not in ("completion", "rules", "by_hand")}
    if job.finished_at is not None:
        title = f"Job {job.id}: {_ENDED.get(job.state, job.state)}"
        yield _event(job.finished_at, job.state, title, made, problem=job.reason)
    else:
        working = {"stage": job.stage, "done": None if job.progress is None else f"{job.progress:.0%}"}
        waiting = {"failed attempts": job.attempts or None, "next attempt": job.not_before}
        title = f"Job {job.id}: {job.state}"
        yield _event(job.updated_at, job.state, title, {**made, **working, **waiting}, problem=job.reason)


def _delivery(delivery: DeliveryRow, attempts: Sequence[AttemptRow]) -> Iterator[Event]:
    where = {"job": delivery.job_id, "images": delivery.instance_count}
    yield _event(delivery.created_at, "delivery", f"Delivery to {delivery.destination} begins", where)
    ended = delivery.state in (DeliveryState.DONE, DeliveryState.FAILED)
    for one in attempts[:-1] if ended else attempts:  # the last one's end is the delivery's
        so_far = {"accepted": f"{one.accepted_count} of {delivery.instance_count + delivery.note_count}"}
        title = f"Delivery to {delivery.destination}: attempt {one.number} failed"
        yield _event(one.ended_at, "delivery-attempt", title, so_far, problem=one.reason)
    known = {
        "accepted": f"{delivery.accepted_count} of {delivery.instance_count}",
        "attempts": delivery.attempts,
        "next attempt": delivery.not_before,
    }
    at = delivery.finished_at or delivery.updated_at
    outcome = "quarantine" if delivery.state is DeliveryState.FAILED else str(delivery.state)
    yield _event(
        at,
        f"delivery-{delivery.state}",
        f"Delivery to {delivery.destination}: {outcome}",
        known,
        problem=delivery.reason,
    )


def _event(at: datetime, kind: str, title: str, facts: dict[str, Any], *, problem: Any = None) -> Event:
    return Event(
        at=at,
        kind=str(kind),
        title=title,
        facts={name: value for name, value in facts.items() if value not in (None, {})},
        problem=problem,
    )


def _short(details: dict[str, Any]) -> Any:
    return details or "passes"
