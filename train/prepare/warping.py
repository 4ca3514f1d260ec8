"""Images and label maps brought through a registration onto another grid."""

import numpy as np
import SimpleITK as sitk

from s2ldm_core.volume import Volume
from train.prepare.images import AIR_HU, array_of, image_of, reduced


def warp(moving: Volume, grid: Volume, transform: sitk.Transform, *, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The moving image on the fixed image's grid.

    The moving image is first averaged to the grid's spacing where it is finer, as the fixed image was, and both are
    interpolated by cubic kernels: with the same resolution their difference holds no edges of its own.

    Returns
    -------
    tuple of arrays
        ``(D, H, W)`` float32 HU, and bool: where the moving image was measured.
    """
    source = reduced(moving, grid.spacing_mm, method="cubic")
    filled = np.ones(source.shape, np.uint8)
    reference = image_of(grid)
    resample = sitk.ResampleImageFilter()
    resample.SetNumberOfThreads(threads)
    resample.SetReferenceImage(reference)
    resample.SetTransform(transform)
    resample.SetDefaultPixelValue(AIR_HU)
    resample.SetInterpolator(sitk.sitkBSpline)
    hu = array_of(resample.Execute(image_of(source)))
    lowest, highest = float(source.hu.min()), float(source.hu.max())
    resample.SetDefaultPixelValue(0)
    resample.SetInterpolator(sitk.sitkNearestNeighbor)
    covered = array_of(resample.Execute(image_of(source, filled))) > 0
    return np.clip(hu, lowest, highest).astype(np.float32), covered


def warp_labels(labels: sitk.Image, grid: Volume, transform: sitk.Transform | None = None) -> np.ndarray:
    """``(D, H, W)`` labels on a volume's grid, nearest neighbour; 0 outside."""
    move = sitk.Transform(3, sitk.sitkIdentity) if transform is None else transform
    return array_of(sitk.Resample(labels, image_of(grid), move, sitk.sitkNearestNeighbor, 0))
