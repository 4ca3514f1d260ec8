"""What an audit trail tells of the catalog: series that came whole, and derived series that were sent."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from dicom_node.catalog.database import Database
from dicom_node.catalog.schema import deliveries, derived_instances, instances, jobs, series
from dicom_node.states import DeliveryState


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A series that came (``destination`` None), or went; ``problem`` is the reason code of one that for good did not.

    ``key`` names it and the time: the same series may come, or go, again.
    """

    key: str
    at: datetime
    study_instance_uid: str
    sop_classes: dict[str, int]
    calling_ae: str = ""
    peer: str = ""
    destination: str | None = None
    problem: str | None = None


class AuditEvents(Database):
    """Transfers by time."""

    def transfers_since(self, moment: datetime, *, but: frozenset[str] = frozenset()) -> list[Transfer]:
        """What came or went after ``moment``, oldest first, without those whose key is in ``but``."""
        came = select(
            series.c.id,
            series.c.completed_at,
            series.c.study_instance_uid,
            series.c.calling_ae,
            series.c.peer,
        ).where(series.c.completed_at > moment)
        went = (
            select(
                deliveries.c.id,
                deliveries.c.finished_at,
                deliveries.c.job_id,
                deliveries.c.destination,
                deliveries.c.state,
                deliveries.c.reason_code,
                series.c.study_instance_uid,
            )
            .join(jobs, jobs.c.id == deliveries.c.job_id)
            .join(series, series.c.id == jobs.c.series_id)
            .where(
                deliveries.c.finished_at > moment, deliveries.c.state.in_((DeliveryState.DONE, DeliveryState.FAILED))
            )
        )
        found: list[Transfer] = []
        with self.read() as connection:
            for one in connection.execute(came):
                if (key := _key("received", one.id, one.completed_at)) not in but:
                    found.append(
                        Transfer(
                            key=key,
                            at=one.completed_at,
                            study_instance_uid=one.study_instance_uid,
                            sop_classes=_counted(
                                connection, instances.c.sop_class_uid, instances.c.series_id == one.id
                            ),
                            calling_ae=one.calling_ae,
                            peer=one.peer,
                        )
                    )
            for sent in connection.execute(went):
                if (key := _key("sent", sent.id, sent.finished_at)) not in but:
                    of_job = derived_instances.c.job_id == sent.job_id
                    found.append(
                        Transfer(
                            key=key,
                            at=sent.finished_at,
                            study_instance_uid=sent.study_instance_uid,
                            sop_classes=_counted(connection, derived_instances.c.sop_class_uid, of_job),
                            destination=sent.destination,
                            problem=None if sent.state == DeliveryState.DONE else sent.reason_code or "failed",
                        )
                    )
        return sorted(found, key=lambda one: (one.at, one.key))


def _key(what: str, number: int, at: datetime) -> str:
    return f"{what} {number} {at.isoformat()}"


def _counted(connection: Connection, sop_class: ColumnElement[str], which: ColumnElement[bool]) -> dict[str, int]:
    query = select(sop_class, func.count()).where(which).group_by(sop_class)
    return {uid: int(count) for uid, count in connection.execute(query)}
