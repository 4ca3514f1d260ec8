"""Tissue that does not enhance: the error of the non-contrast scan there is what registration and noise leave to any model."""

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter

STILL_ORGANS = (
    "subcutaneous_fat",
    "visceral_fat",
    "mediastinal_fat",
    "intermuscular_fat",
    "renal_sinus_fat",
    "cortical_bone",
)
_FAT_HU = (-140.0, -60.0)
_BONE_HU = 300.0
_SMOOTH_MM = 1.5


def still_tissue(
    source_hu: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float],
    body: np.ndarray,
    labels: np.ndarray | None = None,
    organs: Mapping[str, int] | None = None,
) -> np.ndarray:
    """``(D, H, W)`` bool: fat and dense bone, without their outermost pixels (partial volume with what enhances).

    By label where the case names such tissue; else by the source's HU, smoothed in the plane so that its noise does not choose the voxels.
    Muscle is left out: it does enhance, by some 5 to 15 HU.
    """
    values = [] if labels is None or organs is None else [organs[name] for name in STILL_ORGANS if name in organs]
    still = np.empty(source_hu.shape, dtype=bool)
    sigma = [_SMOOTH_MM / spacing for spacing in spacing_mm[1:]]
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
    for index, plane in enumerate(source_hu):
        if values and labels is not None:
            tissue = np.isin(labels[index], values)
        else:
            smooth = gaussian_filter(np.asarray(plane, dtype=np.float32), sigma)
            tissue = ((smooth > _FAT_HU[0]) & (smooth < _FAT_HU[1])) | (smooth > _BONE_HU)
        still[index] = binary_erosion(tissue, cross) & body[index]
    return still
