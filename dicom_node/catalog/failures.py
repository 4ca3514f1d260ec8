"""What went wrong since a moment, for whoever is to be told."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from dicom_node.catalog.database import Database
from dicom_node.catalog.schema import deliveries, jobs, quarantine
from dicom_node.states import DeliveryState, JobState

_MOST = 500


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A job, a delivery, or an object in quarantine."""

    what: str
    """``job 5``, ``delivery of job 5 to pacs``, ``object from MODALITY for CECT_ART``."""
    at: datetime
    code: str
    sentence: str


class Failures(Database):
    """Failures by time; see `Failure`."""

    def failed_since(self, moment: datetime) -> list[Failure]:
        """Jobs and deliveries that failed after ``moment``, oldest first, at most 500."""
        failed_jobs = (
            select(jobs.c.id, jobs.c.updated_at, jobs.c.reason_code, jobs.c.reason_sentence)
            .where(jobs.c.state == JobState.FAILED, jobs.c.updated_at > moment)
            .order_by(jobs.c.updated_at)
            .limit(_MOST)
        )
        given_up = (
            select(
                deliveries.c.job_id,
                deliveries.c.destination,
                deliveries.c.updated_at,
                deliveries.c.reason_code,
                deliveries.c.reason_sentence,
            )
            .where(deliveries.c.state == DeliveryState.FAILED, deliveries.c.updated_at > moment)
            .order_by(deliveries.c.updated_at)
            .limit(_MOST)
        )
        with self.read() as connection:
            found = [
                Failure(what=f"job {number}", at=at, code=code or "", sentence=sentence or "")
                for number, at, code, sentence in connection.execute(failed_jobs)
            ]
            found += [
                Failure(what=f"delivery of job {number} to {name}", at=at, code=code or "", sentence=sentence or "")
                for number, name, at, code, sentence in connection.execute(given_up)
            ]
        return sorted(found, key=lambda one: one.at)[:_MOST]

    def quarantined_since(self, moment: datetime) -> list[Failure]:
        """Objects that went to quarantine after ``moment``, oldest first, at most 500."""
        query = (
            select(
                quarantine.c.calling_ae,
                quarantine.c.route,
                quarantine.c.received_at,
                quarantine.c.reason_code,
                quarantine.c.reason_sentence,
            )
            .where(quarantine.c.received_at > moment)
            .order_by(quarantine.c.received_at)
            .limit(_MOST)
        )
        with self.read() as connection:
            return [
                Failure(what=f"object from {calling} for {route}", at=at, code=code, sentence=sentence)
                for calling, route, at, code, sentence in connection.execute(query)
            ]
