"""Which files have served their time, and forgetting them."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update

from dicom_node.catalog.database import Database
from dicom_node.catalog.schema import (
    associations,
    derived_instances,
    instances,
    job_instances,
    jobs,
    quarantine,
    series,
)
from dicom_node.states import JobState, SeriesState

_BATCH = 500


class Retention(Database):
    """Files that may go. Rows stay, so that the same series sent again is still known."""

    def expired_sources(
        self, *, done_before: datetime | None, refused_before: datetime | None, limit: int = _BATCH
    ) -> list[tuple[int, Path]]:
        """Received files, with their numbers, that no job needs any more.

        A file goes when every job it belongs to is done since ``done_before`` or was refused or cancelled before
        ``refused_before`` (None: never). Failed jobs keep theirs.
        """
        mine = select(jobs.c.id).join(job_instances, job_instances.c.job_id == jobs.c.id)
        mine = mine.where(job_instances.c.instance_id == instances.c.id)
        over: list[ColumnElement[bool]] = []
        if done_before is not None:
            over.append(and_(jobs.c.state == JobState.DONE, jobs.c.finished_at <= done_before))
        if refused_before is not None:
            ended = jobs.c.state.in_((JobState.REFUSED, JobState.CANCELLED))
            over.append(and_(ended, jobs.c.finished_at <= refused_before))
        if not over:
            return []
        query = (
            select(instances.c.id, instances.c.path)
            .join(series, series.c.id == instances.c.series_id)
            .where(
                instances.c.path.is_not(None),
                series.c.state == SeriesState.COMPLETE,
                exists(mine),
                ~exists(mine.where(~or_(*over))),
            )
            .limit(limit)
        )
        with self.read() as connection:
            return [(key, path) for key, path in connection.execute(query)]

    def forget_sources(self, keys: Sequence[int]) -> None:
        """Note that these received files are gone."""
        with self.write() as connection:
            connection.execute(update(instances).where(instances.c.id.in_(keys)).values(path=None))

    def expired_derived(self, before: datetime, *, limit: int = _BATCH) -> list[int]:
        """Jobs done or cancelled before ``before`` whose derived files are still there."""
        held = exists(
            select(derived_instances.c.job_id).where(
                derived_instances.c.job_id == jobs.c.id, derived_instances.c.path.is_not(None)
            )
        )
        ended = jobs.c.state.in_((JobState.DONE, JobState.CANCELLED))  # a cancelled one, retried, begins anew
        query = select(jobs.c.id).where(ended, jobs.c.finished_at <= before, held).limit(limit)
        with self.read() as connection:
            return list(connection.scalars(query))

    def forget_derived(self, job_id: int) -> None:
        """Note that a job's derived files are gone."""
        with self.write() as connection:
            connection.execute(update(derived_instances).where(derived_instances.c.job_id == job_id).values(path=None))

    def expired_quarantine(self, before: datetime, *, limit: int = _BATCH) -> list[tuple[int, Path]]:
        """Objects in quarantine since before ``before``, with their numbers."""
        query = select(quarantine.c.id, quarantine.c.path).where(
            quarantine.c.path.is_not(None), quarantine.c.received_at <= before
        )
        with self.read() as connection:
            return [(key, path) for key, path in connection.execute(query.limit(limit))]

    def forget_quarantined(self, keys: Sequence[int]) -> None:
        """Note that these objects are gone."""
        with self.write() as connection:
            connection.execute(update(quarantine).where(quarantine.c.id.in_(keys)).values(path=None))

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
