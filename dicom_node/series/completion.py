"""When a series is complete: its association is released and nothing has come for a while.

Everything is read from the catalog, so a restart forgets nothing. The signal that decided is recorded with the series
and the job: ``released`` (associations gone, then quiet) or ``quiet`` (an association still open, but long silent).
"""

from collections.abc import Callable

import structlog

from dicom_node.catalog import Catalog
from dicom_node.config import Route, Settings


class CompletionStep:
    """Turns complete series into jobs.

    Parameters
    ----------
    model_identity
        Gives the version and weights of a route's model, which are part of what makes a job the same job.
    """

    def __init__(self, settings: Settings, catalog: Catalog, *, model_identity: Callable[[str], str]) -> None:
        self._settings = settings
        self._catalog = catalog
        self._model_identity = model_identity
        self._log = structlog.get_logger(step="completion")

    def run_once(self) -> bool:
        """Complete every series that is due; False if there was none."""
        rules = self._settings.series
        due = self._catalog.series_due(
            self._catalog.now(), rules.quiet_seconds, open_association_seconds=rules.open_association_seconds
        )
        for series, signal in due:
            route = self._settings.routes.get(series.route) or _gone()
            job_id = self._catalog.complete_series(
                series.key,
                signal=signal,
                phase=route.phase,
                model=route.model,
                model_identity=self._model_identity(route.model),
                late=route.late,
                seen_at=series.last_received_at,
            )
            self._log.info(
                "series_complete",
                series_key=series.key,
                route=series.route,
                instances=series.instance_count,
                signal=signal,
                job_id=job_id,
            )
        return bool(due)


def _gone() -> Route:
    """For series whose route has left the configuration: the job is opened all the same, and selection says why not."""
    return Route(phase="arterial", model="none")
