"""Whether the node can do its work: one answer per part, for ``/readyz`` and ``check``."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from dicom_node.errors import NodeError


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """One part of the node: ``ok``, or not and why."""

    name: str
    ok: bool
    detail: str = ""


def run_checks(checks: dict[str, Callable[[], str | None]]) -> list[HealthCheck]:
    """Run each check; it returns None if all is well, or says what is wrong, or raises an error that does."""
    results = []
    for name, check in checks.items():
        try:
            wrong = check()
        except NodeError as error:
            wrong = error.sentence
        except OSError as error:
            wrong = error.strerror or type(error).__name__
        results.append(HealthCheck(name=name, ok=wrong is None, detail=wrong or ""))
    return results


def disk_problem(folder: str, *, min_free_mib: int) -> str | None:
    """What is wrong with the disk that holds ``folder``; None if there is room, of which some must be, and it can be written."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "data_dir is on a disk that is mounted read-only"
    free_mib = shutil.disk_usage(folder).free // 2**20
    if free_mib < max(min_free_mib, 1):
        return f"{free_mib} MiB are free in data_dir; the node needs {max(min_free_mib, 1)} MiB to receive"
    return None
