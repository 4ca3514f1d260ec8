"""What the first page shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from dicom_node.catalog import Catalog, JobRow, JobState
from dicom_node.catalog.activity import FinishedJob
from dicom_node.service.health import HealthCheck

_NEEDING = 20
_RUNNING = (JobState.TRANSLATING, JobState.DERIVING, JobState.DELIVERING, JobState.SELECTING)
_HOURS = 24


@dataclass(frozen=True, kw_only=True)
class Hour:
    """One hour of the last day: how many jobs were done, and the median minutes from last image to last delivery."""

    begins: datetime
    done: int
    minutes: float | None


def today_values(
    catalog: Catalog, *, readiness: Callable[[], Sequence[HealthCheck]], routes: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of ``today_part.html``."""
    now = catalog.now()
    finished = catalog.finished_since(_hour(now) - timedelta(hours=_HOURS - 1))
    counts = catalog.count_jobs()

    def newest(*states: JobState) -> list[JobRow]:
        held = (state for state in states if counts.get(state))
        return [job for state in held for job in catalog.list_jobs(state=state, limit=_NEEDING)]

    return {
        "counts": counts,
        "receiving": catalog.count_receiving(),
        "running": [(job, seconds_left(job, finished)) for job in newest(*_RUNNING)],
        "needing": newest(JobState.FAILED, JobState.REFUSED),
        "quarantined": len(catalog.list_quarantine(limit=_NEEDING)),
        "many": _NEEDING,
        "recent": catalog.list_jobs(limit=_NEEDING),
        "rejected": catalog.rejected_peers()[:_NEEDING],
        "checks": readiness(),
        "routes": routes,
        "hours": by_hour(finished, now=now),
    }


def by_hour(finished: Sequence[FinishedJob], *, now: datetime) -> list[Hour]:
    """The last 24 hours, oldest first, the present one included."""
    hours = [_hour(now) - timedelta(hours=back) for back in reversed(range(_HOURS))]
    took: dict[datetime, list[float]] = {hour: [] for hour in hours}
    for one in finished:
        if (hour := _hour(one.finished_at)) in took:
            took[hour].append(one.seconds / 60)
    return [
        Hour(begins=hour, done=len(took[hour]), minutes=median(took[hour]) if took[hour] else None) for hour in hours
    ]


def seconds_left(job: JobRow, finished: Sequence[FinishedJob]) -> float | None:
    """About how long a translation still takes, by what its model took for an image lately; None where that is not known."""
    if job.state is not JobState.TRANSLATING or job.progress is None:
        return None
    known = [
        one.translate_seconds / one.images
        for one in finished
        if one.model_identity == job.model_identity and one.translate_seconds is not None and one.images
    ]
    return median(known) * job.instance_count * (1 - job.progress) if known else None


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
