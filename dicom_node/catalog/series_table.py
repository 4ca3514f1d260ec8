"""Series: which job follows when one is complete."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from dicom_node.catalog.database import Database, insert_row, reason_values, unclaimed
from dicom_node.catalog.pending import begin_anew
from dicom_node.catalog.rows import InstanceRow, SeriesRow, read_rows
from dicom_node.catalog.schema import (
    conflicts,
    deliveries,
    derived_instances,
    instances,
    job_instances,
    jobs,
    series,
)
from dicom_node.catalog.superseding import overtake
from dicom_node.states import JobState, SeriesState
from s2ldm_core.problem import Problem


class SeriesTable(Database):
    """The catalog's series."""

    def complete_series(
        self,
        series_key: int,
        *,
        signal: str,
        evidence: Mapping[str, Any] | None = None,
        phase: str,
        model: str,
        model_identity: str | None = None,
        late: str = "rerun",
        resend: str = "ignore",
        route_settings: Mapping[str, Any] | None = None,
        seen_at: datetime,
    ) -> int | None:
        """Close a series and open the job that follows from its content.

        Parameters
        ----------
        signal
            Which completion signal decided.
        evidence
            What was known then, for the record.
        phase, model
            What the route asks for. Another phase is another result: its job stands beside those of other phases.
        model_identity
            Version and weights of the model, because other weights are another job; default: ``model``.
        late
            What slices after a first job mean: ``rerun`` makes a new job of the whole series, ``ignore`` records them.
        resend
            What the very same series sent again means: ``ignore`` notes it with its job, ``redeliver`` also sends the
            derived series of a job that is done once more.
        route_settings
            The route as it is now; the job keeps it.
        seen_at
            The row's ``last_received_at`` when the caller decided; if instances came since, nothing happens.

        Returns
        -------
        int or None
            The new job, or None: the content has its job already, the late slices are ignored, or more has arrived.
        """
        with self.write() as connection:
            row = connection.execute(select(series).where(series.c.id == series_key)).mappings().first()
            if row is None or row["state"] != SeriesState.RECEIVING or row["last_received_at"] != seen_at:
                return None
            content = connection.execute(
                select(instances.c.id, instances.c.sop_instance_uid, instances.c.digest)
                .where(instances.c.series_id == series_key)
                .order_by(instances.c.sop_instance_uid)
            ).all()
            identity = model if model_identity is None else model_identity
            digest = content_digest((uid, sha) for _, uid, sha in content)
            earlier = (
                connection.execute(select(jobs).where(jobs.c.series_id == series_key).order_by(jobs.c.id))
                .mappings()
                .all()
            )
            alike = [job for job in earlier if job["phase"] == phase]
            same = [job for job in alike if job["content_digest"] == digest and job["model_identity"] == identity]
            ran = [job for job in earlier if job["state"] not in (JobState.REFUSED, JobState.CANCELLED)]
            known = any(job["content_digest"] == digest for job in earlier)
            ignored = late == "ignore" and bool(ran) and not known
            reason = None
            if ignored:
                reason = Problem(
                    "late_instances_ignored",
                    f"Instances arrived after job {ran[-1]['id']} had begun; the route ignores them.",
                    "Set the route's late to rerun, or retry the job by sending the whole series again.",
                )
            now = self.now()
            connection.execute(
                update(series)
                .where(series.c.id == series_key)
                .values(
                    state=SeriesState.COMPLETE,
                    completed_at=now,
                    completion_signal=signal,
                    completion_evidence=None if evidence is None else dict(evidence),
                    content_digest=digest,
                    **reason_values(reason),
                )
            )
            settled = bool(row["conflict_count"]) and _settle_conflicts(connection, series_key) == 0
            if same and settled and same[-1]["reason_code"] == "conflicting_instances":
                _examine_again(connection, same[-1]["id"], now)
            if same:
                self._note_sent_again(connection, same[-1], now, redeliver=resend == "redeliver")
            if same or ignored or not content:
                return None
            job_id = _open_job(
                connection,
                [key for key, _, _ in content],
                series_id=series_key,
                route=row["route"],
                phase=phase,
                model=model,
                model_identity=identity,
                content_digest=digest,
                completion_signal=signal,
                details={} if evidence is None else {"completion": dict(evidence)},
                route_settings=None if route_settings is None else dict(route_settings),
                created_at=now,
                updated_at=now,
            )
            overtake(connection, alike, job_id, now)
            return job_id

    def set_series_aside(self, series_key: int, problem: Problem, *, seen_at: datetime) -> None:
        """Take a series that cannot be completed out of the way of the others, with the reason.

        What comes of it later opens it again; so does `take_series_up`. If instances came since ``seen_at`` (its
        ``last_received_at`` then), nothing happens.
        """
        mine = (
            series.c.id == series_key,
            series.c.state == SeriesState.RECEIVING,
            series.c.last_received_at == seen_at,
        )
        with self.write() as connection:
            connection.execute(update(series).where(*mine).values(state=SeriesState.FAILED, **reason_values(problem)))

    def take_series_up(self) -> int:
        """Try again the series that could not be completed; returns their number."""
        with self.write() as connection:
            failed = update(series).where(series.c.state == SeriesState.FAILED)
            return connection.execute(failed.values(state=SeriesState.RECEIVING, **reason_values(None))).rowcount

    def list_series(self, *, state: str | None = None, limit: int = 100, offset: int = 0) -> list[SeriesRow]:
        """Series, newest first."""
        query = select(series).order_by(series.c.id.desc()).limit(limit).offset(offset)
        if state is not None:
            query = query.where(series.c.state == state)
        with self.read() as connection:
            return [row for row, _ in read_rows(SeriesRow, connection.execute(query).mappings())]

    def count_series(self) -> dict[str, int]:
        """Number of series by state."""
        with self.read() as connection:
            rows = connection.execute(select(series.c.state, func.count()).group_by(series.c.state))
            return {state: number for state, number in rows}  # noqa: C416 (rows are not plain tuples)

    def count_receiving(self) -> int:
        """Number of series that are still coming."""
        with self.read() as connection:
            receiving = select(func.count()).select_from(series).where(series.c.state == SeriesState.RECEIVING)
            return connection.scalar(receiving) or 0

    def conflict_count(self, series_key: int) -> int:
        """How many other images came under SOP Instance UIDs of the series, since it came without them."""
        with self.read() as connection:
            return connection.scalar(select(series.c.conflict_count).where(series.c.id == series_key)) or 0

    def series_instances(self, series_key: int) -> list[InstanceRow]:
        """All instances of a series on its route, by SOP Instance UID."""
        query = instance_query().where(instances.c.series_id == series_key)
        with self.read() as connection:
            return [InstanceRow.model_validate(row) for row in connection.execute(query).mappings()]

    def _note_sent_again(self, connection: Connection, job: Any, now: datetime, *, redeliver: bool) -> None:
        """Note with a job that its series has come again, and deliver it once more if that is wanted."""
        details = {**job["details"], "sent_again": int(job["details"].get("sent_again", 0)) + 1}
        connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(details=details, updated_at=now))
        if not redeliver or job["state"] != JobState.DONE or job["superseded_by"] is not None:
            return
        held = select(derived_instances.c.job_id).where(
            derived_instances.c.job_id == job["id"], derived_instances.c.path.is_(None)
        )
        gone = connection.scalar(held.limit(1)) is not None  # retention has removed files: all of it is made anew
        if not gone:
            keys = list(connection.scalars(select(deliveries.c.id).where(deliveries.c.job_id == job["id"])))
            if not keys:
                return
            begin_anew(connection, keys, now)
        connection.execute(
            update(jobs)
            .where(jobs.c.id == job["id"])
            .values(
                state=JobState.SELECTING if gone else JobState.DELIVERING, attempts=0, finished_at=None, **unclaimed()
            )
        )


def _settle_conflicts(connection: Connection, series_key: int) -> int:
    """Forget conflicts that the sender has settled; returns how many are left.

    One is settled when the series has come again with the content that is held, and without the other: within one
    sending, both contents in either order are two images, of which one would be lost.
    """
    mine = conflicts.c.series_id == series_key
    connection.execute(delete(conflicts).where(mine, conflicts.c.confirmed, ~conflicts.c.fresh))
    connection.execute(update(conflicts).where(mine).values(fresh=False, confirmed=False))
    left = connection.scalar(select(func.count()).select_from(conflicts).where(mine)) or 0
    connection.execute(update(series).where(series.c.id == series_key).values(conflict_count=left))
    return left


def _examine_again(connection: Connection, job_id: int, now: datetime) -> None:
    """A job that was refused for what is settled now is selected anew."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.REFUSED)
        .values(
            state=JobState.SELECTING,
            attempts=0,
            finished_at=None,
            updated_at=now,
            route_settings=None,
            **reason_values(None),
        )
    )


def _open_job(connection: Connection, members: list[int], **values: Any) -> int:
    job_id = insert_row(connection, jobs, state=JobState.SELECTING, instance_count=len(members), attempts=0, **values)
    rows = [{"job_id": job_id, "instance_id": key, "set_aside": False} for key in members]
    connection.execute(insert(job_instances), rows)
    return job_id


def content_digest(members: Any) -> str:
    """SHA-256 over (SOP Instance UID, content digest) pairs that come sorted by UID: what a series holds."""
    digest = hashlib.sha256()
    for uid, sha in members:
        # Not ASCII alone: catalogs of earlier versions may hold UIDs that are none.
        digest.update(f"{uid} {sha}\n".encode())
    return digest.hexdigest()


def instance_query() -> Select[Any]:
    """Instances with what their series knows about them."""
    return (
        select(instances, series.c.series_instance_uid, series.c.study_instance_uid, series.c.route)
        .join(series, series.c.id == instances.c.series_id)
        .order_by(instances.c.sop_instance_uid)
    )
