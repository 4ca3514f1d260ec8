"""What lies in data_dir and belongs to nothing: recorded anew or removed, and told of."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.private import make_private
from dicom_node.receive.recovery import SpoolRecovery

#: What is younger may be on its way to its row.
_YOUNG_SECONDS = 600.0
#: It takes less than a second, unless the database does not answer; then what waits for it is given up sooner.
_ON_ITS_WAY_SECONDS = 120.0
#: Of what no row can name any more, so much time is left to whoever looks for it.
_LEFT_SECONDS = 86_400.0


class OrphanSweep:
    """Finds files without a row: received ones get one, what was derived or cut off goes.

    Takes permissions away from others, too, wherever earlier versions or other programs left them.

    Parameters
    ----------
    clock
        Seconds since the epoch, as the file system has them.
    """

    def __init__(self, settings: Settings, catalog: Catalog, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        self._recovery = SpoolRecovery(settings, catalog)
        self._log = structlog.get_logger(step="orphans")

    def recover(self) -> bool:
        """Before this node receives anything: record every received file that has no row; whether there was one.

        Where other nodes may be receiving, only what is not on its way to its row.
        """
        self._recovery.prepare()
        sealed_before = self._clock() - _ON_ITS_WAY_SECONDS if self._settings.several_nodes else float("inf")
        return bool(self._recovery.run(sealed_before=sealed_before))

    def run_once(self) -> bool:
        """Look through data_dir; whether anything was recorded that may make work. What was found is logged."""
        now = self._clock()
        recovered = self._recovery.run(sealed_before=now - _YOUNG_SECONDS)
        report = {
            "recorded": recovered.recorded,
            "removed_same": recovered.same,
            "quarantined": recovered.quarantined,
            "removed_unfinished": self._remove_unfinished(now - _LEFT_SECONDS),
            "removed_derived": self._remove_derived(now - _LEFT_SECONDS),
            "made_private": make_private(self._everything()),
        }
        if any(report.values()):
            self._log.warning("orphans_found", **report)
        return recovered.recorded > 0

    def _remove_unfinished(self, before: float) -> int:
        """Files that a listener's end cut off while the others went on."""
        incoming = self._settings.node.data_dir / "incoming"
        cut_off = [path for path in incoming.glob("*/*.part") if _older(path, before)]
        for path in cut_off:
            path.unlink(missing_ok=True)
        return len(cut_off)

    def _remove_derived(self, before: float) -> int:
        """Derived folders of jobs that are gone, or that name other files by now."""
        root = self._settings.derived_dir
        folders = [one for one in root.iterdir() if _older(one, before)] if root.is_dir() else []
        # Asked after the folders were listed: a job that begins meanwhile has its folder on neither list.
        in_use = {str(job_id) for job_id in self._catalog.jobs_with_derived()}
        left = [one for one in folders if one.is_dir() and one.name.partition(".")[0] not in in_use]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)

    def _everything(self) -> Iterator[Path]:
        data_dir = self._settings.node.data_dir
        yield data_dir
        yield from data_dir.rglob("*")


def _older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except OSError:  # gone meanwhile
        return False
