"""Jobs taken up again, or stopped, by the administrator."""

from sqlalchemy import update

from dicom_node.catalog.acts import note_act
from dicom_node.catalog.database import reason_values, unclaimed
from dicom_node.catalog.job_table import JobTable
from dicom_node.catalog.rows import JobRow
from dicom_node.catalog.schema import deliveries, jobs
from dicom_node.errors import CatalogError
from dicom_node.states import BACK_TO, BY_HAND, DeliveryState, JobState
from s2ldm_core.problem import Problem


class JobControl(JobTable):
    """Retrying and cancelling."""

    def retry_job(self, job_id: int, *, again: bool = False, who: str | None = None) -> JobRow:
        """Put a failed, refused or cancelled job back to work where it stopped.

        Failed deliveries of the job become pending again; what a peer has accepted is not sent twice. Of a job that is
        delivering, the deliveries that wait for their next try are due at once. ``again`` takes a job that is done,
        too, and does all of it anew. ``who`` asked for it, which the job keeps.

        Raises
        ------
        CatalogError
            ``job_unknown``, ``job_not_retriable``, ``job_superseded`` or ``source_removed``.
        """
        job = self.get_job(job_id)
        if job.state is JobState.DELIVERING:
            return self._hasten(job, who)
        takes = {JobState.FAILED, JobState.REFUSED, JobState.CANCELLED} | ({JobState.DONE} if again else set())
        if job.series_key is None or job.state not in takes:
            raise CatalogError(
                "job_not_retriable",
                f"Job {job_id} is {job.state}; only a failed, refused or cancelled job of a series can be retried.",
                f"All of it is done anew with: s2ldm-node jobs retry --again {job_id}" if job.state == "done" else "",
            )
        self._check_place(job)
        back = JobState.SELECTING
        if job.state is JobState.FAILED and job.failed_in is not None:
            back = BACK_TO[job.failed_in]
        if back is JobState.TRANSLATED and (job.result_path is None or not job.result_path.exists()):
            back = JobState.QUEUED
        sources = self.job_instances(job_id)
        if back is not JobState.DELIVERING and any(one.path is None for one in sources):
            raise CatalogError(
                "source_removed",
                f"Retention has removed the source files of job {job_id}.",
                "Send the series again, then retry the job.",
            )
        now = self.now()
        did = "all of it anew" if again and job.state is JobState.DONE else "retry"
        # What is selected anew takes the present configuration: that may be what made it fail.
        anew = {"route_settings": None} if back is JobState.SELECTING else {}
        with self.write() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=back,
                    attempts=0,
                    not_before=None,
                    finished_at=None,
                    failed_in=None,
                    superseded_by=None,
                    updated_at=now,
                    **anew,
                    **unclaimed(),
                    **reason_values(None),
                )
            )
            connection.execute(
                update(deliveries)
                .where(deliveries.c.job_id == job_id, deliveries.c.state != DeliveryState.DONE)
                .values(
                    state=DeliveryState.PENDING,
                    attempts=0,
                    not_before=None,
                    worker=BY_HAND,
                    claimed_until=None,
                    finished_at=None,
                    updated_at=now,
                )
            )
            note_act(connection, job_id, did=did, who=who, at=now)
        return self.get_job(job_id)

    def _check_place(self, job: JobRow) -> None:
        """A job may not take back the place of a later one that has not failed itself."""
        if job.superseded_by is None or job.superseded_by < job.id:
            return
        later = self.get_job(job.superseded_by)
        if later.state not in (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED):
            raise CatalogError(
                "job_superseded",
                f"Job {job.id} is superseded by job {later.id}, which is {later.state}.",
                f"Once that one has ended, it is done anew with: s2ldm-node jobs retry --again {later.id}",
            )

    def _hasten(self, job: JobRow, who: str | None) -> JobRow:
        with self.write() as connection:
            hastened = connection.execute(
                update(deliveries)
                .where(deliveries.c.job_id == job.id, deliveries.c.state == DeliveryState.PENDING)
                .values(not_before=None, worker=BY_HAND, updated_at=self.now())
            ).rowcount
            if hastened:
                note_act(connection, job.id, did="retry", who=who, at=self.now())
        if not hastened:
            raise CatalogError("job_not_retriable", f"Job {job.id} is being delivered at this moment.")
        return self.get_job(job.id)

    def cancel_job(self, job_id: int, *, who: str | None = None) -> JobRow:
        """Stop a job that has not ended, as ``who`` asked; raises `CatalogError` (``job_ended``)."""
        now = self.now()
        reason = Problem("cancelled", "Cancelled by the administrator.", "Retry the job to resume it.")
        with self.write() as connection:
            stopped = connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state.not_in((JobState.DONE, JobState.REFUSED, JobState.CANCELLED)))
                .values(
                    state=JobState.CANCELLED, updated_at=now, finished_at=now, **unclaimed(), **reason_values(reason)
                )
            ).rowcount
            if stopped:
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.job_id == job_id, deliveries.c.state != DeliveryState.DONE)
                    .values(state=DeliveryState.CANCELLED, updated_at=now, finished_at=now, **unclaimed())
                )
                note_act(connection, job_id, did="cancel", who=who, at=now)
        job = self.get_job(job_id)
        if not stopped:
            raise CatalogError("job_ended", f"Job {job_id} is {job.state} and cannot be cancelled.")
        return job
