"""Derived series: recording what a job wrote, and the deliveries that follow."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from dicom_node.catalog.database import Database, insert_row, reason_values, unclaimed
from dicom_node.catalog.rows import DerivedInstance, JobRow
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs
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
    ) -> bool:
        """``deriving`` -> ``delivering`` with one pending delivery per destination (``done`` if there is none).

        False if the claim is lost: throw the series away.
        """
        job_id, now = claim.id, self.now()
        with self.write() as connection:
            worker = connection.scalar(select(jobs.c.worker).where(jobs.c.id == job_id).with_for_update())
            if worker != claim.worker:
                return False
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
                        }
                        for ordinal, one in enumerate(instances)
                    ],
                )
            for destination in dict.fromkeys(destinations):
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
                if instances:
                    connection.execute(
                        insert(delivery_instances),
                        [
                            {"delivery_id": key, "sop_instance_uid": one.sop_instance_uid, "comment": ""}
                            for one in instances
                        ],
                    )
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=JobState.DELIVERING if destinations else JobState.DONE,
                    derived_series_instance_uid=series_instance_uid,
                    finished_at=None if destinations else now,
                    updated_at=now,
                    stage=None,
                    progress=None,
                    attempts=0,
                    **unclaimed(),
                    **reason_values(None),
                )
            )
            return True

    def derived_instances(self, job_id: int) -> list[DerivedInstance]:
        """What the job wrote and still has on disk, in slice order."""
        query = select(derived_instances).where(
            derived_instances.c.job_id == job_id, derived_instances.c.path.is_not(None)
        )
        with self.read() as connection:
            return [
                DerivedInstance(sop_instance_uid=row.sop_instance_uid, sop_class_uid=row.sop_class_uid, path=row.path)
                for row in connection.execute(query.order_by(derived_instances.c.ordinal))
            ]
