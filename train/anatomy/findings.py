"""What differs between patients: lesions, plaques, implants, and what lies around them: arms, couch, blanket."""

import numpy as np
from scipy import ndimage

from s2ldm_core.phantom.patient import Patient, stream
from s2ldm_core.phantom.shapes import Ellipsoid
from train.anatomy.canvas import MapCanvas

_LIVER_LESIONS = ("cyst", "hypovascular_lesion", "hypervascular_lesion", "haemangioma")


def paint_findings(canvas: MapCanvas, patient: Patient, *, seed: int, implants: bool) -> None:
    """Paint lesions and plaques; ``implants`` also metal, whose streaks a real CT would have shown."""
    rng = stream(seed, "anatomy findings")
    _lesions(canvas, rng)
    _plaques(canvas, rng, patient)
    if implants and rng.random() < 0.06:
        _implant(canvas, rng)


def _centres(canvas: MapCanvas, mask: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    found = np.flatnonzero(mask)
    if found.size == 0:
        return np.empty((0, 3))
    return canvas.world(np.stack(np.unravel_index(rng.choice(found, size=count), mask.shape), axis=1))


def _ball(
    canvas: MapCanvas,
    rng: np.random.Generator,
    at: np.ndarray,
    size: float,
    label: str,
    over: tuple[str, ...],
    *,
    rough: float,
) -> None:
    radii = (size, size * float(rng.uniform(0.75, 1.2)), size * float(rng.uniform(0.75, 1.2)))
    centre = (float(at[2]), float(at[1]), float(at[0]))
    canvas.paint(Ellipsoid(centre=centre, radii=radii, waves_mm=rough * size, wave_length_mm=14.0), label, over=over)


def _lesions(canvas: MapCanvas, rng: np.random.Generator) -> None:
    if rng.random() < 0.45:
        kind = str(rng.choice(_LIVER_LESIONS, p=(0.4, 0.27, 0.2, 0.13)))
        many = 7 if kind in ("cyst", "hypovascular_lesion") else 3
        for at in _centres(canvas, canvas.is_("liver"), rng, int(rng.integers(1, many))):
            size = float(np.exp(rng.uniform(np.log(3), np.log(24))))
            _ball(
                canvas,
                rng,
                at,
                size,
                kind,
                ("liver", "portal_vein", "hepatic_vein"),
                rough=0.0 if kind == "cyst" else 0.08,
            )
    for at in _centres(canvas, canvas.is_("renal_cortex"), rng, int(rng.poisson(0.8))):
        solid = rng.random() < 0.12
        size = float(np.exp(rng.uniform(np.log(3), np.log(20))))
        over = ("renal_cortex", "renal_medulla", "renal_sinus_fat", "visceral_fat")
        _ball(canvas, rng, at, size, "renal_tumour" if solid else "cyst", over, rough=0.06 if solid else 0.0)
    if rng.random() < 0.06:
        for at in _centres(canvas, canvas.is_("spleen"), rng, int(rng.integers(1, 4))):
            _ball(canvas, rng, at, float(rng.uniform(3, 12)), "cyst", ("spleen",), rough=0.0)
    if rng.random() < 0.05:
        for at in _centres(canvas, canvas.is_("pancreas"), rng, 1):
            _ball(canvas, rng, at, float(rng.uniform(5, 15)), "hypovascular_lesion", ("pancreas",), rough=0.1)
    lung = canvas.is_("lung")
    if np.count_nonzero(lung) > 20_000:
        for at in _centres(canvas, lung, rng, int(rng.poisson(0.6))):
            _ball(canvas, rng, at, float(rng.uniform(2.5, 13)), "nodule", ("lung",), rough=0.12)


def _plaques(canvas: MapCanvas, rng: np.random.Generator, patient: Patient) -> None:
    count = int(rng.poisson(max(0.0, (patient.age - 48) * 0.5))) if rng.random() < 0.7 else 0
    arteries = canvas.is_("aorta", "iliac_artery")
    wall = arteries & ~ndimage.binary_erosion(arteries)
    for at in _centres(canvas, wall, rng, count):
        size = float(rng.uniform(0.8, 2.6))
        _ball(
            canvas,
            rng,
            at,
            size,
            "calcification",
            ("aorta", "iliac_artery", "visceral_fat", "mediastinal_fat"),
            rough=0.0,
        )
    if rng.random() < 0.1:
        for at in _centres(canvas, canvas.is_("renal_medulla", "bile"), rng, 1):
            _ball(canvas, rng, at, float(rng.uniform(1.5, 4)), "calcification", ("renal_medulla", "bile"), rough=0.0)


def _implant(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Pedicle screws in two vertebrae."""
    marrow = canvas.is_("vertebral_marrow")
    levels = np.flatnonzero(marrow.any(axis=(1, 2)))
    if len(levels) < 20:
        return
    first = int(rng.choice(levels[: len(levels) // 2]))
    for level in (first, first + round(34.0 / canvas.spacing_mm[0])):
        if level >= marrow.shape[0] or not marrow[level].any():
            continue
        z, y, x = canvas.world(
            np.argwhere(marrow)[np.argwhere(marrow)[:, 0] == level].mean(axis=0).round().astype(int)[None]
        )[0]
        for side in (-1, 1):
            line = np.array([(z, y - 4, x + 8 * side), (z, y + 40, x + 20 * side)])
            canvas.tube(line, np.array([2.8, 2.8]), "metal")


def paint_surroundings(canvas: MapCanvas, patient: Patient, *, seed: int) -> None:
    """Paint the couch, sometimes a blanket, and the arms of a patient who could not raise them."""
    rng = stream(seed, "anatomy surroundings")
    body = canvas.top != 0
    if not body.any():
        return
    y = np.asarray(canvas.axes[1], np.float32)
    x = np.asarray(canvas.axes[2], np.float32)
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    left, right = float(x[columns[-1]]), float(x[columns[0]])
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    back, front = float(y[rows[-1]]), float(y[rows[0]])
    if not patient.arms_up:
        _arms(canvas, rng, (right, left), 0.5 * (front + back) + 15.0, patient.subcutaneous_fat_mm)
    curved, thick, half = float(rng.uniform(350, 900)), float(rng.uniform(28, 55)), float(rng.uniform(205, 240))
    yy, xx = y[:, None], x[None, :]
    surface = back + float(rng.uniform(1, 10)) - (curved - np.sqrt(np.maximum(curved**2 - xx**2, 1.0)))
    depth = np.minimum(np.minimum(yy - surface, surface + thick - yy), half - np.abs(xx))
    everything = (slice(None), slice(None), slice(None))
    canvas.fill(everything, np.broadcast_to(depth, canvas.top.shape), "table_shell", over=("air",))
    canvas.fill(everything, np.broadcast_to(depth - 2.5, canvas.top.shape), "table_foam", over=("table_shell",))
    if rng.random() < 0.5:
        mat = np.minimum(np.minimum(yy - surface + 9.0, surface - 1.0 - yy), half - 12.0 - np.abs(xx))
        canvas.fill(everything, np.broadcast_to(mat, canvas.top.shape), "table_foam", over=("air",))


def _arms(canvas: MapCanvas, rng: np.random.Generator, sides: tuple[float, float], y_mm: float, fat_mm: float) -> None:
    low, high = float(canvas.axes[0][0]) - 40.0, float(canvas.axes[0][-1]) + 40.0
    muscle, fat = float(rng.uniform(26, 36)), 4.0 + 0.35 * min(fat_mm, 30.0)
    for edge, side in zip(sides, (-1, 1), strict=True):
        out = edge + side * (muscle + fat + float(rng.uniform(4, 16)))
        line = np.array([(low, y_mm + float(rng.normal(0, 10)), out), (high, y_mm + float(rng.normal(0, 10)), out)])
        ones = np.ones(2)
        for radius, label in ((muscle + fat + 2.0, "skin"), (muscle + fat, "subcutaneous_fat"), (muscle, "arm_muscle")):
            inner = {"skin": ("air",), "subcutaneous_fat": ("skin", "air"), "arm_muscle": ("subcutaneous_fat",)}[label]
            canvas.tube(line, radius * ones, label, over=inner)
        for shift in (-9.0, 9.0):
            bone = line + np.array([0.0, 0.6 * shift, shift])
            canvas.tube(bone, 8.0 * ones, "cortical_bone", over=("arm_muscle",))
            canvas.tube(bone, 4.8 * ones, "long_bone_marrow", over=("cortical_bone",))
