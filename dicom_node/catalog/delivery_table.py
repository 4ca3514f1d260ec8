"""Deliveries: one derived series to one destination, with the peer's answer for every instance."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, update

from dicom_node.catalog.attempt_table import InstanceAnswer, note_attempt
from dicom_node.catalog.database import reason_values, unclaimed
from dicom_node.catalog.leases import UNREADABLE, Leases, new_claim
from dicom_node.catalog.pending import claimed, forget_commitments_of, may_be_sent
from dicom_node.catalog.ranks import NO_RANKS, by_rank
from dicom_node.catalog.rows import DeliveryInstanceRow, DeliveryRow, problem_of, read_rows
from dicom_node.catalog.schema import deliveries, delivery_instances, derived_instances, jobs
from dicom_node.errors import CatalogError
from dicom_node.states import BY_HAND, DeliveryState, JobState, Verdict
from s2ldm_core.problem import Problem

#: Joins what a delivery sends to what its job has written.
_WHAT_IT_SENDS = and_(
    derived_instances.c.job_id == deliveries.c.job_id,
    derived_instances.c.sop_instance_uid == delivery_instances.c.sop_instance_uid,
)


class DeliveryTable(Leases):
    """The catalog's deliveries."""

    def claim_delivery(
        self,
        now: datetime,
        *,
        worker: str = "deliver",
        exclude_destinations: Collection[str] = (),
        paused_destinations: Collection[str] = (),
        ranks: Mapping[str, int] = NO_RANKS,
    ) -> DeliveryRow | None:
        """Take the oldest delivery that is due, of the first rank, and put it into ``sending``, atomically.

        ``exclude_destinations``: those whose circuit breaker is open; what was asked for by hand goes there, too.
        ``paused_destinations``: those that nothing goes to. ``ranks``: see `claim_job`.
        """
        due = (
            select(deliveries.c.id)
            .join(jobs, jobs.c.id == deliveries.c.job_id)
            .where(
                may_be_sent(now, but=paused_destinations),
                or_(deliveries.c.destination.not_in(tuple(exclude_destinations)), deliveries.c.worker == BY_HAND),
            )
            .order_by(*by_rank(ranks), deliveries.c.not_before.is_not(None), deliveries.c.not_before, deliveries.c.id)
            .limit(1)
        )
        with self.read() as connection:  # most looks find nothing, and need not hold up the writers
            if connection.scalar(due) is None:
                return None
        with self.write(alone=False) as connection:
            key = connection.scalar(due.with_for_update(of=deliveries, skip_locked=True))
            if key is None:
                return None
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == key)
                .values(
                    state=DeliveryState.SENDING,
                    worker=new_claim(worker),
                    claimed_until=self._lease(),
                    updated_at=self.now(),
                    not_before=None,
                )
            )
            row = connection.execute(_delivery_query().where(deliveries.c.id == key)).mappings().one()
            for claim, _ in read_rows(DeliveryRow, [row]):
                return claim
        # Unreadable: it must not be claimed before all others again and again.
        with self.write() as connection:
            values = {"state": DeliveryState.FAILED, "finished_at": now, **unclaimed(), **reason_values(UNREADABLE)}
            connection.execute(update(deliveries).where(deliveries.c.id == key).values(**values))
            self._settle_job(connection, row["job_id"])
        return self.claim_delivery(
            now,
            worker=worker,
            exclude_destinations=exclude_destinations,
            paused_destinations=paused_destinations,
            ranks=ranks,
        )

    def get_delivery(self, delivery_id: int) -> DeliveryRow:
        """One delivery; raises `CatalogError` (``delivery_unknown``)."""
        with self.read() as connection:
            row = connection.execute(_delivery_query().where(deliveries.c.id == delivery_id)).mappings().first()
        if row is None:
            raise CatalogError("delivery_unknown", f"There is no delivery {delivery_id}.")
        return DeliveryRow.model_validate(row)

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
            return [row for row, _ in read_rows(DeliveryRow, connection.execute(query).mappings())]

    def count_deliveries(self) -> dict[tuple[str, str], int]:
        """Number of deliveries by (destination, state)."""
        query = select(deliveries.c.destination, deliveries.c.state, func.count())
        with self.read() as connection:
            rows = connection.execute(query.group_by(deliveries.c.destination, deliveries.c.state))
            return {(destination, state): number for destination, state, number in rows}

    def delivery_instances(self, delivery_id: int) -> list[DeliveryInstanceRow]:
        """Every instance of a delivery with the peer's last answer: images in slice order, then notes."""
        query = (
            select(
                delivery_instances,
                derived_instances.c.sop_class_uid,
                derived_instances.c.path,
                derived_instances.c.rejects_job,
            )
            .join(deliveries, deliveries.c.id == delivery_instances.c.delivery_id)
            .join(derived_instances, _WHAT_IT_SENDS)
            .where(delivery_instances.c.delivery_id == delivery_id)
            .order_by(derived_instances.c.ordinal)
        )
        with self.read() as connection:
            return [DeliveryInstanceRow.model_validate(row) for row in connection.execute(query).mappings()]

    def set_answers(self, claim: DeliveryRow, answers: Sequence[InstanceAnswer]) -> bool:
        """Record what the destination answered, all in one transaction; False if the claim is lost: send nothing more."""
        now = self.now()
        with self.write(alone=False) as connection:
            for answer in answers:
                connection.execute(
                    update(delivery_instances)
                    .where(
                        delivery_instances.c.delivery_id == claim.id,
                        delivery_instances.c.sop_instance_uid == answer.sop_instance_uid,
                    )
                    .values(verdict=answer.verdict, status=answer.status, comment=answer.comment[:256], updated_at=now)
                )
            return connection.execute(claimed(claim).values(updated_at=now)).rowcount > 0

    def forget_answers(self, claim: DeliveryRow) -> None:
        """Have every image of a delivery sent again: what was accepted is not there. Nothing happens if the claim is lost."""
        with self.write() as connection:
            if connection.execute(claimed(claim).values(updated_at=self.now())).rowcount:
                connection.execute(
                    update(delivery_instances)
                    .where(delivery_instances.c.delivery_id == claim.id)
                    .values(verdict=None, status=None, comment="")
                )
                forget_commitments_of(connection, [claim.id])

    def finish_delivery(
        self, claim: DeliveryRow, *, reason: Problem | None = None, remark: Problem | None = None
    ) -> bool:
        """End a delivery: ``done``, or ``failed`` with the reason (quarantine). False if the claim is lost.

        The job becomes ``done`` when all its deliveries are, and ``failed`` when none is left to try and one failed.
        ``remark`` is kept as the reason of a delivery that is done: the destination takes no rejection notes.

        Raises
        ------
        CatalogError
            ``delivery_incomplete``: no reason was given, but an instance is not accepted.
        """
        now = self.now()
        with self.write() as connection:
            if reason is None:
                answers = connection.execute(
                    select(delivery_instances.c.verdict, derived_instances.c.rejects_job)
                    .join(deliveries, deliveries.c.id == delivery_instances.c.delivery_id)
                    .join(derived_instances, _WHAT_IT_SENDS)
                    .where(delivery_instances.c.delivery_id == claim.id)
                ).all()
                # A peer may have no use for a note; an image it must hold.
                missing = sum(
                    verdict != Verdict.ACCEPTED and not (rejects is not None and verdict == Verdict.PERMANENT)
                    for verdict, rejects in answers
                )
                if missing:
                    raise CatalogError(
                        "delivery_incomplete", f"{missing} of {len(answers)} instances are not accepted."
                    )
            ended = connection.execute(
                claimed(claim).values(
                    state=DeliveryState.DONE if reason is None else DeliveryState.FAILED,
                    not_before=None,
                    updated_at=now,
                    finished_at=now,
                    attempts=deliveries.c.attempts + 1,
                    **unclaimed(),
                    **reason_values(reason or remark),
                )
            ).rowcount
            if ended:
                note_attempt(connection, claim.id, at=now, reason=reason or remark)
                self._settle_job(connection, claim.job_id)
            return ended > 0

    def retry_delivery(self, claim: DeliveryRow, *, at: datetime, reason: Problem) -> bool:
        """Sending failed for a reason that may pass: try again at ``at``. False if the claim is lost.

        The job says so, too, until it ends.
        """
        now = self.now()
        waits = Problem(
            "delivery_waits", f"Delivery to {claim.destination} is tried again: {reason.sentence}", reason.remedy
        )
        with self.write() as connection:
            postponed = connection.execute(
                claimed(claim).values(
                    state=DeliveryState.PENDING,
                    not_before=at,
                    updated_at=now,
                    attempts=deliveries.c.attempts + 1,
                    **unclaimed(),
                    **reason_values(reason),
                )
            ).rowcount
            if postponed:
                note_attempt(connection, claim.id, at=now, reason=reason)
                connection.execute(
                    update(jobs)
                    .where(jobs.c.id == claim.job_id, jobs.c.state == JobState.DELIVERING)
                    .values(updated_at=now, **reason_values(waits))
                )
            return postponed > 0

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
            why = problem_of(failed[0]) or Problem("", "")
            names = ", ".join(row["destination"] for row in failed)
            reason = Problem("delivery_failed", f"Delivery to {names} failed: {why.sentence}", why.remedy)
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
    sent = (
        select(func.count())
        .select_from(delivery_instances.join(derived_instances, _WHAT_IT_SENDS))
        .where(delivery_instances.c.delivery_id == deliveries.c.id)
        .correlate(deliveries)
    )
    accepted = delivery_instances.c.verdict == Verdict.ACCEPTED
    image, note = derived_instances.c.rejects_job.is_(None), derived_instances.c.rejects_job.is_not(None)
    return select(
        deliveries,
        jobs.c.route,
        jobs.c.derived_series_instance_uid,
        sent.where(image).scalar_subquery().label("instance_count"),
        sent.where(image, accepted).scalar_subquery().label("accepted_count"),
        sent.where(note).scalar_subquery().label("note_count"),
        sent.where(note, accepted).scalar_subquery().label("accepted_note_count"),
    ).join(jobs, jobs.c.id == deliveries.c.job_id)
