"""Arms beside the body, the couch, clothing and, seldom, an implant."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Column, Ellipsoid, Formula


def paint_arms(canvas: Canvas, body: Body) -> None:
    """Paint the arms beside the trunk when the patient could not raise them."""
    if body.patient.arms_up:
        return
    rng = body.rng("arms")
    fat = 4.0 + 0.35 * body.patient.subcutaneous_fat_mm
    for side in (-1, 1):
        out = 46.0 + 1.0 * body.patient.subcutaneous_fat_mm
        x = tuple(side * (v + out) for v in (118, 124, 128, 138, 142, 132, 112))
        z = (-300, -180, -80, 10, 90, 190, 245)
        y = tuple(float(v + rng.normal(0, 4)) for v in (20, 24, 34, 40, 36, 26, 20))
        a, b = (20, 28, 34, 36, 38, 42, 44), (26, 32, 36, 38, 42, 46, 46)
        for grow, label in ((fat + 2, "skin"), (fat, "subcutaneous_fat"), (0.0, "arm_muscle")):
            arm = Column(z=z, x=x, y=y, a=tuple(v + grow for v in a), b=tuple(v + grow for v in b))
            canvas.paint(arm, label, over=("air", "skin", "clothing", "subcutaneous_fat", "arm_muscle"))
        # Humerus above the elbow (z > 60), ulna and radius below it.
        for low, high, offset, radius in (
            (60.0, 245.0, 0.0, 11.5),
            (-230.0, 75.0, 11.0, 7.5),
            (-230.0, 75.0, -11.0, 7.5),
        ):
            at = np.linspace(low, high, 7)
            middle = np.interp(at, z, x), np.interp(at, z, y)
            for size, label in ((radius, "cortical_bone"), (radius - 3.5, "long_bone_marrow")):
                canvas.paint(
                    Column(
                        z=tuple(at),
                        x=tuple(middle[0] + offset),
                        y=tuple(middle[1] + 0.5 * offset),
                        a=(size,) * 7,
                        b=(size,) * 7,
                    ),
                    label,
                )


def paint_couch(canvas: Canvas, body: Body, *, contours: dict[str, np.ndarray]) -> None:
    """Paint the curved couch, a mattress and folds of a blanket in the air around the body."""
    rng = body.rng("couch")
    skin = contours["skin"]
    angle = np.arange(skin.shape[1]) * (2 * np.pi / skin.shape[1])
    back = float(np.percentile((skin[90:660] * np.sin(angle)).max(axis=1), 97))
    curved, top = float(rng.uniform(350, 900)), back * float(canvas.warp.scale[1]) + float(rng.uniform(4, 14))
    half = float(rng.uniform(205, 240))
    yy, xx = canvas.axes[1].astype(np.float32)[:, None], canvas.axes[2].astype(np.float32)[None, :]
    surface = top - (curved - np.sqrt(np.maximum(curved**2 - xx**2, 1.0)))
    thick = float(rng.uniform(28, 55))
    depth = np.minimum(np.minimum(yy - surface, surface + thick - yy), half - np.abs(xx))
    everything = (slice(None),) * 3
    shape = canvas.top.shape
    canvas.fill(everything, np.broadcast_to(depth, shape), "table_shell", over=("air",))
    canvas.fill(everything, np.broadcast_to(depth - 2.5, shape), "table_foam", over=("table_shell",))
    if rng.random() < 0.6:
        mat = np.minimum(np.minimum(yy - surface + 9.0, surface - 1.0 - yy), half - 12.0 - np.abs(xx))
        canvas.fill(everything, np.broadcast_to(mat, shape), "table_foam", over=("air",))
    if rng.random() < 0.6:
        gap = float(rng.uniform(3, 10))
        region = canvas.region
        wave = 3.0 * np.sin(region.x * 0.06 + region.z * 0.02 + rng.uniform(0, 6))
        sheet = 0.6 - np.abs(region.depth("skin") + gap + wave)
        canvas.fill(everything, np.minimum(sheet, -region.y + 40.0), "clothing", over=("air",))


def paint_implants(canvas: Canvas, body: Body) -> None:
    """Paint, in a few patients, a port, a hip prosthesis or spinal screws."""
    rng = body.rng("implants")
    kind = rng.choice(("none", "port", "hip", "screws"), p=(0.93, 0.04, 0.02, 0.01))
    if kind == "port":
        canvas.paint(
            Formula(
                limits=(-100, -60, -160, -60, 195, 225),
                function=lambda r: np.minimum(
                    6.0 - np.abs(r.depth("muscle") + 4.0), 11.0 - np.sqrt((r.x + 80) ** 2 + (r.z - 210) ** 2)
                ),
            ),
            "plastic",
        )
        canvas.tube(
            np.array([(212, -84, -70), (236, -44, -52), (230, -22, -30), (170, -16, -29)]), np.full(4, 1.3), "plastic"
        )
    elif kind == "hip":
        side = int(rng.choice((-1, 1)))
        canvas.paint(Ellipsoid(centre=(side * 89, 6, -286), radii=(24, 24, 24)), "metal")
        canvas.tube(
            np.array([(-290, 8, side * 96), (-312, 14, side * 124), (-400, 5, side * 118)]),
            np.array([9.0, 11.0, 7.0]),
            "metal",
        )
    elif kind == "screws":
        for z in (-115, -80):
            for side in (-1, 1):
                canvas.tube(
                    np.array([(z, body.spine_y(z) - 6, side * 8), (z, body.spine_y(z) + 42, side * 22)]),
                    np.array([3.0, 3.0]),
                    "metal",
                )
