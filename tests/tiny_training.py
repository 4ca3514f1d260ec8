"""Training at a size that takes seconds: two-tissue pairs, a network of a few thousand weights, a few steps a stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2ldm_core.package import ModelPackage
from train.config import FitConfig
from train.export import export
from train.fit import Fit
from train.fit.step import OptimiserStep
from train.store import write_case

NETWORK: dict[str, Any] = {
    "autoencoder": {"kind": "vq", "codes": 32, "channels": (4, 6), "blocks": (1, 1), "latent": 3},
    "diffusion": {"channels": (4, 6)},
}
PLAIN: dict[str, Any] = {**NETWORK, "autoencoder": {**NETWORK["autoencoder"], "kind": "plain"}}
STAGES = ("autoencoder", "diffusion", "finetune")
CROP = (8, 32, 32)


def write_pair(
    folder: Path,
    seed: int,
    *,
    split: Any = "train",
    phases: tuple[str, ...] = ("arterial", "venous"),
    labels: bool = False,
) -> None:
    """A cylinder of 40 HU in fat that rises by 120 HU (arterial) or 60 HU (venous)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :40]
    native = np.full((12, 48, 40), -100.0)
    native[:, (y - 24) ** 2 + (x - 20) ** 2 < 100] = 40.0
    change = np.where(native > 0, 120.0, 0.0)
    write_case(
        folder,
        f"phantom-{seed:06d}",
        spacing_mm=(3, 1.5, 1.5),
        native=native,
        noise=rng.normal(0, 5, native.shape),
        changes={phase: change * (0.5 if phase == "venous" else 1.0) for phase in phases},
        labels=(native > 0).astype(np.uint8) if labels else None,
        organs={"aorta": 1} if labels else None,
        split=split,
        about={"seed": seed},
    )


def fit_config(store: Path, output: Path, *, steps: int = 3, **changes: Any) -> FitConfig:
    stages = tuple({"name": name, "steps": steps, "lr": 2e-3} for name in STAGES)
    values = {
        "name": "run",
        "system": "s2ldm",
        "network": NETWORK,
        "data": {"store": store, "crop": CROP},
        "stages": stages,
        "precision": "fp32",
        "checkpoint_steps": 2,
        "log_steps": 1,
        "threads": 1,
        "output": output,
    }
    return FitConfig.model_validate({**values, **changes})


def packaged(store: Path, folder: Path, name: str, **changes: Any) -> ModelPackage:
    """The package ``name`` of a run of two steps a stage; both lie in ``folder``."""
    fit = Fit(fit_config(store, folder / name, **{"steps": 2, **changes}))
    fit.fit()
    return export(fit.run, folder / "packages" / name, name=name, version="1")


class _KilledError(Exception):
    pass


def fit_until(config: FitConfig, *, stage: int, step: int) -> None:
    """Begin a run that dies before step number ``step`` of stage number ``stage``."""
    whole = OptimiserStep.__call__

    def dying(self: Any, draw: Any, **where: Any) -> Any:
        if (self._index, where["step"]) == (stage, step):
            raise _KilledError
        return whole(self, draw, **where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OptimiserStep, "__call__", dying)
        with pytest.raises(_KilledError):
            Fit(config).fit()
