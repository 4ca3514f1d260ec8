"""The derive step: from a translated job to a derived series on disk and its deliveries in the catalog."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_node import __version__
from dicom_node.catalog import Catalog, InstanceRow, JobRow, JobState, Lease
from dicom_node.config import Route, Settings, SettingsSource
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.rejection import write_rejections
from dicom_node.derive.series import DerivedSeries, write_derived_series
from dicom_node.errors import CatalogAwayError, DeriveError
from dicom_node.job_route import job_route
from dicom_node.privacy import place_of
from dicom_node.translation import TranslationRecord, load_uncertainty, slices_differ
from s2ldm_core.problem import Problem, ProblemError

#: One slice takes milliseconds to write; a file system silent for so long hangs.
_PATIENCE_SECONDS = 600.0


class DeriveStep:
    """Takes jobs in ``translated``, writes their derived series to ``data_dir/derived/<job id>.<claim>/``.

    ``clock`` gives the current time, timezone-aware.
    """

    def __init__(
        self, settings: SettingsSource, catalog: Catalog, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._source = settings
        self._catalog = catalog
        self._now = clock or catalog.now
        self._log = structlog.get_logger(step="derive")

    @property
    def _settings(self) -> Settings:
        return self._source.current

    def run_once(self) -> bool:
        """Derive one job; False if none was waiting. A job's failure is recorded, never raised."""
        job = self._catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "derive", ranks=self._settings.ranks)
        if job is None:
            return False
        with self._catalog.hold(job, patience_seconds=_PATIENCE_SECONDS) as lease:
            try:
                self._derive(job, lease)
            except CatalogAwayError:
                raise
            except ProblemError as error:
                self._fail(job, error.problem)
            except OSError as error:
                self._retry_or_fail(job, error)
            except Exception as error:  # noqa: BLE001 (one job's fault must not stop the others; recorded and logged)
                # The message stays out of the log: pydicom's exceptions quote values, which may be a patient's.
                name, place = type(error).__name__, place_of(error)
                self._log.error("derive_fault", job_id=job.id, error=name, at=place, exc_info=True)
                sentence = f"Writing the derived series failed unexpectedly ({name} at {place})."
                self._fail(job, Problem("derive_fault", sentence, "Report this with the log, then retry the job."))
        return True

    def _derive(self, job: JobRow, lease: Lease) -> None:
        route = job_route(job, self._settings)
        if route is None:
            raise DeriveError(
                "route_gone",
                f"The route {job.route} is no longer configured.",
                "Configure the route again and retry the job, or cancel it.",
            )
        if job.result_path is None:
            raise DeriveError("translation_result_gone", "The job has no synthetic volume.", "Send the series again.")
        record, hu, padding = TranslationRecord.load(job.result_path)
        sources = self._sources(job, record)
        folder = self._settings.derived_dir / job.claim_name
        earlier = self._catalog.earlier_series(job.id)
        info = derivation_info(record, route, job=job, created_at=self._now())
        info = replace(
            info,
            replaces=tuple(dict.fromkeys(one.series_instance_uid for one in earlier)),
            replaces_uncertainty=tuple(
                dict.fromkeys(uid for one in earlier if (uid := one.uncertainty_series_instance_uid))
            ),
        )
        try:
            series = write_derived_series(
                [path for path, _ in sources],
                hu,
                info=info,
                folder=folder,
                padding=padding,
                uncertainty=load_uncertainty(job.result_path),
                source_digests=[row.digest for _, row in sources],
                frames=record.frames or None,
                progress=lambda _: lease.beat(),
            )
            # The same images made again, as after a dose report that came late, are no others to be rejected.
            made = {one.series_instance_uid for one in series.instances}
            others = [left for one in earlier if (left := one.without(made)).images]
            notes = write_rejections(sources[0][0], others, by=series.series_instance_uid, info=info, folder=folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._finish(job, route, replace(series, instances=(*series.instances, *notes)), folder=folder)

    def _sources(self, job: JobRow, record: TranslationRecord) -> list[tuple[Path, InstanceRow]]:
        """File and row of every slice, in the order of the volume; they are the job's, no more and no fewer."""
        rows = {row.sop_instance_uid: row for row in self._catalog.job_instances(job.id)}
        if problem := slices_differ(tuple(rows), _instances(record)):
            raise DeriveError(problem.code, problem.sentence, problem.remedy)
        found = []
        for uid in record.sop_instance_uids:
            row = rows.get(uid)
            if row is None or row.path is None:
                raise DeriveError(
                    "source_gone", "A slice of the source series is no longer in the spool.", "Send the series again."
                )
            found.append((row.path, row))
        return found

    def _finish(self, job: JobRow, route: Route, series: DerivedSeries, *, folder: Path) -> None:
        kept = self._catalog.finish_derivation(
            job,
            series_instance_uid=series.series_instance_uid,
            instances=series.instances,
            uncertainty_series_instance_uid=series.uncertainty_series_instance_uid,
            destinations=route.destinations,
            reachable=self._settings.destinations,
        )
        if not kept:  # cancelled meanwhile, or another node has it
            shutil.rmtree(folder, ignore_errors=True)
            return
        self._log.info("derived", job_id=job.id, route=job.route, instances=len(series.instances))
        for left in self._settings.derived_dir.glob(f"{job.id}.*"):  # by claims that ran out
            if left != folder:
                shutil.rmtree(left, ignore_errors=True)
        if job.result_path is not None:
            shutil.rmtree(job.result_path.parent, ignore_errors=True)

    def _retry_or_fail(self, job: JobRow, error: OSError) -> None:
        """Disk errors may pass, so the job waits for another try until its attempts are used up."""
        compute = self._settings.compute
        again = job.attempts + 1 < compute.max_attempts
        self._fail(
            job,
            Problem(
                "derive_disk",
                f"The derived series cannot be written to data_dir: {error.strerror or type(error).__name__}.",
                "Check the free space and permissions of data_dir, then retry the job.",
            ),
            retry_at=self._now() + timedelta(seconds=compute.retry_seconds) if again else None,
        )

    def _fail(self, job: JobRow, problem: Problem, *, retry_at: datetime | None = None) -> None:
        retry = retry_at is not None
        self._log.warning("derive_failed", job_id=job.id, route=job.route, code=problem.code, retry=retry)
        self._catalog.fail_job(job, problem, retry_at=retry_at)


def _instances(record: TranslationRecord) -> list[str]:
    """The source instances of a record's slices: of those with frames each once, of others as often as they occur."""
    return list(dict.fromkeys(record.sop_instance_uids)) if record.frames else list(record.sop_instance_uids)


def derivation_info(record: TranslationRecord, route: Route, *, job: JobRow, created_at: datetime) -> DerivationInfo:
    """What the derived objects say: the translation's record, told in the route's way."""
    return DerivationInfo(
        translation=record.translation,
        route=job.route,
        output=route.output,
        series_number_offset=route.series_number_offset,
        series_description=route.series_description,
        window_hu=None if route.window is None else (route.window.center, route.window.width),
        mark=route.mark,
        software_version=__version__,
        created_at=created_at,
    )
