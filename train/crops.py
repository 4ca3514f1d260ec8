"""Random crops of a pair store: which crop step n sees depends on the seed and n alone, so a resumed run sees the same data."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from s2ldm_core.intensity import gate, window_to_unit
from s2ldm_core.systems import PairBatch
from train.config import DataConfig, Triple
from train.errors import TrainError
from train.store import Case, PairStore


class CropSampler:
    """Draws batches for one data configuration and list of phases."""

    def __init__(self, store: PairStore, config: DataConfig, *, phases: tuple[str, ...], seed: int) -> None:
        missing = [p for p in phases if p not in store[0].changes]
        if missing:
            raise TrainError("PHASE_MISSING", f"The store {store.folder} has no phase {', '.join(missing)}.")
        self._store, self._config, self._phases, self._seed = store, config, phases, seed

    def batch(self, *, stage: int, step: int, rank: int = 0, crop: Triple | None = None) -> PairBatch:
        """The batch of optimiser step ``step`` in stage number ``stage`` for process ``rank``; ``crop`` instead of the configured one."""
        rng = np.random.default_rng((self._seed, stage, step, rank))
        items = [self._item(rng, crop or self._config.crop) for _ in range(self._config.batch)]
        source, change, phase = zip(*items, strict=True)
        return PairBatch(
            source=torch.from_numpy(np.stack(source)[:, None]),
            change=torch.from_numpy(np.stack(change)[:, None]),
            phase=torch.tensor(phase),
        )

    def _item(self, rng: np.random.Generator, crop: Triple) -> tuple[np.ndarray, np.ndarray, int]:
        config = self._config
        case = self._store[int(rng.integers(len(self._store)))]
        phase = int(rng.integers(len(self._phases)))
        origin = [int(rng.integers(max(0, n - c) + 1)) for n, c in zip(case.native.shape, crop, strict=True)]
        native = _cut(case.native, origin, crop) + np.float32(rng.normal(0.0, config.offset_hu))
        if case.noise is not None:
            native += _cut(case.noise, origin, crop) * np.float32(rng.uniform(*config.noise))
        change = _cut(case.changes[self._phases[phase]], origin, crop)
        if rng.random() < config.smooth_share:
            z, xy = (rng.uniform(0, largest) for largest in config.smooth_mm)
            sigma = [mm / step for mm, step in zip((z, xy, xy), case.spacing_mm, strict=True)]
            native, change = (gaussian_filter(image, sigma, mode="nearest", truncate=3.0) for image in (native, change))
        return *to_units(native, change, window_hu=config.window_hu), phase


def to_units(
    native_hu: np.ndarray, change_hu: np.ndarray, *, window_hu: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """(source, change) in window units; the change is 0 where translation would gate it away anyway."""
    half = (window_hu[1] - window_hu[0]) / 2
    source = window_to_unit(native_hu, window_hu=window_hu).astype(np.float32)
    kept = gate(native_hu, window_hu=window_hu) > 0.5
    return source, np.where(kept, change_hu / half, 0.0).astype(np.float32)


def whole_case(case: Case, *, phase: str, window_hu: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """(source, change) of a whole case, ``(1, 1, D, H, W)`` each."""
    native = case.native.astype(np.float32)
    if case.noise is not None:
        native += case.noise.astype(np.float32)
    source, change = to_units(native, case.changes[phase].astype(np.float32), window_hu=window_hu)
    return torch.from_numpy(source)[None, None], torch.from_numpy(change)[None, None]


def _cut(array: np.ndarray, origin: list[int], size: tuple[int, int, int]) -> np.ndarray:
    """Crop as float32; an array smaller than the crop is continued with its edge, as translation pads."""
    part = array[tuple(slice(o, o + s) for o, s in zip(origin, size, strict=True))].astype(np.float32)
    missing = [(0, s - n) for s, n in zip(size, part.shape, strict=True)]
    return np.pad(part, missing, mode="edge") if any(m for _, m in missing) else part
