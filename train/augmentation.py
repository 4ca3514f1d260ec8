"""What is done to both phases of a case alike before a crop is learnt from."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from train.config import DataConfig
from train.store import Case

_OUTLINE_SIGMA = 0.6
"""Blur of the offsets of organs, voxels: about that of a label's own outline, whose voxels belong to the organ in part."""


_GRAIN_VOXELS = (0.4, 1.0)
"""Blur of added noise in the plane, voxels of the model's grid: from a sharp kernel's noise to a soft one's; slices are independent."""

_COARSE = 2
"""Voxels of a smooth field, when it is drawn, to a standard deviation of what makes it smooth."""


class Grain(NamedTuple):
    """Noise added to a scan that has its own already."""

    sd_hu: float
    sigma: float
    """Voxels, in the plane."""
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, largest_hu: float) -> Grain:
        return cls(rng.uniform(0, largest_hu), rng.uniform(*_GRAIN_VOXELS), int(rng.integers(2**63)))

    def hu(self, shape: tuple[int, ...]) -> np.ndarray:
        """float32 ``shape`` ``(D, H, W)``."""
        white = np.random.default_rng(self.seed).standard_normal(shape, dtype=np.float32)
        noise = gaussian_filter(white, (0.0, self.sigma, self.sigma), mode="wrap", truncate=3.0)
        return noise * np.float32(self.sd_hu / noise.std())


class Shading(NamedTuple):
    """A field in HU that is smooth in the plane and through the slices, the same in both phases.

    Noise of slices thicker than the grid's goes on through several of these; beam hardening, scatter and motion are smoother still.
    """

    sd_hu: float
    sigma_mm: tuple[float, float]
    """Of the Gaussian that makes it smooth, through the slices and in the plane."""
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, config: DataConfig) -> Shading:
        """The smoother in the plane, the weaker: real fields have little power there."""
        z, xy = (float(np.exp(rng.uniform(*np.log(ends)))) for ends in (config.shading_slices_mm, config.shading_mm))
        largest = config.shading_hu * math.sqrt(config.shading_mm[0] / xy)
        return cls(rng.uniform(0, largest), (z, xy), int(rng.integers(2**63)))

    def hu(self, shape: tuple[int, ...], *, spacing_mm: tuple[float, float, float]) -> np.ndarray:
        """float32 ``shape`` ``(D, H, W)``: made on a grid as coarse as it is smooth."""
        z, xy = self.sigma_mm
        sigma = np.array([mm / step for mm, step in zip((z, xy, xy), spacing_mm, strict=True)])
        step = np.maximum(1.0, sigma / _COARSE)
        coarse = [math.ceil(n) + 1 for n in shape / step]
        white = np.random.default_rng(self.seed).standard_normal(coarse, dtype=np.float32)
        smooth = gaussian_filter(white, sigma / step, mode="wrap")
        field: np.ndarray = affine_transform(smooth, 1 / step, output_shape=shape, order=1)
        return field * np.float32(self.sd_hu / smooth.std())


class Augmentation(NamedTuple):
    """What is done to both phases of a case alike."""

    offset_hu: float
    noise: float
    """Factor of the scan's own noise."""
    sigma_mm: tuple[float, float] | None
    """Blur through the slices and in the plane; ``None``: none."""
    organ_hu: np.ndarray | None = None
    """``(256,)`` float32 offset of every label; ``None``: none."""
    grain: Grain | None = None
    shading: Shading | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, config: DataConfig, case: Case) -> Augmentation:
        """Noise that the case keeps apart is scaled; organs are moved where it has labels."""
        offset = rng.normal(0.0, config.offset_hu)
        noise = rng.uniform(*config.noise) if case.noise is not None else 1.0
        sigma = None
        if rng.random() < config.smooth_share:
            z, xy = (rng.uniform(0, largest) for largest in config.smooth_mm)
            sigma = (z, xy)
        organ_hu = None
        if config.organ_offset is not None and case.labels is not None:
            organ_hu = np.zeros(256, np.float32)
            for group in config.organ_offset.organs:
                organ_hu[[case.organs[name] for name in group if name in case.organs]] = rng.normal(
                    0.0, config.organ_offset.hu
                )
        grain = Grain.draw(rng, config.added_noise_hu) if config.added_noise_hu and case.noise is None else None
        shading = Shading.draw(rng, config) if config.shading_hu else None
        return cls(offset, noise, sigma, organ_hu, grain, shading)

    def native(
        self,
        native: np.ndarray,
        noise: np.ndarray | None,
        labels: np.ndarray | None,
        *,
        spacing_mm: tuple[float, float, float],
    ) -> np.ndarray:
        """float32 HU of the native phase, whole or cropped; ``labels`` uint8."""
        hu = native + np.float32(self.offset_hu)
        if self.organ_hu is not None and labels is not None:
            hu += gaussian_filter(self.organ_hu[labels], _OUTLINE_SIGMA, mode="nearest", truncate=3.0)
        if self.shading is not None:
            hu += self.shading.hu(hu.shape, spacing_mm=spacing_mm)
        if noise is not None:
            hu += noise * np.float32(self.noise)
        if self.grain is not None:
            hu += self.grain.hu(hu.shape)
        return self.blurred(hu, spacing_mm=spacing_mm)

    def blurred(self, hu: np.ndarray, *, spacing_mm: tuple[float, float, float]) -> np.ndarray:
        if self.sigma_mm is None:
            return hu
        z, xy = self.sigma_mm
        sigma = [mm / step for mm, step in zip((z, xy, xy), spacing_mm, strict=True)]
        return gaussian_filter(hu, sigma, mode="nearest", truncate=3.0)
