"""The best weights of a stage by its validation, beside the last ones."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from s2ldm_core.files import atomic_path, replace_text
from train.errors import TrainError

#: Of all phases' metrics, this one decides: mean absolute error in the body, HU.
DECIDES = "mae_body_hu"


def keep_best(run: Path, *, stage: str, step: int, metrics: Mapping[str, float], weights: Mapping[str, Tensor]) -> bool:
    """Keep averaged weights where their validation is better than all before in this stage; says whether it was.

    ``<stage>.best.safetensors`` holds the weights, ``<stage>.best.json`` the step and the mean of the phases' errors.
    """
    errors = [value for name, value in metrics.items() if name.endswith(f"/{DECIDES}")]
    if not errors:
        return False
    error = sum(errors) / len(errors)
    note = run / f"{stage}.best.json"
    if note.is_file() and not error < float(json.loads(note.read_text(encoding="utf-8"))[DECIDES]):
        return False
    target = run / f"{stage}.best.safetensors"
    with atomic_path(target) as partial:
        save_file({key: value.contiguous() for key, value in weights.items()}, partial)
        partial.chmod(0o644)  # safetensors writes 0600; runs are read by whoever evaluates them
    replace_text(note, json.dumps({"step": step, DECIDES: error}))
    return True


def best_weights(run: Path, *, stage: str) -> dict[str, Tensor]:
    """The weights that `keep_best` kept.

    Raises
    ------
    TrainError
        ``best_missing`` when the stage was never validated.
    """
    path = run / f"{stage}.best.safetensors"
    if not path.is_file():
        raise TrainError(
            "best_missing",
            f"The run in {run} kept no best weights of its stage {stage}: it was never validated.",
            "Train with a validation split, or take the last weights.",
        )
    return dict(load_file(path))
