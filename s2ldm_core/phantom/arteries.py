"""Pulmonary trunk, aorta and their branches."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Ellipsoid
from s2ldm_core.phantom.trees import curve
from s2ldm_core.phantom.vessels import SOFT, paint_vessel


def paint_arteries(canvas: Canvas, body: Body) -> None:
    """Paint the pulmonary trunk, the aorta with its branches, wall calcification and, seldom, an aneurysm."""
    rng = body.rng("arteries")
    y = body.spine_y
    age = body.patient.age
    k = float(np.clip(rng.normal(1.0, 0.07) + 0.0035 * (age - 50), 0.8, 1.25))
    heart = ("right_ventricle", "left_ventricle", "left_atrium", "right_atrium", "coronary_artery")
    lift = 0.3 * body.dome_mm
    paint_vessel(
        canvas,
        "pulmonary_artery",
        [(142 + lift, -52, 12), (162 + lift, -46, 18), (180, -28, 22), (184, -12, 22)],
        (13 * k, 14 * k, 13.5 * k, 12),
        coat_mm=3,
        over=(*SOFT, *heart),
    )
    paint_vessel(
        canvas,
        "pulmonary_artery",
        [(183, -16, 20), (181, -3, 0), (176, 4, -24), (171, 8, -42)],
        (11, 10.5, 10, 8),
        coat_mm=2,
        over=SOFT,
    )
    paint_vessel(
        canvas,
        "pulmonary_artery",
        [(183, -14, 22), (186, 4, 34), (178, 16, 46), (165, 22, 50)],
        (11, 10.5, 9.5, 7.5),
        coat_mm=2,
        over=SOFT,
    )
    for side in (-1, 1):
        for z in (160, 136):
            paint_vessel(
                canvas,
                "pulmonary_vein",
                [(z - 2, 16, 8 + side * 24), (z + 1, 15, 8 + side * 36), (z + 4, 14, 4 + side * 52)],
                (6.5, 6, 5),
                coat_mm=1.5,
                over=(*SOFT, "left_atrium"),
            )
    bend = rng.normal(0, 3.0 + 0.08 * max(0, age - 45), 4)
    arch = [
        (138 + lift, -26, 8),
        (152 + lift, -30, 2),
        (172, -36, -12),
        (196, -32, -16),
        (214, -18, -8),
        (221, 2, 6),
        (216, 24, 20),
        (200, 36, 25),
        (178, 40, 25),
        (140, y(140) - 24, 22 + bend[0]),
        (100, y(100) - 24, 18 + bend[1]),
        (60, y(60) - 24, 12 + 0.6 * bend[1]),
        (25, y(25) - 26, 8),
        (-10, y(-10) - 28, 7),
        (-50, y(-50) - 28, 9 + 0.6 * bend[2]),
        (-85, y(-85) - 28, 9 + bend[3] * 0.7),
        (-117, y(-117) - 27, 4),
    ]
    radii = np.array([13, 16, 16, 15.5, 14.5, 14, 13, 12.5, 12.2, 12, 11.6, 11.2, 10.8, 9.6, 8.8, 8.5, 8.2]) * k
    if rng.random() < 0.06:
        radii[14:16] *= rng.uniform(1.4, 2.2)
    wall = 1.4
    line = curve(arch)
    at = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(radii)), radii)
    canvas.tube(
        line, at + 3.5, "mediastinal_fat", over=("lung", "dependent_lung", "pulmonary_artery", "pulmonary_vein")
    )
    over = (*SOFT, *heart, "renal_vein", "splenic_vein", "vessel_wall", "brachiocephalic_vein_left", "svc")
    canvas.tube(line, at + wall, "vessel_wall", over=over)
    canvas.tube(line, at, "aorta", over=(*over, "vessel_wall"))
    for name, points, r in (
        (
            "supra_aortic_artery",
            [(212, -20, -8), (236, -10, -18), (254, -2, -28), (300, y(300) - 20, -28), (345, y(340) - 14, -26)],
            (6.5, 6, 5, 4, 3.5),
        ),
        (
            "supra_aortic_artery",
            [(250, -4, -26), (264, -2, -44), (262, 4, -80), (264 + 10 * body.patient.arms_up, 10, -128)],
            (5, 4.5, 4, 3.5),
        ),
        (
            "supra_aortic_artery",
            [(218, -4, 4), (250, 2, 20), (300, y(300) - 20, 28), (345, y(340) - 14, 26)],
            (4.5, 4, 3.8, 3.5),
        ),
        (
            "supra_aortic_artery",
            [(217, 12, 14), (248, 14, 34), (268, 8, 52), (262, 6, 84), (264 + 10 * body.patient.arms_up, 10, 128)],
            (5.5, 5, 4.5, 4, 3.5),
        ),
    ):
        paint_vessel(canvas, name, points, r, coat_mm=2.5, over=(*SOFT, "neck_muscle"))
    branch = (*SOFT, "splenic_vein", "portal_vein", "superior_mesenteric_vein", "renal_vein")
    front = y(6) - 28
    paint_vessel(
        canvas, "visceral_artery", [(6, front, 7), (7, front - 14, 6), (8, front - 22, 5)], (4.2, 4, 3.8), over=branch
    )
    paint_vessel(
        canvas,
        "visceral_artery",
        [(8, front - 22, 5), (10, front - 24, -14), (16, -22, -28), (22, -20, -40)],
        (2.8, 2.5, 2.2, 1.8),
        over=(*branch, "liver"),
    )
    w = rng.normal(0, 4, 4)
    paint_vessel(
        canvas,
        "visceral_artery",
        [
            (8, front - 22, 6),
            (14 + w[0], -12, 22),
            (8 + w[1], -6, 34),
            (20 + w[2], 4, 48),
            (16 + w[3], 14, 60),
            (28, 24, 74),
        ],
        (3.2, 3, 3, 2.8, 2.6, 2.4),
        over=branch,
    )
    paint_vessel(
        canvas,
        "visceral_artery",
        [(-8, y(-8) - 29, 7), (-14, y(-8) - 44, 6), (-34, -24, 4), (-70, -26, 4), (-110, -30, -6)],
        (4, 3.8, 3.5, 3, 2),
        over=branch,
    )
    paint_vessel(
        canvas,
        "visceral_artery",
        [(-80, y(-80) - 34, 10), (-100, y(-100) - 36, 20), (-150, 6, 32)],
        (2, 1.8, 1.5),
        over=branch,
    )
    for side in (-1, 1):
        level = -20.0 - (4 if side < 0 else 0)
        paint_vessel(
            canvas,
            "renal_artery",
            [
                (level, y(level) - 27, 8 + side * 6),
                (level - 2, y(level) - 16, side * 24),
                (level - 3, 12, side * 36),
                (level - 3, 18, side * 50),
            ],
            (3, 2.8, 2.6, 2.2),
            over=branch,
        )
        tort = rng.normal(0, 2 + 0.06 * max(0, age - 45), 2)
        common = paint_vessel(
            canvas,
            "iliac_artery",
            [
                (-114, y(-117) - 27, 4 + side * 3),
                (-140, 2, side * 15),
                (-168, -3, side * (27 + 0.4 * tort[0])),
                (-200, -10 + 0.5 * tort[1], side * 36),
                (-235, -24, side * 51),
                (-266, -38, side * 67),
            ],
            (5.8 * k, 5.5 * k, 5.2 * k, 4.6, 4.4, 4.4),
            over=(*branch, "iliac_vein", "ivc_infrarenal"),
        )
        paint_vessel(
            canvas,
            "iliac_artery",
            [(-170, -1, side * 28), (-195, 22, side * 37), (-235, 42, side * 42)],
            (3.6, 3.2, 2.4),
            over=(*branch, "iliac_vein"),
        )
        paint_vessel(
            canvas,
            "femoral_artery",
            [(-264, -38, side * 67), (-300, -52, side * 78), (-345, -58, side * 86), (-420, -46, side * 92)],
            (4.4, 4.4, 4, 4),
        )
        paint_vessel(
            canvas,
            "mesenteric_artery",
            [(-255, -52, side * 66), (-200, -66, side * 44), (-100, -74, side * 38), (0, -84, side * 40)],
            (1.4, 1.3, 1.2, 1.0),
            over=(*SOFT, "rectus_abdominis"),
        )
        _plaque(canvas, rng, common, np.full(len(common), 5.0 * k), age)
    _plaque(canvas, rng, line, at, age)


def _plaque(canvas: Canvas, rng: np.random.Generator, line: np.ndarray, radii: np.ndarray, age: int) -> None:
    count = int(rng.poisson(max(0.0, (age - 48) * 0.45))) if rng.random() < 0.7 else 0
    for _ in range(count):
        i = int(rng.integers(len(line) // 6, len(line) - 1))
        along = line[i + 1] - line[i]
        out = np.cross(along, rng.normal(0, 1, 3))
        out /= max(float(np.linalg.norm(out)), 1e-6)
        p = line[i] + out * radii[i]
        size = float(rng.uniform(0.8, 2.6))
        canvas.paint(
            Ellipsoid(centre=tuple(p[::-1]), radii=(size, size, size * 1.6)),
            "calcification",
            over=("aorta", "vessel_wall", "iliac_artery", "visceral_fat", "mediastinal_fat", "lung"),
        )
