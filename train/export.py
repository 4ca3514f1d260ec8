"""From a finished run to a model package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2ldm_core.intensity import unit_change_to_hu, window_to_unit
from s2ldm_core.package import METADATA, ModelPackage, save_package
from s2ldm_core.systems import System
from s2ldm_core.systems.base import How
from s2ldm_core.systems.latent_system import LatentSystem
from s2ldm_core.tiling import TILE
from train.answers import Drawn, answer_limits
from train.card import model_card
from train.config import FitConfig
from train.errors import TrainError
from train.fit import finished_system
from train.fit.provenance import describe_data
from train.fit.record import read_record
from train.store import pairs_of

INTENDED_USE = (
    "Research on synthetic contrast-enhanced CT from non-contrast CT. Not a medical device; not for diagnosis, treatment planning "
    "or any decision about a patient."
)
LIMITS = (
    "No contrast agent was given: what is shown enhanced is what the network expects to enhance. Lesions that only contrast would reveal "
    "are not revealed.",
    "Values outside the training window keep the source's HU; dense bone, lung and air are never changed.",
    "Anatomy, scanners and patients unlike the training data were not tested.",
)


def export(
    run: Path,
    output: Path,
    *,
    name: str,
    version: str,
    metrics: dict[str, Any] | None = None,
    intended_use: str = INTENDED_USE,
    limits: Sequence[str] = LIMITS,
    best: bool = False,
    half: bool = False,
) -> ModelPackage:
    """Package the averaged weights of a finished ``run``; ``metrics`` is what ``s2ldm-train evaluate`` wrote as JSON.

    ``best``: those with which its last stage validated best. ``half``: kept as float16; they are computed with as float32.

    Raises
    ------
    TrainError
        The run is missing, unfinished or was never validated, or ``output_exists``.
    """
    if (output / METADATA).exists():
        raise TrainError(
            "output_exists", f"{output} already holds a package.", "Name another folder or remove that one."
        )
    config, system = finished_system(run, best=best)
    data, spacing = _data(run, config)
    return save_package(
        output,
        system=system,
        metadata={
            "name": name,
            "version": version,
            "window_hu": config.data.window_hu,
            "spacing_mm": spacing,
            "intended_use": intended_use,
            "training_data": {**data, "run": config.name},
            "metrics": metrics or {},
            "limits": tuple(limits),
            "answers": _answers(config, system),
        },
        model_card=model_card,
        half=half,
    )


def _answers(config: FitConfig, system: System) -> dict[str, Any] | None:
    """Limits of what the run's training pairs show; ``None`` where its store is no longer there."""
    if not config.data.store.is_dir():
        return None
    store, window = pairs_of(config.data, "train"), config.data.window_hu
    drawn = _through_latents(system, window) if isinstance(system, LatentSystem) and system.traits.redraws else None
    return answer_limits(store, phases=system.config.phases, window_hu=window, drawn=drawn)


def _through_latents(system: LatentSystem, window_hu: tuple[float, float]) -> Drawn:
    """A true change as the autoencoder draws it, in tiles as in translation."""

    @torch.no_grad()
    def drawn(native: np.ndarray, change: np.ndarray) -> np.ndarray:
        source, target = (
            window_to_unit(torch.from_numpy(hu), window_hu=window_hu)[None, None] for hu in (native, native + change)
        )
        found = system.reconstruct_change(source, target, How(tile=TILE))
        return unit_change_to_hu(found[0, 0].float(), window_hu=window_hu).numpy()

    return drawn


def _data(run: Path, config: FitConfig) -> tuple[dict[str, Any], tuple[float, float, float]]:
    """What the run was trained on and at which spacing: as it recorded, else as its store says now."""
    recorded = read_record(run).get("data")
    if recorded is None:
        store = pairs_of(config.data, "train")
        return describe_data(store), store.spacing_mm
    dz, dy, dx = recorded["spacing_mm"]
    return {key: value for key, value in recorded.items() if key not in ("store", "spacing_mm")}, (dz, dy, dx)
