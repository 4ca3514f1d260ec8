"""What was done lately: how many series, and how long each took."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from dicom_node.catalog.database import Database
from dicom_node.catalog.rows import problem_of
from dicom_node.catalog.schema import deliveries, jobs, series
from dicom_node.states import DeliveryState, JobState
from s2ldm_core.problem import Problem

#: Looked at, newest first; more are not shown, and the look stays short however full the catalog is.
_MOST = 1000


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """A job that is done.

    ``seconds`` is from the last image received to the last delivery, ``translate_seconds`` what its translation took of
    it, None where that is not on record; ``images`` are those of its source series.
    """

    finished_at: datetime
    seconds: float
    translate_seconds: float | None
    images: int
    model_identity: str


@dataclass(frozen=True, kw_only=True)
class DestinationNews:
    """When a destination last took a series, and why it did not take the newest of those that wait for another attempt."""

    last_done_at: datetime | None
    waits_for: Problem | None


class Activity(Database):
    """Looking back."""

    def news_of_destinations(self, names: Iterable[str]) -> dict[str, DestinationNews]:
        """How each destination did lately; one that never got anything is among them."""
        with self.read() as connection:
            return {name: _news(connection, name) for name in names}

    def finished_since(self, since: datetime) -> list[FinishedJob]:
        """The jobs done since then, of the last thousand jobs, newest first. Jobs done anew by hand are among them."""
        newest = select(jobs.c.id).order_by(jobs.c.id.desc()).limit(_MOST)
        query = (
            select(
                jobs.c.finished_at,
                jobs.c.created_at,
                series.c.last_received_at,
                jobs.c.details,
                jobs.c.instance_count,
                jobs.c.model_identity,
            )
            .join(series, series.c.id == jobs.c.series_id)
            .where(jobs.c.id.in_(newest), jobs.c.state == JobState.DONE, jobs.c.finished_at >= since)
            .order_by(jobs.c.id.desc())
        )
        with self.read() as connection:
            return [
                FinishedJob(
                    finished_at=finished,
                    # What is sent again later belongs to another job, or to none.
                    seconds=(finished - min(received, created)).total_seconds(),
                    translate_seconds=_total(details),
                    images=images,
                    model_identity=identity,
                )
                for finished, created, received, details, images, identity in connection.execute(query)
            ]


def _news(connection: Connection, name: str) -> DestinationNews:
    def newest(state: DeliveryState, *columns: ColumnElement[Any]) -> Any:
        mine = (deliveries.c.destination == name, deliveries.c.state == state)
        return connection.execute(select(*columns).where(*mine).order_by(deliveries.c.id.desc()).limit(1)).first()

    done = newest(DeliveryState.DONE, deliveries.c.finished_at)
    waiting = newest(
        DeliveryState.PENDING, deliveries.c.reason_code, deliveries.c.reason_sentence, deliveries.c.reason_remedy
    )
    return DestinationNews(
        last_done_at=None if done is None else done.finished_at,
        waits_for=None if waiting is None else problem_of(waiting._mapping),
    )


def _total(details: object) -> float | None:
    seconds = details.get("seconds") if isinstance(details, dict) else None
    if not isinstance(seconds, dict) or not all(isinstance(one, int | float) for one in seconds.values()):
        return None
    return float(sum(seconds.values())) or None
