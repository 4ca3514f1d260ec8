"""The runs of an ablation: each a training of its own in a process of its own, so that a killed one costs only itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from s2ldm_core.package import METADATA
from train.ablation.plan import AblationPlan, AblationRow
from train.errors import TrainError
from train.export import export

_LOG_TAIL = 1500


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One row with one seed."""

    row: AblationRow
    seed: int
    folder: Path
    """Of the training run."""
    package: Path

    @property
    def label(self) -> str:
        return f"{self.row.label} #{self.seed}"

    @property
    def done(self) -> bool:
        return (self.package / METADATA).is_file()


def runs(plan: AblationPlan) -> list[AblationRun]:
    """All runs, seed by seed: an interrupted ablation has whole tables of its first seeds."""
    return [
        AblationRun(
            row=row, seed=seed, folder=plan.folder / f"{row.key}-{seed}", package=plan.folder / "packages" / f"{row.key}-{seed}"
        )
        for seed in plan.seeds
        for row in plan.rows
    ]


def train_missing(plan: AblationPlan, *, beside: Path) -> Iterator[AblationRun]:
    """Train and package what is not there yet, ``plan.workers`` at a time; yields each run as it is done.

    Raises
    ------
    TrainError
        ``RUN_FAILED`` with the end of the run's log, once the other runs in progress have ended.
    """
    missing = [run for run in runs(plan) if not run.done]
    with ThreadPoolExecutor(plan.workers) as pool:
        futures = [pool.submit(_train, plan, run, beside) for run in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _train(plan: AblationPlan, run: AblationRun, beside: Path) -> AblationRun:
    run.folder.mkdir(parents=True, exist_ok=True)
    changes = [part for change in plan.overrides(run.row, run.seed, beside=beside) for part in ("--set", change)]
    command = [sys.executable, "-m", "train.cli", "fit", str(beside / run.row.config), *changes]
    log = run.folder / "fit.log"
    with log.open("ab") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)  # noqa: S603
    if done.returncode:
        tail = log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
        raise TrainError("RUN_FAILED", f"{run.label} ended with code {done.returncode}:\n{tail}", f"The whole log is {log}.")
    export(run.folder, run.package, name=f"{run.row.key}-{run.seed}", version=f"0+ablation.{plan.name}"[:32])
    return run
