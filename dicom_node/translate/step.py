"""The translate step: gives queued jobs to the worker, one at a time, and records how they end."""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog, JobRow, JobState, Lease
from dicom_node.config import Route, Settings
from dicom_node.errors import TranslateError
from dicom_node.translate.messages import Disposition, Failed, Load, Progress, Translate, Translated, disk_failure
from dicom_node.translate.process import WorkerDiedError, WorkerInterruptedError, WorkerProcess
from s2ldm_core.problem import Problem

_LOAD_TIMEOUT_SECONDS = 600.0
_PROGRESS_SECONDS = 1.0
#: A worker that says nothing for so long hangs: it is ended, and the job tried again.
_SILENCE_SECONDS = 600.0
#: A model that cannot be loaded is tried again after this long, or when a job asks for it.
_WARM_UP_AGAIN_SECONDS = 60.0


class TranslateStep:
    """Takes jobs in ``queued`` and leaves a result in ``data_dir/work/<job id>/``.

    Run by one thread; `stop` may come from any. The worker is started by the first `run_once` (or `warm_up`), outlives
    the jobs, and is started again when it died or hung. ``clock`` gives the current time, timezone-aware.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        clock: Callable[[], datetime] | None = None,
        silence_seconds: float = _SILENCE_SECONDS,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._now = clock or (lambda: datetime.now(UTC))
        self._worker = WorkerProcess()
        self._silence_seconds = silence_seconds
        self._stopping = threading.Event()
        self._busy = threading.Lock()
        self._warm = False
        self._warm_up_at = 0.0
        self._log = structlog.get_logger(step="translate")

    @property
    def ready(self) -> bool:
        """Whether the worker runs and has its models loaded."""
        return self._warm and self._worker.alive

    @property
    def worker_pid(self) -> int | None:
        """The worker's process ID, while it runs."""
        return self._worker.pid if self._worker.alive else None

    def warm_up(self) -> bool:
        """Start the worker and load the models of all routes; False if that failed (logged; jobs will say why)."""
        with self._busy:
            return self._ensure_worker()

    def run_once(self) -> bool:
        """Translate one job; False if none was waiting. A job's failure is recorded, never raised."""
        with self._busy:
            if self._stopping.is_set():
                return False
            self._ensure_worker()
            job = self._catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "translate")
            if job is None:
                return False
            with self._catalog.hold(job, patience_seconds=self._silence_seconds) as lease:
                try:
                    self._work_on(job, lease)
                except OSError as error:
                    self._end(job, disk_failure(error))
            return True

    def stop(self) -> None:
        """Stop the worker. A job it works on is given back."""
        self._stopping.set()
        with self._busy:
            self._worker.stop()
            self._warm = False

    def _ensure_worker(self) -> bool:
        if self.ready:
            return True
        if self._worker.alive and time.monotonic() < self._warm_up_at:
            return False
        self._warm = False
        compute = self._settings.compute
        good = True
        for model in dict.fromkeys(route.model for route in self._settings.routes.values()):
            try:
                self._worker.start()
                answer = self._worker.ask(
                    Load(model=model, device=compute.device, threads=compute.threads),
                    timeout_seconds=_LOAD_TIMEOUT_SECONDS,
                    on_progress=lambda _: None,
                    should_stop=self._stopping.is_set,
                )
            except WorkerInterruptedError:
                return False
            except TranslateError as error:
                good = False
                self._log.error("model_not_loaded", model=model, code=error.code)
                continue
            if isinstance(answer, Failed):
                good = False
                self._log.error(
                    "model_not_loaded", model=model, code=answer.problem.code, sentence=answer.problem.sentence
                )
        self._warm = good
        self._warm_up_at = time.monotonic() + _WARM_UP_AGAIN_SECONDS
        return good

    def _work_on(self, job: JobRow, lease: Lease) -> None:
        route = self._settings.routes.get(job.route)
        paths = [row.path for row in self._catalog.job_instances(job.id)]
        if route is None:
            problem = Problem(
                "route_gone",
                f"The route {job.route} is no longer configured.",
                "Configure the route again and retry the job, or cancel it.",
            )
            self._end(job, Failed(problem=problem, disposition=Disposition.FAIL))
        elif not paths or None in paths:
            problem = Problem("source_gone", "The source series is no longer in the spool.", "Send the series again.")
            self._end(job, Failed(problem=problem, disposition=Disposition.FAIL))
        else:
            folder = self._settings.work_dir / str(job.id)
            if folder.exists():  # left by a run that was interrupted
                shutil.rmtree(folder)
            self._ask(job, route, [str(path) for path in paths], folder=folder, lease=lease)

    def _ask(self, job: JobRow, route: Route, paths: list[str], *, folder: Path, lease: Lease) -> None:
        compute = self._settings.compute
        watch = _JobWatch(self._catalog, job, lease)
        try:
            self._worker.start()
            answer = self._worker.ask(
                Translate(
                    paths=tuple(paths),
                    folder=str(folder),
                    phase=job.phase,
                    model=job.model,
                    device=compute.device,
                    seed=route.seed,
                    steps=route.steps,
                    threads=compute.threads,
                ),
                timeout_seconds=compute.job_timeout_seconds,
                on_progress=watch.progress,
                should_stop=lambda: self._stopping.is_set() or lease.silent or lease.lost or watch.lost,
            )
        except WorkerInterruptedError:
            shutil.rmtree(folder, ignore_errors=True)
            if self._stopping.is_set():
                self._catalog.release(job)
            elif lease.silent:
                self._end(job, Failed(problem=self._silence(), disposition=Disposition.RETRY))
            return  # otherwise it was cancelled, or another node has it
        except TranslateError as error:
            died = isinstance(error, WorkerDiedError)
            answer = Failed(problem=error.problem, disposition=Disposition.RETRY if died else Disposition.FAIL)
        if isinstance(answer, Translated):
            self._finish(job, answer, folder=folder)
        elif isinstance(answer, Failed):
            shutil.rmtree(folder, ignore_errors=True)
            self._end(job, answer)

    def _finish(self, job: JobRow, answer: Translated, *, folder: Path) -> None:
        details = {
            "model_version": answer.model_version,
            "weights_sha256": answer.weights_sha256,
            "steps": answer.steps,
            "seconds": answer.seconds,
        }
        if not self._catalog.finish_translation(job, result_path=Path(answer.record_path), details=details):
            shutil.rmtree(folder, ignore_errors=True)  # cancelled meanwhile, or another node has it
            return
        self._log.info("translated", job_id=job.id, route=job.route, seconds=round(sum(answer.seconds.values()), 1))

    def _silence(self) -> Problem:
        return Problem(
            "worker_silent",
            f"The translation worker gave no sign of life for {self._silence_seconds:.0f} seconds and was ended.",
            "See the log and the state of the device; the job is tried again.",
        )

    def _end(self, job: JobRow, failed: Failed) -> None:
        """Refuse, fail, or postpone a job, with the reason."""
        compute = self._settings.compute
        problem = failed.problem
        self._log.warning("translate_failed", job_id=job.id, route=job.route, code=problem.code)
        if failed.disposition is Disposition.REFUSE:
            self._catalog.refuse_job(job, problem)
            return
        attempts = job.attempts + 1
        again = failed.disposition is Disposition.RETRY and attempts < compute.max_attempts
        if failed.disposition is Disposition.RETRY and not again:
            problem = replace(problem, sentence=f"{problem.sentence} Given up after {attempts} attempts.")
        retry_at = self._now() + timedelta(seconds=compute.retry_seconds * attempts) if again else None
        self._catalog.fail_job(job, problem, retry_at=retry_at)


class _JobWatch:
    """Passes progress on to the catalog, once a second, and to the job's lease, which then sees a cancellation, too."""

    def __init__(self, catalog: Catalog, job: JobRow, lease: Lease) -> None:
        self._catalog, self._job, self._lease = catalog, job, lease
        self._noted_at = -_PROGRESS_SECONDS
        self._stage = ""
        self.lost = False

    def progress(self, message: Progress) -> None:
        """Note a stage's beginning at once, its progress once a second."""
        self._lease.beat()
        now = time.monotonic()
        if message.stage == self._stage and now - self._noted_at < _PROGRESS_SECONDS:
            return
        self._stage, self._noted_at = message.stage, now
        self.lost = not self._catalog.set_progress(self._job, stage=message.stage, fraction=message.fraction)
