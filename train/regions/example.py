"""A series with the region of each of its slices."""

from dataclasses import dataclass

import numpy as np

from s2ldm_core.regions.features import REGIONS

REGION = {name: index for index, name in enumerate(REGIONS)}


@dataclass(frozen=True)
class Example:
    """A series to learn from or to test with.

    Attributes
    ----------
    name, patient
        What it is called, and who it shows; a patient's series are left out together.
    hu
        ``(D, H, W)`` HU, axes along patient z, y, x.
    spacing_mm
        ``(dz, dy, dx)``.
    regions
        ``(D,)`` index into `s2ldm_core.regions.features.REGIONS`; -1 where nobody would say.
    """

    name: str
    patient: str
    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    regions: np.ndarray
