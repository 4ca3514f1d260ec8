"""Training configuration: one YAML file per experiment, validated before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2ldm_core.errors import S2LDMError
from s2ldm_core.systems import build_system
from train.errors import TrainError

Triple = tuple[int, int, int]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Part):
    """Which pairs, and how crops are drawn from them."""

    store: Path
    """Folder written by ``s2ldm-train phantom``."""
    window_hu: tuple[float, float] = (-200.0, 500.0)
    crop: Triple = (32, 128, 128)
    """Voxels of the model grid: slices, rows, columns."""
    batch: int = Field(1, ge=1)
    noise: tuple[float, float] = (0.5, 1.5)
    """The scan's own noise is multiplied by a factor from this range; both phases share it, so the change is learnt, not denoising."""
    offset_hu: float = Field(3.0, ge=0)
    """Standard deviation of a calibration offset added to both phases."""
    smooth_share: float = Field(0.5, ge=0, le=1)
    """Share of the crops seen through a thicker slice and a softer kernel: the same blur in both phases."""
    smooth_mm: tuple[float, float] = (2.0, 0.7)
    """Largest standard deviation of that blur, through the slices and in the plane."""


class StageConfig(_Part):
    """Budget of one stage: ``minutes`` of computing (on a CPU: its own time a thread) or ``steps``, whichever is given."""

    name: str
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    lr: float = Field(6e-4, gt=0)
    crop: Triple | None = None
    """Crop of this stage where it differs from ``data.crop``."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give either minutes or steps")
        return self


class OptimConfig(_Part):
    """AdamW with warm-up and a cosine to ``final`` of the rate."""

    weight_decay: float = Field(1e-4, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = Field(50, ge=0)
    final: float = Field(0.02, ge=0, le=1)
    clip_norm: float = Field(1.0, gt=0)
    ema: float = Field(0.998, ge=0, lt=1)


class FitConfig(_Part):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    system: Literal["s2ldm", "unet"]
    network: dict[str, Any] = {}
    """The system's configuration (``network.yaml`` of the package made from this run)."""
    data: DataConfig
    stages: tuple[StageConfig, ...]
    optim: OptimConfig = OptimConfig()
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "bf16"
    threads: int | None = Field(None, ge=1)
    """CPU threads of PyTorch; null: PyTorch's own choice."""
    checkpoint_steps: int = Field(200, ge=1)
    log_steps: int = Field(10, ge=1)
    output: Path = Path("runs")

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        try:
            known = build_system(self.system, self.network).stages
        except S2LDMError as error:
            raise ValueError(error.sentence) from error
        names = tuple(stage.name for stage in self.stages)
        if names != tuple(known[: len(names)]):
            raise ValueError(f"stages must be {', '.join(known)} in this order, not {', '.join(names) or 'none'}")
        return self


def load_config(path: Path) -> FitConfig:
    """Read and validate ``path``; a relative ``data.store`` or ``output`` is relative to the working directory.

    Raises
    ------
    TrainError
        ``CONFIG_INVALID`` naming the key.
    """
    try:
        return FitConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise TrainError("CONFIG_MISSING", f"There is no configuration file {path}.", "Name one of config/train/*.yaml.") from error
    except yaml.YAMLError as error:
        raise TrainError("CONFIG_INVALID", f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc']) or 'file'}: {e['msg']}" for e in error.errors(include_url=False)]
        raise TrainError("CONFIG_INVALID", f"{path}: {'; '.join(lines)}", "Correct these keys.") from error
