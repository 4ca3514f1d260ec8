"""One subject's anatomy on its own grid: every voxel of the body a structure, and its native or contrast CT where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import ndimage

from train.anatomy.completion import complete, divide_soft
from train.anatomy.enhancement import Enhancement
from train.anatomy.errors import AnatomyError
from train.anatomy.names import CODES, structure
from train.anatomy.unenhancing import unenhance

_STILL = (
    "vertebra",
    "pelvic_bone",
    "dense",
    "rib",
    "long_bone",
    "csf",
    "spinal_cord",
    "disc",
    "cartilage",
    "subcutaneous_fat",
    "skin",
    "air",
    "paraspinal",
    "psoas",
    "quadratus_lumborum",
    "gluteal",
    "oblique_muscles",
    "rectus_abdominis",
    "iliacus",
    "thigh_muscle",
    "pectoral",
    "latissimus",
)
_BLOOD_NATIVE_LIMIT_HU = 75.0
_VESSELS_DIFFER_HU = 18.0
# A scan whose aorta is brighter than this is arterial, one that is not native below it venous.
_ARTERIAL_HU = 200.0
_SMALLEST_ML = 20.0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A label map ready to be deformed and painted.

    Attributes
    ----------
    codes : (D, H, W) uint8, values of `CODES`; axes run with patient +z, +y (posterior), +x (left).
    spacing_mm : (dz, dy, dx).
    ct_hu : (D, H, W) float32 native CT on the same grid, or None.
    mobility : (D, H, W) float32 in 0 .. 1: how far a voxel follows the diaphragm.
    centre : (z, y, x) index of the body's centre in its slices, the middle slice in z.
    extent_mm : (z, y, x) of the body.
    known_radius_mm : when rows and columns cut the body all around, the radius of the circle that lies within them; else None.
    """

    name: str
    licence: str
    codes: np.ndarray
    spacing_mm: tuple[float, float, float]
    ct_hu: np.ndarray | None
    mobility: np.ndarray
    centre: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    known_radius_mm: float | None
    scan_hu: np.ndarray | None = None
    scan_phase: Literal["arterial", "venous"] | None = None
    native_hu: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def enhancement(self) -> Enhancement:
        """What contrast medium did to ``scan_hu``; kept once it is known."""
        assert self.scan_hu is not None  # noqa: S101 - asked of subjects with a contrast scan only
        assert self.scan_phase is not None  # noqa: S101
        return unenhance(
            self.codes, self.scan_hu, spacing_mm=self.spacing_mm, phase=self.scan_phase, native_hu=self.native_hu
        )


def prepare(
    name: str,
    ids: np.ndarray,
    names: Mapping[int, str],
    *,
    spacing_mm: tuple[float, float, float],
    ct_hu: np.ndarray | None = None,
    licence: str = "",
    native_hu: Mapping[str, float] | None = None,
) -> Subject:
    """Turn a label map into a subject: structures by name, unlabelled tissue filled in, soft tissue divided.

    Parameters
    ----------
    ids : (D, H, W) integer labels, 0 background, axes along patient +z, +y, +x.
    names : label to name; labels of the map without a name are an error.
    ct_hu : (D, H, W) CT on the same grid in any phase. It fills what the map leaves out, and is kept when it is native, or when
        its vessels show which contrast phase it is.
    native_hu : medians of the patient's native scan, by region.

    Raises
    ------
    AnatomyError
        ``label_unknown``, ``label_unnamed``, ``grid_differs`` or ``anatomy_empty``.
    """
    if ct_hu is not None and ct_hu.shape != ids.shape:
        raise AnatomyError("grid_differs", f"The CT of {name} has shape {ct_hu.shape}, its label map {ids.shape}.")
    codes = structures_of(name, ids, names)
    if np.count_nonzero(codes) * float(np.prod(spacing_mm)) < _SMALLEST_ML * 1000.0:
        raise AnatomyError(
            "anatomy_empty", f"The label map of {name} holds hardly any labelled tissue.", "Give a map of the torso."
        )
    codes = complete(codes, spacing_mm, ct_hu=ct_hu)
    keep = _usable_slices(codes)
    codes = divide_soft(codes[keep], spacing_mm)
    image = None if ct_hu is None else np.ascontiguousarray(ct_hu[keep], np.float32)
    native = image is not None and is_native(codes, image)
    phase = None if image is None or native else contrast_phase(codes, image)
    body = np.argwhere(codes.any(axis=0))
    low, high = body.min(axis=0), body.max(axis=0)
    centre = ((codes.shape[0] - 1) / 2, *(low + high) / 2)
    extent_mm = (high - low + 1) * spacing_mm[1:]
    return Subject(
        name=name,
        licence=licence,
        codes=codes,
        spacing_mm=spacing_mm,
        ct_hu=image if native else None,
        scan_hu=image if phase else None,
        scan_phase=phase,
        native_hu=dict(native_hu or {}),
        mobility=_mobility(codes, spacing_mm),
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        extent_mm=(codes.shape[0] * spacing_mm[0], float(extent_mm[0]), float(extent_mm[1])),
        known_radius_mm=float(extent_mm.min()) / 2 if _cut_all_around(codes) else None,
    )


def structures_of(name: str, ids: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    """The structures (`CODES`) (D, H, W) uint8 of a label map; raises as `prepare` does."""
    present = np.unique(ids)
    unnamed = [int(value) for value in present if value and int(value) not in names]
    if unnamed:
        raise AnatomyError(
            "label_unnamed",
            f"The map of {name} holds labels without a name: {unnamed[:8]}.",
            "Name them in labels.json.",
        )
    table = np.zeros(int(present.max()) + 1, np.uint8)
    for value in present:
        if value:
            table[value] = CODES[structure(names[int(value)])]
    return table[ids]


def is_native(codes: np.ndarray, ct_hu: np.ndarray) -> bool:
    """Whether a CT is without contrast: blood in the great vessels is not bright, and the same in arteries and veins.

    Without a labelled vessel it cannot be told, and the answer is no.
    """
    medians = []
    for group in (("aorta", "left_ventricle", "heart"), ("ivc", "portal_vein"), ("pulmonary_artery", "svc")):
        mask = ndimage.binary_erosion(np.isin(codes, [CODES[name] for name in group]))
        if np.count_nonzero(mask) >= 20:
            medians.append(float(np.median(ct_hu[mask])))
    return bool(medians) and max(medians) < _BLOOD_NATIVE_LIMIT_HU and max(medians) - min(medians) < _VESSELS_DIFFER_HU


def contrast_phase(codes: np.ndarray, ct_hu: np.ndarray) -> Literal["arterial", "venous"] | None:
    """The phase of a contrast scan by its arteries: above 200 HU arterial, above 75 HU venous, else (or without arteries) unknown."""
    mask = ndimage.binary_erosion(np.isin(codes, [CODES[name] for name in ("aorta", "left_ventricle", "heart")]))
    if np.count_nonzero(mask) < 20:
        return None
    level = float(np.median(ct_hu[mask]))
    if level > _ARTERIAL_HU:
        return "arterial"
    return "venous" if level > _BLOOD_NATIVE_LIMIT_HU else None


def _cut_all_around(codes: np.ndarray) -> bool:
    """Whether anatomy, rather than air, stands along most of the outline of the slices."""
    outline = np.concatenate([codes[:, 0], codes[:, -1], codes[:, :, 0], codes[:, :, -1]], axis=1)
    return bool(np.count_nonzero(outline) > 0.5 * outline.size)


def _usable_slices(codes: np.ndarray) -> slice:
    """Leave out slices without a body and, in a map without lungs, what lies above the liver's widest part."""
    occupied = np.flatnonzero(codes.any(axis=(1, 2)))
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    liver = (codes == CODES["liver"]).sum(axis=(1, 2))
    if liver.any() and not (codes == CODES["lung"]).any():
        # Lung around the dome would else be painted as fat.
        wide = np.flatnonzero(liver >= 0.6 * liver.max())
        last = min(last, int(wide[-1]) + 1)
    return slice(first, last)


def _mobility(codes: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Organs under the diaphragm move with it; spine, pelvis and body wall stay, and so does the pelvis's content."""
    still = np.isin(codes, [CODES[name] for name in _STILL])
    soft = ndimage.gaussian_filter((~still).astype(np.float32), [14.0 / step for step in spacing_mm], truncate=2.5)
    liver = np.flatnonzero((codes == CODES["liver"]).any(axis=(1, 2)))
    dome = int(liver[-1]) if liver.size else codes.shape[0] - 1
    height = (np.arange(codes.shape[0]) - dome) * spacing_mm[0]
    ramp = np.clip(np.minimum((height + 260.0) / 220.0, (140.0 - height) / 120.0), 0.0, 1.0).astype(np.float32)
    return soft * ramp[:, None, None]
