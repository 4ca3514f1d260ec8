"""Which derived series stands for a source series on a route in one phase, when there is more than one.

An arterial and a venous series of one source are two results: neither replaces the other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from dicom_node.catalog.database import Database, reason_values, unclaimed
from dicom_node.catalog.derived_rows import EarlierSeries, ImageReference
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs, replaced_images
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
        """Derived series of the job's source series and phase, oldest first, that some destination holds as valid.

        Those of other jobs, and what the job itself made before it was done anew.
        """
        with self.read() as connection:
            held = held_as_valid(connection, job_id)
            derived = select(jobs.c.id, jobs.c.derived_series_instance_uid).where(jobs.c.id.in_(held.keys()))
            found = []
            for key, uid in connection.execute(derived.order_by(jobs.c.id)).all():
                for made_with, images in _replaced(connection, key, held[key].replaced).items():
                    found.append(_earlier(key, made_with, images, held[key].replaced))
                if held[key].present:
                    found.append(_earlier(key, uid, _images(connection, key), held[key].present))
            return found


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
    connection.execute(
        update(jobs).where(*_alike(connection, job_id), jobs.c.id != job_id, replaced).values(superseded_by=job_id)
    )
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(superseded_by=None))


@dataclass(frozen=True)
class Holders:
    """The destinations that hold images of a job as valid: of what it made last, and of what it made before and not again."""

    present: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)


def held_as_valid(connection: Connection, job_id: int) -> dict[int, Holders]:
    """By job of the same source series, route and phase, the destinations that took images of it and no note that rejects them.

    What ``job_id`` says of other jobs does not count, as it is to be written anew.
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
        .where(*_alike(connection, job_id), delivery_instances.c.verdict == Verdict.ACCEPTED)
        .distinct()
    )
    rows = connection.execute(accepted).all()
    rejected = {(of, destination) for key, destination, of in rows if of not in (None, key) and key != job_id}
    # A note of a job about itself rejects what it made before.
    settled = {(key, destination) for key, destination, of in rows if of == key} | rejected
    replaced = (
        select(replaced_images.c.job_id, replaced_images.c.destination)
        .join(jobs, jobs.c.id == replaced_images.c.job_id)
        .where(*_alike(connection, job_id))
        .distinct()
    )
    held: dict[int, Holders] = defaultdict(Holders)
    for key, destination, of in rows:
        if of is None and (key, destination) not in rejected:
            held[key].present.add(destination)
    for key, destination in connection.execute(replaced):
        if (key, destination) not in settled:
            held[key].replaced.add(destination)
    return dict(held)


def keep_replaced(connection: Connection, job_id: int, *, made: Collection[str]) -> None:
    """Before what a job made last is forgotten: remember the images of it that a destination holds and that are not made again.

    Parameters
    ----------
    made
        Series Instance UIDs of what it makes now.
    """
    held = held_as_valid(connection, job_id).get(job_id, Holders())
    mine = replaced_images.c.job_id == job_id
    connection.execute(
        delete(replaced_images).where(
            mine, replaced_images.c.destination.not_in(held.replaced) | replaced_images.c.series_instance_uid.in_(made)
        )
    )
    uid = connection.scalar(select(jobs.c.derived_series_instance_uid).where(jobs.c.id == job_id))
    left = [one for one in _images(connection, job_id) if one.series_instance_uid not in made]
    if not left or not held.present:
        return
    rows = [
        {
            "job_id": job_id,
            "destination": destination,
            "sop_instance_uid": one.sop_instance_uid,
            "sop_class_uid": one.sop_class_uid,
            "series_instance_uid": one.series_instance_uid,
            "derived_series_instance_uid": uid,
            "ordinal": ordinal,
        }
        for destination in sorted(held.present)
        for ordinal, one in enumerate(left)
    ]
    connection.execute(insert(replaced_images), rows)


def superseded_by(connection: Connection, keys: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """By job, the jobs that it supersedes."""
    query = select(jobs.c.superseded_by, jobs.c.id).where(jobs.c.superseded_by.in_(list(keys))).order_by(jobs.c.id)
    found: dict[int, list[int]] = defaultdict(list)
    for key, other in connection.execute(query):
        found[key].append(other)
    return {key: tuple(others) for key, others in found.items()}


def _alike(connection: Connection, job_id: int) -> tuple[ColumnElement[bool], ...]:
    """The jobs of the same source series, route and phase, this one included."""
    mine = connection.execute(select(jobs.c.series_id, jobs.c.phase).where(jobs.c.id == job_id)).one()
    return jobs.c.series_id == mine.series_id, jobs.c.phase == mine.phase


def _earlier(
    job_id: int, series_instance_uid: str, images: Iterable[ImageReference], destinations: Collection[str]
) -> EarlierSeries:
    return EarlierSeries(
        job_id=job_id,
        series_instance_uid=series_instance_uid,
        images=tuple(images),
        destinations=tuple(sorted(destinations)),
    )


def _replaced(
    connection: Connection, job_id: int, destinations: Collection[str]
) -> dict[str, dict[ImageReference, None]]:
    """By derived series that they were made with, the images that the job made before and not again."""
    table = replaced_images.c
    query = (
        select(
            table.derived_series_instance_uid, table.series_instance_uid, table.sop_instance_uid, table.sop_class_uid
        )
        .where(table.job_id == job_id, table.destination.in_(destinations))
        .order_by(table.derived_series_instance_uid, table.ordinal, table.sop_instance_uid)
    )
    found: dict[str, dict[ImageReference, None]] = defaultdict(dict)
    for made_with, *uids in connection.execute(query):
        names = ("series_instance_uid", "sop_instance_uid", "sop_class_uid")
        found[made_with][ImageReference(**dict(zip(names, uids, strict=True)))] = None
    return found


def _images(connection: Connection, job_id: int) -> tuple[ImageReference, ...]:
    found = derived_instances.c
    query = (
        select(found.series_instance_uid, found.sop_instance_uid, found.sop_class_uid)
        .where(found.job_id == job_id, found.rejects_job.is_(None))
        .order_by(found.ordinal)
    )
    return tuple(ImageReference(**row) for row in connection.execute(query).mappings())
