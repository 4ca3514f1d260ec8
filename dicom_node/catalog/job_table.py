"""Jobs: claiming, finishing, failing, retrying, and picking up after a restart."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from dicom_node.catalog.database import Database, reason_values
from dicom_node.catalog.job_query import job_query, job_row
from dicom_node.catalog.rows import (
    BACK_TO,
    FINAL_STATES,
    InstanceRow,
    JobRow,
    JobState,
    Reason,
)
from dicom_node.catalog.schema import (
    instances,
    job_instances,
    jobs,
)
from dicom_node.catalog.series_table import instance_query, instance_row
from dicom_node.errors import CatalogError


class JobTable(Database):
    """The catalog's jobs."""

    def get_job(self, job_id: int) -> JobRow:
        """One job; raises `CatalogError` (``job_unknown``)."""
        with self.read() as connection:
            row = connection.execute(job_query().where(jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise CatalogError("job_unknown", f"There is no job {job_id}.", "List the jobs with: s2ldm-node jobs list")
        return job_row(row)

    def list_jobs(self, *, state: str | None = None, limit: int = 100, offset: int = 0) -> list[JobRow]:
        """Jobs, newest first."""
        query = job_query().order_by(jobs.c.id.desc()).limit(limit).offset(offset)
        if state is not None:
            query = query.where(jobs.c.state == state)
        with self.read() as connection:
            return [job_row(row) for row in connection.execute(query).mappings()]

    def count_jobs(self) -> dict[str, int]:
        """Number of jobs by state."""
        with self.read() as connection:
            rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
            return {state: number for state, number in rows}  # noqa: C416 (rows are not plain tuples)

    def oldest_job(self, *, states: Sequence[str]) -> JobRow | None:
        """The job that has waited longest in one of ``states``."""
        query = job_query().where(jobs.c.state.in_(states)).order_by(jobs.c.id).limit(1)
        with self.read() as connection:
            row = connection.execute(query).mappings().first()
            return None if row is None else job_row(row)

    def job_instances(self, job_id: int, *, all_instances: bool = False) -> list[InstanceRow]:
        """The slices the job works on, by SOP Instance UID.

        ``all_instances``: with the objects of the series that selection set aside, such as a localizer.
        """
        query = instance_query().join(job_instances, job_instances.c.instance_id == instances.c.id)
        if not all_instances:
            query = query.where(job_instances.c.set_aside.is_(False))
        with self.read() as connection:
            rows = connection.execute(query.where(job_instances.c.job_id == job_id)).mappings()
            return [instance_row(row) for row in rows]

    def claim_job(self, from_state: str, to_state: str, worker: str) -> JobRow | None:
        """Take the oldest job that is due in ``from_state`` and put it into ``to_state``, atomically.

        ``from_state`` may equal ``to_state`` for a step without a state of its own (selection), which then must have
        one worker only.
        """
        now = self.now()
        due = (
            select(jobs.c.id)
            .where(jobs.c.state == from_state, or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now))
            .order_by(jobs.c.id)
            .limit(1)
        )
        with self.read() as connection:  # most looks find nothing, and need not hold up the writers
            if connection.scalar(due) is None:
                return None
        with self.write() as connection:
            job_id = connection.scalar(due)
            if job_id is None:
                return None
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=to_state,
                    worker=worker,
                    not_before=None,
                    updated_at=now,
                    stage=None,
                    progress=None,
                    started_at=func.coalesce(jobs.c.started_at, now),
                )
            )
            row = connection.execute(job_query().where(jobs.c.id == job_id)).mappings().one()
            return job_row(row)

    def set_progress(self, job_id: int, *, stage: str, fraction: float) -> None:
        """Note how far the running step is; ``fraction`` is 0..1 within ``stage``."""
        with self.write() as connection:
            connection.execute(
                update(jobs).where(jobs.c.id == job_id).values(stage=stage, progress=fraction, updated_at=self.now())
            )

    def accept_job(self, job_id: int, *, details: Mapping[str, Any], set_aside: Sequence[str] = ()) -> bool:
        """Selection said yes: the job waits for translation.

        ``set_aside``: SOP Instance UIDs of the series that are no slices.
        """
        with self.write() as connection:
            members = (
                select(instances.c.id)
                .join(job_instances, job_instances.c.instance_id == instances.c.id)
                .where(job_instances.c.job_id == job_id, instances.c.sop_instance_uid.in_(set_aside))
            )
            aside = set(connection.scalars(members)) if set_aside else set()
            mine = update(job_instances).where(job_instances.c.job_id == job_id)
            connection.execute(mine.values(set_aside=False))
            if aside:
                connection.execute(mine.where(job_instances.c.instance_id.in_(aside)).values(set_aside=True))
            return self._advance(connection, job_id, JobState.SELECTING, JobState.QUEUED, details=details, attempts=0)

    def refuse_job(
        self, job_id: int, *, code: str, sentence: str, remedy: str = "", details: Mapping[str, Any] | None = None
    ) -> bool:
        """The series is not for this route: the job ends in ``refused`` with the reason; its files stay."""
        reason = Reason(code=code, sentence=sentence, remedy=remedy)
        now = self.now()
        with self.write() as connection:
            held = self._details(connection, job_id, details or {})
            statement = (
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state.not_in(FINAL_STATES))
                .values(
                    state=JobState.REFUSED,
                    worker=None,
                    updated_at=now,
                    finished_at=now,
                    details=held,
                    **reason_values(reason),
                )
            )
            return connection.execute(statement).rowcount > 0

    def finish_translation(self, job_id: int, *, result_path: Path, details: Mapping[str, Any]) -> bool:
        """``translating`` -> ``translated``. False if the job was cancelled meanwhile: throw the result away."""
        with self.write() as connection:
            return self._advance(
                connection,
                job_id,
                JobState.TRANSLATING,
                JobState.TRANSLATED,
                details=details,
                result_path=str(result_path),
                attempts=0,
            )

    def fail_job(
        self, job_id: int, *, code: str, sentence: str, remedy: str = "", retry_at: datetime | None = None
    ) -> bool:
        """A step failed. With ``retry_at`` the job waits for another try, without it rests in ``failed``."""
        now = self.now()
        with self.write() as connection:
            state = connection.scalar(select(jobs.c.state).where(jobs.c.id == job_id))
            if state is None or state in FINAL_STATES:
                return False
            values: dict[str, Any] = {
                "attempts": jobs.c.attempts + 1,
                "worker": None,
                "updated_at": now,
                "stage": None,
                "progress": None,
                **reason_values(Reason(code=code, sentence=sentence, remedy=remedy)),
            }
            if retry_at is None:
                values.update(state=JobState.FAILED, failed_in=state, finished_at=now)
            else:
                values.update(state=BACK_TO[JobState(state)], not_before=retry_at)
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
            return True

    def _advance(
        self,
        connection: Connection,
        job_id: int,
        from_state: JobState,
        to_state: JobState,
        *,
        details: Mapping[str, Any],
        **values: Any,
    ) -> bool:
        held = self._details(connection, job_id, details)
        statement = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state == from_state)
            .values(
                state=to_state,
                worker=None,
                updated_at=self.now(),
                details=held,
                stage=None,
                progress=None,
                **reason_values(None),
                **values,
            )
        )
        return connection.execute(statement).rowcount > 0

    @staticmethod
    def _details(connection: Connection, job_id: int, details: Mapping[str, Any]) -> str:
        held = connection.scalar(select(jobs.c.details).where(jobs.c.id == job_id)) or "{}"
        return json.dumps(json.loads(held) | dict(details))
