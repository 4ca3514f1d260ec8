"""Registration of a contrast series (CECT, moving) onto a native one (NCCT, fixed): rigid, affine, then deformable.

Rigid and affine hold to the skeleton, which does not breathe: Mattes' mutual information (Mattes et al. 2003,
doi:10.1109/TMI.2003.809072) near bone. The B-spline (Rueckert et al. 1999, doi:10.1109/42.796284) then brings the organs
along: mutual information inside the body, of HU in which everything between water and bone is one grey. Contrast changes
how bright an organ is, not where it lies, and on such images liver, blood and muscle look alike with and without it;
fat, gas, lung, skin and bone are what guides. Demons see the same without the bone, for they compare brightness itself
and would take an enhanced aorta for it.

Every stage is bounded in iterations and samples the image at points drawn from a fixed seed; with one thread the
result is the same to the last bit.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import SimpleITK as sitk

from s2ldm_core.body import body_mask
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.prepare.deformation import kept_where_it_pays, misfit, shape_of
from train.prepare.greys import FAT_TO_WATER_HU, GRID_MM, Pair, bones, fat_and_gas, outlines
from train.prepare.images import image_of, reduced

Method = Literal["none", "rigid", "affine", "bspline", "demons"]
METHODS: Final[tuple[Method, ...]] = ("none", "rigid", "affine", "bspline", "demons")

_BINS: Final = 32
_LINEAR_SAMPLES: Final = 60_000
_LINEAR_ITERATIONS: Final = 100
# On breathing phantoms finer meshes, or a second finer one, followed noise: they took less off the boundary error of
# liver and kidneys (23 to 68 % instead of 63 to 91 %) in three to ten times the time (the Jacobian of ITK's metric is dense).
_MESH_MM: Final = 64.0
_SPLINE_SMOOTHING_MM: Final = 4.0
_SPLINE_SAMPLES: Final = 20_000
_SPLINE_ITERATIONS: Final = 30
_DEMONS_ITERATIONS: Final = (60, 40, 20)
_DEMONS_SMOOTHING: Final = 1.5
# A deformation that brings outlines nearer by less than 2 % has found nothing.
_GAIN_FOR_DEFORMATION: Final = 0.98
# Two scans of one patient on one day differ by a few per cent in size at most; more is a fit to a field of view.
_LARGEST_STRETCH: Final = 1.15


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a registration: the metric it ended with (more negative is better) and the seconds it took."""

    name: str
    metric: float
    iterations: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Where a point of the fixed image lies in the moving one.

    Attributes
    ----------
    transform
        From fixed to moving LPS mm.
    start
        Where the registration began: the scanner's own coordinates, or body on body where they cannot be compared.
    linear
        The rigid or affine stage alone; ``start`` for ``none``.
    stages
        What was done, in order; empty for ``none``.
    folding
        Part of the body's voxels, 0..1, in which the deformation folds over (Jacobian determinant not positive).
    largest_mm
        99th percentile of the displacement in the body against the rigid or affine stage.
    """

    transform: sitk.Transform
    start: sitk.Transform
    linear: sitk.Transform
    stages: tuple[Stage, ...] = ()
    folding: float = 0.0
    largest_mm: float = 0.0


def register(fixed: Volume, moving: Volume, *, method: Method, seed: int = 0, threads: int = 1) -> Registration:
    """Find where the fixed image's points lie in the moving one.

    Parameters
    ----------
    fixed, moving
        Canonical volumes (see `s2ldm_core.volume.canonical`) in HU of any spacing.
    method
        The last stage: ``rigid``, ``affine``, ``bspline`` (all three) or ``demons`` (after rigid and affine).
    seed
        Of the points at which the metric is sampled.

    Raises
    ------
    TrainError
        ``registration_failed`` when the images do not overlap or have too little body to compare.
    """
    with _itk_threads(threads):
        return _register(Pair.of(fixed, moving, seed=seed, threads=threads), method)


@contextmanager
def _itk_threads(count: int) -> Iterator[None]:
    """Everything ITK starts in here runs in ``count`` threads; the method's own setting does not reach its metric and optimiser."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _register(pair: Pair, method: Method) -> Registration:
    start = _best_start(pair, _starts(pair.fixed, pair.moving))
    if method == "none":
        return Registration(transform=start, start=start, linear=start)
    try:
        linear, stages = _linear(pair, start, affine=method != "rigid")
        if method in ("rigid", "affine"):
            return Registration(transform=linear, start=start, linear=linear, stages=stages)
        free, stage = _bspline(pair, linear) if method == "bspline" else _demons(pair, linear)
    except RuntimeError as error:  # SimpleITK raises nothing else
        raise TrainError(
            "registration_failed",
            f"The series cannot be registered: {str(error).strip().splitlines()[-1].strip()}.",
            "Look at the pair: the series may show different regions or hardly overlap.",
        ) from error
    local = kept_where_it_pays(pair, linear, free)
    whole = sitk.CompositeTransform([linear, local])
    if misfit(pair, whole) > _GAIN_FOR_DEFORMATION * misfit(pair, linear):
        # Nothing has moved against the skeleton; what the deformation did then was to follow noise.
        idle = replace(stage, name=f"{stage.name}, no better and left out")
        return Registration(transform=linear, start=start, linear=linear, stages=(*stages, idle))
    folding, largest = shape_of(pair, local)
    return Registration(
        transform=whole,
        start=start,
        linear=linear,
        stages=(*stages, stage),
        folding=folding,
        largest_mm=largest,
    )


def _starts(fixed: Volume, moving: Volume) -> list[sitk.Euler3DTransform]:
    """Where to begin: no move within one frame of reference (PS3.3 C.7.4.1), else also body onto body.

    Scans of different length have different centres, so bodies are laid upon each other by centre, feet and head end.
    """
    shared = fixed.frame_of_reference_uid is not None and fixed.frame_of_reference_uid == moving.frame_of_reference_uid
    centre, low, high = _body_place(fixed)
    turn = sitk.Euler3DTransform()
    turn.SetCenter([float(value) for value in centre])
    if shared:
        return [turn]
    starts = [turn] if fixed.frame_of_reference_uid is None and moving.frame_of_reference_uid is None else []
    other, other_low, other_high = _body_place(moving)
    for along in sorted({float(other[2] - centre[2]), other_low - low, other_high - high}):
        one = sitk.Euler3DTransform(turn)
        one.SetTranslation([float(other[0] - centre[0]), float(other[1] - centre[1]), along])
        starts.append(one)
    return starts


def _body_place(volume: Volume) -> tuple[np.ndarray, float, float]:
    """``(3,)`` centre of the body, and its lowest and highest z; LPS mm."""
    small = reduced(volume, (6.0, 6.0, 6.0))
    inside = np.argwhere(body_mask(small.hu, small.spacing_mm))
    if not len(inside):
        inside = np.argwhere(np.ones(small.shape, bool))
    points = np.c_[inside[:, ::-1], np.ones(len(inside))] @ small.affine.T
    return points[:, :3].mean(axis=0), float(points[:, 2].min()), float(points[:, 2].max())


def _best_start(pair: Pair, starts: list[sitk.Euler3DTransform]) -> sitk.Euler3DTransform:
    """The start with the most mutual information in the body."""
    if len(starts) == 1:
        return starts[0]
    fixed, moving = pair.images(outlines)
    rated: list[tuple[float, int]] = []
    for index, start in enumerate(starts):
        method = _metric(pair, pair.body, samples=_LINEAR_SAMPLES, shrink=(1,))
        method.SetInitialTransform(start)
        try:
            rated.append((float(method.MetricEvaluate(fixed, moving)), index))
        except RuntimeError:  # hardly any point lies in the other image: another start will do better, or none does
            continue
    return starts[min(rated)[1]] if rated else starts[0]


def _metric(pair: Pair, mask: np.ndarray, *, samples: int, shrink: tuple[int, ...]) -> sitk.ImageRegistrationMethod:
    """Mutual information at about ``samples`` points of the fixed image on every level."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(pair.threads)
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=_BINS)
    method.SetMetricFixedMask(image_of(pair.fixed, mask))
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = [min(1.0, samples * factor**3 / pair.fixed.hu.size) for factor in shrink]
    method.SetMetricSamplingPercentagePerLevel(share, pair.seed + 1)  # a seed of 0 would be the clock
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _linear(pair: Pair, start: sitk.Transform, *, affine: bool) -> tuple[sitk.Transform, tuple[Stage, ...]]:
    fixed, moving = pair.images(bones)
    near = pair.near_bone()
    rigid = sitk.Euler3DTransform(start)
    coarse = max(1, round(10.0 / max(GRID_MM[0], *pair.fixed.spacing_mm)))
    stages = [_descend(_metric(pair, near, samples=_LINEAR_SAMPLES, shrink=(coarse, 1)), fixed, moving, rigid, "rigid")]
    if not affine:
        return rigid, tuple(stages)
    free = sitk.AffineTransform(3)
    free.SetMatrix(rigid.GetMatrix())
    free.SetTranslation(rigid.GetTranslation())
    free.SetCenter(rigid.GetCenter())
    stage = _descend(_metric(pair, near, samples=_LINEAR_SAMPLES, shrink=(1,)), fixed, moving, free, "affine")
    stretch = np.linalg.svd(np.array(free.GetMatrix()).reshape(3, 3), compute_uv=False)
    if stretch.max() > _LARGEST_STRETCH or stretch.min() < 1 / _LARGEST_STRETCH or stage.metric > stages[0].metric:
        return rigid, tuple(stages)
    return free, (*stages, stage)


def _descend(
    method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, name: str
) -> Stage:
    """Optimise ``transform`` in place, from coarse to fine when the metric has two levels."""
    began = time.monotonic()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=0.005, numberOfIterations=_LINEAR_ITERATIONS, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    levels = 2 if name == "rigid" else 1
    method.SetSmoothingSigmasPerLevel((5.0, 2.0)[-levels:])
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return _stage(method, name, began)


def _bspline(pair: Pair, linear: sitk.Transform) -> tuple[sitk.Transform, Stage]:
    """One cubic B-spline on the whole image, optimised by L-BFGS-B; to be applied before ``linear``."""
    began = time.monotonic()
    fixed, moving = pair.images(outlines)
    extent = [size * step for size, step in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    spline = sitk.BSplineTransformInitializer(fixed, [max(1, round(length / _MESH_MM)) for length in extent], order=3)
    method = _metric(pair, pair.body, samples=_SPLINE_SAMPLES, shrink=(1,))
    method.SetSmoothingSigmasPerLevel((_SPLINE_SMOOTHING_MM,))
    method.SetOptimizerAsLBFGSB(
        gradientConvergenceTolerance=1e-9,
        numberOfIterations=_SPLINE_ITERATIONS,
        maximumNumberOfCorrections=8,
        maximumNumberOfFunctionEvaluations=2 * _SPLINE_ITERATIONS,
        costFunctionConvergenceFactor=1e6,
    )
    method.SetMovingInitialTransform(linear)
    method.SetInitialTransform(spline, inPlace=True)
    method.Execute(fixed, moving)
    return spline, _stage(method, "bspline", began)


def _demons(pair: Pair, linear: sitk.Transform) -> tuple[sitk.Transform, Stage]:
    """Symmetric-forces demons (Vercauteren et al. 2009, doi:10.1016/j.neuroimage.2008.10.040) from coarse to fine;
    to be applied before ``linear``.
    """
    began = time.monotonic()
    fixed, moving = pair.images(fat_and_gas)
    aligned = sitk.Resample(moving, fixed, linear, sitk.sitkLinear, float(FAT_TO_WATER_HU[0]))
    field = sitk.Image(fixed.GetSize(), sitk.sitkVectorFloat64)
    field.CopyInformation(fixed)
    metric, steps = 0.0, 0
    for shrink, iterations in zip((4, 2, 1), _DEMONS_ITERATIONS, strict=True):
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(pair.threads)
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(_DEMONS_SMOOTHING)
        small = _shrunk(fixed, shrink)
        field = demons.Execute(small, _shrunk(aligned, shrink), sitk.Resample(field, small))
        metric, steps = float(demons.GetMetric()), steps + int(demons.GetElapsedIterations())
    displacement = sitk.DisplacementFieldTransform(sitk.Resample(field, fixed))
    stage = Stage(name="demons", metric=metric, iterations=steps, seconds=time.monotonic() - began)
    return displacement, stage


def _shrunk(image: sitk.Image, factor: int) -> sitk.Image:
    if factor == 1:
        return image
    factors = [min(factor, max(1, size // 4)) for size in image.GetSize()]
    smooth = sitk.SmoothingRecursiveGaussian(
        image, [0.5 * f * s for f, s in zip(factors, image.GetSpacing(), strict=True)]
    )
    return sitk.Shrink(smooth, factors)


def _stage(method: sitk.ImageRegistrationMethod, name: str, began: float) -> Stage:
    return Stage(
        name=name,
        metric=float(method.GetMetricValue()),
        iterations=int(method.GetOptimizerIteration()),
        seconds=time.monotonic() - began,
    )
