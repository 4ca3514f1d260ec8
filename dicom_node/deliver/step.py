"""The deliver step: one derived series to one destination, resumed at the first instance not yet accepted."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog, DeliveryInstanceRow, DeliveryRow, DeliveryState, Reason
from dicom_node.config import Destination, Settings
from dicom_node.deliver.retry import CircuitBreaker, backoff_seconds
from dicom_node.deliver.scu import SendStatus, send_files
from dicom_node.deliver.status import Verdict
from dicom_node.errors import DeliverError, NodeError, RetriableDeliverError
from dicom_node.privacy import place_of


class DeliverStep:
    """Takes due deliveries and sends what their destination has not accepted yet.

    Safe to run from several threads at once; they share the circuit breaker. ``clock`` gives the current time,
    timezone-aware.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._breaker = breaker or CircuitBreaker()
        self._now = clock or (lambda: datetime.now(UTC))
        self._stopping = threading.Event()
        self._log = structlog.get_logger(step="deliver")

    def stop(self) -> None:
        """Send no further instance. A delivery cut short stays ``sending`` and goes on at the next start."""
        self._stopping.set()

    def run_once(self) -> bool:
        """Try one delivery; False if none was due. A delivery's failure is recorded, never raised."""
        if self._stopping.is_set():
            return False
        now = self._now()
        delivery = self._catalog.claim_delivery(now, exclude_destinations=self._breaker.open_destinations(now))
        if delivery is None:
            return False
        destination = self._settings.destinations.get(delivery.destination)
        try:
            if destination is None:
                raise DeliverError(
                    "destination_gone",
                    f"The destination {delivery.destination} is no longer configured.",
                    "Configure it again and retry the job, or cancel it.",
                )
            self._deliver(delivery, destination)
        except RetriableDeliverError as error:
            self._retry(delivery, destination, error)
        except NodeError as error:
            self._quarantine(delivery, error)
        except Exception as error:  # noqa: BLE001 (one delivery's fault must not stop the others; recorded and logged)
            # Without the message: pydicom's exceptions quote values, which may be a patient's.
            place = place_of(error)
            self._log.error("deliver_fault", delivery_id=delivery.id, error=type(error).__name__, at=place)
            sentence = f"Sending failed unexpectedly ({type(error).__name__} at {place})."
            self._quarantine(delivery, DeliverError("deliver_fault", sentence, "Report this, then retry the job."))
        return True

    def _deliver(self, delivery: DeliveryRow, destination: Destination) -> None:
        waiting = [one for one in self._catalog.delivery_instances(delivery.id) if not one.accepted]
        paths = [_path(one) for one in waiting]

        def record(answer: SendStatus) -> None:
            self._catalog.set_instance_status(
                delivery.id, answer.sop_instance_uid, answer.status, comment=answer.comment
            )

        answers = (
            send_files(
                paths,
                destination,
                calling_ae=destination.calling_ae_title or self._settings.node.ae_title,
                on_status=record,
                should_stop=self._stopping.is_set,
            )
            if paths
            else []
        )
        if any(answer.status is not None for answer in answers):
            self._breaker.succeeded(delivery.destination)
        refused = [answer for answer in answers if answer.verdict is Verdict.PERMANENT]
        passing = [answer for answer in answers if answer.verdict is Verdict.RETRIABLE]
        # What may pass comes first: the delivery ends for good only when everything else has been sent.
        if passing:
            answer = passing[0]
            code = "no_answer" if answer.status is None else "peer_out_of_resources"
            raise RetriableDeliverError(code, f"{answer.comment}.", "Check the peer's disk, load and log.")
        if len(answers) < len(paths):  # stopped
            return
        if refused:
            raise DeliverError(
                "peer_refused",
                f"{refused[0].comment}: {len(refused)} of {delivery.instance_count} instances.",
                "See the peer's log; choose another output form for the route if it takes no Secondary Capture.",
            )
        if self._catalog.finish_delivery(delivery.id, state=DeliveryState.DONE):
            self._log.info("delivered", delivery_id=delivery.id, job_id=delivery.job_id, instances=len(answers))

    def _retry(self, delivery: DeliveryRow, destination: Destination | None, error: RetriableDeliverError) -> None:
        attempts = delivery.attempts + 1
        if destination is None or attempts >= destination.max_attempts:
            self._quarantine(
                delivery,
                DeliverError(error.code, f"{error.sentence} Given up after {attempts} attempts.", error.remedy),
            )
            return
        now = self._now()
        first_seconds, longest_seconds = destination.retry_seconds, destination.retry_max_seconds
        if error.code != "peer_out_of_resources":
            self._breaker.failed(
                delivery.destination, now=now, first_seconds=first_seconds, longest_seconds=longest_seconds
            )
        wait_seconds = backoff_seconds(attempts, first_seconds=first_seconds, longest_seconds=longest_seconds)
        self._log.warning(
            "delivery_postponed",
            delivery_id=delivery.id,
            destination=delivery.destination,
            code=error.code,
            attempts=attempts,
            wait_seconds=round(wait_seconds, 1),
        )
        self._catalog.retry_delivery(delivery.id, at=now + timedelta(seconds=wait_seconds), reason=_reason(error))

    def _quarantine(self, delivery: DeliveryRow, error: NodeError) -> None:
        self._log.error(
            "delivery_quarantined", delivery_id=delivery.id, destination=delivery.destination, code=error.code
        )
        self._catalog.finish_delivery(delivery.id, state=DeliveryState.FAILED, reason=_reason(error))


def _path(instance: DeliveryInstanceRow) -> Path:
    if instance.path is None or not instance.path.is_file():
        raise DeliverError(
            "derived_file_gone",
            "A file of the derived series is no longer on disk.",
            "Send the source series again.",
        )
    return instance.path


def _reason(error: NodeError) -> Reason:
    return Reason(code=error.code, sentence=error.sentence, remedy=error.remedy)
