"""What senders ask the node about: whether it holds what they sent (storage commitment, PS3.4 annex J)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, or_, select, update

from dicom_node.catalog.commitment_rows import CommitmentRequestRow, HeldInstance
from dicom_node.catalog.commitment_schema import commitment_request_instances, commitment_requests
from dicom_node.catalog.database import insert_row, reason_values, unclaimed
from dicom_node.catalog.leases import UNREADABLE, Leases, new_claim
from dicom_node.catalog.rows import read_rows
from dicom_node.catalog.schema import instances
from dicom_node.states import CommitmentState
from s2ldm_core.problem import Problem

#: SQLite takes some 32,000 values in a statement.
_BATCH = 5000
_OPEN = (CommitmentState.WAITING, CommitmentState.TELLING)


class CommitmentRequests(Leases):
    """The catalog's storage commitments towards senders."""

    def add_commitment_request(
        self,
        transaction_uid: str,
        wanted: Sequence[tuple[str, str]],
        *,
        calling_ae: str,
        called_ae: str,
        peer: str,
        not_before: datetime | None = None,
    ) -> int:
        """Record a request, durably; ``wanted``: SOP Class and SOP Instance UIDs. Returns its number.

        The same sender's same transaction again is one request, to be answered again. ``not_before``: it is being answered
        on the sender's own association, and only if that has not gone well by then another way is looked for.
        """
        now = self.now()
        same = (
            commitment_requests.c.transaction_uid == transaction_uid,
            commitment_requests.c.calling_ae == calling_ae,
        )
        with self.write() as connection:
            connection.execute(delete(commitment_requests).where(*same))
            key = insert_row(
                connection,
                commitment_requests,
                transaction_uid=transaction_uid,
                calling_ae=calling_ae,
                called_ae=called_ae,
                peer=peer,
                state=CommitmentState.WAITING,
                attempts=0,
                received_at=now,
                updated_at=now,
                not_before=not_before,
            )
            rows = [
                {"request_id": key, "sop_instance_uid": uid, "sop_class_uid": sop_class}
                for uid, sop_class in {uid: sop_class for sop_class, uid in wanted}.items()
            ]
            connection.execute(insert(commitment_request_instances), rows)
            return key

    def open_commitment_requests(self) -> int:
        """How many wait for an answer."""
        query = select(func.count()).where(commitment_requests.c.state.in_(_OPEN))
        with self.read() as connection:
            return connection.scalar(query) or 0

    def claim_commitment_request(self, *, worker: str = "commit") -> CommitmentRequestRow | None:
        """Take the oldest request that is due to be answered, and put it into ``telling``, atomically."""
        now = self.now()
        due = (
            select(commitment_requests.c.id)
            .where(
                commitment_requests.c.state == CommitmentState.WAITING,
                or_(commitment_requests.c.not_before.is_(None), commitment_requests.c.not_before <= now),
            )
            .order_by(commitment_requests.c.id)
            .limit(1)
        )
        with self.read() as connection:  # most looks find nothing, and need not hold up the writers
            if connection.scalar(due) is None:
                return None
        with self.write() as connection:
            key = connection.scalar(due.with_for_update(skip_locked=True))
            if key is None:
                return None
            mine = commitment_requests.c.id == key
            values = {"state": CommitmentState.TELLING, "worker": new_claim(worker), "claimed_until": self._lease()}
            connection.execute(update(commitment_requests).where(mine).values(updated_at=now, **values))
            row = connection.execute(select(commitment_requests).where(mine)).mappings().one()
            for claim, _ in read_rows(CommitmentRequestRow, [row]):
                return claim
            failed = {"state": CommitmentState.FAILED, **unclaimed(), **reason_values(UNREADABLE)}
            connection.execute(update(commitment_requests).where(mine).values(**failed))
        return self.claim_commitment_request(worker=worker)

    def list_commitment_requests(self, *, limit: int = 100) -> list[CommitmentRequestRow]:
        """Requests, newest first."""
        query = select(commitment_requests).order_by(commitment_requests.c.id.desc()).limit(limit)
        with self.read() as connection:
            return [row for row, _ in read_rows(CommitmentRequestRow, connection.execute(query).mappings())]

    def requested_instances(self, request_id: int) -> list[tuple[str, str]]:
        """SOP Class and SOP Instance UID of each instance that a request names."""
        query = select(commitment_request_instances).where(commitment_request_instances.c.request_id == request_id)
        with self.read() as connection:
            rows = connection.execute(query.order_by(commitment_request_instances.c.sop_instance_uid))
            return [(row.sop_class_uid, row.sop_instance_uid) for row in rows]

    def held_instances(self, uids: Sequence[str]) -> dict[str, list[HeldInstance]]:
        """What was received under each SOP Instance UID, on whichever route."""
        found: dict[str, list[HeldInstance]] = {}
        columns = (instances.c.sop_instance_uid, instances.c.sop_class_uid, instances.c.path, instances.c.size)
        with self.read() as connection:
            for start in range(0, len(uids), _BATCH):
                batch = list(uids[start : start + _BATCH])
                for row in connection.execute(select(*columns).where(instances.c.sop_instance_uid.in_(batch))):
                    held = HeldInstance(sop_class_uid=row.sop_class_uid, path=row.path, size=row.size)
                    found.setdefault(row.sop_instance_uid, []).append(held)
        return found

    def finish_commitment_request(self, request_id: int, *, reason: Problem | None = None) -> None:
        """The sender knows the answer; or, with a reason, cannot be told."""
        with self.write() as connection:
            mine = (commitment_requests.c.id == request_id, commitment_requests.c.state.in_(_OPEN))
            connection.execute(
                update(commitment_requests)
                .where(*mine)
                .values(
                    state=CommitmentState.TOLD if reason is None else CommitmentState.FAILED,
                    updated_at=self.now(),
                    not_before=None,
                    **unclaimed(),
                    **reason_values(reason),
                )
            )

    def retry_commitment_request(
        self, request_id: int, *, at: datetime | None = None, reason: Problem | None = None
    ) -> None:
        """Answer it again at ``at``, or now: this attempt has failed for a reason that may pass."""
        with self.write() as connection:
            mine = (commitment_requests.c.id == request_id, commitment_requests.c.state.in_(_OPEN))
            connection.execute(
                update(commitment_requests)
                .where(*mine)
                .values(
                    state=CommitmentState.WAITING,
                    updated_at=self.now(),
                    not_before=at,
                    attempts=commitment_requests.c.attempts + 1,
                    **unclaimed(),
                    **reason_values(reason),
                )
            )

    def forget_commitment_requests(self, before: datetime) -> None:
        """Drop the records of requests that ended before ``before``."""
        over = (commitment_requests.c.state.not_in(_OPEN), commitment_requests.c.updated_at <= before)
        with self.write() as connection:
            connection.execute(delete(commitment_requests).where(*over))
