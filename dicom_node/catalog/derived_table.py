"""Derived series: recording what a job wrote, and the deliveries that follow."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import and_, case, delete, func, insert, literal, select, union_all, update

from dicom_node.catalog.database import Database, insert_row, reason_values, unclaimed
from dicom_node.catalog.derived_rows import DerivedInstance, HeldDerived
from dicom_node.catalog.rows import JobRow
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs, series
from dicom_node.catalog.superseding import Holders, held_as_valid, keep_replaced, stand_in
from dicom_node.states import DeliveryState, JobState


class DerivedTable(Database):
    """The catalog's derived instances."""

    def finish_derivation(
        self,
        claim: JobRow,
        *,
        series_instance_uid: str,
        instances: Sequence[DerivedInstance],
        destinations: Sequence[str],
        reachable: Collection[str] = (),
        uncertainty_series_instance_uid: str | None = None,
    ) -> bool:
        """``deriving`` -> ``delivering`` with one pending delivery per destination (``done`` if there is none).

        The job supersedes every other of its source series, route and phase that has a derived series. Notes that reject such a
        series, or what the job made before and not again, go to the destinations that hold it, after the images.

        Parameters
        ----------
        instances
            Images in slice order, then those of the uncertainty, then notes.
        destinations
            Where the images go.
        reachable
            Other destinations that may get a note, because an earlier series went there.
        uncertainty_series_instance_uid
            Of the second derived series, if there is one.

        Returns
        -------
        bool
            False if the claim is lost: throw the series away.
        """
        job_id, now = claim.id, self.now()
        with self.write() as connection:
            worker = connection.scalar(select(jobs.c.worker).where(jobs.c.id == job_id).with_for_update())
            if worker != claim.worker:
                return False
            keep_replaced(connection, job_id, made={one.series_instance_uid for one in instances})
            old = select(deliveries.c.id).where(deliveries.c.job_id == job_id)
            connection.execute(delete(delivery_instances).where(delivery_instances.c.delivery_id.in_(old)))
            connection.execute(delete(deliveries).where(deliveries.c.job_id == job_id))
            connection.execute(delete(derived_instances).where(derived_instances.c.job_id == job_id))
            if instances:
                connection.execute(
                    insert(derived_instances),
                    [
                        {
                            "job_id": job_id,
                            "sop_instance_uid": one.sop_instance_uid,
                            "sop_class_uid": one.sop_class_uid,
                            "path": one.path,
                            "ordinal": ordinal,
                            "series_instance_uid": one.series_instance_uid,
                            "rejects_job": one.rejects_job,
                        }
                        for ordinal, one in enumerate(instances)
                    ],
                )
            members = _members(
                instances, held_as_valid(connection, job_id), destinations=destinations, reachable=reachable
            )
            for destination, mine in members.items():
                key = insert_row(
                    connection,
                    deliveries,
                    job_id=job_id,
                    destination=destination,
                    state=DeliveryState.PENDING,
                    attempts=0,
                    created_at=now,
                    updated_at=now,
                )
                if mine:
                    connection.execute(
                        insert(delivery_instances),
                        [{"delivery_id": key, "sop_instance_uid": uid, "comment": ""} for uid in mine],
                    )
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=JobState.DELIVERING if members else JobState.DONE,
                    derived_series_instance_uid=series_instance_uid,
                    uncertainty_series_instance_uid=uncertainty_series_instance_uid,
                    finished_at=None if members else now,
                    updated_at=now,
                    stage=None,
                    progress=None,
                    attempts=0,
                    **unclaimed(),
                    **reason_values(None),
                )
            )
            stand_in(connection, job_id)
            return True

    def held_derived(self, *, study_instance_uid: str | None = None) -> list[HeldDerived]:
        """The derived series that stand, with their files on disk, study by study; of one study, or of all."""
        either = union_all(select(literal(0).label("place")), select(literal(1))).subquery()
        uid = case(
            (either.c.place == 0, jobs.c.derived_series_instance_uid), else_=jobs.c.uncertainty_series_instance_uid
        )
        images = (
            derived_instances.c.job_id == jobs.c.id,
            derived_instances.c.series_instance_uid == uid,
            derived_instances.c.path.is_not(None),
        )
        first = select(derived_instances.c.path).where(*images).order_by(derived_instances.c.ordinal).limit(1)
        # Retention takes the files of a job at once, so one row tells, and the others of years of jobs are not looked at.
        any_path = select(derived_instances.c.path).where(derived_instances.c.job_id == jobs.c.id)
        any_path = any_path.order_by(derived_instances.c.sop_instance_uid).limit(1)
        count = select(func.count()).select_from(derived_instances).where(*images)
        query = (
            select(
                jobs.c.id.label("job_id"),
                series.c.study_instance_uid,
                uid.label("series_instance_uid"),
                first.correlate(jobs, either).scalar_subquery().label("first"),
                count.correlate(jobs, either).scalar_subquery().label("count"),
            )
            .join(series, series.c.id == jobs.c.series_id)
            .join(either, uid.is_not(None))
            .where(
                jobs.c.superseded_by.is_(None),
                any_path.correlate(jobs).scalar_subquery().is_not(None),
            )
            .order_by(series.c.study_instance_uid, jobs.c.id, either.c.place)
        )
        if study_instance_uid is not None:
            query = query.where(series.c.study_instance_uid == study_instance_uid)
        with self.read() as connection:
            return [HeldDerived(**row) for row in connection.execute(query).mappings() if row["first"] is not None]

    def images_sent(self, delivery_id: int) -> dict[str, int]:
        """By Series Instance UID, how many images a delivery sends."""
        query = (
            select(derived_instances.c.series_instance_uid, func.count())
            .join(deliveries, deliveries.c.job_id == derived_instances.c.job_id)
            .join(
                delivery_instances,
                and_(
                    delivery_instances.c.delivery_id == deliveries.c.id,
                    delivery_instances.c.sop_instance_uid == derived_instances.c.sop_instance_uid,
                ),
            )
            .where(deliveries.c.id == delivery_id, derived_instances.c.rejects_job.is_(None))
            .group_by(derived_instances.c.series_instance_uid)
            .order_by(func.min(derived_instances.c.ordinal))
        )
        with self.read() as connection:
            return {uid: int(count) for uid, count in connection.execute(query)}

    def derived_instances(self, job_id: int) -> list[DerivedInstance]:
        """What the job wrote and still has on disk: images in slice order, then those of the uncertainty, then notes."""
        query = select(derived_instances).where(
            derived_instances.c.job_id == job_id, derived_instances.c.path.is_not(None)
        )
        with self.read() as connection:
            return [
                DerivedInstance(
                    sop_instance_uid=row.sop_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    series_instance_uid=row.series_instance_uid or "",
                    path=row.path,
                    rejects_job=row.rejects_job,
                )
                for row in connection.execute(query.order_by(derived_instances.c.ordinal))
            ]


def _members(
    instances: Sequence[DerivedInstance],
    held: Mapping[int, Holders],
    *,
    destinations: Sequence[str],
    reachable: Collection[str],
) -> dict[str, list[str]]:
    """By destination, the SOP Instance UIDs that it gets: all images where they go, and notes where they are owed.

    ``held``: by job, the destinations that hold images of it as valid.
    """
    images = [one.sop_instance_uid for one in instances if one.rejects_job is None]
    members = {destination: list(images) for destination in destinations}
    for note in instances:
        if note.rejects_job is None:
            continue
        holders = held.get(note.rejects_job, Holders())
        for destination in sorted(holders.present | holders.replaced):
            if destination in members or destination in reachable:
                members.setdefault(destination, []).append(note.sop_instance_uid)
    return members
