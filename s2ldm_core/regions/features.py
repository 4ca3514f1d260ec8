"""What an axial slice shows of the body, in numbers that do not depend on how the patient lies."""

import numpy as np
from scipy import ndimage

from s2ldm_core.regions.grid import Coarse, coarse, components

#: The classes, from above downwards; `other` is water phantoms, empty fields, what is no body.
REGIONS = (
    "head",
    "neck",
    "shoulder",
    "thorax",
    "upper_abdomen",
    "lower_abdomen",
    "pelvis",
    "extremity",
    "other",
)

_EDGES_HU = (-900.0, -700.0, -400.0, -150.0, -30.0, 10.0, 30.0, 60.0, 100.0, 200.0, 400.0, 800.0)
_SHELLS = 5
_SECTORS = 24
# A skull or a rib cage lies so far under the skin at most.
_SHALLOW_MM = 24.0
_LARGE_CM2 = 2.0
_BONE_CM2 = 0.5
_NO_BODY_CM2 = 6.0


def slice_features(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Features of each slice.

    Parameters
    ----------
    hu
        ``(D, H, W)`` HU of axial slices.
    spacing_mm
        ``(dz, dy, dx)``.

    Returns
    -------
    numpy.ndarray
        ``(D, F)`` float32; a row of zeros where there is no body.
    """
    grid = coarse(hu, spacing_mm)
    bone, gas = grid.bone, grid.gas
    bones, gases, hulls = components(bone)[0], components(gas)[0], _within_bone(bone)
    rows = [_of_slice(grid, index, bones[index], gases[index], hulls[index]) for index in range(len(grid.hu))]
    return np.stack(rows).astype(np.float32)


def _of_slice(grid: Coarse, index: int, bones: np.ndarray, gases: np.ndarray, hull: np.ndarray) -> np.ndarray:
    hu, body, parts = grid.hu[index], grid.body[index], grid.parts[index]
    pixel_cm2 = grid.spacing_mm[0] * grid.spacing_mm[1] / 100.0
    area = float(body.sum()) * pixel_cm2
    bone = bones > 0
    gas = gases > 0
    values = hu[body] if area >= _NO_BODY_CM2 else np.empty(0, np.float32)
    y, x = (axis.astype(np.float64) for axis in np.nonzero(body))
    places = np.stack([y * grid.spacing_mm[0], x * grid.spacing_mm[1]])
    if values.size == 0:
        return np.zeros(_count())
    around = np.pad(body, 1)  # the edge of the field counts as skin: deeper than it is not known
    depth = ndimage.distance_transform_edt(around, sampling=grid.spacing_mm)[1:-1, 1:-1][body]
    shares = np.histogram(values, bins=(-2000.0, *_EDGES_HU, 4000.0))[0] / values.size
    return np.concatenate(
        [
            _outline(places, area, parts, grid.spacing_mm),
            [_edge_share(body), min(body.shape[0] * grid.spacing_mm[0], body.shape[1] * grid.spacing_mm[1]) / 400.0],
            shares,
            _pieces(gases, pixel_cm2, area, _LARGE_CM2),
            _pieces(bones, pixel_cm2, area, _BONE_CM2),
            [float((hull & body).sum()) * pixel_cm2 / area],
            _bone_layout(bone[body], depth, places),
            _shells(values, depth),
            _one_sided(places, bone[body], gas[body]),
            _inside(values, depth),
        ]
    )


def _count() -> int:
    return 8 + 2 + len(_EDGES_HU) + 1 + 4 + 4 + 1 + 4 + 4 * _SHELLS + 3 + 3


def _outline(places: np.ndarray, area: float, parts: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1].astype(np.float64)
    sizes = sizes[sizes > 0]
    axes = _axes(places)
    largest = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    y, x = np.nonzero(largest)
    one = _axes(np.stack([y * spacing[0], x * spacing[1]]).astype(np.float64))
    return np.array(
        [
            np.log(area),
            axes[0] / 100.0,
            axes[1] / 100.0,
            one[0] / 100.0,
            one[1] / 100.0,
            one[1] / one[0],
            min(sizes.size, 4),
            sizes[1] / sizes[0] if sizes.size > 1 else 0.0,
        ]
    )


def _axes(places: np.ndarray) -> np.ndarray:
    """Long and short axis of the ellipse with the same moments, mm."""
    spread = np.cov(places) if places.shape[1] > 2 else np.eye(2)
    return 4.0 * np.sqrt(np.maximum(np.linalg.eigvalsh(spread)[::-1], 1.0))


def _edge_share(body: np.ndarray) -> float:
    edge = np.concatenate([body[0], body[-1], body[:, 0], body[:, -1]])
    return float(edge.mean())


def _pieces(labels: np.ndarray, pixel_cm2: float, area: float, least_cm2: float) -> np.ndarray:
    """Number of large pieces, share of all, of the largest and of the second in the body."""
    counts = np.bincount(labels.ravel())[1:]
    sizes = np.sort(counts[counts > 0])[::-1] * pixel_cm2
    large = sizes[sizes >= least_cm2]
    first = large[0] if large.size else 0.0
    second = large[1] if large.size > 1 else 0.0
    return np.array([min(large.size, 8) / 8.0, sizes.sum() / area, first / area, second / area])


def _within_bone(bone: np.ndarray) -> np.ndarray:
    """``(D, h, w)`` bool: what bone, its gaps closed, goes all around: brain, spinal canal, marrow."""
    plane = np.ones((1, 3, 3), bool)
    closed = ndimage.binary_closing(np.pad(bone, ((0, 0), (3, 3), (3, 3))), structure=plane, iterations=2)
    labels, count = components(~closed)
    outside = np.zeros(count + 1, bool)
    outside[0] = True
    outside[np.unique(labels[:, 0])] = True
    inside: np.ndarray = ~outside[labels][:, 3:-3, 3:-3] & ~bone
    return inside


def _bone_layout(bone: np.ndarray, depth: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Depth of bone and its spread by the body's own depth; the part of directions with bone near the skin; spread."""
    if not bone.any():
        return np.zeros(4)
    deepest = float(depth.max())
    away = places - places.mean(axis=1, keepdims=True)
    shallow = bone & (depth <= _SHALLOW_MM)
    angle = np.arctan2(away[0], away[1])
    sector = ((angle + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    ring = np.unique(sector[shallow]).size / _SECTORS
    size = float(np.sqrt((away**2).sum(axis=0).mean()))
    spread = float(np.sqrt((away[:, bone] ** 2).sum(axis=0).mean())) / max(size, 1.0)
    return np.array([depth[bone].mean() / deepest, depth[bone].std() / deepest, ring, spread])


def _shells(values: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Shares of gas, fat, soft tissue and bone in shells from the skin to the deepest place."""
    shell = np.minimum((depth / depth.max() * _SHELLS).astype(int), _SHELLS - 1)
    kind = np.digitize(values, (-400.0, -30.0, 200.0))
    counts = np.bincount(shell * 4 + kind, minlength=4 * _SHELLS).reshape(_SHELLS, 4).astype(np.float64)
    counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    return counts.ravel()


def _one_sided(places: np.ndarray, bone: np.ndarray, gas: np.ndarray) -> np.ndarray:
    """How far the middles of bone, of gas, and of the body's bulk lie from the body's middle, by its size."""
    middle = places.mean(axis=1)
    size = float(np.sqrt(((places - middle[:, None]) ** 2).sum(axis=0).mean()))
    away = [float(np.hypot(*(places[:, what].mean(axis=1) - middle))) if what.any() else 0.0 for what in (bone, gas)]
    centre = (places.max(axis=1) + places.min(axis=1)) / 2
    return np.array([*away, float(np.hypot(*(centre - middle)))]) / max(size, 1.0)


def _inside(values: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Median, middle spread and low end of the HU of the deeper half."""
    deep = values[depth >= 0.5 * depth.max()]
    low, middle, high = np.percentile(np.clip(deep, -1000.0, 400.0), (15, 50, 85))
    return np.array([middle, high - low, low]) / 400.0
