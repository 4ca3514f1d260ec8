"""The selection step: from a complete series to a job that waits for translation, or one that says why not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog, JobRow, JobState
from dicom_node.catalog.leases import MAX_INTERRUPTIONS
from dicom_node.config import Route, Settings, SettingsSource
from dicom_node.errors import CatalogAwayError
from dicom_node.job_route import job_route
from dicom_node.series.decision import Decision
from dicom_node.series.examiner import ExaminerDiedError
from dicom_node.series.selection import examine_series
from s2ldm_core.problem import Problem, ProblemError

#: Reading every header and some slices of a long series takes seconds; longer than this, it hangs.
_PATIENCE_SECONDS = 600.0
#: Where memory was short, it may be there again.
_AGAIN_SECONDS = 10.0


class SelectStep:
    """Takes jobs in ``selecting``; accepts or refuses them.

    Parameters
    ----------
    model_min_slices
        Gives the fewest slices that a route's model can translate.
    examine
        Looks at a series; `dicom_node.series.Examiner` does so in a process of its own.
    """

    def __init__(
        self,
        settings: SettingsSource,
        catalog: Catalog,
        *,
        model_min_slices: Callable[[str], int] = lambda _: 0,
        examine: Callable[..., Decision | None] = examine_series,
    ) -> None:
        self._source = settings
        self._examine = examine
        self._catalog = catalog
        self._model_min_slices = model_min_slices
        self._log = structlog.get_logger(step="select")

    @property
    def _settings(self) -> Settings:
        return self._source.current

    def run_once(self) -> bool:
        """Decide on one job; False if none was waiting. A job's failure is recorded, never raised."""
        job = self._catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "select", ranks=self._settings.ranks)
        if job is None:
            return False
        with self._catalog.hold(job, patience_seconds=_PATIENCE_SECONDS):
            try:
                decision, route = self._decide(job)
            except CatalogAwayError:
                raise
            except ExaminerDiedError as error:
                self._again_or_fail(job, error.problem)
            except ProblemError as error:
                self._catalog.fail_job(job, error.problem)
            except Exception as error:  # noqa: BLE001 (one job's fault must not stop the others; recorded and logged)
                # The message stays out of the log: parsers quote values, which may be a patient's.
                name = type(error).__name__
                self._log.error("select_fault", job_id=job.id, error=name, exc_info=True)
                sentence = f"The series could not be examined ({name})."
                remedy = "Report this with the log, then retry the job."
                self._catalog.fail_job(job, Problem("select_fault", sentence, remedy))
            else:
                if decision is None:  # the node stops
                    self._catalog.release(job)
                else:
                    self._record(job, decision, route)
        return True

    def _again_or_fail(self, job: JobRow, problem: Problem) -> None:
        """A series that ends whoever looks at it fails; one whose process the system ended, for another's sake, does not."""
        attempts = job.attempts + 1
        self._log.warning("select_failed", job_id=job.id, code=problem.code, attempts=attempts)
        if attempts < MAX_INTERRUPTIONS:
            self._catalog.fail_job(job, problem, retry_at=self._catalog.now() + timedelta(seconds=_AGAIN_SECONDS))
            return
        sentence = f"{problem.sentence} Given up after {attempts} attempts."
        self._catalog.fail_job(job, replace(problem, sentence=sentence))

    def _decide(self, job: JobRow) -> tuple[Decision | None, Route | None]:
        settings = self._settings
        route = job_route(job, settings)
        if route is None:
            refused = Decision.refuse(
                "route_gone",
                f"The route {job.route} is no longer configured.",
                "Configure the route again and retry the job.",
            )
            return refused, None
        paths: list[Path] = []
        for instance in self._catalog.job_instances(job.id, all_instances=True):
            if instance.path is None:
                refused = Decision.refuse(
                    "source_removed",
                    "Retention has removed files of the series.",
                    "Send the series again, then retry the job.",
                )
                return refused, route
            paths.append(instance.path)
        min_slices = max(route.min_slices or settings.series.min_slices, self._model_min_slices(route.model))
        conflicts = 0 if job.series_key is None else self._catalog.conflict_count(job.series_key)
        return self._examine(paths, route=route, min_slices=min_slices, conflicts=conflicts), route

    def _record(self, job: JobRow, decision: Decision, route: Route | None) -> None:
        self._log.info("selected", job_id=job.id, route=job.route, accepted=decision.accepted, code=decision.code)
        if decision.subject is not None and job.series_key is not None:
            self._catalog.set_subject(job.series_key, decision.subject)
        if decision.problem is None:
            kept = None if route is None else route.kept()
            self._catalog.accept_job(
                job, details=decision.details, set_aside=decision.set_aside, rules=decision.asked, route_settings=kept
            )
        else:
            self._catalog.refuse_job(job, decision.problem, details=decision.details, rules=decision.asked)
