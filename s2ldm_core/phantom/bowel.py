"""Small bowel, colon, rectum, mesentery, and the organs of the pelvis."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Ellipsoid, Formula
from s2ldm_core.phantom.trees import curve, grow

_FAT = ("visceral_fat",)


def paint_bowel(canvas: Canvas, body: Body) -> None:
    """Paint small-bowel loops with the mesentery's vessels, then the colon's frame."""
    rng = body.rng("bowel")
    wide = 1.0 + 0.18 * (body.fat - 0.35)
    targets = rng.uniform((-205, -66, -78), (-40, 8, 78), (170, 3)) * (1, wide, wide)
    artery = grow((-60.0, -22.0, 6.0), targets, rng, root_radius_mm=3.4, leaf_radius_mm=0.75, step_mm=12, wobble_mm=2.5)
    vein = grow(
        (-58.0, -24.0, -10.0),
        targets + rng.normal(0, 3, targets.shape),
        rng,
        root_radius_mm=4.6,
        leaf_radius_mm=0.95,
        step_mm=12,
        wobble_mm=2.5,
    )
    canvas.segments(vein.points, vein.radii, vein.parents, "mesenteric_vein", over=_FAT)
    canvas.segments(artery.points, artery.radii, artery.parents, "mesenteric_artery", over=_FAT)
    for _ in range(int(rng.integers(3, 12))):
        p = rng.uniform((-40, -40, -150), (40, 0, -40))
        canvas.paint(Ellipsoid(centre=tuple(p), radii=(3.0, 2.5, 4.0)), "lymph_node", over=_FAT)
    radius = float(rng.uniform(8.0, 13.0))
    oral = rng.random() < 0.1
    loops = int(np.clip(rng.normal(13 - 5.0 * body.fat, 2.0), 6, 17))
    duodenum = curve(
        [
            (-28, -40, -30),
            (-26, -22, -46),
            (-42, -2, -50),
            (-66, -2, -40),
            (-78, -10, -12),
            (-70, -14, 18),
            (-46, -22, 30),
            (-52, -42, 40),
        ]
    )
    paths = [duodenum]
    for index in range(loops):
        z = -240 + 195 * (index + 0.5) / loops
        side = 1 if index % 2 else -1
        count = int(rng.integers(7, 12))
        reach = 46.0 if z < -205 else 70.0
        x = np.linspace(-side * reach, side * reach, count) * wide + rng.normal(0, 7, count)
        y = (
            -30
            + 26 * np.sin(np.arange(count) * rng.uniform(1.2, 2.2) + rng.uniform(0, 6)) * wide
            + rng.normal(0, 5, count)
        )
        height = z + 14 * np.sin(np.arange(count) * rng.uniform(1.0, 2.0) + rng.uniform(0, 6)) + rng.normal(0, 5, count)
        paths.append(curve(np.stack([height, np.clip(y, -64, 12), x], axis=1)))
    for path in paths:
        squeeze = 1.0 + 0.22 * np.sin(np.arange(len(path)) * rng.uniform(0.3, 0.8) + rng.uniform(0, 6))
        r = radius * np.clip(squeeze, 0.6, 1.4)
        collapsed = rng.random() < 0.35
        wall = 2.0 if not collapsed else 3.2
        content = "oral_contrast" if oral and rng.random() < 0.8 else "small_bowel_content"
        canvas.tube(path, r + 1.2, "visceral_fat", over=("small_bowel_wall",))
        canvas.tube(
            path,
            r,
            "small_bowel_wall",
            over=("visceral_fat", "mesenteric_vein", "mesenteric_artery", "small_bowel_wall", "lymph_node"),
        )
        canvas.tube(path, (r - wall) * (0.35 if collapsed else 1.0), content, over=("small_bowel_wall",))
        if rng.random() < 0.3:
            a = int(rng.integers(0, max(1, len(path) - 8)))
            canvas.tube(path[a : a + 7], (r - wall)[a : a + 7], "bowel_gas", over=(content,), gas_level_mm=1.5)
    _colon(canvas, body, rng, wide)


def _colon(canvas: Canvas, body: Body, rng: np.random.Generator, wide: float) -> None:
    j = lambda scale=6.0: float(rng.normal(0, scale))  # noqa: E731
    sag = float(rng.uniform(-35, 15))
    frame = curve(
        [
            (-172, -6, -72),
            (-150 + j(), -4, -84),
            (-105, 14, -88),
            (-62, 12, -84),
            (-46 + j(), -22, -74),
            (-54, -56 * wide, -46),
            (-62 + sag + j(), -64 * wide, -4),
            (-48 + 0.6 * sag, -62 * wide, 42),
            (-12, -38, 80),
            (14 + j(), 0, 96),
            (-14, 24, 98),
            (-70, 22, 96),
            (-125, 18, 90),
            (-165 + j(), 10, 80),
            (-195, -2 + j(), 58),
            (-205 + j(10), -18 + j(), 24),
            (-222, -4 + j(), -4 + j(12)),
            (-226, 24, 6),
            (-240, 46, 2),
            (-268, 52, 0),
            (-296, 50, 0),
            (-316, 62, 0),
        ]
    )
    count = len(frame)
    s = np.linspace(0, 1, count)
    base = np.interp(
        s, (0, 0.08, 0.25, 0.45, 0.6, 0.75, 0.85, 0.95, 1), (27, 25, 21, 19, 15, 12.5, 15, 16, 10)
    ) * float(rng.uniform(0.8, 1.2))
    haustra = 1.0 + 0.16 * np.sin(np.arange(count) * 2.3)
    radii = base * haustra
    over = (
        "visceral_fat",
        "small_bowel_wall",
        "small_bowel_content",
        "bowel_gas",
        "mesenteric_vein",
        "mesenteric_artery",
        "lymph_node",
        "oral_contrast",
        "ureter",
    )
    canvas.tube(frame, radii + 2.5, "visceral_fat", over=over)
    canvas.tube(frame, radii, "colon_wall", over=(*over, "colon_wall"))
    canvas.tube(frame, radii - 2.2, "stool", over=("colon_wall",))
    start = 0
    while start < count - 6:
        length = int(rng.integers(5, 16))
        if rng.random() < 0.55:
            part = slice(start, min(count, start + length))
            level = float(rng.uniform(-10, 8))
            canvas.tube(frame[part], radii[part] - 2.6, "bowel_gas", over=("stool",), gas_level_mm=level)
        start += length
    for _ in range(110):
        i = int(rng.integers(0, count))
        p = frame[i] + rng.normal(0, 0.35, 3) * radii[i]
        canvas.paint(
            Ellipsoid(centre=tuple(p[::-1]), radii=tuple(rng.uniform(1.2, 4.5, 3))), "bowel_gas", over=("stool",)
        )


def paint_pelvic_organs(canvas: Canvas, body: Body) -> None:
    """Paint bladder, prostate and seminal vesicles or uterus, and ascites in a few patients."""
    rng = body.rng("pelvis")
    fill = float(rng.uniform(0.45, 1.25))
    over = (
        "visceral_fat",
        "small_bowel_wall",
        "small_bowel_content",
        "bowel_gas",
        "colon_wall",
        "stool",
        "oral_contrast",
        "mesenteric_vein",
        "mesenteric_artery",
        "ureter",
        "gluteal",
    )
    centre = (float(rng.normal(0, 3)), -18.0, -288 + 26 * fill)
    radii = (40 * fill**0.6, 32 * fill**0.6, 30 * fill)
    floor = Ellipsoid(centre=(0, 30, -322), radii=(58, 70, 16))
    canvas.paint(floor, "pelvic_soft_tissue", over=("visceral_fat", "gluteal", "intermuscular_fat"))
    if body.patient.sex == "M":
        k = 1.0 + 0.012 * max(0, body.patient.age - 50) * rng.uniform(0, 1)
        canvas.paint(
            Ellipsoid(centre=(0, 2, -308), radii=(22 * k, 17 * k, 19 * k)),
            "prostate",
            over=(*over, "pelvic_soft_tissue"),
        )
        for side in (-1, 1):
            canvas.paint(
                Ellipsoid(centre=(side * 17, 24, -276), radii=(17, 6, 8), waves_mm=1.5, wave_length_mm=9),
                "pelvic_soft_tissue",
                over=over,
            )
    else:
        k = float(rng.uniform(0.7, 1.15)) if body.patient.age < 55 else float(rng.uniform(0.5, 0.8))
        canvas.paint(
            Ellipsoid(centre=(float(rng.normal(0, 8)), 14, -262), radii=(26 * k, 22 * k, 36 * k), waves_mm=1.0),
            "uterus",
            over=over,
        )
        canvas.paint(
            Ellipsoid(centre=(0, 24, -302), radii=(15, 8, 22)), "pelvic_soft_tissue", over=(*over, "pelvic_soft_tissue")
        )
        for side in (-1, 1):
            canvas.paint(
                Ellipsoid(centre=(side * 40, 10, -250), radii=(13 * k, 10 * k, 14 * k)), "pelvic_soft_tissue", over=over
            )
    wall = (radii[0] + 2.6, radii[1] + 2.6, radii[2] + 2.6)
    canvas.paint(Ellipsoid(centre=centre, radii=wall, power=2.3), "bladder_wall", over=(*over, "uterus"))
    canvas.paint(Ellipsoid(centre=centre, radii=radii, power=2.3), "urine", over=("bladder_wall",))
    if rng.random() < 0.05:
        inside = body.abdomen(inset_mm=2.0)
        deep = float(rng.uniform(8, 25))
        canvas.paint(
            Formula(
                limits=(-150, 150, -130, 100, -300, 80),
                function=lambda r: np.minimum(inside.sdf(r), deep - r.depth("cavity")),
            ),
            "ascites",
            over=("visceral_fat",),
        )
