"""The adversarial systems at a size that takes seconds, and what they reach when they learn two pairs by heart."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2ldm_core.systems import Condition, System
from tests.tiny_training import fit_config
from train.config import FitConfig
from train.crops import whole_case
from train.store import PairStore, write_case

CROP = (8, 24, 24)
JUDGE: dict[str, Any] = {"channels": 4, "layers": 1}
SMALL_UNET: dict[str, Any] = {"channels": (6, 12), "in_plane": 1}
SMALL_RESNET: dict[str, Any] = {"kind": "resnet", "channels": (6, 12), "in_plane": 1, "blocks": 1}

MISALIGNED: dict[str, Any] = {
    "generator": {"system": "pix2pix", "network": {"generator": SMALL_RESNET}},
    "registration": {"channels": (4, 6), "in_plane": 1, "largest": (1, 4, 4)},
    "discriminator": JUDGE,
}

TINY: dict[str, dict[str, Any]] = {
    "ctagan": {**MISALIGNED, "window_hu": (-200, 500)},
    "cyclegan": {"generator": SMALL_RESNET, "discriminator": JUDGE, "pool": 1},
    "pix2pix": {"generator": SMALL_UNET, "discriminator": JUDGE, "dropout": 0.2},
    "reggan": MISALIGNED,
}
"""Network of each."""
STAGES: dict[str, tuple[str, ...]] = {
    "ctagan": ("whole", "region"),
    "cyclegan": ("cycle",),
    "pix2pix": ("gan",),
    "reggan": ("registered",),
}
_AS_IT_IS: dict[str, Any] = {"noise": (1.0, 1.0), "offset_hu": 0.0, "smooth_share": 0.0}
_PEAK = 2.0
"""Window units from one end of the window to the other."""


def tiny_config(name: str, store: Path, output: Path, *, steps: int = 4, lr: float = 2e-3, **changes: Any) -> FitConfig:
    """A run of the system ``name`` of `TINY`."""
    stages = tuple({"name": stage, "steps": steps, "lr": lr} for stage in STAGES[name])
    data = {"store": store, "crop": CROP}
    return fit_config(
        store, output, **{"system": name, "network": TINY[name], "stages": stages, "data": data, **changes}
    )


def two_pairs(folder: Path, *, moved: tuple[int, ...] = (0,)) -> Path:
    """A store of two patients of one crop's size: a vessel of 40 HU in fat that rises by 200 HU (arterial) or 100 HU (venous).

    ``moved``: columns by which the enhanced images lie farther to the right, as unregistered ones may; each patient is there so often.
    """
    _, y, x = np.mgrid[: CROP[0], : CROP[1], : CROP[2]]
    for number, (row, column) in enumerate(((9, 14), (14, 9))):
        for shift in moved:
            vessel, later = ((y - row) ** 2 + (x - column - by) ** 2 < 36 for by in (0, shift))
            native, contrast = (np.where(where, 40.0, -100.0) for where in (vessel, later))
            write_case(
                folder,
                f"pair-{number}-{shift}",
                spacing_mm=(3, 1.5, 1.5),
                native=native,
                noise=np.random.default_rng(number).normal(0, 3, native.shape),
                changes={name: contrast + hu * later - native for name, hu in (("arterial", 200), ("venous", 100))},
                split="train",
                about={},
            )
    return folder


def by_heart(name: str, store: Path, output: Path, *, steps: int, lr: float, **changes: Any) -> FitConfig:
    """A run that shows the pairs as they are, without augmentation, and averages little."""
    data = {"store": store, "crop": CROP, **_AS_IT_IS}
    optim = {"ema": 0.9, "warmup_steps": 5}
    seldom = {"checkpoint_steps": 1000, "log_steps": 100}
    return tiny_config(name, store, output, steps=steps, lr=lr, data=data, optim=optim, **seldom, **changes)


@torch.no_grad()
def psnr_of_change(system: System, store: Path) -> tuple[float, float]:
    """(dB of the predicted change, dB of no change) over all pairs and phases of ``store``, whole; peak 2 window units."""
    error, identity, voxels = 0.0, 0.0, 0
    for case in PairStore(store):
        for index, phase in enumerate(system.config.phases):
            source, change = whole_case(case, phase=phase, window_hu=(-200.0, 500.0))
            answer = system.predict_change(source, Condition(phase=torch.tensor([index])))
            error += float((answer - change).square().sum())
            identity += float(change.square().sum())
            voxels += change.numel()
    return tuple(20 * math.log10(_PEAK / math.sqrt(sum_ / voxels)) for sum_ in (error, identity))  # type: ignore[return-value]
