"""Which derived series stands for a source series on a route in one phase, when there is more than one.

An arterial and a venous series of one source are two results: neither replaces the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from dicom_node.catalog.database import Database, reason_values, unclaimed
from dicom_node.catalog.derived_rows import EarlierSeries, ImageReference
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs
from dicom_node.states import DeliveryState, JobState, Verdict
from s2ldm_core.problem import Problem

#: Jobs that another one of the same series overtakes: what they would still send is out of date.
_OVERTAKEN = (
    JobState.SELECTING,
    JobState.QUEUED,
    JobState.TRANSLATING,
    JobState.TRANSLATED,
    JobState.DERIVING,
    JobState.DELIVERING,
    JobState.FAILED,
)


class Superseding(Database):
    """Looking up what a new derived series replaces."""

    def earlier_series(self, job_id: int) -> list[EarlierSeries]:
        """Other derived series of the job's source series and phase, oldest first, that some destination holds as valid."""
        with self.read() as connection:
            held = held_elsewhere(connection, job_id)
            rows = connection.execute(
                select(jobs.c.id, jobs.c.derived_series_instance_uid).where(jobs.c.id.in_(held)).order_by(jobs.c.id)
            ).all()
            return [
                EarlierSeries(
                    job_id=key,
                    series_instance_uid=uid,
                    images=_images(connection, key),
                    destinations=tuple(sorted(held[key])),
                )
                for key, uid in rows
            ]


def overtake(connection: Connection, earlier: Sequence[Any], job_id: int, now: datetime) -> None:
    """Stop the jobs among ``earlier`` that have not ended: nothing more of them is sent."""
    overtaken = [job["id"] for job in earlier if job["state"] in _OVERTAKEN]
    if not overtaken:
        return
    reason = Problem("superseded", f"More instances arrived, or the model changed: job {job_id} replaces this one.")
    ended = {"updated_at": now, "finished_at": now, **unclaimed()}
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(overtaken))
        .values(state=JobState.CANCELLED, superseded_by=job_id, **ended, **reason_values(reason))
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.job_id.in_(overtaken), deliveries.c.state != DeliveryState.DONE)
        .values(state=DeliveryState.CANCELLED, **ended)
    )


def stand_in(connection: Connection, job_id: int) -> None:
    """The job's derived series stands for its source series, route and phase now, whatever stood for it before."""
    replaced = or_(jobs.c.derived_series_instance_uid.is_not(None), jobs.c.superseded_by.is_not(None))
    connection.execute(update(jobs).where(*_others(connection, job_id), replaced).values(superseded_by=job_id))
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(superseded_by=None))


def held_elsewhere(connection: Connection, job_id: int) -> dict[int, set[str]]:
    """By job, the destinations that took images of it and no note of another job than ``job_id`` that rejects them.

    Of the other jobs of the same source series, route and phase.
    """
    accepted = (
        select(deliveries.c.job_id, deliveries.c.destination, derived_instances.c.rejects_job)
        .join(jobs, jobs.c.id == deliveries.c.job_id)
        .join(delivery_instances, delivery_instances.c.delivery_id == deliveries.c.id)
        .join(
            derived_instances,
            and_(
                derived_instances.c.job_id == deliveries.c.job_id,
                derived_instances.c.sop_instance_uid == delivery_instances.c.sop_instance_uid,
            ),
        )
        .where(*_others(connection, job_id), delivery_instances.c.verdict == Verdict.ACCEPTED)
        .distinct()
    )
    rows = connection.execute(accepted).all()
    rejected = {(rejects, destination) for _, destination, rejects in rows if rejects is not None}
    held: dict[int, set[str]] = defaultdict(set)
    for key, destination, rejects in rows:
        if rejects is None and (key, destination) not in rejected:
            held[key].add(destination)
    return dict(held)


def superseded_by(connection: Connection, keys: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """By job, the jobs that it supersedes."""
    query = select(jobs.c.superseded_by, jobs.c.id).where(jobs.c.superseded_by.in_(list(keys))).order_by(jobs.c.id)
    found: dict[int, list[int]] = defaultdict(list)
    for key, other in connection.execute(query):
        found[key].append(other)
    return {key: tuple(others) for key, others in found.items()}


def _others(connection: Connection, job_id: int) -> tuple[ColumnElement[bool], ...]:
    """The jobs whose place this one can take, or that can take its own."""
    mine = connection.execute(select(jobs.c.series_id, jobs.c.phase).where(jobs.c.id == job_id)).one()
    return jobs.c.series_id == mine.series_id, jobs.c.phase == mine.phase, jobs.c.id != job_id


def _images(connection: Connection, job_id: int) -> tuple[ImageReference, ...]:
    found = derived_instances.c
    query = (
        select(found.series_instance_uid, found.sop_instance_uid, found.sop_class_uid)
        .where(found.job_id == job_id, found.rejects_job.is_(None))
        .order_by(found.ordinal)
    )
    return tuple(ImageReference(**row) for row in connection.execute(query).mappings())
