"""Organs that a map labels as one, divided: bone and kidney into cortex and inside, hollow organs into wall and content."""

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from s2ldm_core.phantom import ORGANS
from s2ldm_core.phantom.canvas import Slices
from s2ldm_core.phantom.fields import SplineField
from s2ldm_core.phantom.patient import stream
from train.anatomy.canvas import MapCanvas
from train.anatomy.names import CODES, COMPOSITES

_SURFACE = {
    "kidney_right": "renal_cortex",
    "kidney_left": "renal_cortex",
    "heart": "myocardium",
    "small_bowel": "small_bowel_wall",
    "colon": "colon_wall",
    "stomach": "stomach_wall",
    "gallbladder": "gallbladder_wall",
    "bladder": "bladder_wall",
    "vertebra": "cortical_bone",
    "pelvic_bone": "cortical_bone",
    "dense": "cortical_bone",
    "rib": "cortical_bone",
    "long_bone": "cortical_bone",
    "ivc": "ivc_suprarenal",
    "soft": "oblique_muscles",
    "strand": "mesenteric_vein",
    "inside": "visceral_fat",
}
_MARROW = {
    "vertebra": ("vertebral_marrow", 1.1),
    "pelvic_bone": ("pelvic_marrow", 1.6),
    "dense": ("pelvic_marrow", 1.6),
    "rib": ("rib_marrow", 1.2),
    "long_bone": ("pelvic_marrow", 2.6),
}
"""What fills a bone, and the thickness of its cortex in mm."""


def divide_organs(canvas: MapCanvas, *, seed: int) -> None:
    """Turn a canvas of structures into one of tissues."""
    table = np.arange(256, dtype=np.uint8)
    for name, tissue in _SURFACE.items():
        table[COMPOSITES[name]] = ORGANS[tissue]
    canvas.recode(table)
    rng = stream(seed, "anatomy interiors")
    _skin(canvas, rng)
    _bones(canvas, rng)
    _kidneys(canvas, rng)
    _heart(canvas, rng)
    _hollow(canvas, rng)
    _vena_cava(canvas)
    _strands(canvas, rng)


def _field(canvas: MapCanvas, rng: np.random.Generator, *, length_mm: float, box: Slices) -> np.ndarray:
    """A smooth random field of unit deviation over a box."""
    field = SplineField(rng, spacing_mm=(length_mm, length_mm, length_mm))
    return field.grid(tuple(np.asarray(axis)[b] for axis, b in zip(canvas.axes, box, strict=True)))[0]  # type: ignore[arg-type]


def _skin(canvas: MapCanvas, rng: np.random.Generator) -> None:
    thickness = float(rng.uniform(1.4, 2.6))
    found = canvas.depth(canvas.top != 0)
    if found is not None:
        box, depth = found
        canvas.fill(
            box, np.where(depth > 0, thickness - depth, -9.0), "skin", over=("subcutaneous_fat", "visceral_fat", "skin")
        )


def _bones(canvas: MapCanvas, rng: np.random.Generator) -> None:
    for name, (marrow, shell) in _MARROW.items():
        found = canvas.depth(canvas.structures == CODES[name])
        if found is not None:
            box, depth = found
            canvas.fill(box, depth - shell * float(rng.uniform(0.7, 1.5)), marrow, over=("cortical_bone",))


def _kidneys(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Pyramids in the depth of the parenchyma, columns of cortex between them, a pelvis where the kidney is thickest."""
    for name in ("kidney_right", "kidney_left"):
        found = canvas.depth(canvas.structures == CODES[name])
        if found is None:
            continue
        box, depth = found
        cortex = float(rng.uniform(5.0, 7.5))
        columns = _field(canvas, rng, length_mm=float(rng.uniform(8.0, 11.0)), box=box)
        canvas.fill(box, np.minimum(depth - cortex, 3.2 * (columns + 0.75)), "renal_medulla", over=("renal_cortex",))
        deep = float(depth.max())
        if deep > 17.0:  # a map that counts the sinus to the kidney
            canvas.fill(box, depth - 15.0 + columns, "renal_sinus_fat", over=("renal_cortex", "renal_medulla"))
            canvas.fill(box, depth - 18.5 + columns, "renal_pelvis", over=("renal_sinus_fat",))


# Chambers as ellipsoids in the heart's box: centre and radii as shares of its extent along (left, posterior, superior), wall in mm.
_CHAMBERS = (
    ("right_ventricle", (0.44, 0.26, 0.40), (0.30, 0.20, 0.30), 3.5),
    ("left_ventricle", (0.70, 0.47, 0.36), (0.20, 0.21, 0.27), 8.0),
    ("right_atrium", (0.17, 0.50, 0.50), (0.17, 0.26, 0.32), 2.5),
    ("left_atrium", (0.50, 0.79, 0.66), (0.28, 0.17, 0.22), 2.5),
)


def _heart(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Four chambers at their usual places in a heart labelled as one, within a wall of myocardium."""
    found = canvas.depth(canvas.structures == CODES["heart"])
    if found is None:
        return
    box, depth = found
    z, y, x = canvas.grid_of(box)
    left, posterior, superior = ((v - v.min()) / max(float(v.max() - v.min()), 1.0) for v in (x, y, z))
    scale = min(float(np.ptp(x)), float(np.ptp(y)), float(np.ptp(z)))
    for label, centre, radii, wall in _CHAMBERS:
        c = np.array(centre) + rng.normal(0, 0.015, 3)
        r = np.array(radii) * float(rng.uniform(0.92, 1.08))
        f = np.sqrt(((left - c[0]) / r[0]) ** 2 + ((posterior - c[1]) / r[1]) ** 2 + ((superior - c[2]) / r[2]) ** 2)
        sdf = (1.0 - f) * np.float32(scale * float(r.min()))
        canvas.fill(box, np.minimum(sdf, depth - wall), label, over=("myocardium",))


def _hollow(canvas: MapCanvas, rng: np.random.Generator) -> None:
    for name, wall, content in (("gallbladder", 1.6, "bile"), ("bladder", float(rng.uniform(2.2, 4.0)), "urine")):
        found = canvas.depth(canvas.structures == CODES[name])
        if found is not None:
            canvas.fill(found[0], found[1] - wall, content, over=(f"{name}_wall",))
    oral = rng.random() < 0.12
    for name, wall, gas, gas_share in (
        ("stomach", float(rng.uniform(3.0, 5.0)), float(rng.uniform(0.0, 18.0)), 0.8),
        ("small_bowel", float(rng.uniform(2.0, 3.2)), 2.0, 0.25),
        ("colon", float(rng.uniform(1.8, 2.8)), float(rng.uniform(-6.0, 6.0)), 0.65),
    ):
        found = canvas.depth(canvas.structures == CODES[name])
        if found is None:
            continue
        box, depth = found
        lumen = depth - wall
        content = "stool" if name == "colon" else f"{name}_content"
        surface = (f"{name}_wall",)
        canvas.fill(box, lumen, content, over=surface)
        where = _field(canvas, rng, length_mm=45.0, box=box)
        if oral:
            canvas.fill(box, np.minimum(lumen, 8.0 * (where + 0.3)), "oral_contrast", over=(content,))
        # Gas lies above (anterior to) the fluid of its own stretch of bowel, in some stretches only.
        inside = (lumen > 0).astype(np.float32)
        level = _local_mean_y(canvas, box, inside, length_mm=float("inf") if name == "stomach" else 16.0)
        here = _field(canvas, rng, length_mm=40.0, box=box) - np.float32(_quantile(1.0 - gas_share))
        sdf = np.minimum(np.minimum(level - gas - canvas.grid_of(box)[1], lumen - 0.3), 10.0 * here)
        canvas.fill(box, sdf, "bowel_gas", over=(content, "oral_contrast"))
        if name == "colon":
            bubbles = _field(canvas, rng, length_mm=6.0, box=box)
            canvas.fill(box, np.minimum(2.5 * (bubbles - 1.1), lumen - 1.5), "bowel_gas", over=(content,))


def _quantile(share: float) -> float:
    """The standard normal's quantile: a unit field exceeds it in one less this share of places."""
    return float(ndtri(np.clip(share, 0.01, 0.99)))


def _local_mean_y(canvas: MapCanvas, box: Slices, inside: np.ndarray, *, length_mm: float) -> np.ndarray:
    """Mean y (mm) of what is inside within about ``length_mm``; an infinite length takes the whole."""
    y = np.broadcast_to(canvas.grid_of(box)[1], inside.shape)
    if np.isinf(length_mm):
        return np.full((1, 1, 1), (inside * y).sum() / max(float(inside.sum()), 1.0), np.float32)
    sigma = [length_mm / step for step in canvas.spacing_mm]
    weight = ndimage.gaussian_filter(inside, sigma, truncate=2.0)
    return ndimage.gaussian_filter(inside * y, sigma, truncate=2.0) / np.maximum(weight, 1e-3)


def _vena_cava(canvas: MapCanvas) -> None:
    """Below the kidneys' middle the vena cava carries blood from the legs only."""
    kidneys = canvas.is_("renal_cortex").any(axis=(1, 2))
    if not kidneys.any() or not (canvas.structures == CODES["ivc"]).any():
        return
    middle = int(np.mean(np.flatnonzero(kidneys)))
    ivc = ORGANS["ivc_suprarenal"]
    for array in (canvas.top, canvas.under):
        lower = array[:middle]
        lower[lower == ivc] = ORGANS["ivc_infrarenal"]


def _strands(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Thin soft tissue between the bowels is vessel: renal beside the kidneys, far from the aorta vein, else either by a smooth field."""
    mask = canvas.structures == CODES["strand"]
    whole = (slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2]))
    if not mask.any():
        return
    arterial = _field(canvas, rng, length_mm=22.0, box=whole) > 0.35
    if canvas.is_("aorta").any():
        # The arteries' branches are soon too thin for a label.
        arterial &= canvas.within(canvas.is_("aorta"), 60.0)
    kidney = canvas.is_("renal_cortex", "renal_medulla")
    beside = np.zeros_like(mask)
    if kidney.any():
        near = canvas.within(kidney, 22.0)
        middle = float(np.median(np.flatnonzero(mask.any(axis=(0, 1)))))
        centre = np.abs(np.arange(mask.shape[2]) - middle) * canvas.spacing_mm[2]
        beside = near & (centre < 55.0)[None, None, :]
    for array in (canvas.top, canvas.under):
        vein = (array == ORGANS["mesenteric_vein"]) & ((canvas.structures == CODES["strand"]) | (array is canvas.under))
        array[vein & arterial & ~beside] = ORGANS["mesenteric_artery"]
        array[vein & arterial & beside] = ORGANS["renal_artery"]
        array[vein & ~arterial & beside] = ORGANS["renal_vein"]
