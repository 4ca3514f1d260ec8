"""When a series is complete: when one of the completion signals holds.

Everything is read from the catalog, so a restart forgets nothing. The signal that decided is recorded with the series
and the job.
"""

from collections.abc import Callable, Sequence

import structlog

from dicom_node.catalog import Catalog, Evidence
from dicom_node.config import Route, Settings
from dicom_node.series.signals import SIGNALS, Signal


class CompletionStep:
    """Turns complete series into jobs.

    Parameters
    ----------
    model_identity
        Gives the version and weights of a route's model, which are part of what makes a job the same job.
    signals
        What may say that a series is complete, in the order in which they are asked.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        model_identity: Callable[[str], str],
        signals: Sequence[Signal] = SIGNALS,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._model_identity = model_identity
        self._signals = signals
        self._log = structlog.get_logger(step="completion")

    def run_once(self) -> bool:
        """Complete every series that is due; False if there was none."""
        now, settings = self._catalog.now(), self._settings.series
        worked = False
        for evidence in self._catalog.series_evidence():
            signal = next((one for one in self._signals if one.holds(evidence, now, settings)), None)
            if signal is not None:
                self._complete(evidence, signal)
                worked = True
        return worked

    def _complete(self, evidence: Evidence, signal: Signal) -> None:
        series = evidence.series
        route = self._settings.routes.get(series.route) or _gone()
        job_id = self._catalog.complete_series(
            series.key,
            signal=signal.name,
            phase=route.phase,
            model=route.model,
            model_identity=self._model_identity(route.model),
            late=route.late,
            resend=route.resend,
            seen_at=series.last_received_at,
        )
        self._log.info(
            "series_complete",
            series_key=series.key,
            route=series.route,
            instances=series.instance_count,
            signal=signal.name,
            job_id=job_id,
        )


def _gone() -> Route:
    """For series whose route has left the configuration: the job is opened all the same, and selection says why not."""
    return Route(phase="arterial", model="none")
