"""What is known about the completeness of the series that are being received."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select

from dicom_node.catalog.commitment_schema import commitment_request_instances, commitment_requests
from dicom_node.catalog.database import Database
from dicom_node.catalog.rows import SeriesRow, read_rows
from dicom_node.catalog.schema import associations, instances, series
from dicom_node.states import SeriesState

#: Outcomes of an association whose sender may not have been through.
_BROKEN_OFF = ("aborted", "lost")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known about the completeness of a series that is being received.

    Attributes
    ----------
    open_associations
        How many of those that sent instances of it are still open.
    broken_off
        The association that sent the last of them was aborted or lost, so its sender may not have been through.
    followed
        After all of its images, those of another series of the study came from the same sender.
    asked_to_commit
        Its sender has asked for storage commitment of all of its images, and of none that has not come.
    silent_seconds
        How long nothing of it has come, by a clock that only runs forwards.
    stack
        ``regular``, ``gap`` or ``unknown``: what its slices' positions say; None: not looked at yet.
    counted, counted_right_seconds
        How many images ``series.confirm_with`` has, and for how long that has been the number received; None: not known.
    """

    series: SeriesRow
    open_associations: int
    broken_off: bool = False
    followed: bool = False
    asked_to_commit: bool = False
    silent_seconds: float = 0.0
    stack: str | None = None
    counted: int | None = None
    counted_right_seconds: float | None = None

    def recorded(self) -> dict[str, Any]:
        """What the record keeps of it: numbers and words, never patient data."""
        known = {
            "silent_seconds": round(self.silent_seconds, 1),
            "open_associations": self.open_associations,
            "broken_off": self.broken_off,
            "next_series": self.followed,
            "commitment": self.asked_to_commit or None,
            "stack": self.stack,
            "counted": self.counted,
        }
        return {name: value for name, value in known.items() if value is not None}


class EvidenceTable(Database):
    """The catalog's evidence."""

    def series_evidence(self) -> list[Evidence]:
        """What is known about every series that is being received, longest without a new instance first."""
        with self.read() as connection:
            return [
                Evidence(
                    series=row,
                    open_associations=values["open_associations"],
                    broken_off=values["last_outcome"] in _BROKEN_OFF,
                    followed=bool(values["followed"]),
                    asked_to_commit=bool(values["asked_to_commit"]),
                )
                for row, values in read_rows(SeriesRow, connection.execute(_EVIDENCE).mappings())
            ]


def _asked_to_commit() -> ColumnElement[bool]:
    """Whether a request of the sender names every instance of the series, and no instance that is not there.

    An instance that has not come belongs to no series that is known, so it may be one of this. Requests are found by the
    series' first instance: without one, and that is most often so, nothing else is looked at.
    """
    first, mine, theirs = instances.alias("first_held"), instances.alias("mine"), instances.alias("theirs")
    found, named, wanted = (commitment_request_instances.alias(name) for name in ("found", "named", "wanted"))
    begins_with = (
        select(first.c.sop_instance_uid)
        .where(first.c.series_id == series.c.id)
        .order_by(first.c.sop_instance_uid)
        .limit(1)
        .correlate(series)
        .scalar_subquery()
    )
    is_named = exists().where(
        named.c.request_id == commitment_requests.c.id, named.c.sop_instance_uid == mine.c.sop_instance_uid
    )
    has_come = exists().where(theirs.c.sop_instance_uid == wanted.c.sop_instance_uid)
    unnamed = exists().where(mine.c.series_id == series.c.id, ~is_named.correlate(mine, commitment_requests))
    missing = exists().where(wanted.c.request_id == commitment_requests.c.id, ~has_come.correlate(wanted))
    return (
        exists()
        .where(
            found.c.sop_instance_uid == begins_with,
            commitment_requests.c.id == found.c.request_id,
            or_(commitment_requests.c.calling_ae == series.c.calling_ae, commitment_requests.c.peer == series.c.peer),
            ~unnamed.correlate(series, commitment_requests),
            ~missing.correlate(commitment_requests),
        )
        .correlate(series)
    )


def _followed() -> ColumnElement[bool]:
    """Whether the images of another series of the study, from the same sender, came after all of the series' own.

    By the order in which they were recorded: times of day may be stepped.
    """
    later, first, last = series.alias("later"), instances.alias("first"), instances.alias("last")
    began = select(func.min(first.c.id)).where(first.c.series_id == later.c.id).scalar_subquery()
    ended = select(func.max(last.c.id)).where(last.c.series_id == series.c.id).correlate(series).scalar_subquery()
    return (
        exists()
        .where(
            later.c.study_instance_uid == series.c.study_instance_uid,
            later.c.series_instance_uid != series.c.series_instance_uid,
            later.c.calling_ae == series.c.calling_ae,
            later.c.peer == series.c.peer,
            began > ended,
        )
        .correlate(series)
    )


def _evidence() -> Select[Any]:
    """Every series that is being received, longest without a new instance first, and what is known of it."""
    sent_some = (
        exists()
        .where(instances.c.association_id == associations.c.id, instances.c.series_id == series.c.id)
        .correlate(associations, series)
    )
    open_associations = (
        select(func.count())
        .select_from(associations)
        .where(associations.c.closed_at.is_(None), sent_some | (associations.c.id == series.c.association_id))
        .correlate(series)
        .scalar_subquery()
    )
    last_outcome = (
        select(associations.c.outcome)
        .where(associations.c.id == series.c.association_id)
        .correlate(series)
        .scalar_subquery()
    )
    return (
        select(
            series,
            open_associations.label("open_associations"),
            last_outcome.label("last_outcome"),
            _followed().label("followed"),
            _asked_to_commit().label("asked_to_commit"),
        )
        .where(series.c.state == SeriesState.RECEIVING)
        .order_by(series.c.last_received_at)
    )


#: Asked several times a second for as long as the node runs, so it is made once.
_EVIDENCE = _evidence()
