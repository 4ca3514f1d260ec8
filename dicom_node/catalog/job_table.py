"""Jobs: claiming them, and recording how a step ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Update, func, or_, select, update

from dicom_node.catalog.database import reason_values, unclaimed
from dicom_node.catalog.leases import UNREADABLE, Leases, new_claim
from dicom_node.catalog.ranks import NO_RANKS, by_rank
from dicom_node.catalog.rows import InstanceRow, JobRow, read_rows
from dicom_node.catalog.schema import instances, job_instances, jobs, series
from dicom_node.catalog.series_table import instance_query
from dicom_node.catalog.superseding import superseded_by
from dicom_node.errors import CatalogError
from dicom_node.states import BACK_TO, JobState
from s2ldm_core.problem import Problem


class JobTable(Leases):
    """The catalog's jobs."""

    def get_job(self, job_id: int) -> JobRow:
        """One job; raises `CatalogError` (``job_unknown``)."""
        with self.read() as connection:
            rows = _told(connection, job_query().where(jobs.c.id == job_id))
        if not rows:
            raise CatalogError("job_unknown", f"There is no job {job_id}.", "List the jobs with: s2ldm-node jobs list")
        return rows[0]

    def list_jobs(self, *, state: str | None = None, limit: int = 100, offset: int = 0) -> list[JobRow]:
        """Jobs, newest first."""
        query = job_query().order_by(jobs.c.id.desc()).limit(limit).offset(offset)
        if state is not None:
            query = query.where(jobs.c.state == state)
        with self.read() as connection:
            return _told(connection, query)

    def count_jobs(self) -> dict[str, int]:
        """Number of jobs by state."""
        with self.read() as connection:
            rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
            return {state: number for state, number in rows}  # noqa: C416 (rows are not plain tuples)

    def models_at_work(self) -> set[str]:
        """What the routes of the jobs that have not ended call their models."""
        ended = (JobState.DONE, JobState.REFUSED, JobState.CANCELLED)
        with self.read() as connection:
            return set(connection.scalars(select(jobs.c.model).where(jobs.c.state.not_in(ended)).distinct()))

    def oldest_job(self, *, states: Sequence[str]) -> JobRow | None:
        """The job that has waited longest in one of ``states``."""
        query = job_query().where(jobs.c.state.in_(states)).order_by(jobs.c.id).limit(1)
        with self.read() as connection:
            row = connection.execute(query).mappings().first()
            return None if row is None else JobRow.model_validate(row)

    def job_instances(self, job_id: int, *, all_instances: bool = False) -> list[InstanceRow]:
        """The slices the job works on, by SOP Instance UID.

        ``all_instances``: with the objects of the series that selection set aside, such as a localizer.
        """
        query = instance_query().join(job_instances, job_instances.c.instance_id == instances.c.id)
        if not all_instances:
            query = query.where(job_instances.c.set_aside.is_(False))
        with self.read() as connection:
            rows = connection.execute(query.where(job_instances.c.job_id == job_id)).mappings()
            return [InstanceRow.model_validate(row) for row in rows]

    def claim_job(
        self, from_state: str, to_state: str, worker: str, *, ranks: Mapping[str, int] = NO_RANKS
    ) -> JobRow | None:
        """Take the oldest job that is due in ``from_state``, of the first rank, and put it into ``to_state``, atomically.

        ``ranks``: of routes, the lowest first; others come last. ``from_state`` may equal ``to_state`` for a step without a
        state of its own (selection). The row returned is the claim: see `dicom_node.catalog.leases`.
        """
        now = self.now()
        due = (
            select(jobs.c.id)
            .where(
                jobs.c.state == from_state,
                jobs.c.claimed_until.is_(None),
                or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now),
            )
            .order_by(*by_rank(ranks), jobs.c.id)
            .limit(1)
        )
        with self.read() as connection:  # most looks find nothing, and need not hold up the writers
            if connection.scalar(due) is None:
                return None
        with self.write(alone=False) as connection:
            job_id = connection.scalar(due.with_for_update(skip_locked=True))
            if job_id is None:
                return None
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=to_state,
                    worker=new_claim(worker),
                    claimed_until=self._lease(),
                    not_before=None,
                    updated_at=now,
                    stage=None,
                    progress=None,
                    started_at=func.coalesce(jobs.c.started_at, now),
                )
            )
            row = connection.execute(job_query().where(jobs.c.id == job_id)).mappings().one()
            for claim, _ in read_rows(JobRow, [row]):
                return claim
            # Unreadable: it must not be claimed before all others again and again.
            values = {"state": JobState.FAILED, "finished_at": now, **unclaimed(), **reason_values(UNREADABLE)}
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
        return self.claim_job(from_state, to_state, worker, ranks=ranks)

    def set_progress(self, claim: JobRow, *, stage: str, fraction: float) -> bool:
        """Note how far the running step is; ``fraction`` is 0..1 within ``stage``. False if the claim is lost."""
        with self.write(alone=False) as connection:
            noted = _mine(claim).values(stage=stage, progress=fraction, updated_at=self.now())
            return connection.execute(noted).rowcount > 0

    def accept_job(
        self,
        claim: JobRow,
        *,
        details: Mapping[str, Any],
        set_aside: Sequence[str] = (),
        rules: Sequence[Mapping[str, Any]] = (),
        route_settings: Mapping[str, Any] | None = None,
    ) -> bool:
        """Selection said yes: the job waits for translation. False if the claim is lost.

        ``set_aside``: SOP Instance UIDs of the series that are no slices. ``rules``: what each saw. ``route_settings``: the
        route that the job keeps from now on.
        """
        with self.write() as connection:
            members = (
                select(instances.c.id)
                .join(job_instances, job_instances.c.instance_id == instances.c.id)
                .where(job_instances.c.job_id == claim.id, instances.c.sop_instance_uid.in_(set_aside))
            )
            kept: dict[str, Any] = {"rules": list(rules)} if rules else {}
            if route_settings is not None:
                kept["route_settings"] = dict(route_settings)
            if not self._advance(connection, claim, JobState.QUEUED, details=details, values=kept):
                return False
            aside = set(connection.scalars(members)) if set_aside else set()
            mine = update(job_instances).where(job_instances.c.job_id == claim.id)
            connection.execute(mine.values(set_aside=False))
            if aside:
                connection.execute(mine.where(job_instances.c.instance_id.in_(aside)).values(set_aside=True))
            return True

    def refuse_job(
        self,
        claim: JobRow,
        problem: Problem,
        *,
        details: Mapping[str, Any] | None = None,
        rules: Sequence[Mapping[str, Any]] = (),
    ) -> bool:
        """The series is not for this route: the job ends in ``refused`` with the reason; its files stay."""
        now = self.now()
        with self.write() as connection:
            statement = _mine(claim).values(
                state=JobState.REFUSED,
                updated_at=now,
                finished_at=now,
                details=_merged(connection, claim, details or {}),
                **({"rules": list(rules)} if rules else {}),
                **unclaimed(),
                **reason_values(problem),
            )
            return connection.execute(statement).rowcount > 0

    def finish_translation(self, claim: JobRow, *, result_path: Path, details: Mapping[str, Any]) -> bool:
        """``translating`` -> ``translated``. False if the claim is lost: throw the result away."""
        with self.write() as connection:
            return self._advance(
                connection, claim, JobState.TRANSLATED, details=details, values={"result_path": result_path}
            )

    def fail_job(self, claim: JobRow, problem: Problem, *, retry_at: datetime | None = None) -> bool:
        """A step failed. With ``retry_at`` the job waits for another try, without it rests in ``failed``."""
        now = self.now()
        values: dict[str, Any] = (
            {"state": JobState.FAILED, "failed_in": claim.state, "finished_at": now}
            if retry_at is None
            else {"state": BACK_TO[claim.state], "not_before": retry_at}
        )
        with self.write() as connection:
            statement = _mine(claim).values(
                attempts=jobs.c.attempts + 1,
                updated_at=now,
                stage=None,
                progress=None,
                **values,
                **unclaimed(),
                **reason_values(problem),
            )
            return connection.execute(statement).rowcount > 0

    def _advance(
        self,
        connection: Connection,
        claim: JobRow,
        to_state: JobState,
        *,
        details: Mapping[str, Any],
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        statement = _mine(claim).values(
            state=to_state,
            attempts=0,
            updated_at=self.now(),
            details=_merged(connection, claim, details),
            stage=None,
            progress=None,
            **unclaimed(),
            **reason_values(None),
            **(values or {}),
        )
        return connection.execute(statement).rowcount > 0


def job_query() -> Select[Any]:
    """Jobs with the identity of their series."""
    columns = (series.c.series_instance_uid, series.c.study_instance_uid)
    return select(jobs, *columns).outerjoin(series, series.c.id == jobs.c.series_id)


def _told(connection: Connection, query: Select[Any]) -> list[JobRow]:
    """Jobs, with which others each supersedes."""
    rows = [row for row, _ in read_rows(JobRow, connection.execute(query).mappings())]
    others = superseded_by(connection, [row.id for row in rows])
    return [row.model_copy(update={"supersedes": others.get(row.id, ())}) for row in rows]


def _merged(connection: Connection, claim: JobRow, details: Mapping[str, Any]) -> dict[str, Any]:
    """A job's details with more: others may have noted something since the claim."""
    held: dict[str, Any] = connection.scalar(select(jobs.c.details).where(jobs.c.id == claim.id)) or {}
    return held | dict(details)


def _mine(claim: JobRow) -> Update:
    """An update of the claimed job that does nothing once the claim is lost."""
    held = (jobs.c.id == claim.id, jobs.c.state == claim.state, jobs.c.worker == claim.worker)
    return update(jobs).where(*held)
