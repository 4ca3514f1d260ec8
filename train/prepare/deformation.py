"""What a deformation is worth: where it brings outlines nearer, how far it moves, and whether it folds."""

from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from train.prepare.greys import Pair, outlines
from train.prepare.images import array_of, image_of

_NOWHERE: Final = -10_000.0
_NEIGHBOURHOOD_MM: Final = 10.0
_SHARPNESS: Final = 4
_SMOOTHING_MM: Final = 8.0


def kept_where_it_pays(pair: Pair, linear: sitk.Transform, local: sitk.Transform) -> sitk.Transform:
    r"""A deformation weighted by how much nearer it brings the outlines of its neighbourhood.

    A free deformation drags what lies beside a moving organ along: a vertebra by the liver. Its displacement :math:`s` is
    therefore weighted by

    .. math:: w = \frac{e_L^4}{e_L^4 + e_D^4}

    where :math:`e` is the mean absolute difference of the outlines' greys around a voxel (Gaussian, 10 mm) with the linear
    stage alone and with the deformation; 1 where only the deformation fits, 0 where only the linear stage does.

    Parameters
    ----------
    local
        The deformation, applied before ``linear``: the whole is ``linear(local(x))``.

    Returns
    -------
    SimpleITK.Transform
        A displacement field on the registration's grid; no displacement outside of it.
    """
    alone, with_it = (_local_misfit(pair, move) for move in (linear, sitk.CompositeTransform([linear, local])))
    weight = alone**_SHARPNESS / (alone**_SHARPNESS + with_it**_SHARPNESS)
    sigma = [_SMOOTHING_MM / step for step in pair.fixed.spacing_mm]
    weight = gaussian_filter(weight, sigma, mode="nearest")
    field = _field(pair, local)
    weighted = sitk.GetImageFromArray(array_of(field) * weight[..., None], isVector=True)
    weighted.CopyInformation(field)
    return sitk.DisplacementFieldTransform(sitk.Cast(weighted, sitk.sitkVectorFloat64))


def misfit(pair: Pair, transform: sitk.Transform) -> float:
    """Mean absolute difference of the outlines' greys in the body, where the moving image reaches."""
    difference, inside = _difference(pair, transform)
    return float(difference[inside].mean()) if inside.any() else float("inf")


def shape_of(pair: Pair, local: sitk.Transform) -> tuple[float, float]:
    """Part of the body, 0..1, in which a deformation folds over, and the 99th percentile of its way there in mm."""
    if not pair.body.any():
        return 0.0, 0.0
    field = _field(pair, local)
    jacobian = array_of(sitk.DisplacementFieldJacobianDeterminant(field))
    distance = np.linalg.norm(array_of(field)[pair.body], axis=-1)
    return float((jacobian[pair.body] <= 0).mean()), float(np.percentile(distance, 99))


def _field(pair: Pair, transform: sitk.Transform) -> sitk.Image:
    convert = sitk.TransformToDisplacementFieldFilter()
    convert.SetReferenceImage(image_of(pair.fixed))
    return convert.Execute(transform)


def _difference(pair: Pair, transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray]:
    """``(D, H, W)`` absolute difference of greys, and where both images have any."""
    fixed, moving = pair.images(outlines)
    moved = array_of(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, _NOWHERE))
    inside: np.ndarray = pair.body & (moved > _NOWHERE)
    return np.where(inside, np.abs(moved - array_of(fixed)), 0.0), inside


def _local_misfit(pair: Pair, transform: sitk.Transform) -> np.ndarray:
    """``(D, H, W)`` mean difference around each voxel; a hundredth of a grey where nothing can be compared."""
    difference, inside = _difference(pair, transform)
    sigma = [_NEIGHBOURHOOD_MM / step for step in pair.fixed.spacing_mm]
    total, count = (gaussian_filter(one.astype(np.float32), sigma, mode="constant") for one in (difference, inside))
    mean: np.ndarray = np.maximum(total / np.maximum(count, 1e-3), 0.01)
    return mean
