"""The runs of an ablation: each a training of its own in a process of its own, so that a killed one costs only itself."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
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
    digest: str
    """Of all that decides its outcome; part of its folders' names, so that a changed plan finds no run of the old one."""
    folder: Path
    """Of the training run."""
    package: Path
    first: bool
    """Of its plan that is trained: identity is scored beside it."""

    @property
    def label(self) -> str:
        return f"{self.row.label} #{self.seed}"

    @property
    def done(self) -> bool:
        return self.row.baseline is not None or (self.package / METADATA).is_file()


def runs(plan: AblationPlan, *, beside: Path) -> list[AblationRun]:
    """All runs, seed by seed: an interrupted ablation has whole tables of its first seeds. ``beside``: the plan's folder."""
    pairs = [(row, seed) for seed in plan.seeds for row in plan.rows if row.baseline is None or seed == plan.seeds[0]]
    first = next((pair for pair in pairs if pair[0].baseline is None), None)
    return [_run(plan, row, seed, beside, first=(row, seed) == first) for row, seed in pairs]


def _run(plan: AblationPlan, row: AblationRow, seed: int, beside: Path, *, first: bool) -> AblationRun:
    digest = plan.digest(row, seed, beside=beside)
    name = f"{row.key}-{seed}-{digest}"
    return AblationRun(
        row=row,
        seed=seed,
        digest=digest,
        folder=plan.folder / name,
        package=plan.folder / "packages" / name,
        first=first,
    )


def train(plan: AblationPlan, wanted: Sequence[AblationRun], *, beside: Path) -> Iterator[AblationRun]:
    """Train and package those of ``wanted`` that are not yet, ``plan.workers`` at a time; yields each as it is done.

    Raises
    ------
    TrainError
        ``run_failed`` with the end of the run's log, once the other runs in progress have ended.
    """
    yield from (run for run in wanted if run.done)
    with ThreadPoolExecutor(plan.workers) as pool:
        futures = [pool.submit(_train, plan, run, beside) for run in wanted if not run.done]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _train(plan: AblationPlan, run: AblationRun, beside: Path) -> AblationRun:
    run.folder.mkdir(parents=True, exist_ok=True)
    changes = [*plan.overrides(run.row, run.seed, beside=beside), f"name={run.folder.name}"]
    settings = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "train.cli", "fit", str(beside / str(run.row.config)), *settings]
    log = run.folder / "fit.log"
    with log.open("ab") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)  # noqa: S603
    if done.returncode:
        tail = log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
        raise TrainError(
            "run_failed", f"{run.label} ended with code {done.returncode}:\n{tail}", f"The whole log is {log}."
        )
    export(run.folder, run.package, name=f"{run.row.key}-{run.seed}", version=f"0+ablation.{plan.name}"[:32])
    return run
