"""The plan of an ablation: which configurations, seeds and budget, on which data, and what they are evaluated on."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from s2ldm_core.documents import read_document, validate
from s2ldm_core.errors import DocumentError
from train.config import FitConfig, load_config
from train.errors import TrainError
from train.store import Split

_DIGEST_LENGTH = 12


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AblationRow(_Part):
    """One line of the table."""

    label: str = Field(min_length=1, max_length=80)
    config: Path | None = None
    """Training configuration, relative to the plan."""
    baseline: Literal["organ_shift"] | None = None
    """In place of a configuration: what needs no training."""
    set: tuple[str, ...] = ()
    """``KEY=VALUE`` changes to it."""
    store: Path | None = None
    """What it is trained on in place of the plan's store."""
    ceiling: bool = False
    """Also put its stage-1 autoencoder into the table."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.config is None) == (self.baseline is None):
            raise ValueError("a row has either config or baseline")
        if self.baseline is not None and self.store is not None:
            raise ValueError("a baseline knows the plan's store alone")
        return self

    @property
    def key(self) -> str:
        """The label as part of a folder name."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-") or "row"

    @property
    def ceiling_label(self) -> str:
        """What its autoencoder is called in the table."""
        return f"{self.label}: autoencoder ceiling"


class HeldOutScans(_Part):
    """Phantoms that are never trained on; see `train.evaluation.HeldOut`."""

    count: int = Field(4, ge=1)
    slices: int = Field(64, ge=8)
    matrix: tuple[int, int] = (512, 512)
    spacing_mm: tuple[float, float, float] = (2.5, 0.78, 0.78)


class StoredPairs(_Part):
    """Pairs that nothing was trained on, to score every run on as well."""

    store: Path
    split: Split = "test"
    title: str = Field("pairs", min_length=1, max_length=60)
    """Of its part of the table."""

    @field_validator("title")
    @classmethod
    def _its_own(cls, title: str) -> str:
        if title == "phantoms":
            raise ValueError("the other part of the table is called phantoms")
        return title


class AblationPlan(_Part):
    """A whole ablation; runs and results lie in ``output``/``name``."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    store: Path
    phantoms: int = Field(0, ge=0)
    """Phantoms to put into the store first where they are missing; 0: the store is there already."""
    breathing_mm: float = Field(0.0, ge=0)
    """Of these phantoms, from the native scan to the phases; not registered. The held-out ones do not breathe."""
    phases: tuple[str, ...] = ("arterial", "venous")
    output: Path = Path("runs")
    seeds: tuple[int, ...] = (0, 1, 2)
    minutes: float = Field(gt=0)
    """Computing time of one run over all its stages, shared out as its configuration shares its own."""
    threads: int | None = Field(None, ge=1)
    workers: int = Field(1, ge=1)
    """Runs at a time."""
    set: tuple[str, ...] = ()
    """``KEY=VALUE`` changes to every configuration, before a row's own."""
    held_out: HeldOutScans = HeldOutScans()
    pairs: tuple[StoredPairs, ...] = ()
    rows: tuple[AblationRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [row.key for row in self.rows]
        if len(set(keys)) < len(keys):
            raise ValueError("two rows have the same label")
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise ValueError("seeds must be different, and at least one")
        titles = [each.title for each in self.pairs]
        if len(set(titles)) < len(titles):
            raise ValueError("two stores of pairs have the same title")
        return self

    @property
    def folder(self) -> Path:
        return self.output / self.name

    def configuration(self, row: AblationRow, seed: int, *, beside: Path) -> FitConfig:
        """What ``row`` trains with ``seed``, validated; ``beside``: the plan's folder."""
        return load_config(_config(row, beside), overrides=self.overrides(row, seed, beside=beside))

    def digest(self, row: AblationRow, seed: int, *, beside: Path) -> str:
        """Of all that decides the outcome of ``row`` with ``seed``, but for where its files lie.

        Only what its configuration and the plan write down is in it, and of that no null: what a later version can switch on leaves the
        runs valid that were made without. A default that a later version changes is not noticed, as nothing in the program is.
        """
        data: dict[str, Any] = {"phantoms": self.phantoms, "held_out": self.held_out_digest}
        if self.breathing_mm:
            data["breathing_mm"] = self.breathing_mm
        if row.baseline is not None:
            return _digest({"baseline": row.baseline, **data})
        if row.store is not None:
            data["store"] = str(row.store)
        config = self.configuration(row, seed, beside=beside).model_dump(
            mode="json",
            exclude={"name": True, "output": True, "data": {"store"}},
            exclude_none=True,
            exclude_unset=True,
        )
        return _digest({"config": config, **data})

    @property
    def held_out_digest(self) -> str:
        """Of the scans that the runs are tested on."""
        return _digest({"phases": self.phases, **self.held_out.model_dump(mode="json")})

    def overrides(self, row: AblationRow, seed: int, *, beside: Path) -> list[str]:
        """The changes to ``row``'s configuration that make it a run of this plan."""
        changes = [*self.set, *row.set]
        stages = load_config(_config(row, beside), overrides=changes).stages
        weights = [stage.minutes or float(stage.steps or 0) for stage in stages]
        for stage, weight in zip(stages, weights, strict=True):
            share = self.minutes * weight / sum(weights)
            changes += [f"stages.{stage.name}.steps=null", f"stages.{stage.name}.minutes={share:.4f}"]
        changes += [
            f"name={row.key}-{seed}",
            f"seed={seed}",
            f"output={self.folder}",
            f"data.store={row.store or self.store}",
            f"threads={'null' if self.threads is None else self.threads}",
        ]
        return changes


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]


def load_plan(path: Path) -> AblationPlan:
    """Read ``path`` and validate it and every configuration it names.

    Raises
    ------
    TrainError
        ``plan_invalid`` or that of a configuration, naming the key.
    """
    try:
        plan = validate(AblationPlan, read_document(path), name=str(path))
    except OSError as error:
        raise TrainError(
            "plan_invalid", f"{path} cannot be read: {error}", "Name a plan such as config/train/ablation.yaml."
        ) from error
    except DocumentError as error:
        raise TrainError("plan_invalid", error.sentence, "Correct these keys.") from error
    for row in plan.rows:
        if row.config is not None:
            plan.configuration(row, plan.seeds[0], beside=path.parent)
    return plan


def _config(row: AblationRow, beside: Path) -> Path:
    if row.config is None:
        raise ValueError(f"{row.label} is not trained")
    return beside / row.config
