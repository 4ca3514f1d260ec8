"""The translate step: gives queued jobs to the executor, one at a time, and records how they end."""

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog, InstanceRow, JobRow, JobState, Lease
from dicom_node.config import Route, Settings, SettingsSource
from dicom_node.errors import CatalogAwayError
from dicom_node.job_route import job_route
from dicom_node.privacy import place_of
from dicom_node.translate.executors import EXECUTORS, Executor
from dicom_node.translate.messages import Disposition, Failed, Load, Progress, Translate, Translated, disk_failure
from s2ldm_core.problem import Problem
from s2ldm_core.sampling import Sampling

_PROGRESS_SECONDS = 1.0
#: A worker that says nothing for so long hangs: it is ended, and the job tried again.
_SILENCE_SECONDS = 600.0
#: A model that cannot be loaded is tried again after this long, or when a job asks for it.
_WARM_UP_AGAIN_SECONDS = 60.0


class TranslateStep:
    """Takes jobs in ``queued`` and leaves a result in ``data_dir/work/<job id>.<claim>/``.

    Every claim has a folder of its own, because the last holder of a claim that ran out may still write. Run by one
    thread; `stop` may come from any. ``executor`` is the one that the configuration names unless another is given;
    ``clock`` gives the current time, timezone-aware.
    """

    def __init__(
        self,
        settings: SettingsSource,
        catalog: Catalog,
        *,
        executor: Executor | None = None,
        clock: Callable[[], datetime] | None = None,
        silence_seconds: float = _SILENCE_SECONDS,
    ) -> None:
        compute = settings.current.compute
        self._source = settings
        self._catalog = catalog
        self._now = clock or catalog.now
        self._executor = executor or EXECUTORS[compute.executor](getattr(compute, compute.executor, None))
        self._silence_seconds = silence_seconds
        self._stopping = threading.Event()
        self._busy = threading.Lock()
        self._warm_up_at = 0.0
        self._log = structlog.get_logger(step="translate")

    @property
    def _settings(self) -> Settings:
        return self._source.current

    @property
    def ready(self) -> bool:
        """Whether the executor runs and has its models loaded."""
        return self._executor.ready

    def warm_up(self) -> bool:
        """Have the models of all routes loaded; False if that failed (logged; jobs will say why)."""
        with self._busy:
            return self._ensure_ready()

    def run_once(self) -> bool:
        """Translate one job; False if none was waiting. A job's failure is recorded, never raised."""
        with self._busy:
            if self._stopping.is_set():
                return False
            self._ensure_ready()
            job = self._catalog.claim_job(
                JobState.QUEUED, JobState.TRANSLATING, "translate", ranks=self._settings.ranks
            )
            if job is None:
                return False
            with self._catalog.hold(job, patience_seconds=self._silence_seconds) as lease:
                try:
                    self._work_on(job, lease)
                except CatalogAwayError:
                    raise
                except OSError as error:
                    self._end(job, disk_failure(error))
                except Exception as error:  # noqa: BLE001 (one job's fault must not stop the others; recorded, logged)
                    name, place = type(error).__name__, place_of(error)
                    self._log.error("translate_step_fault", job_id=job.id, error=name, at=place, exc_info=True)
                    sentence = f"The series could not be handed to the worker ({name} at {place})."
                    problem = Problem("translate_step_fault", sentence, "Report this with the log, then retry the job.")
                    self._catalog.fail_job(job, problem)
            return True

    def stop(self) -> None:
        """Stop the executor. A job it works on is given back."""
        self._stopping.set()
        with self._busy:
            self._executor.stop()

    def _ensure_ready(self) -> bool:
        if self.ready:
            return True
        if time.monotonic() < self._warm_up_at:
            return False
        compute = self._settings.compute
        models = dict.fromkeys(route.model for route in self._settings.routes.values())
        problems = self._executor.warm_up(
            [
                Load(
                    model=model,
                    device=compute.device,
                    threads=compute.threads,
                    max_bytes=_bytes(compute.max_memory_gib),
                )
                for model in models
            ],
            should_stop=self._stopping.is_set,
        )
        for model, problem in problems.items():
            self._log.error("model_not_loaded", model=model, code=problem.code, sentence=problem.sentence)
        if problems:
            self._warm_up_at = time.monotonic() + _WARM_UP_AGAIN_SECONDS
        return self.ready

    def _work_on(self, job: JobRow, lease: Lease) -> None:
        route = job_route(job, self._settings)
        rows = self._catalog.job_instances(job.id)
        paths = [row.path for row in rows]
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
            for left in self._settings.work_dir.glob(f"{job.id}.*"):  # by claims that were lost
                shutil.rmtree(left, ignore_errors=True)
            folder = self._settings.work_dir / job.claim_name
            self._ask(job, route, rows, folder=folder, lease=lease)

    def _ask(self, job: JobRow, route: Route, rows: list[InstanceRow], *, folder: Path, lease: Lease) -> None:
        compute = self._settings.compute
        watch = _JobWatch(self._catalog, job, lease)
        answer = self._executor.translate(
            Translate(
                paths=tuple(str(row.path) for row in rows),
                sop_instance_uids=tuple(row.sop_instance_uid for row in rows),
                slices=int(job.details.get("slices", 0)),
                handling=route.stack_handling,
                folder=str(folder),
                phase=job.phase,
                contrast_dose=route.contrast_dose,
                model=job.model,
                device=compute.device,
                seed=route.seed,
                sampling=Sampling(steps=route.steps, kind="predicted" if route.uncertainty else None),
                threads=compute.threads,
                max_bytes=_bytes(compute.max_memory_gib),
                else_cpu=compute.out_of_memory == "cpu",
            ),
            on_progress=watch.progress,
            should_stop=lambda: self._stopping.is_set() or lease.silent or lease.lost or watch.lost,
            timeout_seconds=compute.job_timeout_seconds,
        )
        if isinstance(answer, Translated):
            self._finish(job, answer, folder=folder)
            return
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(answer, Failed):
            self._end(job, answer)
        elif self._stopping.is_set():
            self._catalog.release(job)
        elif lease.silent:
            self._end(job, Failed(problem=self._silence(), disposition=Disposition.RETRY))
        # Otherwise it was cancelled, or another node has it.

    def _finish(self, job: JobRow, answer: Translated, *, folder: Path) -> None:
        made = answer.translation
        details = {
            "model_version": made.model_version,
            "weights_sha256": made.weights_sha256,
            "steps": made.steps,
            "shares": dict(made.shares),
            "contrast_dose": made.contrast_dose,
            "seconds": made.seconds,
            "device": made.device,
            "tile": made.tile,
        }
        if not self._catalog.finish_translation(job, result_path=Path(answer.record_path), details=details):
            shutil.rmtree(folder, ignore_errors=True)  # cancelled meanwhile, or another node has it
            return
        self._log.info("translated", job_id=job.id, route=job.route, seconds=round(sum(made.seconds.values()), 1))

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
        with suppress(CatalogAwayError):  # told next time; translation goes on, and its lease sees to the claim
            self.lost = not self._catalog.set_progress(self._job, stage=message.stage, fraction=message.fraction)


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * 2**30)
