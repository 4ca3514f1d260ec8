"""What destinations were asked to keep, and what they answered (storage commitment, PS3.4 annex J).

A request is recorded before it goes out, so that its answer finds it whenever and on whichever association it comes. What a
destination says that it keeps counts whichever request it answers; what it says that it does not keep counts only as the
answer to the last one, since the instance may have been sent again after those before.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from dicom_node.catalog.commitment_rows import Commitment
from dicom_node.catalog.commitment_schema import commitments, committed_instances
from dicom_node.catalog.database import Database, reason_values, unclaimed
from dicom_node.catalog.pending import claimed
from dicom_node.catalog.rows import DeliveryRow
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs
from dicom_node.states import DeliveryState, JobState, Verdict
from s2ldm_core.problem import Problem


class CommitmentTable(Database):
    """The catalog's storage commitments of destinations."""

    def last_commitment(self, delivery_id: int) -> Commitment | None:
        """The last request; None if there was none since the delivery began."""
        query = select(commitments).where(commitments.c.delivery_id == delivery_id)
        with self.read() as connection:
            row = connection.execute(query.order_by(commitments.c.ordinal.desc()).limit(1)).mappings().first()
        return None if row is None else Commitment(**{name: row[name] for name in Commitment.__annotations__})

    def uncommitted(self, delivery_id: int) -> list[tuple[str, str]]:
        """SOP Class and SOP Instance UID of each accepted image that the destination has not said it keeps, in slice order."""
        said = and_(
            committed_instances.c.delivery_id == delivery_instances.c.delivery_id,
            committed_instances.c.sop_instance_uid == delivery_instances.c.sop_instance_uid,
        )
        query = (
            select(derived_instances.c.sop_class_uid, delivery_instances.c.sop_instance_uid)
            .select_from(
                delivery_instances.join(deliveries, deliveries.c.id == delivery_instances.c.delivery_id)
                .join(
                    derived_instances,
                    and_(
                        derived_instances.c.job_id == deliveries.c.job_id,
                        derived_instances.c.sop_instance_uid == delivery_instances.c.sop_instance_uid,
                    ),
                )
                .outerjoin(committed_instances, said)
            )
            .where(
                delivery_instances.c.delivery_id == delivery_id,
                delivery_instances.c.verdict == Verdict.ACCEPTED,
                derived_instances.c.rejects_job.is_(None),
                committed_instances.c.sop_instance_uid.is_(None),
            )
            .order_by(derived_instances.c.ordinal)
        )
        with self.read() as connection:
            return [(row.sop_class_uid, row.sop_instance_uid) for row in connection.execute(query)]

    def begin_commitment(self, claim: DeliveryRow, transaction_uid: str, *, answer_by: datetime) -> bool:
        """Record a request that is about to go out; False if the claim is lost: ask nothing."""
        with self.write() as connection:
            if not connection.execute(claimed(claim).values(updated_at=self.now())).rowcount:
                return False
            before = select(func.coalesce(func.max(commitments.c.ordinal), 0))
            connection.execute(
                insert(commitments).values(
                    transaction_uid=transaction_uid,
                    delivery_id=claim.id,
                    ordinal=(connection.scalar(before.where(commitments.c.delivery_id == claim.id)) or 0) + 1,
                    asked_at=self.now(),
                    answer_by=answer_by,
                    failed_count=0,
                    settled=False,
                )
            )
            return True

    def settle_commitment(self, transaction_uid: str) -> None:
        """The delivery has taken up how a request ended."""
        with self.write() as connection:
            mine = commitments.c.transaction_uid == transaction_uid
            connection.execute(update(commitments).where(mine).values(settled=True))

    def await_commitment(self, claim: DeliveryRow, transaction_uid: str, *, reason: Problem) -> bool:
        """Let a delivery rest until its request is answered, or must have been. False if the claim is lost."""
        now = self.now()
        with self.write() as connection:
            asked = connection.execute(
                select(commitments.c.answer_by, commitments.c.answered_at).where(
                    commitments.c.transaction_uid == transaction_uid
                )
            ).one()
            rests = connection.execute(
                claimed(claim).values(
                    state=DeliveryState.PENDING,
                    # An answer may have come since the caller looked.
                    not_before=None if asked.answered_at is not None else asked.answer_by,
                    updated_at=now,
                    **unclaimed(),
                    **reason_values(reason),
                )
            ).rowcount
            if rests:
                connection.execute(
                    update(jobs)
                    .where(jobs.c.id == claim.job_id, jobs.c.state == JobState.DELIVERING)
                    .values(updated_at=now, **reason_values(reason))
                )
            return rests > 0

    def take_commitment(self, transaction_uid: str, *, committed: Iterable[str], failed: Mapping[str, int]) -> bool:
        """Record an answer: SOP Instance UIDs that are kept, and those that are not with the Failure Reason (0008,1197).

        What is not kept counts as not accepted and is sent again. The delivery is due.

        Returns
        -------
        bool
            False if the node asked nothing by that UID.
        """
        with self.write() as connection:
            row = connection.execute(
                select(commitments).where(commitments.c.transaction_uid == transaction_uid)
            ).first()
            if row is None:
                return False
            if row.answered_at is not None:
                return True
            mine = commitments.c.delivery_id == row.delivery_id
            last = row.ordinal == connection.scalar(select(func.max(commitments.c.ordinal)).where(mine))
            images = self._accepted(connection, row.delivery_id)
            self._keep(connection, row.delivery_id, images.intersection(committed) - failed.keys())
            lacking = {uid: failed[uid] for uid in failed if uid in images} if last else {}
            for uid, failure in lacking.items():
                self._lack(connection, row.delivery_id, uid, failure)
            connection.execute(
                update(commitments)
                .where(commitments.c.transaction_uid == transaction_uid)
                .values(
                    answered_at=self.now(),
                    failed_count=len(lacking),
                    failure=next(iter(lacking.values()), None),
                    settled=False,
                )
            )
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == row.delivery_id, deliveries.c.state == DeliveryState.PENDING)
                .values(not_before=None, updated_at=self.now())
            )
            return True

    def _accepted(self, connection: Connection, delivery_id: int) -> set[str]:
        accepted = select(delivery_instances.c.sop_instance_uid).where(
            delivery_instances.c.delivery_id == delivery_id, delivery_instances.c.verdict == Verdict.ACCEPTED
        )
        return set(connection.scalars(accepted))

    def _keep(self, connection: Connection, delivery_id: int, uids: Collection[str]) -> None:
        known = select(committed_instances.c.sop_instance_uid).where(committed_instances.c.delivery_id == delivery_id)
        new = sorted(set(uids) - set(connection.scalars(known)))
        if new:
            now = self.now()
            rows = [{"delivery_id": delivery_id, "sop_instance_uid": uid, "committed_at": now} for uid in new]
            connection.execute(insert(committed_instances), rows)

    def _lack(self, connection: Connection, delivery_id: int, uid: str, failure: int) -> None:
        connection.execute(
            delete(committed_instances).where(
                committed_instances.c.delivery_id == delivery_id, committed_instances.c.sop_instance_uid == uid
            )
        )
        connection.execute(
            update(delivery_instances)
            .where(delivery_instances.c.delivery_id == delivery_id, delivery_instances.c.sop_instance_uid == uid)
            .values(verdict=Verdict.RETRIABLE, status=failure, comment="accepted, but not kept", updated_at=self.now())
        )
