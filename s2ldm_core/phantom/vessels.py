"""The great vessels of chest, abdomen and pelvis."""

from __future__ import annotations

import numpy as np

from .body import Body
from .canvas import Canvas
from .shapes import Ellipsoid
from .trees import curve

_SOFT = (
    "visceral_fat",
    "mediastinal_fat",
    "intermuscular_fat",
    "lung",
    "dependent_lung",
    "small_bowel_wall",
    "small_bowel_content",
    "colon_wall",
    "stool",
    "bowel_gas",
    "oral_contrast",
    "psoas",
    "iliacus",
    "diaphragm",
    "mesenteric_vein",
    "mesenteric_artery",
    "lymph_node",
    "neck_muscle",
    "shoulder_muscle",
    "thigh_muscle",
    "gluteal",
    "renal_sinus_fat",
    "ureter",
    "pelvic_soft_tissue",
    "pectoral",
    "subcutaneous_fat",
    "pulmonary_artery",
    "pulmonary_vein",
    "airway_wall",
    "pancreas",
    "intercostal",
    "consolidation",
    "pleural_effusion",
    "oblique_muscles",
    "oesophagus",
    "myocardium",
    "renal_pelvis",
    "rectus_abdominis",
)


def _line(
    canvas: Canvas, label: str, points, radii, *, coat_mm: float = 0.0, over=_SOFT, per_segment: int = 4
) -> np.ndarray:  # type: ignore[no-untyped-def]
    line = curve(points, per_segment=per_segment)
    at = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(radii)), radii)
    if coat_mm:
        canvas.tube(
            line,
            at + coat_mm,
            "mediastinal_fat",
            over=("lung", "dependent_lung", "pulmonary_artery", "pulmonary_vein", "airway_wall"),
        )
    canvas.tube(line, at, label, over=over)
    return line


def paint_veins(canvas: Canvas, body: Body) -> None:
    """Paint caval, brachiocephalic, jugular, iliac, femoral, renal, portal and splenic veins."""
    rng = body.rng("veins")
    y = body.spine_y
    d = 0.7 * body.dome_mm
    k = float(np.clip(rng.normal(1.0, 0.1), 0.8, 1.25))
    _line(
        canvas,
        "svc",
        [(222, -16, -27), (195, -14, -29), (165, -16, -30), (140, -18, -29)],
        (9 * k, 9.5 * k, 10 * k, 10.5 * k),
        coat_mm=3,
        over=(*_SOFT, "right_atrium"),
    )
    _line(
        canvas,
        "brachiocephalic_vein_left",
        [(262, -4, 52), (246, -24, 44), (234, -34, 18), (226, -28, -10), (220, -18, -26)],
        (7, 7.5, 8, 8, 8),
        coat_mm=3,
    )
    _line(
        canvas, "brachiocephalic_vein_right", [(262, -4, -50), (245, -16, -36), (222, -16, -28)], (7, 7.5, 8), coat_mm=3
    )
    for side in (-1, 1):
        _line(
            canvas,
            "jugular_vein",
            [(345, y(340) - 12, side * 30), (300, y(300) - 18, side * 34), (260, -6, side * 42)],
            (6 * rng.uniform(0.6, 1.3), 6, 7),
        )
        label = "brachiocephalic_vein_left" if side > 0 else "brachiocephalic_vein_right"
        _line(
            canvas,
            label,
            [(260, -6, side * 46), (258, -14, side * 80), (256 + 10 * body.patient.arms_up, -2, side * 125)],
            (7, 6.5, 6),
        )
        _line(
            canvas,
            "femoral_vein",
            [(-262, -28, side * 62), (-300, -44, side * 70), (-345, -50, side * 74), (-420, -40, side * 80)],
            (6.5, 6.5, 6, 6),
        )
        _line(
            canvas,
            "iliac_vein",
            [
                (-132, y(-132) - 22, side * 4 - 12),
                (-165, 10, side * 30),
                (-200, 16, side * 50),
                (-235, -6, side * 60),
                (-264, -28, side * 62),
            ],
            (8.0, 7.5, 7, 6.5, 6.5),
        )
        _line(
            canvas, "iliac_vein", [(-175, 14, side * 34), (-205, 40, side * 48), (-240, 48, side * 52)], (5, 4.5, 3.5)
        )
    flat = float(rng.uniform(0.8, 1.15))
    _line(
        canvas,
        "ivc_infrarenal",
        [(-134, y(-132) - 22, -10), (-105, y(-105) - 22, -20), (-60, y(-60) - 24, -22), (-24, y(-24) - 26, -22)],
        (9.5 * flat, 10 * flat, 10 * flat, 10.5 * flat),
    )
    _line(
        canvas,
        "ivc_suprarenal",
        [
            (-24, y(-24) - 26, -22),
            (5, 6, -23),
            (35, 6, -25),
            (62 + d, 2, -25),
            (92 + d * 0.6, -12, -27),
            (102 + d * 0.5, -18, -28),
        ],
        (10.5, 11, 11.5, 12, 12, 11),
        over=(*_SOFT, "liver", "hepatic_vein", "portal_vein", "right_atrium"),
    )
    _line(
        canvas,
        "renal_vein",
        [(-14, 16, 42), (-16, -2, 28), (-15, y(-15) - 42, 10), (-18, y(-18) - 34, -8), (-22, 2, -18)],
        (5, 5.5, 5, 4.5, 5.5),
    )
    _line(canvas, "renal_vein", [(-26, 14, -44), (-26, 6, -32), (-24, 2, -22)], (5, 5.5, 6))
    body_veins = ("portal_vein", "splenic_vein", "superior_mesenteric_vein")
    over = (*_SOFT, "liver", "hepatic_vein", *body_veins, "renal_vein")
    _line(
        canvas,
        "superior_mesenteric_vein",
        [(-110, -32, -14), (-75, -28, -11), (-40, -20, -9), (-12, -14, -8)],
        (3.5, 4.5, 5.5, 6),
        over=over,
    )
    _line(
        canvas,
        "splenic_vein",
        [(26 + d, 26, 76), (18, 12, 60), (8, -4, 36), (-2, -14, 14), (-10, -13, -6)],
        (4.0, 4.2, 4.5, 4.8, 5.0),
        over=over,
    )
    _line(
        canvas,
        "portal_vein",
        [(-11, -13, -7), (2, -13, -18), (14, -14, -30), (20, -14, -39)],
        (6.5, 7, 7, 6),
        over=over,
    )


def paint_arteries(canvas: Canvas, body: Body) -> None:
    """Paint the pulmonary trunk, the aorta with its branches, wall calcification and, seldom, an aneurysm."""
    rng = body.rng("arteries")
    y = body.spine_y
    age = body.patient.age
    k = float(np.clip(rng.normal(1.0, 0.07) + 0.0035 * (age - 50), 0.8, 1.25))
    heart = ("right_ventricle", "left_ventricle", "left_atrium", "right_atrium", "coronary_artery")
    lift = 0.3 * body.dome_mm
    _line(
        canvas,
        "pulmonary_artery",
        [(142 + lift, -52, 12), (162 + lift, -46, 18), (180, -28, 22), (184, -12, 22)],
        (13 * k, 14 * k, 13.5 * k, 12),
        coat_mm=3,
        over=(*_SOFT, *heart),
    )
    _line(
        canvas,
        "pulmonary_artery",
        [(183, -16, 20), (181, -3, 0), (176, 4, -24), (171, 8, -42)],
        (11, 10.5, 10, 8),
        coat_mm=2,
        over=_SOFT,
    )
    _line(
        canvas,
        "pulmonary_artery",
        [(183, -14, 22), (186, 4, 34), (178, 16, 46), (165, 22, 50)],
        (11, 10.5, 9.5, 7.5),
        coat_mm=2,
        over=_SOFT,
    )
    for side in (-1, 1):
        for z in (160, 136):
            _line(
                canvas,
                "pulmonary_vein",
                [(z - 2, 16, 8 + side * 24), (z + 1, 15, 8 + side * 36), (z + 4, 14, 4 + side * 52)],
                (6.5, 6, 5),
                coat_mm=1.5,
                over=(*_SOFT, "left_atrium"),
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
    over = (*_SOFT, *heart, "renal_vein", "splenic_vein", "vessel_wall", "brachiocephalic_vein_left", "svc")
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
        _line(canvas, name, points, r, coat_mm=2.5, over=(*_SOFT, "neck_muscle"))
    branch = (*_SOFT, "splenic_vein", "portal_vein", "superior_mesenteric_vein", "renal_vein")
    front = y(6) - 28
    _line(
        canvas, "visceral_artery", [(6, front, 7), (7, front - 14, 6), (8, front - 22, 5)], (4.2, 4, 3.8), over=branch
    )
    _line(
        canvas,
        "visceral_artery",
        [(8, front - 22, 5), (10, front - 24, -14), (16, -22, -28), (22, -20, -40)],
        (2.8, 2.5, 2.2, 1.8),
        over=(*branch, "liver"),
    )
    w = rng.normal(0, 4, 4)
    _line(
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
    _line(
        canvas,
        "visceral_artery",
        [(-8, y(-8) - 29, 7), (-14, y(-8) - 44, 6), (-34, -24, 4), (-70, -26, 4), (-110, -30, -6)],
        (4, 3.8, 3.5, 3, 2),
        over=branch,
    )
    _line(
        canvas,
        "visceral_artery",
        [(-80, y(-80) - 34, 10), (-100, y(-100) - 36, 20), (-150, 6, 32)],
        (2, 1.8, 1.5),
        over=branch,
    )
    for side in (-1, 1):
        z = -20.0 - (4 if side < 0 else 0)
        _line(
            canvas,
            "renal_artery",
            [
                (z, y(z) - 27, 8 + side * 6),
                (z - 2, y(z) - 16, side * 24),
                (z - 3, 12, side * 36),
                (z - 3, 18, side * 50),
            ],
            (3, 2.8, 2.6, 2.2),
            over=branch,
        )
        tort = rng.normal(0, 2 + 0.06 * max(0, age - 45), 2)
        common = _line(
            canvas,
            "iliac_artery",
            [
                (-114, y(-117) - 27, 4 + side * 3),
                (-140, 6, side * 18),
                (-168, 0 + tort[0], side * 36),
                (-200, 2 + tort[1], side * 54),
                (-235, -18, side * 66),
                (-266, -36, side * 70),
            ],
            (5.8 * k, 5.5 * k, 5.2 * k, 4.6, 4.4, 4.4),
            over=(*branch, "iliac_vein", "ivc_infrarenal"),
        )
        _line(
            canvas,
            "iliac_artery",
            [(-170, 2, side * 38), (-195, 30, side * 48), (-235, 44, side * 50)],
            (3.6, 3.2, 2.4),
            over=(*branch, "iliac_vein"),
        )
        _line(
            canvas,
            "femoral_artery",
            [(-264, -36, side * 70), (-300, -52, side * 80), (-345, -58, side * 86), (-420, -46, side * 92)],
            (4.4, 4.4, 4, 4),
        )
        _line(
            canvas,
            "mesenteric_artery",
            [(-255, -52, side * 66), (-200, -66, side * 44), (-100, -74, side * 38), (0, -84, side * 40)],
            (1.4, 1.3, 1.2, 1.0),
            over=(*_SOFT, "rectus_abdominis"),
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
