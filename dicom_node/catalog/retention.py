"""Removing files that have served their time, and forgetting what nobody will ask for any more."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update

from dicom_node.catalog.database import Database
from dicom_node.catalog.schema import (
    associations,
    derived_instances,
    instances,
    job_instances,
    jobs,
    quarantine,
    rejected_peers,
    series,
)
from dicom_node.catalog.subject_table import forget_subjects
from dicom_node.states import JobState, SeriesState

_BATCH = 500
# With their instances and jobs, in a transaction that receiving waits for.
_SERIES_BATCH = 20
#: Takes a file or folder away; False if that failed, for a reason that has been told.
Remove = Callable[[Path], bool]


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """By how a job ended: its files may go if that was before; None: never."""

    done: datetime | None = None
    refused: datetime | None = None
    failed: datetime | None = None

    def jobs_over(self) -> ColumnElement[bool] | None:
        """The jobs whose files may go; cancelled ones count as refused."""
        ended = {(JobState.DONE,): self.done, (JobState.REFUSED, JobState.CANCELLED): self.refused}
        ended[JobState.FAILED,] = self.failed
        over = [
            and_(jobs.c.state.in_(states), jobs.c.finished_at <= before)
            for states, before in ended.items()
            if before is not None
        ]
        return or_(*over) if over else None


class Retention(Database):
    """Files that may go. Rows stay for longer, so that the same series sent again is still known.

    A file is removed within the transaction that notes it: whoever sends the same instance again at that moment waits,
    and then finds that it is not held. Killed in between, the row names a file that is not there, which counts as not
    held either.
    """

    def remove_sources(self, expiry: Expiry, remove: Remove, *, after: int = 0, limit: int = _BATCH) -> list[int]:
        """Remove a batch of received files that no job needs any more; the numbers of those looked at, above ``after``.

        A file goes when every job it belongs to is over; if there is none, because it came late, when it has been there
        for as long as the files of refused jobs.
        """
        mine = select(jobs.c.id).join(job_instances, job_instances.c.job_id == jobs.c.id)
        mine = mine.where(job_instances.c.instance_id == instances.c.id)
        ways = []
        if (over := expiry.jobs_over()) is not None:
            ways.append(and_(exists(mine), ~exists(mine.where(~over))))
        if expiry.refused is not None:
            ways.append(and_(~exists(mine), instances.c.received_at <= expiry.refused))
        if not ways:
            return []
        query = (
            select(instances.c.id, instances.c.path)
            .join(series, series.c.id == instances.c.series_id)
            .where(
                instances.c.id > after,
                instances.c.path.is_not(None),
                series.c.state == SeriesState.COMPLETE,
                or_(*ways),
            )
            .order_by(instances.c.id)
            .limit(limit)
        )
        if not self._any(query):
            return []
        with self.write() as connection:
            found = connection.execute(query).all()
            gone = [key for key, path in found if remove(path)]
            connection.execute(update(instances).where(instances.c.id.in_(gone)).values(path=None))
            forget_subjects(
                connection,
                list(connection.scalars(select(instances.c.series_id).where(instances.c.id.in_(gone)).distinct())),
            )
            return [key for key, _ in found]

    def remove_derived(
        self, expiry: Expiry, remove: Callable[[int], bool], *, after: int = 0, limit: int = _BATCH
    ) -> list[int]:
        """Remove the derived files of a batch of jobs that are over; the jobs looked at, above ``after``.

        ``remove`` takes the job's number.
        """
        over = expiry.jobs_over()
        if over is None:
            return []
        mine = (derived_instances.c.job_id == jobs.c.id, derived_instances.c.path.is_not(None))
        held = exists(select(derived_instances.c.job_id).where(*mine))
        query = select(jobs.c.id).where(jobs.c.id > after, over, held).order_by(jobs.c.id).limit(limit)
        if not self._any(query):
            return []
        with self.read() as connection:
            found = list(connection.scalars(query))
        for job_id in found:
            with self.write() as connection:  # one by one: a folder of many files takes its time
                still = connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id, over))
                if still is not None and remove(job_id):
                    rows = update(derived_instances).where(derived_instances.c.job_id == job_id)
                    connection.execute(rows.values(path=None))
        return found

    def remove_quarantined(self, before: datetime, remove: Remove, *, after: int = 0, limit: int = _BATCH) -> list[int]:
        """Remove a batch of objects in quarantine since before ``before``; the rows looked at, above ``after``."""
        query = (
            select(quarantine.c.id, quarantine.c.path)
            .where(quarantine.c.id > after, quarantine.c.path.is_not(None), quarantine.c.received_at <= before)
            .order_by(quarantine.c.id)
            .limit(limit)
        )
        if not self._any(query):
            return []
        with self.write() as connection:
            found = connection.execute(query).all()
            gone = [key for key, path in found if remove(path)]
            connection.execute(update(quarantine).where(quarantine.c.id.in_(gone)).values(path=None))
            return [key for key, _ in found]

    def forget(self, before: datetime, *, limit: int = _SERIES_BATCH) -> int:
        """Drop the rows of series, quarantined objects and peers of before ``before``, whose files are gone.

        A series with its jobs and deliveries goes at once; returns how many rows of these three kinds went.
        """
        mine, its_job = instances.c.series_id == series.c.id, jobs.c.series_id == series.c.id
        over = jobs.c.state.in_((JobState.DONE, JobState.REFUSED, JobState.CANCELLED, JobState.FAILED))
        files = [
            exists(select(instances.c.id).where(mine, instances.c.path.is_not(None))),
            exists(select(jobs.c.id).where(its_job, or_(~over, jobs.c.updated_at > before))),
            exists(
                select(jobs.c.id)
                .join(derived_instances, derived_instances.c.job_id == jobs.c.id)
                .where(its_job, derived_instances.c.path.is_not(None))
            ),
            exists(
                select(quarantine.c.id).where(quarantine.c.series_id == series.c.id, quarantine.c.path.is_not(None))
            ),
        ]
        old_series = select(series.c.id).where(
            series.c.state == SeriesState.COMPLETE, series.c.last_received_at <= before, *(~one for one in files)
        )
        old_objects = select(quarantine.c.id).where(quarantine.c.path.is_(None), quarantine.c.received_at <= before)
        still_named = exists(select(quarantine.c.id).where(quarantine.c.job_id == jobs.c.id))
        empty_jobs = select(jobs.c.id).where(jobs.c.series_id.is_(None), jobs.c.updated_at <= before, ~still_named)
        with self.write() as connection:
            count = 0
            for table, old in ((series, old_series), (quarantine, old_objects), (jobs, empty_jobs)):
                keys = list(connection.scalars(old.limit(limit)))
                connection.execute(delete(table).where(table.c.id.in_(keys)))
                count += len(keys)
            seen = connection.execute(delete(rejected_peers).where(rejected_peers.c.last_seen_at <= before))
            return count + seen.rowcount

    def forget_associations(self, before: datetime) -> None:
        """Drop the records of associations that ended before ``before``; completion needs the open ones only."""
        with self.write() as connection:
            connection.execute(
                delete(associations).where(associations.c.closed_at.is_not(None), associations.c.closed_at <= before)
            )

    def working_jobs(self) -> frozenset[int]:
        """Jobs whose work folder may be in use."""
        query = select(jobs.c.id).where(
            jobs.c.state.in_((JobState.TRANSLATING, JobState.TRANSLATED, JobState.DERIVING, JobState.FAILED))
        )
        with self.read() as connection:
            return frozenset(connection.scalars(query))

    def jobs_with_derived(self) -> frozenset[int]:
        """Jobs whose derived folder may be in use: it is named by a row, or is being written."""
        named = select(derived_instances.c.job_id).where(derived_instances.c.path.is_not(None)).distinct()
        with self.read() as connection:
            return frozenset(connection.scalars(named)) | frozenset(
                connection.scalars(select(jobs.c.id).where(jobs.c.state == JobState.DERIVING))
            )

    def named_files(self) -> frozenset[str]:
        """The names, without folders, of the received and quarantined files that rows name. They are random, so unique."""
        with self.read() as connection:
            return frozenset(
                path.name
                for column in (instances.c.path, quarantine.c.path)
                for path in connection.scalars(select(column).where(column.is_not(None)))
            )

    def held_bytes(self) -> int:
        """Bytes of the received and quarantined files that rows name."""
        with self.read() as connection:
            return sum(
                connection.scalar(select(func.coalesce(func.sum(table.c.size), 0)).where(table.c.path.is_not(None)))
                or 0
                for table in (instances, quarantine)
            )

    def _any(self, query: Select[tuple[int, ...]] | Select[tuple[int, Path]]) -> bool:
        """Most looks find nothing, and need not hold up the writers."""
        with self.read() as connection:
            return connection.execute(query.limit(1)).first() is not None
