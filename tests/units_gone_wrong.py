"""What happens to Hounsfield units on bad ways: functions from HU to the values that arrive."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter


def windowed(hu: np.ndarray, centre: float, width: float) -> np.ndarray:
    """8 bits of a window (PS3.3 C.11.2.1.2)."""
    return np.clip(np.rint((hu - centre + width / 2) / width * 255.0), 0, 255)


def overlaid(hu: np.ndarray) -> np.ndarray:
    """Overlay bits left above the 12 stored ones."""
    stored = (np.clip(hu, -1024, 3071) + 1024).astype(int)
    return (stored | np.random.default_rng(0).integers(0, 16, hu.shape) << 12) - 1024.0


def magnetic(hu: np.ndarray) -> np.ndarray:
    """Magnitude of an MR image, with Rician noise and an uneven coil."""
    rng = np.random.default_rng(1)
    signal = np.where(hu < -500, 8.0, np.where(hu < -30, 900.0, np.where(hu < 150, 300 + 2 * hu, 60.0)))
    noisy = np.abs(signal + rng.normal(0, 8, hu.shape) + 1j * rng.normal(0, 8, hu.shape))
    return noisy * (1 + 0.2 * np.linspace(-1, 1, hu.shape[-1]))


def uptake(hu: np.ndarray) -> np.ndarray:
    """Standardised uptake of a PET."""
    around = (0,) * (hu.ndim - 2)
    texture = 1 + 4 * gaussian_filter(np.random.default_rng(2).normal(size=hu.shape), (*around, 3, 3))
    return gaussian_filter(np.where(hu > -300, 1.0, np.where(hu > -950, 0.4, 0.02)), (*around, 4, 4)) * texture


def _clipped(hu: np.ndarray) -> np.ndarray:
    return np.clip(hu, -1024, 3071)


UNITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "intercept lost": lambda hu: _clipped(hu) + 1024,
    "8 bits, soft window": lambda hu: windowed(hu, 40, 400),
    "8 bits, lung window": lambda hu: windowed(hu, -600, 1500),
    "8 bits, bone window": lambda hu: windowed(hu, 400, 2000),
    "8 bits, brain window": lambda hu: windowed(hu, 40, 80),
    "8 bits, intercept -1024": lambda hu: windowed(hu, 40, 400) - 1024,
    "8 bits, slope 4, intercept -1024": lambda hu: windowed(hu, 40, 400) * 4 - 1024,
    "8 bits, slope 8, intercept -1024": lambda hu: windowed(hu, 40, 400) * 8 - 1024,
    "8 bits of a bone window, slope 8": lambda hu: windowed(hu, 400, 2000) * 8 - 1024,
    "8 bits, inverted": lambda hu: 255 - windowed(hu, 40, 400),
    "negated": lambda hu: -_clipped(hu),
    "inverted, 12 bits": lambda hu: 4095 - (_clipped(hu) + 1024) - 1024,
    "times 16, signed": lambda hu: np.clip(hu, -1024, 2047) * 16,
    "times 16, unsigned": lambda hu: (_clipped(hu) + 1024) * 16 - 1024,
    "through 16, signed": lambda hu: np.floor(_clipped(hu) / 16),
    "through 16, unsigned": lambda hu: np.floor((_clipped(hu) + 1024) / 16) - 1024,
    "overlay bits": overlaid,
    "attenuation per cm": lambda hu: np.maximum(0.19 * (1 + hu / 1000), 0),
    "attenuation times 1000": lambda hu: np.maximum(190 * (1 + hu / 1000), 0),
    "attenuation times 10000": lambda hu: np.maximum(1900 * (1 + hu / 1000), 0),
    "density times 1000": lambda hu: np.maximum(hu + 1000, 0),
    "MR": magnetic,
    "PET, SUV": uptake,
    "PET, Bq/ml": lambda hu: uptake(hu) * 6000,
}
