"""What an ablation has measured so far, scan by scan: one small table beside the results, enough to go on from on another machine."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2ldm_core.files import replace_text
from train.ablation.plan import AblationPlan
from train.ablation.runs import AblationRun
from train.errors import TrainError
from train.evaluation.scores import METRICS

_FILE = "scores.csv"
_KEYS = ("system", "seed", "run", "phase", "case")
PHANTOMS = "phantoms"
"""What scores are of that do not say it."""
_METRICS = tuple(metric.key for metric in METRICS)
IDENTITY = "identity"


@dataclass(frozen=True, kw_only=True)
class ScoredOn:
    """What every run of a plan is scored on."""

    name: str
    digest: str
    """Of its scans."""
    scans: int


@dataclass(frozen=True, kw_only=True)
class ScanScore:
    """One system on one scan; ``seed`` and ``run`` (digest of what was trained and tested) are empty for identity."""

    data: str = PHANTOMS
    """Name of the `ScoredOn`."""
    system: str
    seed: int | None
    run: str
    phase: str
    case: str
    values: Mapping[str, float | None]
    """By the keys of `train.evaluation.scores.METRICS`."""

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        return (self.data, self.system, -1 if self.seed is None else self.seed, self.phase, self.case)


class ScoreSheet:
    """``<folder>/scores.csv``: the scores of the plan's runs that are evaluated; those of other runs are dropped.

    A run is known by a digest of its configuration, budget, data and held-out scans, so a changed plan repeats only the runs it changes.
    A changed program is not noticed (remove the file then), nor is another kind of processor, which learns more or less in a minute.

    Raises
    ------
    TrainError
        ``scores_damaged``.
    """

    def __init__(
        self, folder: Path, *, plan: AblationPlan, runs: Sequence[AblationRun], sets: Sequence[ScoredOn] = ()
    ) -> None:
        self._path = folder / _FILE
        self._sets = (
            ScoredOn(name=PHANTOMS, digest=plan.held_out_digest, scans=plan.held_out.count * len(plan.phases)),
            *sets,
        )
        names = [IDENTITY, *(name for row in plan.rows for name in (row.label, row.ceiling_label))]
        self._order = {name: number for number, name in enumerate(names)}
        valid = {
            (each.name, *key): run_digest(run.digest if key[0] != IDENTITY else "", each)
            for run in runs
            for each in self._of(run)
            for key in _keys(run)
        }
        found = _read(self._path) if self._path.is_file() else []
        self._scores = {
            score.key: score for score in found if valid.get((score.data, score.system, score.seed)) == score.run
        }

    @property
    def scores(self) -> list[ScanScore]:
        """In the plan's order, identity first."""
        sets = [each.name for each in self._sets]
        return sorted(self._scores.values(), key=lambda s: (sets.index(s.data), self._order[s.system], *s.key[2:]))

    def has(self, run: AblationRun) -> bool:
        """Whether every scan of ``run`` is scored."""
        keys = [(score.data, score.system, score.seed) for score in self._scores.values()]
        return all(keys.count((each.name, *key)) == each.scans for each in self._of(run) for key in _keys(run))

    def _of(self, run: AblationRun) -> Sequence[ScoredOn]:
        """What ``run`` is scored on: a baseline needs labels, which phantoms have."""
        return self._sets if run.row.baseline is None else self._sets[:1]

    def add(self, scores: Iterable[ScanScore]) -> None:
        """Take ``scores`` in and write the file."""
        self._scores |= {score.key: score for score in scores}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self._path, _text(self.scores))


def run_digest(digest: str, scored_on: ScoredOn) -> str:
    """What stands beside a score: of the run, and of the scans where the run's own does not hold them; identity has the scans' alone."""
    if scored_on.name == PHANTOMS:
        return digest or scored_on.digest
    return "-".join(filter(None, (digest, scored_on.digest)))


def _keys(run: AblationRun) -> list[tuple[str, int | None]]:
    """System and seed of all that is scored with ``run``."""
    own: list[tuple[str, int | None]] = [(run.row.label, run.seed)]
    if run.row.ceiling:
        own.append((run.row.ceiling_label, run.seed))
    return [(IDENTITY, None), *own] if run.first else own


def _text(scores: Iterable[ScanScore]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["data", *_KEYS, *_METRICS])
    for score in scores:
        values = (score.values.get(metric) for metric in _METRICS)
        seed = "" if score.seed is None else score.seed
        writer.writerow(
            [
                score.data,
                score.system,
                seed,
                score.run,
                score.phase,
                score.case,
                *("" if value is None else f"{value:.9g}" for value in values),
            ]
        )
    return out.getvalue()


def _read(path: Path) -> list[ScanScore]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if missing := set(_KEYS) - set(reader.fieldnames or ()):
                raise ValueError(f"it has no column {', '.join(sorted(missing))}")
            return [_score(row) for row in reader]
    except (TypeError, ValueError, csv.Error) as error:
        raise TrainError(
            "scores_damaged", f"{path} cannot be read: {error}", "Remove this file; its runs are then made again."
        ) from error


def _score(row: Mapping[str, str]) -> ScanScore:
    values = {
        metric: float(row[metric]) if row.get(metric) else None for metric in _METRICS
    }  # a newer metric has no column
    if not all(value is None or math.isfinite(value) for value in values.values()):
        raise ValueError(f"a value of {row['system']} is not finite")
    seed = int(row["seed"]) if row["seed"] else None
    return ScanScore(
        data=row.get("data") or PHANTOMS,
        system=row["system"],
        seed=seed,
        run=row["run"],
        phase=row["phase"],
        case=row["case"],
        values=values,
    )
