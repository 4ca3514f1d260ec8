"""What an audit trail tells of the catalog: series that came whole, and derived series that were sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from dicom_node.catalog.database import Database
from dicom_node.catalog.schema import deliveries, derived_instances, instances, jobs, series, subjects
from dicom_node.states import DeliveryState, JobState

#: Of a series that is not selected by then it is told without its patient.
_SELECTED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A series that came (``destination`` None), or went; ``problem`` is the reason code of one that for good did not.

    ``key`` names it and the time: the same series may come, or go, again. ``began_at``: when the first instance of one that came
    was received, of those that are new to the node. ``patient_id`` is empty if it is not known.
    """

    key: str
    at: datetime
    study_instance_uid: str
    sop_classes: dict[str, int]
    calling_ae: str = ""
    peer: str = ""
    destination: str | None = None
    problem: str | None = None
    patient_id: str = ""
    began_at: datetime | None = None


class AuditEvents(Database):
    """Transfers by time."""

    def transfers_since(self, moment: datetime, *, but: frozenset[str] = frozenset()) -> list[Transfer]:
        """What came or went after ``moment``, oldest first, without those whose key is in ``but``.

        A series that is being selected comes later: then it is known whose it is.
        """
        selecting = exists().where(jobs.c.series_id == series.c.id, jobs.c.state == JobState.SELECTING)
        came = (
            select(
                series.c.id,
                series.c.completed_at,
                series.c.study_instance_uid,
                series.c.calling_ae,
                series.c.peer,
                subjects.c.patient_id,
            )
            .outerjoin(subjects, subjects.c.series_id == series.c.id)
            .where(
                series.c.completed_at > moment,
                or_(
                    ~selecting, subjects.c.series_id.is_not(None), series.c.completed_at < self.now() - _SELECTED_WITHIN
                ),
            )
        )
        went = (
            select(
                deliveries.c.id,
                deliveries.c.finished_at,
                deliveries.c.job_id,
                deliveries.c.destination,
                deliveries.c.state,
                deliveries.c.reason_code,
                series.c.study_instance_uid,
                subjects.c.patient_id,
            )
            .join(jobs, jobs.c.id == deliveries.c.job_id)
            .join(series, series.c.id == jobs.c.series_id)
            .outerjoin(subjects, subjects.c.series_id == series.c.id)
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
                            patient_id=one.patient_id or "",
                            began_at=_began(connection, one.id, completed_at=one.completed_at),
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
                            patient_id=sent.patient_id or "",
                        )
                    )
        return sorted(found, key=lambda one: (one.at, one.key))

    def outgoing(self, delivery_id: int) -> Transfer | None:
        """A delivery as a transfer that begins now; None if its series is gone."""
        query = (
            select(deliveries.c.job_id, deliveries.c.destination, series.c.study_instance_uid, subjects.c.patient_id)
            .join(jobs, jobs.c.id == deliveries.c.job_id)
            .join(series, series.c.id == jobs.c.series_id)
            .outerjoin(subjects, subjects.c.series_id == series.c.id)
            .where(deliveries.c.id == delivery_id)
        )
        at = self.now()
        with self.read() as connection:
            one = connection.execute(query).first()
            if one is None:
                return None
            return Transfer(
                key=_key("sending", delivery_id, at),
                at=at,
                study_instance_uid=one.study_instance_uid,
                sop_classes=_counted(
                    connection, derived_instances.c.sop_class_uid, derived_instances.c.job_id == one.job_id
                ),
                destination=one.destination,
                patient_id=one.patient_id or "",
            )


def _key(what: str, number: int, at: datetime) -> str:
    return f"{what} {number} {at.isoformat()}"


def _began(connection: Connection, series_id: int, *, completed_at: datetime) -> datetime | None:
    """When the first instance came of those that were not there when the series was complete before; None if none is new."""
    before = connection.scalar(
        select(func.max(jobs.c.created_at)).where(jobs.c.series_id == series_id, jobs.c.created_at < completed_at)
    )
    new = select(func.min(instances.c.received_at)).where(instances.c.series_id == series_id)
    if before is not None:
        new = new.where(instances.c.received_at > before)
    first: datetime | None = connection.scalar(new)
    return first


def _counted(connection: Connection, sop_class: ColumnElement[str], which: ColumnElement[bool]) -> dict[str, int]:
    query = select(sop_class, func.count()).where(which).group_by(sop_class)
    return {uid: int(count) for uid, count in connection.execute(query)}
