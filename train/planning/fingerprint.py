"""What a pair store holds, in numbers: what a person looks at before training on it, and what a plan follows from."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from train.config import Triple
from train.store import Case, PairStore

_THINNED = (slice(None, None, 2), slice(None, None, 3), slice(None, None, 3))
"""Voxels that are looked at: one in eighteen is plenty for percentiles."""
_TISSUES = {"lung": (-950, -500), "fat": (-140, -40), "soft": (0, 80), "bone": (200, 2000)}
"""HU of the native scan; what enhances is among the soft tissues."""
_PERCENTILES = (5, 50, 95)
_FITS = ("mutual_information", "fat_hu", "bone_edge_hu")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Registration(_Part):
    """Medians over the cases of one phase, from the store's ``manifest.yaml``."""

    pairs: int
    before: dict[str, float]
    after: dict[str, float]
    covered: float
    """Share of the native slices that the contrast scan covers."""


class Fingerprint(_Part):
    """A whole store."""

    cases: dict[str, int]
    """Split → cases."""
    patients: dict[str, int]
    phases: dict[str, int]
    """Phase → cases."""
    labelled: int
    """Cases with labels."""
    organs: tuple[str, ...]
    """Of any training case."""
    spacing_mm: tuple[float, float, float]
    smallest: Triple
    median: Triple
    largest: Triple
    """Voxels: slices, rows, columns, each by itself."""
    hu: dict[str, dict[str, tuple[float, float, float]]]
    """Tissue of the native scan → image → 5th, 50th and 95th percentile."""
    above_window: dict[str, float]
    """Phase → share of the soft tissue's voxels above the window, which clips them."""
    measured: dict[str, float]
    """Phase → mean share of a case that was measured."""
    registration: dict[str, Registration]
    """Empty for a store without a manifest."""


def fingerprint(folder: Path, *, window_hu: tuple[float, float]) -> Fingerprint:
    """Of all cases of the store in ``folder``.

    Raises
    ------
    TrainError
        ``store_empty``; ``store_mixed`` where cases have different spacings.
    """
    store = PairStore(folder)
    cases = [store[i] for i in range(len(store))]
    phases = sorted({name for case in cases for name in case.changes if "@" not in name})
    shapes = np.array([case.native.shape for case in cases])
    splits = [split for split in ("train", "validation", "test") if any(case.split == split for case in cases)]
    return Fingerprint(
        cases={split: sum(case.split == split for case in cases) for split in splits},
        patients={split: len({case.patient for case in cases if case.split == split}) for split in splits},
        phases={phase: sum(phase in case.changes for case in cases) for phase in phases},
        labelled=sum(case.labels is not None for case in cases),
        organs=tuple(sorted({name for case in cases if case.split == "train" for name in case.organs})),
        spacing_mm=store.spacing_mm,
        smallest=_triple(shapes.min(0)),
        median=_triple(np.median(shapes, 0)),
        largest=_triple(shapes.max(0)),
        hu=_tissues(cases, phases),
        above_window={phase: _above(cases, phase, window_hu[1]) for phase in phases},
        measured={phase: _measured(cases, phase) for phase in phases},
        registration=_registration(folder / "manifest.yaml", phases),
    )


def _triple(values: np.ndarray) -> Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x


def _native(case: Case) -> np.ndarray:
    native = case.native[_THINNED].astype(np.float32)
    return native if case.noise is None else native + case.noise[_THINNED].astype(np.float32)


def _seen(case: Case, phase: str) -> np.ndarray | bool:
    return case.valid[phase][_THINNED] if phase in case.valid else True


def _tissues(cases: Sequence[Case], phases: Sequence[str]) -> dict[str, dict[str, tuple[float, float, float]]]:
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in _TISSUES}
    for case in cases:
        native = _native(case)
        for tissue, (low, high) in _TISSUES.items():
            inside = (native > low) & (native < high)
            found[tissue].setdefault("native", []).append(native[inside])
            for phase in phases:
                if phase in case.changes:
                    seen = inside & _seen(case, phase)
                    change = case.changes[phase][_THINNED].astype(np.float32)
                    found[tissue].setdefault(phase, []).append(native[seen] + change[seen])
    return {
        tissue: {
            image: _percentiles(np.concatenate(values)) for image, values in images.items() if any(map(len, values))
        }
        for tissue, images in found.items()
    }


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = (round(float(value), 1) for value in np.percentile(values, _PERCENTILES))
    return low, middle, high


def _above(cases: Sequence[Case], phase: str, top: float) -> float:
    above = total = 0
    low, high = _TISSUES["soft"]
    for case in cases:
        if phase in case.changes:
            native = _native(case)
            soft = (native > low) & (native < high) & _seen(case, phase)
            total += int(soft.sum())
            above += int((native[soft] + case.changes[phase][_THINNED].astype(np.float32)[soft] > top).sum())
    return round(above / max(1, total), 5)


def _measured(cases: Sequence[Case], phase: str) -> float:
    shares = [float(np.mean(_seen(case, phase))) for case in cases if phase in case.changes]
    return round(float(np.mean(shares)), 3)


def _registration(manifest: Path, phases: Sequence[str]) -> dict[str, Registration]:
    if not manifest.is_file():
        return {}
    cases = yaml.safe_load(manifest.read_text(encoding="utf-8")).get("cases", [])
    found = {}
    for phase in phases:
        known = [case["quality"][phase] for case in cases if phase in case.get("quality", {})]
        if known:
            before, after = (
                {
                    key: round(median(values), 3)
                    for key in _FITS
                    if (values := [one[when][key] for one in known if one[when][key] is not None])
                }
                for when in ("before", "after")
            )
            covered = round(median(one["covered"] for one in known), 3)
            found[phase] = Registration(pairs=len(known), before=before, after=after, covered=covered)
    return found
