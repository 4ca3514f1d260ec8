"""The scanner: resolution, slice profile and noise with the texture of filtered back-projection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from s2ldm_core.phantom.patient import stream

_FWHM = 2.3548


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """How the patient is imaged.

    psf_fwhm_mm: in-plane point spread, 0.8 (sharp) .. 1.6 mm (smooth).
    slice_thickness_mm: full width at half maximum of the slice profile.
    noise_hu: standard deviation in the body's centre with every frequency of the kernel kept; a coarser grid keeps only
        the noise below its Nyquist frequency.
    streak_hu: amplitude of horizontal streaks where the body is wide (shoulders, pelvis).
    """

    psf_fwhm_mm: float = 1.2
    slice_thickness_mm: float = 3.0
    noise_hu: float = 12.0
    streak_hu: float = 3.0

    @classmethod
    def draw(cls, seed: int) -> Scanner:
        """Draw the scanner of phantom `seed`."""
        rng = stream(seed, "scanner")
        psf = float(rng.uniform(0.85, 1.5))
        thickness = float(rng.choice((1.0, 1.5, 2.0, 3.0, 5.0), p=(0.2, 0.15, 0.2, 0.25, 0.2)))
        noise = float(np.clip(rng.lognormal(np.log(17.0), 0.32), 7.0, 36.0))
        return cls(
            psf_fwhm_mm=psf, slice_thickness_mm=thickness, noise_hu=noise, streak_hu=float(rng.uniform(0.5, 5.0))
        )

    def blur(self, hu: np.ndarray, *, spacing_mm: tuple[float, float, float]) -> np.ndarray:
        """Blur (D, H, W) HU in place with what the point spread exceeds the voxel, which the label map already averages."""
        wanted = (self.slice_thickness_mm, self.psf_fwhm_mm, self.psf_fwhm_mm)
        for axis, (fwhm, step) in enumerate(zip(wanted, spacing_mm, strict=True)):
            sigma = np.sqrt(max(fwhm**2 - (0.6 * step) ** 2, 0.0)) / _FWHM / step
            if sigma > 0.15 and hu.shape[axis] > 1:
                gaussian_filter1d(hu, sigma, axis=axis, output=hu, mode="nearest", truncate=3.0)
        return hu

    def noise(self, shape: tuple[int, int, int], *, spacing_mm: tuple[float, float, float], seed: int) -> np.ndarray:
        """Return noise (D, H, W) float32, HU: spectrum f * MTF(f)^2 in plane, the slice profile's along z."""
        depth, height, width = shape
        dz, dy, dx = spacing_mm
        fy = torch.fft.fftfreq(height, d=dy)[:, None]
        fx = torch.fft.rfftfreq(width, d=dx)[None, :]
        f = torch.sqrt(fy**2 + fx**2)
        s = self.psf_fwhm_mm / _FWHM
        power = (f + 0.02) * torch.exp(-((2 * np.pi * f * s) ** 2))
        # Noise power of the whole plane, by the radial integral, so that a grid keeps its own band of it.
        radius = torch.linspace(0, 4.0 / self.psf_fwhm_mm, 4000)
        whole = torch.trapezoid(
            (radius + 0.02) * torch.exp(-((2 * np.pi * radius * s) ** 2)) * 2 * np.pi * radius, radius
        )
        gain = torch.sqrt(power / whole / (dx * dy))
        # Along z white noise filtered by the profile keeps the part of its band below the grid's Nyquist frequency.
        sz = self.slice_thickness_mm / _FWHM
        kept = float(torch.erf(torch.tensor(np.pi * sz / dz)))
        generator = torch.Generator().manual_seed(int(seed) & 0x7FFFFFFFFFFFFFFF)
        out = np.empty(shape, np.float32)
        for k in range(depth):
            white = torch.randn(height, width, generator=generator)
            out[k] = torch.fft.irfft2(torch.fft.rfft2(white) * gain, s=(height, width)).numpy()
        sigma = sz / dz / np.sqrt(2.0)
        if sigma > 0.25 and depth > 1:
            gaussian_filter1d(out, sigma, axis=0, output=out, mode="wrap")
            probe = np.zeros(65)
            probe[32] = 1.0
            out /= np.float32(np.sqrt((gaussian_filter1d(probe, sigma) ** 2).sum()))
        out *= np.float32(self.noise_hu * np.sqrt(kept))
        return out

    def weights(
        self, inside: np.ndarray, bone: np.ndarray, *, spacing_mm: tuple[float, float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the local noise factor (D, H, W) and the streak factor (D, H, 1).

        inside, bone: (D, H, W) bool. Noise grows with the water path to the voxel, so it is highest in the centre of wide sections and
        low in the air around.
        """
        _, dy, dx = spacing_mm
        lateral = (inside.sum(axis=2, dtype=np.float32) + 0.9 * bone.sum(axis=2, dtype=np.float32)) * dx
        depth = (inside.sum(axis=1, dtype=np.float32) + 0.9 * bone.sum(axis=1, dtype=np.float32)) * dy
        width = uniform_filter1d(lateral, max(3, int(20 / dy)), axis=1)
        # Tube current modulation equalises most of the difference between sections.
        factor = np.exp(
            0.0032
            * (
                0.5 * width[:, :, None]
                + 0.5 * uniform_filter1d(depth, max(3, int(20 / dx)), axis=1)[:, None, :]
                - 260.0
            )
        )
        streak = np.exp(0.006 * (lateral - 400.0))[:, :, None]
        return np.clip(factor, 0.35, 2.5).astype(np.float32), np.clip(streak, 0.0, 4.0).astype(np.float32)
