"""What is known about the completeness of the series that are being received."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select

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
            "stack": self.stack,
            "counted": self.counted,
        }
        return {name: value for name, value in known.items() if value is not None}


class EvidenceTable(Database):
    """The catalog's evidence."""

    def series_evidence(self) -> list[Evidence]:
        """What is known about every series that is being received, longest without a new instance first."""
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
        query = (
            select(
                series,
                open_associations.label("open_associations"),
                last_outcome.label("last_outcome"),
                _followed().label("followed"),
            )
            .where(series.c.state == SeriesState.RECEIVING)
            .order_by(series.c.last_received_at)
        )
        with self.read() as connection:
            return [
                Evidence(
                    series=row,
                    open_associations=values["open_associations"],
                    broken_off=values["last_outcome"] in _BROKEN_OFF,
                    followed=bool(values["followed"]),
                )
                for row, values in read_rows(SeriesRow, connection.execute(query).mappings())
            ]


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
