"""Pair stores: registered phases of many cases on the model grid, memory-mapped.

A store is a folder with one folder per case: ``case.json`` and float16 arrays ``(D, H, W)`` in HU: ``native.npy`` (noise-free),
``noise.npy`` (one scan's noise on that grid) and ``<phase>.npy`` (noise-free change CECT − NCCT). ``case.json`` is written last:
a case without it is incomplete and made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.errors import TrainError

_CASE = "case.json"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One patient; arrays are memory-mapped float16 HU ``(D, H, W)``."""

    name: str
    spacing_mm: tuple[float, float, float]
    native: np.ndarray
    noise: np.ndarray
    changes: Mapping[str, np.ndarray]


class PairStore:
    """All complete cases of a store, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(p.parent.name for p in folder.glob(f"*/{_CASE}"))
        if not self.names:
            raise TrainError(
                "STORE_EMPTY", f"There is no training case in {folder}.", "Make some: s2ldm-train phantom OUTPUT --count 96."
            )
        self._cases = [_open(folder / name) for name in self.names]

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Case:
        return self._cases[index]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """The spacing all cases share.

        Raises
        ------
        TrainError
            ``STORE_MIXED`` when they do not.
        """
        spacings = {case.spacing_mm for case in self._cases}
        if len(spacings) > 1:
            raise TrainError("STORE_MIXED", f"The cases of {self.folder} have different spacings: {sorted(spacings)}.")
        return spacings.pop()


def has_case(folder: Path, name: str) -> bool:
    return (folder / name / _CASE).is_file()


def write_case(
    folder: Path,
    name: str,
    *,
    spacing_mm: tuple[float, float, float],
    native: np.ndarray,
    noise: np.ndarray,
    changes: Mapping[str, np.ndarray],
    about: Mapping[str, object],
) -> None:
    """Write one case; complete only once its ``case.json`` is there."""
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    for key, array in {"native": native, "noise": noise, **changes}.items():
        np.save(target / f"{key}.npy", array.astype(np.float16))
    record = {"spacing_mm": list(spacing_mm), "phases": sorted(changes), "about": dict(about)}
    temporary = target / f"{_CASE}.part"
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(temporary, target / _CASE)


def _open(folder: Path) -> Case:
    record = json.loads((folder / _CASE).read_text(encoding="utf-8"))

    def array(key: str) -> np.ndarray:
        return np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)

    dz, dy, dx = record["spacing_mm"]
    return Case(
        name=folder.name,
        spacing_mm=(float(dz), float(dy), float(dx)),
        native=array("native"),
        noise=array("noise"),
        changes={phase: array(phase) for phase in record["phases"]},
    )
