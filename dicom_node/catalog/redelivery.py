"""Sending a derived series once more, also to a destination that it was not for."""

from sqlalchemy import Connection, insert, select, update

from dicom_node.catalog.acts import note_act
from dicom_node.catalog.database import insert_row, reason_values, unclaimed
from dicom_node.catalog.job_table import JobTable
from dicom_node.catalog.pending import begin_anew
from dicom_node.catalog.rows import JobRow
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs
from dicom_node.errors import CatalogError
from dicom_node.states import BY_HAND, DeliveryState, JobState


class Redelivery(JobTable):
    """Delivering again."""

    def redeliver_job(self, job_id: int, *, destination: str | None = None, who: str | None = None) -> JobRow:
        """Send a job's derived series again, as ``who`` asked, to one destination or to all that it went to.

        Raises
        ------
        CatalogError
            ``job_unknown``; ``job_not_delivered``: there is no derived series to send; ``derived_removed``: its files are
            gone; ``job_superseded``: another job stands in its place; ``delivery_under_way``.
        """
        job = self.get_job(job_id)
        delivered = job.state in (JobState.DONE, JobState.DELIVERING) or job.failed_in is JobState.DELIVERING
        if not delivered or job.derived_series_instance_uid is None:
            raise CatalogError(
                "job_not_delivered",
                f"Job {job_id} is {job.state} and has no derived series to send.",
                "Retry the job if it failed.",
            )
        if job.superseded_by is not None:
            raise CatalogError(
                "job_superseded",
                f"Job {job_id} is superseded by job {job.superseded_by}.",
                f"Send that one again: job {job.superseded_by}.",
            )
        with self.write() as connection:
            rows = connection.execute(
                select(derived_instances.c.sop_instance_uid, derived_instances.c.path, derived_instances.c.rejects_job)
                .where(derived_instances.c.job_id == job_id)
                .order_by(derived_instances.c.ordinal)
            ).all()
            if not rows or any(path is None for _, path, _ in rows):
                raise CatalogError(
                    "derived_removed",
                    f"Retention has removed the derived series of job {job_id}.",
                    f"Make it anew with: s2ldm-node jobs retry --again {job_id}",
                )
            images = [uid for uid, _, rejects in rows if rejects is None]
            self._send_again(connection, job_id, destination, images)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=JobState.DELIVERING,
                    failed_in=None,
                    finished_at=None,
                    updated_at=self.now(),
                    **unclaimed(),
                    **reason_values(None),
                )
            )
            note_act(connection, job_id, did="redeliver", who=who, at=self.now(), to=destination)
        return self.get_job(job_id)

    def _send_again(self, connection: Connection, job_id: int, destination: str | None, images: list[str]) -> None:
        mine = deliveries.c.job_id == job_id
        if destination is not None:
            mine = mine & (deliveries.c.destination == destination)
        found = connection.execute(select(deliveries.c.id, deliveries.c.state).where(mine)).all()
        if any(state == DeliveryState.SENDING for _, state in found):
            raise CatalogError(
                "delivery_under_way", f"Job {job_id} is being delivered at this moment.", "Wait for its end."
            )
        now = self.now()
        keys = [key for key, _ in found]
        begin_anew(connection, keys, now, worker=BY_HAND)
        if keys:
            return
        if destination is None:
            raise CatalogError(
                "job_not_delivered", f"The route of job {job_id} has no destination.", "Name one to send it to."
            )
        delivery = insert_row(
            connection,
            deliveries,
            job_id=job_id,
            destination=destination,
            state=DeliveryState.PENDING,
            attempts=0,
            worker=BY_HAND,
            created_at=now,
            updated_at=now,
        )
        connection.execute(
            insert(delivery_instances),
            [{"delivery_id": delivery, "sop_instance_uid": uid, "comment": ""} for uid in images],
        )
