"""What a destination says that it has, after it has accepted everything: a delivery is done only then.

``find``: it is asked how many images it has of each series. ``commitment``: it is asked to keep every image (storage commitment,
PS3.4 annex J), and says so now or in a while, through the listener; until then the delivery rests in the catalog.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast
from uuid import uuid4

import structlog

from dicom_node.catalog import Catalog, DeliveryRow, Lease
from dicom_node.commitment import (
    CLASS_CONFLICT,
    CLASS_NOT_SUPPORTED,
    CommitmentReport,
    CommitmentRequest,
    reason_sentence,
)
from dicom_node.deliver.destinations import Committer, Destination, DestinationSettings, ImageCounter
from dicom_node.errors import DeliverError, RetriableDeliverError
from s2ldm_core.problem import Problem

_log = structlog.get_logger(step="deliver")

#: Failure Reasons that sending again does not change.
_FINAL = frozenset({CLASS_CONFLICT, CLASS_NOT_SUPPORTED})
#: What says nothing about how the destination can be reached.
CODES = frozenset({"not_all_found", "commitment_unanswered", "not_committed", "commitment_incomplete"})


class Verification:
    """Asks destinations. ``now`` gives the current time, timezone-aware."""

    def __init__(self, catalog: Catalog, *, now: Callable[[], datetime]) -> None:
        self._catalog, self._now = catalog, now

    def take_up(self, delivery: DeliveryRow, settings: DestinationSettings, destination: Destination) -> None:
        """Take up how the last request for storage commitment ended, before anything is sent.

        Raises
        ------
        DeliverError
            ``not_committed`` for good; ``RetriableDeliverError`` for ``not_committed`` (what is not kept is sent again next
            time), ``commitment_incomplete`` and ``commitment_unanswered`` (it is asked anew next time).
        """
        if settings.verify != "commitment":
            return
        last = self._catalog.last_commitment(delivery.id)
        if last is None or last.settled or (last.answered_at is None and self._now() < last.answer_by):
            return
        self._catalog.settle_commitment(last.transaction_uid)
        lacking = len(self._catalog.uncommitted(delivery.id))
        who, count = destination.name, delivery.instance_count
        if last.failure is not None:
            error = DeliverError(
                "not_committed",
                f"{who} accepted {count} images and does not keep {last.failed_count} of them: "
                f"{reason_sentence(last.failure)}.",
                "What may be kept the next time is sent again; see the peer's log if this comes back.",
            )
            raise error if last.failure in _FINAL else RetriableDeliverError(error.code, error.sentence, error.remedy)
        if last.answered_at is not None and lacking:
            raise RetriableDeliverError(
                "commitment_incomplete",
                f"{who} answered the request for storage commitment, but said nothing of {lacking} of {count} images.",
                "It is asked anew; see the peer's log if this comes back.",
            )
        if lacking:
            raise RetriableDeliverError(
                "commitment_unanswered",
                f"{who} has not said in {settings.commitment_seconds:.0f} seconds whether it keeps the images.",
                "It is asked anew. Check that it knows this node by AE title, host and port, and may call it.",
            )

    def is_over(
        self, delivery: DeliveryRow, settings: DestinationSettings, destination: Destination, lease: Lease
    ) -> bool:
        """Whether the delivery may be called done; False: it rests until the destination has answered.

        Raises
        ------
        DeliverError
            As `take_up`, and when it cannot be asked.
        """
        if settings.verify != "commitment":
            return True
        instances = self._catalog.uncommitted(delivery.id)
        if not instances:
            self.take_up(delivery, settings, destination)
            return True
        request = CommitmentRequest(transaction_uid=f"2.25.{uuid4().int}", instances=tuple(instances))
        uid = request.transaction_uid
        answer_by = self._now() + timedelta(seconds=settings.commitment_seconds)
        if not self._catalog.begin_commitment(delivery, uid, answer_by=answer_by):
            return False
        try:
            cast(Committer, destination).ask_to_commit(
                request, on_report=self._take, answered=lambda: lease.lost or self._is_answered(delivery)
            )
        except DeliverError:
            self._catalog.settle_commitment(uid)  # its end is told by the error
            raise
        lease.beat()
        _log.info("commitment_asked_for", delivery_id=delivery.id, transaction_uid=uid, instances=len(instances))
        # Looked at first: what is refused meanwhile is among what lacks no more, but `take_up` tells.
        lacking = self._catalog.uncommitted(delivery.id)
        self.take_up(delivery, settings, destination)
        if not lacking:
            return True
        self._catalog.await_commitment(
            delivery,
            uid,
            reason=Problem(
                "commitment_awaited",
                f"{destination.name} has accepted every image and has yet to say that it keeps them.",
                f"It is asked anew where it has not done so in {settings.commitment_seconds:.0f} seconds.",
            ),
        )
        return False

    def look(self, delivery: DeliveryRow, settings: DestinationSettings, destination: Destination) -> Problem | None:
        """Ask how many images are there, of each series by itself.

        Returns
        -------
        Problem
            What is to be said where it cannot be asked: that is no failure, every image was accepted.

        Raises
        ------
        RetriableDeliverError
            ``not_all_found``: it has fewer; all are sent again next time.
        """
        if settings.verify != "find":
            return None
        job = self._catalog.get_job(delivery.job_id)
        study = job.study_instance_uid or ""
        counter = cast(ImageCounter, destination)
        sent = self._catalog.images_sent(delivery.id)
        try:
            found = {uid: counter.count_images(study_instance_uid=study, series_instance_uid=uid) for uid in sent}
        except DeliverError as error:
            return Problem(
                "not_verified", f"Every image was accepted, but not verified: {error.sentence}", error.remedy
            )
        there = sum(min(found[uid], count) for uid, count in sent.items())
        if there < delivery.instance_count:
            self._catalog.forget_answers(delivery)
            raise RetriableDeliverError(
                "not_all_found",
                f"{destination.name} accepted {delivery.instance_count} images and says that it has {there}.",
                "They are sent again; see the peer's log if this comes back.",
            )
        return None

    def _take(self, report: CommitmentReport) -> bool:
        return self._catalog.take_commitment(report.transaction_uid, committed=report.committed, failed=report.reasons)

    def _is_answered(self, delivery: DeliveryRow) -> bool:
        last = self._catalog.last_commitment(delivery.id)
        return last is None or last.answered_at is not None
