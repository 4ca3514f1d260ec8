"""Noise texture: the radial noise-power spectrum in homogeneous soft tissue (ICRU Report 87; AAPM TG-233, section 3.2.3).

Regions of interest are chosen once per case from the source and the target, never from a prediction, so that every system is measured in
the same places and none can choose where it looks good.
"""

from dataclasses import dataclass

import numpy as np

from train.metrics.window import check_same_shape

_ROI_MM = 25.0
_MOST_ROIS = 200
_SHARE, _FEWEST_ROIS = 0.05, 8
"""Only the most homogeneous 5 % of the places: the others hold anatomy, which would outweigh the noise at low frequencies."""

_SOFT_TISSUE_HU = (-150.0, 400.0)
_SMALLEST_RATIO = 1e-6
"""A spectrum without any power is taken as 60 dB below the target's."""


@dataclass(frozen=True, kw_only=True)
class NoisePower:
    """A radial spectrum: power in HU² mm² at radial frequencies in cycles/mm; ``variance_hu2`` is the mean variance in the regions."""

    frequency_per_mm: np.ndarray
    power: np.ndarray
    variance_hu2: float


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Square regions of interest in axial slices: ``corners`` ``(n, 3)`` of (slice, first row, first column), and their side in pixels."""

    corners: np.ndarray
    side: int


def homogeneous_regions(
    source: np.ndarray, target: np.ndarray, *, spacing_mm: tuple[float, float, float], body: np.ndarray
) -> Regions:
    """The 5 % of regions of about 25 mm in the body's soft tissue in which source and target vary least: at least 8, at most 200.

    ``(D, H, W)`` HU. Regions lie on a fixed grid; the least variance of source and target together (each about its own plane) comes
    first, so the choice is the same every time. There may be none.
    """
    check_same_shape(source, target, body)
    side = 2 * max(4, round(_ROI_MM / spacing_mm[1] / 2))
    corners: list[np.ndarray] = []
    spread: list[np.ndarray] = []
    for index in range(len(source)):
        inside = _tiles(body[index], side)
        if inside is None:
            break
        usable = inside.all(axis=(2, 3))
        tiles = []
        for image in (source, target):
            tile = _tiles(image[index], side)
            if tile is None:
                break
            usable &= (tile.mean(axis=(2, 3)) > _SOFT_TISSUE_HU[0]) & (tile.mean(axis=(2, 3)) < _SOFT_TISSUE_HU[1])
            tiles.append(tile)
        places = np.argwhere(usable)
        if len(places) == 0:
            continue
        variance = sum(_flattened(tile[usable].astype(np.float64)).var(axis=(1, 2)) for tile in tiles)
        corners.append(np.column_stack([np.full(len(places), index), places * side]))
        spread.append(np.asarray(variance))
    if not corners:
        return Regions(corners=np.empty((0, 3), dtype=int), side=side)
    order = np.argsort(np.concatenate(spread), kind="stable")
    count = min(_MOST_ROIS, max(_FEWEST_ROIS, round(_SHARE * len(order))))
    return Regions(corners=np.concatenate(corners)[order[:count]], side=side)


def noise_power(hu: np.ndarray, regions: Regions, *, spacing_mm: tuple[float, float, float]) -> NoisePower | None:
    """Radial spectrum over ``regions`` of ``(D, H, W)`` HU; ``None`` without regions.

    NPS(u, v) = (dx dy / (Nx Ny)) ⟨|DFT(roi − fitted plane)|²⟩, averaged over rings of width 1 / (N max(dx, dy)) up to the Nyquist frequency
    of the coarser axis; the ring of frequency 0 is left out.
    """
    if len(regions.corners) == 0:
        return None
    n, (_, dy, dx) = regions.side, spacing_mm
    rois = np.stack([hu[k, y : y + n, x : x + n] for k, y, x in regions.corners]).astype(np.float64)
    flat = _flattened(rois)
    power = (np.abs(np.fft.fft2(flat)) ** 2).mean(axis=0) * (dx * dy / (n * n))
    radius = np.hypot(np.fft.fftfreq(n, dy)[:, None], np.fft.fftfreq(n, dx)[None, :])
    width = 1.0 / (n * max(dx, dy))
    ring = np.rint(radius / width).astype(int).ravel()
    counts = np.bincount(ring)
    sums = np.bincount(ring, weights=power.ravel())
    rings = np.arange(1, n // 2 + 1)
    return NoisePower(
        frequency_per_mm=rings * width,
        power=sums[rings] / counts[rings],
        variance_hu2=float(flat.var(axis=(1, 2)).mean()),
    )


def noise_power_distance(prediction: NoisePower, target: NoisePower) -> float:
    """Root mean square over frequencies of 10 log10(P_prediction / P_target), in dB: 0 for the same texture, 3 for half the power."""
    ratio = np.maximum(prediction.power / target.power, _SMALLEST_RATIO)
    return float(np.sqrt(np.mean((10 * np.log10(ratio)) ** 2)))


def _tiles(plane: np.ndarray, side: int) -> np.ndarray | None:
    """``(rows, columns, side, side)`` view of the whole tiles of a slice; ``None`` when none fits."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    if rows == 0 or columns == 0:
        return None
    return plane[: rows * side, : columns * side].reshape(rows, side, columns, side).swapaxes(1, 2)


def _flattened(rois: np.ndarray) -> np.ndarray:
    """``(n, N, N)`` minus each one's least-squares plane: slow shading is not noise."""
    side = rois.shape[-1]
    ramp = (np.arange(side) - (side - 1) / 2) / np.sqrt(side * (side**2 - 1) / 12)  # orthonormal along its axis
    flat = rois - rois.mean(axis=(1, 2), keepdims=True)
    down = np.einsum("nij,i->n", flat, ramp) / side
    across = np.einsum("nij,j->n", flat, ramp) / side
    return flat - down[:, None, None] * ramp[:, None] - across[:, None, None] * ramp[None, :]
