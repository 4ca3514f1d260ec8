"""Kidneys with cortex, pyramids, sinus and pelvis; ureters, adrenals, cysts, tumours and stones."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Ellipsoid, rotation
from s2ldm_core.phantom.tissues import HOLLOW
from s2ldm_core.phantom.trees import curve

_FAT = ("visceral_fat",)
_NEIGHBOURS = ("liver", "spleen", "psoas", "quadratus_lumborum", "diaphragm")


def paint_kidneys(canvas: Canvas, body: Body) -> None:
    """Paint kidneys with cortex, pyramids, sinus fat and pelvis; ureters, adrenals, cysts, tumours, stones."""
    rng = body.rng("kidneys")
    for side, level in ((-1, -28.0), (1, -14.0)):
        k = float(np.clip(rng.normal(1.0, 0.08), 0.75, 1.2))
        out = 62.0 + 5.0 * body.fat + float(rng.normal(0, 3))
        centre = np.array([side * out, 22.0 + rng.normal(0, 3), level + rng.normal(0, 9) + 0.4 * body.dome_mm])
        turn = rotation(
            about_z=side * 28.0 + rng.normal(0, 8), about_y=side * -11.0, about_x=float(-10 + rng.normal(0, 4))
        )
        radii = np.array([26.0, 25.0, 55.0]) * k
        perirenal = Ellipsoid(centre=tuple(centre), radii=tuple(radii + 7 + 9 * body.fat), turn=turn, power=2.2)
        canvas.paint(perirenal, "visceral_fat", over=HOLLOW)
        # Neighbours lie against the renal fascia, never against the kidney: even a lean patient has a rim of fat there.
        rim = Ellipsoid(centre=tuple(centre), radii=tuple(radii + 2.0 + 7 * body.fat), turn=turn, power=2.3)
        canvas.paint(rim, "visceral_fat", over=_NEIGHBOURS)
        kidney = Ellipsoid(
            centre=tuple(centre), radii=tuple(radii), turn=turn, power=2.3, waves_mm=0.8, wave_length_mm=26
        )
        canvas.paint(kidney, "renal_cortex", over=(*_FAT, *HOLLOW))
        # Local axes: u points medially to the hilum, w along the kidney.
        u = turn @ np.array([-side, 0.0, 0.0])
        v, w = turn @ np.array([0.0, 1.0, 0.0]), turn @ np.array([0.0, 0.0, 1.0])
        for row in np.linspace(-0.72, 0.72, 5):
            for angle in (-2.2, -0.75, 0.75, 2.2):
                spread = float(np.sqrt(max(0.0, 1 - row**2)))
                p = (
                    centre
                    + w * row * radii[2] * 0.78
                    + spread * radii[0] * 0.52 * (-u * np.cos(angle) * 1.0 + v * np.sin(angle))
                )
                if np.dot(p - centre, u) > 0.45 * radii[0]:
                    continue
                canvas.paint(
                    Ellipsoid(centre=tuple(p), radii=tuple(np.array([6.6, 6.6, 7.8]) * k)),
                    "renal_medulla",
                    over=("renal_cortex",),
                )
        sinus = Ellipsoid(
            centre=tuple(centre + u * radii[0] * 0.42),
            radii=tuple(np.array([0.52, 0.38, 0.56]) * radii),
            turn=turn,
            waves_mm=2.0,
            wave_length_mm=16,
        )
        canvas.paint(sinus, "renal_sinus_fat", over=("renal_cortex", "renal_medulla"))
        wide = float(rng.uniform(3.0, 7.5)) if rng.random() > 0.06 else 12.0
        pelvis = curve(
            [
                tuple((centre + u * radii[0] * f + w * g)[::-1])
                for f, g in ((0.25, 12), (0.4, 4), (0.85, -4), (1.35, -16))
            ]
        )
        canvas.tube(
            pelvis,
            np.linspace(wide * 0.7, wide * 0.6, len(pelvis)),
            "renal_pelvis",
            over=("renal_sinus_fat", *_FAT, "renal_cortex", "renal_medulla"),
        )
        for g in (-20.0, 0.0, 20.0):
            hilum = centre + u * radii[0] * 0.9
            calyx = np.array([(centre + u * radii[0] * 0.3 + w * g * k)[::-1], hilum[::-1]])
            canvas.tube(calyx, np.array([1.6, 2.4]), "renal_vein", over=("renal_sinus_fat",))
        start = centre + u * radii[0] * 1.35 - w * 16
        ureter = curve(
            [
                tuple(start[::-1]),
                (-90, body.spine_y(-90) - 14, side * 38),
                (-160, 6, side * 44),
                (-225, 20, side * 52),
                (-265, 10, side * 22),
            ]
        )
        canvas.tube(ureter, np.full(len(ureter), 2.0), "ureter", over=_FAT)
        _renal_lesions(canvas, rng, centre, radii, side)
        x0 = side * (28.0 if side > 0 else 26.0)
        top = level + 50.0
        for dx, dy in ((6.0, 16.0), (10.0, 10.0)):
            limb = curve(
                [
                    (top, body.spine_y(top) - 22, x0),
                    (top - 4, body.spine_y(top) - 22 + dy * 0.6, x0 + side * dx * 0.6),
                    (top - 12, body.spine_y(top) - 22 + dy, x0 + side * dx),
                ]
            )
            canvas.tube(limb, np.full(len(limb), float(rng.uniform(2.0, 3.4))), "adrenal", over=_FAT)


def _renal_lesions(canvas: Canvas, rng: np.random.Generator, centre: np.ndarray, radii: np.ndarray, side: int) -> None:
    over = ("renal_cortex", "renal_medulla", "visceral_fat", "renal_sinus_fat")
    for _ in range(int(rng.poisson(0.7))):
        direction = rng.normal(0, 1, 3)
        direction[0] = side * abs(direction[0])
        p = centre + radii * direction / np.linalg.norm(direction) * rng.uniform(0.7, 1.05)
        size = float(np.exp(rng.uniform(np.log(3), np.log(22))))
        solid = rng.random() < 0.12
        canvas.paint(
            Ellipsoid(centre=tuple(p), radii=(size, size, size), waves_mm=0.06 * size if solid else 0.0),
            "renal_tumour" if solid else "cyst",
            over=over,
        )
    if rng.random() < 0.12:
        canvas.paint(
            Ellipsoid(centre=tuple(centre + np.array([0.0, 2.0, -12.0])), radii=(2.5, 2.5, 3)), "calcification"
        )
