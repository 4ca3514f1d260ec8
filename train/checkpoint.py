"""Where a run stands on disk, written so that a kill at any moment leaves the last complete checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from s2ldm_core.files import atomic_file
from train.errors import TrainError

_FILE = "checkpoint.pt"


@dataclass
class Position:
    """How far a run is: index of its stage, optimiser steps done and seconds spent in that stage."""

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


def save_checkpoint(run: Path, *, position: Position, state: dict[str, Any]) -> None:
    """Write atomically, and to disk before the last checkpoint goes."""
    with atomic_file(run / _FILE) as file:
        torch.save({"position": vars(position), **state}, file)


def load_checkpoint(run: Path) -> tuple[Position, dict[str, Any]] | None:
    """Position and state of the last checkpoint; ``None`` when the run has none.

    Raises
    ------
    TrainError
        ``checkpoint_damaged``.
    """
    path = run / _FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Position(**state.pop("position")), state
    except (RuntimeError, KeyError, TypeError, EOFError) as error:
        raise TrainError(
            "checkpoint_damaged", f"{path} cannot be read: {error}", "Move it away to start this run again."
        ) from error
