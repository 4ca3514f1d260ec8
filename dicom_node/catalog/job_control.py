"""Jobs taken up again: by the administrator, and by the node after a restart."""

from sqlalchemy import update

from dicom_node.catalog.database import reason_values
from dicom_node.catalog.job_table import JobTable
from dicom_node.catalog.rows import BACK_TO, BY_HAND, DeliveryState, JobRow, JobState, Reason
from dicom_node.catalog.schema import associations, deliveries, jobs
from dicom_node.errors import CatalogError

#: So often may the node end in the middle of a step on one job.
MAX_INTERRUPTIONS = 3
_INTERRUPTED = Reason(
    code="interrupted_repeatedly",
    sentence=f"The node ended {MAX_INTERRUPTIONS} times while it worked on this series.",
    remedy="Report this with the log; retry the job once the cause is known.",
)


class JobControl(JobTable):
    """Retrying, cancelling and requeueing."""

    def retry_job(self, job_id: int, *, again: bool = False) -> JobRow:
        """Put a failed, refused or cancelled job back to work where it stopped.

        Failed deliveries of the job become pending again; what a peer has accepted is not sent twice. Of a job that is
        delivering, the deliveries that wait for their next try are due at once. ``again`` takes a job that is done,
        too, and does all of it anew.

        Raises
        ------
        CatalogError
            ``job_unknown``, ``job_not_retriable`` or ``source_removed``.
        """
        job = self.get_job(job_id)
        if job.state is JobState.DELIVERING:
            return self._hasten(job)
        takes = {JobState.FAILED, JobState.REFUSED, JobState.CANCELLED} | ({JobState.DONE} if again else set())
        if job.series_key is None or job.state not in takes:
            raise CatalogError(
                "job_not_retriable",
                f"Job {job_id} is {job.state}; only a failed, refused or cancelled job of a series can be retried.",
                f"All of it is done anew with: s2ldm-node jobs retry --again {job_id}" if job.state == "done" else "",
            )
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
        with self.write() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=back,
                    attempts=0,
                    not_before=None,
                    worker=None,
                    finished_at=None,
                    failed_in=None,
                    updated_at=now,
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
                    finished_at=None,
                    updated_at=now,
                )
            )
        return self.get_job(job_id)

    def _hasten(self, job: JobRow) -> JobRow:
        with self.write() as connection:
            hastened = connection.execute(
                update(deliveries)
                .where(deliveries.c.job_id == job.id, deliveries.c.state == DeliveryState.PENDING)
                .values(not_before=None, worker=BY_HAND, updated_at=self.now())
            ).rowcount
        if not hastened:
            raise CatalogError("job_not_retriable", f"Job {job.id} is being delivered at this moment.")
        return self.get_job(job.id)

    def cancel_job(self, job_id: int) -> JobRow:
        """Stop a job that has not ended; raises `CatalogError` (``job_ended``)."""
        now = self.now()
        reason = Reason(
            code="cancelled", sentence="Cancelled by the administrator.", remedy="Retry the job to resume it."
        )
        with self.write() as connection:
            stopped = connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state.not_in((JobState.DONE, JobState.REFUSED, JobState.CANCELLED)))
                .values(state=JobState.CANCELLED, worker=None, updated_at=now, finished_at=now, **reason_values(reason))
            ).rowcount
            if stopped:
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.job_id == job_id, deliveries.c.state != DeliveryState.DONE)
                    .values(state=DeliveryState.CANCELLED, worker=None, updated_at=now, finished_at=now)
                )
        job = self.get_job(job_id)
        if not stopped:
            raise CatalogError("job_ended", f"Job {job_id} is {job.state} and cannot be cancelled.")
        return job

    def requeue_worker(self, worker: str) -> int:
        """Give back the jobs that ``worker`` claimed and can no longer account for; returns their number."""
        count = 0
        with self.write() as connection:
            for state in (JobState.TRANSLATING, JobState.DERIVING):
                count += connection.execute(
                    update(jobs)
                    .where(jobs.c.state == state, jobs.c.worker == worker)
                    .values(state=BACK_TO[state], worker=None, stage=None, progress=None, updated_at=self.now())
                ).rowcount
        return count

    def requeue_interrupted(self) -> int:
        """At start: give back what the last run held. Returns the number of jobs and deliveries that go on.

        ``translating`` becomes ``queued``, ``deriving`` becomes ``translated``, ``sending`` becomes ``pending``;
        associations that were open are lost, so their series can complete. A job that was being selected or derived,
        which the node does in its own process, counts an attempt: after `MAX_INTERRUPTIONS` it fails, because it may
        be what brings the node down.
        """
        now = self.now()
        count = 0
        with self.write() as connection:
            own = jobs.c.state.in_((JobState.SELECTING, JobState.DERIVING)) & jobs.c.worker.is_not(None)
            connection.execute(update(jobs).where(own).values(attempts=jobs.c.attempts + 1))
            connection.execute(
                update(jobs)
                .where(own, jobs.c.attempts >= MAX_INTERRUPTIONS)
                .values(
                    state=JobState.FAILED,
                    failed_in=jobs.c.state,
                    worker=None,
                    updated_at=now,
                    finished_at=now,
                    **reason_values(_INTERRUPTED),
                )
            )
            for state in (JobState.SELECTING, JobState.TRANSLATING, JobState.DERIVING, JobState.DERIVED):
                count += connection.execute(
                    update(jobs)
                    .where(jobs.c.state == state, jobs.c.worker.is_not(None))
                    .values(state=BACK_TO[state], worker=None, stage=None, progress=None, updated_at=now)
                ).rowcount
            count += connection.execute(
                update(deliveries)
                .where(deliveries.c.state == DeliveryState.SENDING)
                .values(state=DeliveryState.PENDING, worker=None, updated_at=now)
            ).rowcount
            connection.execute(
                update(associations).where(associations.c.closed_at.is_(None)).values(closed_at=now, outcome="lost")
            )
        return count
