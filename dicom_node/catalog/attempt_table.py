"""The attempts of a delivery: what was answered, and how each ended."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select

from dicom_node.catalog.database import Database, reason_values
from dicom_node.catalog.rows import Row
from dicom_node.catalog.schema import delivery_attempts, delivery_instances
from dicom_node.states import Verdict
from s2ldm_core.problem import Problem

#: Of each delivery the last so many are kept; days of patience make hundreds.
_KEPT = 50


@dataclass(frozen=True, kw_only=True)
class InstanceAnswer:
    """What a destination answered for one instance of a delivery.

    ``status`` is the answer in the protocol's own terms, None if there was none.
    """

    sop_instance_uid: str
    verdict: Verdict
    status: int | None = None
    comment: str = ""


class AttemptRow(Row):
    """One attempt of a delivery: when it ended, how many instances were accepted by then, and what went wrong, if anything."""

    number: int
    ended_at: datetime
    accepted_count: int = Field(serialization_alias="accepted")
    reason: Problem | None


class AttemptTable(Database):
    """The catalog's attempts."""

    def attempts_of(self, delivery_ids: Collection[int]) -> dict[int, list[AttemptRow]]:
        """By delivery, its last attempts, oldest first."""
        found: dict[int, list[AttemptRow]] = {key: [] for key in delivery_ids}
        with self.read() as connection:
            rows = connection.execute(
                select(delivery_attempts)
                .where(delivery_attempts.c.delivery_id.in_(delivery_ids))
                .order_by(delivery_attempts.c.number)
            ).mappings()
            for row in rows:
                found[row["delivery_id"]].append(AttemptRow.model_validate(row))
        return found


def note_attempt(connection: Connection, delivery_id: int, *, at: datetime, reason: Problem | None) -> None:
    """Record the end of an attempt, and forget the one that is the oldest of too many."""
    mine = delivery_attempts.c.delivery_id == delivery_id
    number = 1 + (connection.scalar(select(func.max(delivery_attempts.c.number)).where(mine)) or 0)
    accepted = connection.scalar(
        select(func.count()).where(
            delivery_instances.c.delivery_id == delivery_id, delivery_instances.c.verdict == Verdict.ACCEPTED
        )
    )
    connection.execute(delete(delivery_attempts).where(mine, delivery_attempts.c.number <= number - _KEPT))
    connection.execute(
        insert(delivery_attempts).values(
            delivery_id=delivery_id, number=number, ended_at=at, accepted_count=accepted, **reason_values(reason)
        )
    )
