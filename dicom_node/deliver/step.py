"""The deliver step: one derived series to one destination, resumed at the first instance not yet accepted."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog, DeliveryInstanceRow, DeliveryRow, InstanceAnswer, Lease, Verdict
from dicom_node.config import Settings, SettingsSource
from dicom_node.deliver.answers import AnswerLog
from dicom_node.deliver.destinations import Answer, Destination, DestinationSettings
from dicom_node.deliver.retry import CircuitBreaker, backoff_seconds
from dicom_node.deliver.verification import CODES, Verification
from dicom_node.errors import CatalogAwayError, DeliverError, RetriableDeliverError
from dicom_node.privacy import place_of
from s2ldm_core.problem import Problem, ProblemError

#: A sender silent for so long hangs, unless one answer of its destination may take longer.
_PATIENCE_SECONDS = 900.0


class DeliverStep:
    """Takes due deliveries and sends what their destination has not accepted yet.

    Safe to run from several threads at once; they share the circuit breaker. ``clock`` gives the current time,
    timezone-aware. ``on_begin`` is told the ID of a delivery before its first try.
    """

    def __init__(
        self,
        settings: SettingsSource,
        catalog: Catalog,
        *,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], datetime] | None = None,
        on_begin: Callable[[int], None] = lambda delivery_id: None,
    ) -> None:
        self._source = settings
        self._catalog = catalog
        self._breaker = breaker or CircuitBreaker()
        self._now = clock or catalog.now
        self._on_begin = on_begin
        self._verification = Verification(catalog, now=self._now)
        self._stopping = threading.Event()
        self._claiming = threading.Lock()
        self._sending: Counter[str] = Counter()
        self._log = structlog.get_logger(step="deliver")

    @property
    def _settings(self) -> Settings:
        return self._source.current

    def stop(self) -> None:
        """Send no further instance. A delivery cut short is given back."""
        self._stopping.set()

    @property
    def left_alone(self) -> frozenset[str]:
        """Destinations that are not called at present, because they did not answer or are paused."""
        return self._breaker.open_destinations(self._now()) | self._settings.paused_destinations

    def run_once(self) -> bool:
        """Try one delivery; False if none was due. A delivery's failure is recorded, never raised."""
        if self._stopping.is_set():
            return False
        delivery = self._claim()
        if delivery is None:
            return False
        try:
            self._try(delivery)
        finally:
            with self._claiming:
                self._sending[delivery.destination] -= 1
        return True

    def _claim(self) -> DeliveryRow | None:
        """The next delivery, of a destination that is not busy with others: one that hangs holds up no other."""
        with self._claiming:
            now = self._now()
            places = {name: one.at_once for name, one in self._settings.destinations.items()}
            busy = {name for name, count in self._sending.items() if count >= places.get(name, 1)}
            delivery = self._catalog.claim_delivery(
                now,
                exclude_destinations=self._breaker.open_destinations(now) | busy,
                paused_destinations=self._settings.paused_destinations,
                ranks=self._settings.ranks,
            )
            if delivery is not None:
                self._sending[delivery.destination] += 1
            return delivery

    def _try(self, delivery: DeliveryRow) -> None:
        present = self._settings
        settings = present.destinations.get(delivery.destination)
        answer_seconds = 0.0 if settings is None else settings.answer_seconds
        with self._catalog.hold(delivery, patience_seconds=max(_PATIENCE_SECONDS, 2 * answer_seconds)) as lease:
            try:
                if settings is None:
                    raise DeliverError(
                        "destination_gone",
                        f"The destination {delivery.destination} is no longer configured.",
                        "Configure it again and retry the job, or cancel it.",
                    )
                self._deliver(delivery, settings, settings.open(own_ae_title=present.node.ae_title), lease)
            except CatalogAwayError:
                raise
            except RetriableDeliverError as error:
                self._retry(delivery, settings, error.problem)
            except ProblemError as error:
                self._quarantine(delivery, error.problem)
            except Exception as error:  # noqa: BLE001 (one delivery's fault must not stop the others; recorded, logged)
                # Without the message: pydicom's exceptions quote values, which may be a patient's.
                name, place = type(error).__name__, place_of(error)
                self._log.error("deliver_fault", delivery_id=delivery.id, error=name, at=place, exc_info=True)
                sentence = f"Sending failed unexpectedly ({name} at {place})."
                self._quarantine(delivery, Problem("deliver_fault", sentence, "Report this, then retry the job."))

    def _deliver(
        self, delivery: DeliveryRow, settings: DestinationSettings, destination: Destination, lease: Lease
    ) -> None:
        self._verification.take_up(delivery, settings, destination)
        waiting = [one for one in self._catalog.delivery_instances(delivery.id) if not one.accepted]
        images = [one for one in waiting if one.rejects_job is None]
        notes = [one for one in waiting if one.rejects_job is not None]
        if images and delivery.attempts == 0:
            self._on_begin(delivery.id)
        # What rejects an earlier series goes last, so that the reader is never left without one.
        if not self._send_images(delivery, destination, images, lease):
            self._catalog.release(delivery)
            return
        unverified = self._verification.look(delivery, settings, destination)
        if not self._verification.is_over(delivery, settings, destination, lease):
            return
        done, remark = self._send_notes(delivery, destination, notes, lease) if notes else (True, None)
        if not done:
            self._catalog.release(delivery)
        elif self._catalog.finish_delivery(delivery, remark=remark or unverified):
            self._log.info("delivered", delivery_id=delivery.id, job_id=delivery.job_id, instances=len(waiting))

    def _send_images(
        self, delivery: DeliveryRow, destination: Destination, images: Sequence[DeliveryInstanceRow], lease: Lease
    ) -> bool:
        """Send images; False when stopped, cancelled, or another node has them."""
        answers = self._send(delivery, destination, images, lease)
        if any(answer.status is not None for answer in answers):
            self._breaker.succeeded(delivery.destination)
        refused = [answer for answer in answers if answer.verdict is Verdict.PERMANENT]
        # What may pass comes first: the delivery ends for good only when everything else has been sent.
        _raise_what_may_pass(answers)
        if len(answers) < len(images):
            return False
        if refused:
            raise DeliverError(
                "peer_refused",
                f"{refused[0].comment}: {len(refused)} of {delivery.instance_count} instances.",
                "See the peer's log; choose another output form for the route if it takes no Secondary Capture.",
            )
        return True

    def _send_notes(
        self, delivery: DeliveryRow, destination: Destination, notes: Sequence[DeliveryInstanceRow], lease: Lease
    ) -> tuple[bool, Problem | None]:
        """Send notes that reject earlier series.

        Returns
        -------
        tuple
            False when stopped, and what is to be said of a destination that takes no notes: that is no failure, the
            derived series is there.
        """
        try:
            answers = self._send(delivery, destination, notes, lease)
        except DeliverError as error:
            if error.code != "no_context":
                raise
            comment = error.sentence.rstrip(".")
            self._catalog.set_answers(
                delivery,
                [
                    InstanceAnswer(sop_instance_uid=one.sop_instance_uid, verdict=Verdict.PERMANENT, comment=comment)
                    for one in notes
                ],
            )
            refusal = error.sentence
        else:
            _raise_what_may_pass(answers)
            refused = [answer for answer in answers if answer.verdict is Verdict.PERMANENT]
            if len(answers) < len(notes) or not refused:
                return len(answers) == len(notes), None
            refusal = f"{refused[0].comment}."
        jobs = ", ".join(str(note.rejects_job) for note in notes)
        return True, Problem(
            "rejection_not_taken",
            f"The earlier derived series (job {jobs}) is superseded but not marked so there: {refusal}",
            "Delete the earlier series there, or enable Key Object Selection Document Storage and use jobs retry --again.",
        )

    def _send(
        self, delivery: DeliveryRow, destination: Destination, instances: Sequence[DeliveryInstanceRow], lease: Lease
    ) -> list[Answer]:
        """Send what is not accepted yet, and record the answers as they come."""
        log = AnswerLog(partial(self._catalog.set_answers, delivery))

        def on_answer(answer: Answer) -> None:
            lease.beat()
            log.add(answer)

        def should_stop() -> bool:
            return self._stopping.is_set() or lease.lost or log.lost

        paths = [_path(one) for one in instances]
        try:
            return destination.send(paths, on_answer=on_answer, should_stop=should_stop) if paths else []
        finally:
            log.flush()

    def _retry(self, delivery: DeliveryRow, settings: DestinationSettings | None, problem: Problem) -> None:
        attempts = delivery.attempts + 1
        if settings is None or attempts >= settings.max_attempts:
            given_up = f"{problem.sentence} Given up after {attempts} attempts."
            self._quarantine(delivery, replace(problem, sentence=given_up))
            return
        now = self._now()
        first_seconds, longest_seconds = settings.retry_seconds, settings.retry_max_seconds
        if problem.code != "peer_out_of_resources" and problem.code not in CODES:
            self._breaker.failed(
                delivery.destination, now=now, first_seconds=first_seconds, longest_seconds=longest_seconds
            )
        wait_seconds = backoff_seconds(attempts, first_seconds=first_seconds, longest_seconds=longest_seconds)
        self._log.warning(
            "delivery_postponed",
            delivery_id=delivery.id,
            destination=delivery.destination,
            code=problem.code,
            attempts=attempts,
            wait_seconds=round(wait_seconds, 1),
        )
        self._catalog.retry_delivery(delivery, at=now + timedelta(seconds=wait_seconds), reason=problem)

    def _quarantine(self, delivery: DeliveryRow, problem: Problem) -> None:
        self._log.error(
            "delivery_quarantined", delivery_id=delivery.id, destination=delivery.destination, code=problem.code
        )
        self._catalog.finish_delivery(delivery, reason=problem)


def _raise_what_may_pass(answers: Sequence[Answer]) -> None:
    """Raise for the first answer that may be another one later."""
    for answer in answers:
        if answer.verdict is Verdict.RETRIABLE:
            code = "no_answer" if answer.status is None else "peer_out_of_resources"
            raise RetriableDeliverError(code, f"{answer.comment}.", "Check the peer's disk, load and log.")


def _path(instance: DeliveryInstanceRow) -> Path:
    if instance.path is None or not instance.path.is_file():
        raise DeliverError(
            "derived_file_gone",
            "A file of the derived series is no longer on disk.",
            "Send the source series again.",
        )
    return instance.path
