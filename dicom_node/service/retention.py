"""Removing files that have served their time."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog
from dicom_node.catalog.retention import Expiry
from dicom_node.config import Settings, SettingsSource

_ASSOCIATION_DAYS = 1.0
#: Where the files are more than ``max_gib`` allows, all days are cut in these proportions until they are not.
_SHARES = (1.0, 0.5, 0.25, 0.1, 0.0)


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
        removed = dict.fromkeys(("source", "derived", "quarantine", "work", "rows"), 0)
        removed["work"] = self._work_folders()
        for share in _SHARES:
            for kind, count in self._remove(share).items():
                removed[kind] += count
            over = self._over_bytes()
            if over <= 0:
                break
            self._log.warning("files_beyond_budget", over_mib=over // 2**20, share_of_days=share)
        rules, now = self._settings.retention, self._catalog.now()
        self._catalog.forget_associations(now - timedelta(days=_ASSOCIATION_DAYS))
        self._catalog.forget_commitment_requests(now - timedelta(days=_ASSOCIATION_DAYS))
        if rules.catalog_days is not None:
            while count := self._catalog.forget(now - timedelta(days=rules.catalog_days)):
                removed["rows"] += count
        if any(removed.values()):
            self._log.info("files_removed", **removed)
        return any(removed.values())

    def _remove(self, share: float) -> dict[str, int]:
        """Remove what has been there for ``share`` of its days."""
        rules, now = self._settings.retention, self._catalog.now()

        def before(days: float | None) -> datetime | None:
            return None if days is None else now - timedelta(days=days * share)

        sources = Expiry(
            done=before(rules.source_days), refused=before(rules.refused_days), failed=before(rules.failed_days)
        )
        derived = Expiry(
            done=before(rules.derived_days), refused=before(rules.derived_days), failed=before(rules.failed_days)
        )
        counted = _Removing(self._log)
        quarantined = before(rules.quarantine_days)
        return {
            "source": counted.batches(lambda after: self._catalog.remove_sources(sources, counted.file, after=after)),
            "derived": counted.batches(lambda after: self._catalog.remove_derived(derived, self._derived, after=after)),
            "quarantine": 0
            if quarantined is None
            else counted.batches(
                lambda after: self._catalog.remove_quarantined(quarantined, counted.file, after=after)
            ),
        }

    def _derived(self, job_id: int) -> bool:
        """Remove a job's derived folders."""
        root = self._settings.derived_dir
        # Without a claim's name, as the first version had it.
        for folder in (*root.glob(f"{job_id}.*"), root / str(job_id)):
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def _over_bytes(self) -> int:
        """By how much the files are more than ``retention.max_gib`` allows."""
        budget = self._settings.retention.max_gib
        if budget is None:
            return 0
        derived = self._settings.derived_dir
        held = self._catalog.held_bytes() + sum(one.stat().st_size for one in derived.rglob("*") if one.is_file())
        return held - int(budget * 2**30)

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


class _Removing:
    """Goes through batches to their end; a file that cannot be removed stays noted, and holds up no other."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._failed = 0

    def batches(self, remove: Callable[[int], list[int]]) -> int:
        """Ask ``remove`` for batch after batch, each above the last number of the one before; how many were removed."""
        count, self._failed, after = 0, 0, 0
        while looked_at := remove(after):
            count, after = count + len(looked_at), looked_at[-1]
        if self._failed:
            self._log.error("files_not_removed", count=self._failed)
        return count - self._failed

    def file(self, path: Path) -> bool:
        """Remove one file; one that is gone already has been."""
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._failed += 1
            return False
        return True


def _job_of(work_folder: Path) -> str:
    return work_folder.name.partition(".")[0]
