"""From a finished run to a model package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2ldm_core.package import ModelPackage, save_package
from train.errors import TrainError
from train.fit import finished_system
from train.store import PairStore

INTENDED_USE = (
    "Research on synthetic contrast-enhanced CT from non-contrast CT. Not a medical device; not for diagnosis, treatment planning "
    "or any decision about a patient."
)


def export(run: Path, output: Path, *, name: str, version: str, metrics: dict[str, Any] | None = None) -> ModelPackage:
    """Package the averaged weights of a finished ``run``; ``metrics`` is what ``s2ldm-train evaluate`` printed as JSON.

    Raises
    ------
    TrainError
        The run is missing, unfinished, or ``OUTPUT_EXISTS``.
    """
    if (output / "metadata.json").exists():
        raise TrainError("OUTPUT_EXISTS", f"{output} already holds a package.", "Name another folder or remove that one.")
    config, system = finished_system(run)
    store = PairStore(config.data.store)
    return save_package(
        output,
        system=system,
        metadata={
            "name": name,
            "version": version,
            "window_hu": config.data.window_hu,
            "spacing_mm": store.spacing_mm,
            "intended_use": INTENDED_USE,
            "training_data": {
                "source": "digital torso phantom (s2ldm_core.phantom) only; no patient data",
                "cases": len(store),
                "seeds": [int(case.rsplit("-", 1)[-1]) for case in store.names],
                "run": config.name,
            },
            "metrics": metrics or {},
        },
    )
