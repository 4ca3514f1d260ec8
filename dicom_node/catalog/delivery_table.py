"""Deliveries: one derived series to one destination, with the peer's answer for every instance."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, update

from dicom_node.catalog.database import Database, path_of, reason_of, reason_values
from dicom_node.catalog.rows import (
    ACCEPTED_STATUSES,
    BY_HAND,
    DeliveryInstanceRow,
    DeliveryRow,
    DeliveryState,
    JobState,
    Reason,
    is_accepted,
)
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs
from dicom_node.errors import CatalogError

_ACCEPTED = tuple(sorted(ACCEPTED_STATUSES))


class DeliveryTable(Database):
    """The catalog's deliveries."""

    def claim_delivery(
        self, now: datetime, *, worker: str = "deliver", exclude_destinations: Collection[str] = ()
    ) -> DeliveryRow | None:
        """Take the oldest delivery that is due and put it into ``sending``, atomically.

        ``exclude_destinations``: those whose circuit breaker is open; what was asked for by hand goes there, too.
        """
        due = (
            select(deliveries.c.id)
            .join(jobs, jobs.c.id == deliveries.c.job_id)
            .where(
                deliveries.c.state == DeliveryState.PENDING,
                jobs.c.state == JobState.DELIVERING,
                or_(deliveries.c.not_before.is_(None), deliveries.c.not_before <= now),
                or_(deliveries.c.destination.not_in(tuple(exclude_destinations)), deliveries.c.worker == BY_HAND),
            )
            .order_by(deliveries.c.not_before.is_not(None), deliveries.c.not_before, deliveries.c.id)
            .limit(1)
        )
        with self.read() as connection:  # most looks find nothing, and need not hold up the writers
            if connection.scalar(due) is None:
                return None
        with self.write() as connection:
            key = connection.scalar(due)
            if key is None:
                return None
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == key)
                .values(state=DeliveryState.SENDING, worker=worker, updated_at=self.now(), not_before=None)
            )
            return delivery_row(connection.execute(_delivery_query().where(deliveries.c.id == key)).mappings().one())

    def get_delivery(self, delivery_id: int) -> DeliveryRow:
        """One delivery; raises `CatalogError` (``delivery_unknown``)."""
        with self.read() as connection:
            row = connection.execute(_delivery_query().where(deliveries.c.id == delivery_id)).mappings().first()
        if row is None:
            raise CatalogError("delivery_unknown", f"There is no delivery {delivery_id}.")
        return delivery_row(row)

    def list_deliveries(
        self, *, job_id: int | None = None, state: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[DeliveryRow]:
        """Deliveries, newest first."""
        query = _delivery_query().order_by(deliveries.c.id.desc()).limit(limit).offset(offset)
        if job_id is not None:
            query = query.where(deliveries.c.job_id == job_id)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        with self.read() as connection:
            return [delivery_row(row) for row in connection.execute(query).mappings()]

    def count_deliveries(self) -> dict[tuple[str, str], int]:
        """Number of deliveries by (destination, state)."""
        query = select(deliveries.c.destination, deliveries.c.state, func.count())
        with self.read() as connection:
            rows = connection.execute(query.group_by(deliveries.c.destination, deliveries.c.state))
            return {(destination, state): number for destination, state, number in rows}

    def delivery_instances(self, delivery_id: int) -> list[DeliveryInstanceRow]:
        """Every instance of a delivery in slice order, with the peer's last answer."""
        query = (
            select(delivery_instances, derived_instances.c.sop_class_uid, derived_instances.c.path)
            .join(deliveries, deliveries.c.id == delivery_instances.c.delivery_id)
            .join(
                derived_instances,
                and_(
                    derived_instances.c.job_id == deliveries.c.job_id,
                    derived_instances.c.sop_instance_uid == delivery_instances.c.sop_instance_uid,
                ),
            )
            .where(delivery_instances.c.delivery_id == delivery_id)
            .order_by(derived_instances.c.ordinal)
        )
        with self.read() as connection:
            return [
                DeliveryInstanceRow(
                    sop_instance_uid=row["sop_instance_uid"],
                    sop_class_uid=row["sop_class_uid"],
                    path=path_of(row["path"]),
                    status=row["status"],
                    comment=row["comment"],
                    updated_at=row["updated_at"],
                )
                for row in connection.execute(query).mappings()
            ]

    def set_instance_status(
        self, delivery_id: int, sop_instance_uid: str, status: int | None, *, comment: str = ""
    ) -> None:
        """Record the peer's answer (C-STORE status, PS3.4 B.2.3) for one instance; None: no answer came."""
        now = self.now()
        with self.write() as connection:
            connection.execute(
                update(delivery_instances)
                .where(
                    delivery_instances.c.delivery_id == delivery_id,
                    delivery_instances.c.sop_instance_uid == sop_instance_uid,
                )
                .values(status=status, comment=comment[:256], updated_at=now)
            )
            connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(updated_at=now))

    def requeue_stale_deliveries(self, silent_for: timedelta) -> int:
        """Give back deliveries that are ``sending`` without any answer for so long; returns their number."""
        now = self.now()
        with self.write() as connection:
            return connection.execute(
                update(deliveries)
                .where(deliveries.c.state == DeliveryState.SENDING, deliveries.c.updated_at <= now - silent_for)
                .values(state=DeliveryState.PENDING, worker=None, updated_at=now)
            ).rowcount

    def finish_delivery(
        self, delivery_id: int, *, state: str = DeliveryState.DONE, reason: Reason | None = None
    ) -> bool:
        """End a delivery: ``done``, or ``failed`` with the reason (quarantine).

        The job becomes ``done`` when all its deliveries are, and ``failed`` when none is left to try and one failed.
        False if the delivery was cancelled meanwhile.

        Raises
        ------
        CatalogError
            ``delivery_incomplete``: ``done`` was asked for while an instance has no accepting status.
        """
        now = self.now()
        with self.write() as connection:
            row = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id)).mappings().one()
            if row["state"] == DeliveryState.CANCELLED:
                return False
            if state == DeliveryState.DONE:
                statuses = connection.scalars(
                    select(delivery_instances.c.status).where(delivery_instances.c.delivery_id == delivery_id)
                ).all()
                missing = sum(not is_accepted(status) for status in statuses)
                if missing:
                    raise CatalogError(
                        "delivery_incomplete", f"{missing} of {len(statuses)} instances are not accepted."
                    )
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery_id)
                .values(
                    state=state,
                    worker=None,
                    not_before=None,
                    updated_at=now,
                    finished_at=now,
                    attempts=deliveries.c.attempts + 1,
                    **reason_values(reason),
                )
            )
            self._settle_job(connection, row["job_id"])
            return True

    def retry_delivery(self, delivery_id: int, *, at: datetime, reason: Reason) -> bool:
        """Sending failed for a reason that may pass: try again at ``at``. False if cancelled meanwhile.

        The job says so, too, until it ends.
        """
        now = self.now()
        with self.write() as connection:
            statement = (
                update(deliveries)
                .where(deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.SENDING)
                .values(
                    state=DeliveryState.PENDING,
                    worker=None,
                    not_before=at,
                    updated_at=now,
                    attempts=deliveries.c.attempts + 1,
                    **reason_values(reason),
                )
                .returning(deliveries.c.job_id, deliveries.c.destination)
            )
            row = connection.execute(statement).first()
            if row is None:
                return False
            waits = Reason(
                code="delivery_waits",
                sentence=f"Delivery to {row.destination} is tried again: {reason.sentence}",
                remedy=reason.remedy,
            )
            connection.execute(
                update(jobs)
                .where(jobs.c.id == row.job_id, jobs.c.state == JobState.DELIVERING)
                .values(updated_at=now, **reason_values(waits))
            )
            return True

    def _settle_job(self, connection: Connection, job_id: int) -> None:
        rows = connection.execute(select(deliveries).where(deliveries.c.job_id == job_id)).mappings().all()
        states = {row["state"] for row in rows}
        now = self.now()
        statement = update(jobs).where(jobs.c.id == job_id, jobs.c.state == JobState.DELIVERING)
        if states == {DeliveryState.DONE}:
            connection.execute(
                statement.values(state=JobState.DONE, updated_at=now, finished_at=now, **reason_values(None))
            )
        elif states <= {DeliveryState.DONE, DeliveryState.FAILED}:
            failed = [row for row in rows if row["state"] == DeliveryState.FAILED]
            why = reason_of(failed[0])
            names = ", ".join(row["destination"] for row in failed)
            reason = Reason(
                code="delivery_failed",
                sentence=f"Delivery to {names} failed: {why.sentence if why else ''}",
                remedy=why.remedy if why else "",
            )
            connection.execute(
                statement.values(
                    state=JobState.FAILED,
                    failed_in=JobState.DELIVERING,
                    updated_at=now,
                    finished_at=now,
                    **reason_values(reason),
                )
            )


def _delivery_query() -> Select[Any]:
    # Counted for the rows that are shown; a grouped subquery would count every delivery there ever was.
    instances = select(func.count()).where(delivery_instances.c.delivery_id == deliveries.c.id).correlate(deliveries)
    return select(
        deliveries,
        jobs.c.route,
        jobs.c.derived_series_instance_uid,
        instances.scalar_subquery().label("instance_count"),
        instances.where(delivery_instances.c.status.in_(_ACCEPTED)).scalar_subquery().label("accepted_count"),
    ).join(jobs, jobs.c.id == deliveries.c.job_id)


def delivery_row(row: Mapping[Any, Any]) -> DeliveryRow:
    """A database row as a value."""
    return DeliveryRow(
        id=row["id"],
        job_id=row["job_id"],
        route=row["route"],
        destination=row["destination"],
        series_instance_uid=row["derived_series_instance_uid"] or "",
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        not_before=row["not_before"],
        worker=row["worker"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        finished_at=row["finished_at"],
        instance_count=row["instance_count"],
        accepted_count=row["accepted_count"],
        reason=reason_of(row),
    )
