"""Removing files that have served their time."""

import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog
from dicom_node.config import Settings, SettingsSource

_ASSOCIATION_DAYS = 1.0


class RetentionStep:
    """Removes received, derived and quarantined files by the configuration's ``retention`` section."""

    def __init__(self, settings: SettingsSource, catalog: Catalog) -> None:
        self._source = settings
        self._catalog = catalog
        self._log = structlog.get_logger(step="retention")

    @property
    def _settings(self) -> Settings:
        return self._source.current

    def run_once(self) -> bool:
        """Remove what is due, a batch at a time; False if nothing was."""
        rules, now = self._settings.retention, self._catalog.now()
        removed = {
            "source": self._sources(_before(now, rules.source_days), _before(now, rules.refused_days)),
            "derived": self._derived(_before(now, rules.derived_days)),
            "quarantine": self._quarantine(_before(now, rules.quarantine_days)),
            "work": self._work_folders(),
        }
        self._catalog.forget_associations(now - timedelta(days=_ASSOCIATION_DAYS))
        if any(removed.values()):
            self._log.info("files_removed", **removed)
        return any(removed.values())

    def _sources(self, done_before: datetime | None, refused_before: datetime | None) -> int:
        count = 0
        while due := self._catalog.expired_sources(done_before=done_before, refused_before=refused_before):
            # Files first: after an interruption the rows still name what is left, and removing again does no harm.
            _unlink(path for _, path in due)
            self._catalog.forget_sources([key for key, _ in due])
            count += len(due)
        return count

    def _derived(self, before: datetime | None) -> int:
        count = 0
        while before is not None and (due := self._catalog.expired_derived(before)):
            for job_id in due:
                for folder in self._settings.derived_dir.glob(f"{job_id}.*"):
                    shutil.rmtree(folder, ignore_errors=True)
                # As the first version named it.
                shutil.rmtree(self._settings.derived_dir / str(job_id), ignore_errors=True)
                self._catalog.forget_derived(job_id)
            count += len(due)
        return count

    def _quarantine(self, before: datetime | None) -> int:
        count = 0
        while before is not None and (due := self._catalog.expired_quarantine(before)):
            _unlink(path for _, path in due)
            self._catalog.forget_quarantined([key for key, _ in due])
            count += len(due)
        return count

    def _work_folders(self) -> int:
        """Intermediate results of jobs that have ended."""
        root = self._settings.work_dir
        if not root.is_dir():
            return 0
        folders = [one for one in root.iterdir() if _job_of(one).isdigit()]
        # Asked after the folders were listed: a job that begins meanwhile has its folder on neither list.
        in_use = {str(job_id) for job_id in self._catalog.working_jobs()}
        left = [one for one in folders if _job_of(one) not in in_use]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)


def _job_of(work_folder: Path) -> str:
    return work_folder.name.partition(".")[0]


def _before(now: datetime, days: float | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
