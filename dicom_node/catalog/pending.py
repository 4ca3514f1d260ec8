"""Pending deliveries: which of them may be sent now, and how one that is over becomes pending again."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Update, and_, delete, or_, update

from dicom_node.catalog.commitment_schema import commitments, committed_instances
from dicom_node.catalog.database import reason_values
from dicom_node.catalog.rows import DeliveryRow
from dicom_node.catalog.schema import deliveries, delivery_instances, jobs
from dicom_node.states import DeliveryState, JobState


def may_be_sent(now: datetime, *, but: Collection[str]) -> ColumnElement[bool]:
    """Of deliveries joined with their jobs: those that nobody holds and that wait for nothing, to destinations other than ``but``."""
    return and_(
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.claimed_until.is_(None),
        jobs.c.state == JobState.DELIVERING,
        or_(deliveries.c.not_before.is_(None), deliveries.c.not_before <= now),
        deliveries.c.destination.not_in(tuple(but)),
    )


def claimed(claim: DeliveryRow) -> Update:
    """An update of the claimed delivery that does nothing once the claim is lost."""
    held = (deliveries.c.id == claim.id, deliveries.c.state == claim.state, deliveries.c.worker == claim.worker)
    return update(deliveries).where(*held)


def forget_commitments_of(connection: Connection, keys: Sequence[int]) -> None:
    """What was sent before says nothing of what is sent anew."""
    for table in (commitments, committed_instances):
        connection.execute(delete(table).where(table.c.delivery_id.in_(keys)))


def begin_anew(connection: Connection, keys: Sequence[int], now: datetime, *, worker: str | None = None) -> None:
    """Put deliveries that are over back to the first image; ``worker``: who asked for it."""
    forget_commitments_of(connection, keys)
    connection.execute(
        update(delivery_instances)
        .where(delivery_instances.c.delivery_id.in_(keys))
        .values(verdict=None, status=None, comment="")
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(keys))
        .values(
            state=DeliveryState.PENDING,
            attempts=0,
            not_before=None,
            finished_at=None,
            updated_at=now,
            worker=worker,
            claimed_until=None,
            **reason_values(None),
        )
    )
