"""Every number of one scan and one system: the catalogue of metrics, and how they are measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from s2ldm_core.body import body_mask
from s2ldm_core.volume import Volume
from train.evaluation.cases import EvaluationCase
from train.evaluation.tissue import still_tissue
from train.metrics import (
    NoisePower,
    Regions,
    Window,
    gradient_error,
    homogeneous_regions,
    noise_power,
    noise_power_distance,
    organ_cores,
    organ_means,
    organ_voxels,
    structural_similarity,
    voxel_errors,
)

_FEWEST_VOXELS = 50
"""Organs with fewer voxels in a scan are not reported for it: their mean is noise."""
_ORGAN_MARGIN_MM = 2.0
"""Organs are measured as a reader measures them: in a region that keeps off the outline."""


_SOFT_HU = (15.0, 75.0)
_SOFT_SIGMA = 1.5
"""Pixels."""

SMALLEST_CHANGE_HU = 10.0
"""Organs that truly change less are left out where enhancement is judged: a ratio says nothing there."""

Direction = Literal["higher", "lower", "zero", "one"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One column."""

    key: str
    title: str
    unit: str
    better: Direction
    decimals: int
    meaning: str


_ROWS: tuple[tuple[str, str, str, Direction, int, str], ...] = (
    ("mae_body_hu", "MAE body", "HU", "lower", 2, "mean |e| in the body, unclipped"),
    ("rmse_body_hu", "RMSE body", "HU", "lower", 2, "√ mean e² in the body, unclipped"),
    ("psnr_db", "PSNR", "dB", "higher", 2, "20 log10(R / RMSE) of the whole volume, clipped"),
    ("ssim", "SSIM 2D", "", "higher", 4, "mean over axial 11 × 11 windows of whole slices, on [0, R]"),
    ("ssim_3d", "SSIM 3D", "", "higher", 4, "mean over 11 × 11 × 11 windows of the whole volume, on [0, R]"),
    ("gradient_error_hu_mm", "gradient error", "HU/mm", "lower", 2, "mean | |∇p| − |∇y| | in the body, unclipped"),
    (
        "noise_power_distance_db",
        "noise-power distance",
        "dB",
        "lower",
        2,
        "√ mean over frequencies of (10 log10 of the ratio of the radial noise-power spectra)², homogeneous soft tissue",
    ),
    ("bias_body_hu", "bias body", "HU", "zero", 2, "mean e in the body, unclipped"),
    ("mae_window_hu", "MAE body clipped", "HU", "lower", 2, "mean |e| in the body, clipped"),
    ("rmse_window_hu", "RMSE body clipped", "HU", "lower", 2, "√ mean e² in the body, clipped"),
    ("psnr_body_db", "PSNR body", "dB", "higher", 2, "PSNR of the body alone: without the air that both share"),
    ("ssim_body", "SSIM 2D body", "", "higher", 4, "axial windows centred in the body"),
    ("ssim_3d_body", "SSIM 3D body", "", "higher", 4, "3-D windows centred in the body"),
    ("nmae_range", "NMAE_range", "", "lower", 4, "MAE / R in the body, clipped"),
    ("nmae_rel", "NMAE_rel", "", "lower", 4, "Σ|e| / Σ|y| on [0, 1] in the body, clipped"),
    ("nmse_energy", "NMSE_energy", "", "lower", 5, "Σe² / Σy² on [0, 1] in the body, clipped"),
    ("noise_ratio", "noise ratio", "", "one", 3, "standard deviation over the target's, homogeneous soft tissue"),
    (
        "mae_soft_hu",
        "MAE soft tissue",
        "HU",
        "lower",
        2,
        "mean |e| where the source is soft tissue, both images smoothed by 1.5 pixels in the plane: without noise, what contrast is about",
    ),
    (
        "mae_still_hu",
        "MAE still tissue",
        "HU",
        "lower",
        2,
        "mean |e| in fat and dense bone, which do not enhance, unclipped: the identity's is the registration floor",
    ),
    (
        "mae_still_smooth_hu",
        "MAE still tissue smoothed",
        "HU",
        "lower",
        2,
        "the same, both images smoothed as for MAE soft tissue: the identity's is what misalignment alone leaves there",
    ),
    (
        "change_still_hu",
        "change of still tissue",
        "HU",
        "zero",
        2,
        "mean of prediction − source in fat and dense bone: enhancement where there is none",
    ),
    (
        "organ_recovery",
        "organ recovery",
        "",
        "one",
        3,
        "mean over the organs that enhance of predicted change / true change",
    ),
    ("organ_error_hu", "organ error", "HU", "lower", 2, "mean over the organs that enhance of | mean e in the organ |"),
)

METRICS = tuple(
    Metric(key=key, title=title, unit=unit, better=better, decimals=decimals, meaning=meaning)
    for key, title, unit, better, decimals, meaning in _ROWS
)
LEAD = METRICS[:7]
FURTHER = METRICS[7:]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What every system's answer to one scan is compared with; measured once."""

    source: Volume
    target: Volume
    valid: np.ndarray | None
    """Where the target was measured; ``None``: everywhere. The other masks lie inside."""
    body: np.ndarray
    soft: np.ndarray
    still: np.ndarray
    regions: Regions
    power: NoisePower | None
    labels: np.ndarray | None
    """Organs without their outlines, see `train.metrics.organ_cores`."""
    organs: Mapping[str, int]
    """Organ → label of the organs with enough voxels."""
    organ_voxels: Mapping[str, int]
    source_hu: Mapping[str, float]
    target_hu: Mapping[str, float]
    """Mean HU by organ."""

    @classmethod
    def of(cls, case: EvaluationCase, target: Volume, *, valid: np.ndarray | None = None) -> Reference:
        """Masks, regions, the target's noise and the organs' true means of one phase of ``case``, all of them where ``valid``."""
        source, spacing = case.source, case.source.spacing_mm
        body = body_mask(source.hu, spacing)
        if not body.any():  # as translation does: no body found means all of it
            body = np.ones(source.shape, dtype=bool)
        if valid is not None:
            body &= valid
        regions = homogeneous_regions(source.hu, target.hu, spacing_mm=spacing, body=body)
        labels = None
        if case.labels is not None:
            labels = organ_cores(case.labels, spacing_mm=spacing, margin_mm=_ORGAN_MARGIN_MM, fewest=_FEWEST_VOXELS)
            if valid is not None:
                labels = np.where(valid, labels, 0).astype(labels.dtype)
        voxels = {} if labels is None else organ_voxels(labels, case.organs)
        organs = {organ: case.organs[organ] for organ, count in voxels.items() if count >= _FEWEST_VOXELS}
        return cls(
            source=source,
            target=target,
            valid=valid,
            body=body,
            soft=_soft_tissue(source.hu, body=body),
            still=still_tissue(source.hu, spacing_mm=spacing, body=body, labels=case.labels, organs=case.organs),
            regions=regions,
            power=noise_power(target.hu, regions, spacing_mm=spacing),
            labels=labels,
            organs=organs,
            organ_voxels={organ: voxels[organ] for organ in organs},
            source_hu={} if labels is None else organ_means(source.hu, labels, organs),
            target_hu={} if labels is None else organ_means(target.hu, labels, organs),
        )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One system's numbers for one scan."""

    values: dict[str, float | None]
    """By the keys of `METRICS`; ``None`` where a metric has no finite value (no such tissue, equal volumes' PSNR)."""
    organ_hu: dict[str, float]
    """Mean predicted HU by organ."""
    power: NoisePower | None


def _smoothed(hu: np.ndarray) -> np.ndarray:
    smoothed: np.ndarray = gaussian_filter(
        np.asarray(hu, dtype=np.float32), (0.0, _SOFT_SIGMA, _SOFT_SIGMA), truncate=3.0
    )
    return smoothed


def _soft_tissue(source_hu: np.ndarray, *, body: np.ndarray) -> np.ndarray:
    """``(D, H, W)`` bool: where the smoothed source lies within `_SOFT_HU`, in the body."""
    hu = _smoothed(source_hu)
    soft: np.ndarray = (hu > _SOFT_HU[0]) & (hu < _SOFT_HU[1]) & body
    return soft


def _smooth_error(prediction: np.ndarray, target: np.ndarray, *, where: np.ndarray) -> float | None:
    if not where.any():
        return None
    return float(np.abs(_smoothed(prediction - target))[where].mean())


def score(prediction: np.ndarray, reference: Reference, *, window_hu: Window) -> Scores:
    """Measure ``prediction`` ``(D, H, W)`` HU against ``reference``."""
    target, spacing = reference.target.hu, reference.target.spacing_mm
    body = voxel_errors(prediction, target, where=reference.body, window_hu=window_hu)
    whole = voxel_errors(prediction, target, where=reference.valid, window_hu=window_hu)
    still = voxel_errors(prediction, target, where=reference.still, window_hu=window_hu)
    structure = structural_similarity(prediction, target, where=reference.body, window_hu=window_hu)
    power = noise_power(prediction, reference.regions, spacing_mm=spacing)
    values: dict[str, float | None] = {
        "mae_body_hu": body.mae_hu,
        "rmse_body_hu": body.rmse_hu,
        "psnr_db": whole.psnr_db,
        "ssim": structure.axial,
        "ssim_3d": structure.volume,
        "gradient_error_hu_mm": gradient_error(prediction, target, spacing_mm=spacing, where=reference.body),
        "noise_power_distance_db": None,
        "bias_body_hu": body.bias_hu,
        "mae_window_hu": body.mae_window_hu,
        "rmse_window_hu": body.rmse_window_hu,
        "psnr_body_db": body.psnr_db,
        "ssim_body": structure.axial_where,
        "ssim_3d_body": structure.volume_where,
        "nmae_range": body.nmae_range,
        "nmae_rel": body.nmae_rel,
        "nmse_energy": body.nmse_energy,
        "noise_ratio": None,
        "organ_error_hu": None,
        "organ_recovery": None,
        "mae_soft_hu": _smooth_error(prediction, target, where=reference.soft),
        "mae_still_hu": still.mae_hu,
        "mae_still_smooth_hu": _smooth_error(prediction, target, where=reference.still),
        "change_still_hu": voxel_errors(
            prediction, reference.source.hu, where=reference.still, window_hu=window_hu
        ).bias_hu,
    }
    organ_hu = {} if reference.labels is None else organ_means(prediction, reference.labels, reference.organs)
    true = {organ: hu - reference.source_hu[organ] for organ, hu in reference.target_hu.items()}
    enhancing = [organ for organ in organ_hu if abs(true[organ]) >= SMALLEST_CHANGE_HU]
    if enhancing:
        predicted = {organ: organ_hu[organ] - reference.source_hu[organ] for organ in enhancing}
        values["organ_error_hu"] = float(np.mean([abs(predicted[organ] - true[organ]) for organ in enhancing]))
        values["organ_recovery"] = float(np.mean([predicted[organ] / true[organ] for organ in enhancing]))
    if power is not None and reference.power is not None and reference.power.variance_hu2 > 0:
        values["noise_power_distance_db"] = noise_power_distance(power, reference.power)
        values["noise_ratio"] = math.sqrt(power.variance_hu2 / reference.power.variance_hu2)
    return Scores(
        values={key: value if value is not None and math.isfinite(value) else None for key, value in values.items()},
        organ_hu=organ_hu,
        power=power,
    )
