"""When a series is complete: when one of the completion signals holds.

What has come is read from the catalog, so a restart forgets none of it. The signal that decided, and what was known then,
is recorded with the series and the job.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError

from dicom_node.catalog import Catalog, Evidence, SeriesRow
from dicom_node.config import Route, Settings, SettingsSource
from dicom_node.errors import CatalogError
from dicom_node.privacy import place_of
from dicom_node.series.background import Background
from dicom_node.series.confirmation import Confirmation, Count
from dicom_node.series.fetching import Fetch, Fetching
from dicom_node.series.signals import SIGNALS, Signal
from dicom_node.series.silence import Silence, heard_of
from dicom_node.series.stack import Stack, look_at_stack
from s2ldm_core.problem import Problem


class CompletionStep:
    """Turns complete series into jobs.

    Parameters
    ----------
    model_identity
        Gives the version and weights of a route's model, which are part of what makes a job the same job.
    count
        Asks the destination of ``series.confirm_with`` for the number of images of a series; None: nobody is asked.
    fetch
        Has it send what is missing, where ``series.fetch_missing`` says so.
    signals
        What may say that a series is complete, in the order in which they are asked.
    monotonic
        Seconds from any beginning; the time of day may be stepped.
    """

    def __init__(
        self,
        settings: SettingsSource,
        catalog: Catalog,
        *,
        model_identity: Callable[[str], str],
        count: Count | None = None,
        fetch: Fetch | None = None,
        signals: Sequence[Signal] = SIGNALS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = settings
        self._catalog = catalog
        self._model_identity = model_identity
        self._signals = signals
        self._silence = Silence(monotonic)
        self._confirmation = None if count is None else Confirmation(count, monotonic=monotonic)
        self._fetching = None if fetch is None else Fetching(fetch, self._held, monotonic=monotonic)
        self._stacks: Background[Stack] = Background("stack")
        self._log = structlog.get_logger(step="completion")

    @property
    def _settings(self) -> Settings:
        return self._source.current

    @property
    def confirm_problem(self) -> Problem | None:
        """Why ``series.confirm_with`` could not be asked the last time; None if it could."""
        return None if self._confirmation is None else self._confirmation.problem

    def run_once(self) -> bool:
        """Complete every series that is due; False if there was none."""
        receiving = self._catalog.series_evidence()
        silent = self._silence.watch([one.series for one in receiving])
        self._stacks.keep(silent)
        if self._confirmation is not None:
            self._confirmation.keep(silent)
        if self._fetching is not None:
            self._fetching.keep(silent)
        worked = False
        for known in receiving:
            try:
                worked |= self._look_at(replace(known, silent_seconds=silent[known.series.key]))
            except (CatalogError, OperationalError):  # nothing can be recorded at present, of no series
                raise
            except Exception as error:  # noqa: BLE001 (one series' fault must not hold up the others; recorded, logged)
                self._set_aside(known.series, error)
        return worked

    def _look_at(self, known: Evidence) -> bool:
        """Complete a series if it is due."""
        evidence = self._look_closer(known)
        signal = next((one for one in self._signals if one.holds(evidence, self._settings.series)), None)
        if signal is None or self._waits_for_more(evidence):
            return False
        self._complete(evidence, signal)
        return True

    def _waits_for_more(self, evidence: Evidence) -> bool:
        """Whether a series that seems complete is not, and what is missing may come from where the rest is."""
        if self._fetching is None or not self._settings.series.fetch_missing:
            return False
        there = evidence.counted
        return (
            there is not None
            and there > evidence.series.instance_count
            and self._fetching.is_waited_for(evidence.series)
        )

    def _held(self, series: SeriesRow) -> frozenset[str]:
        return frozenset(one.sop_instance_uid for one in self._catalog.series_instances(series.key))

    def _set_aside(self, series: SeriesRow, error: Exception) -> None:
        # The message stays out of the log: it may quote what a sender has sent.
        name, place = type(error).__name__, place_of(error)
        self._log.error("completion_fault", series_key=series.key, error=name, at=place, exc_info=True)
        problem = Problem(
            "completion_fault",
            f"The series could not be completed ({name} at {place}).",
            "Report this with the log; the series is looked at again when more of it comes and when the node starts.",
        )
        self._catalog.set_series_aside(series.key, problem, seen_at=series.last_received_at)

    def _look_closer(self, evidence: Evidence) -> Evidence:
        """With what takes its time to find out, once a series has been silent for a little while."""
        limits, series, silent = self._settings.series, evidence.series, evidence.silent_seconds
        if silent < min(limits.confirmed_seconds, limits.quiet_seconds) / 2:
            return evidence
        stack = self._stacks.ask(series.key, heard_of(series), partial(self._look_at_stack, series.key))
        there = right_seconds = None
        if self._confirmation is not None:
            there, right_seconds = self._confirmation.look(series, silent_seconds=silent)
        return replace(
            evidence,
            stack=None if stack is None else stack.value,
            counted=there,
            counted_right_seconds=right_seconds,
        )

    def _look_at_stack(self, series_key: int) -> Stack:
        paths: list[Path] = [one.path for one in self._catalog.series_instances(series_key) if one.path is not None]
        return look_at_stack(paths)

    def _complete(self, evidence: Evidence, signal: Signal) -> None:
        series = evidence.series
        settings = self._settings
        route = settings.routes.get(series.route) or Route.gone()
        job_id = self._catalog.complete_series(
            series.key,
            signal=signal.name,
            evidence=evidence.recorded(),
            phase=route.phase,
            model=route.model,
            model_identity=self._model_identity(route.model),
            late=route.late,
            resend=route.resend,
            route_settings=settings.kept_route(series.route),
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
