"""The great veins of chest, abdomen and pelvis."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.vessels import PORTAL_TRUNK, PORTAL_TRUNK_RADII, SOFT, paint_vessel


def paint_veins(canvas: Canvas, body: Body) -> None:
    """Paint caval, brachiocephalic, jugular, iliac, femoral, renal, portal and splenic veins."""
    rng = body.rng("veins")
    y = body.spine_y
    d = 0.7 * body.dome_mm
    k = float(np.clip(rng.normal(1.0, 0.1), 0.8, 1.25))
    paint_vessel(
        canvas,
        "svc",
        [(222, -16, -27), (195, -14, -29), (165, -16, -30), (140, -18, -29)],
        (9 * k, 9.5 * k, 10 * k, 10.5 * k),
        coat_mm=3,
        over=(*SOFT, "right_atrium"),
    )
    paint_vessel(
        canvas,
        "brachiocephalic_vein_left",
        [(262, -4, 52), (246, -24, 44), (234, -34, 18), (226, -28, -10), (220, -18, -26)],
        (7, 7.5, 8, 8, 8),
        coat_mm=3,
    )
    paint_vessel(
        canvas, "brachiocephalic_vein_right", [(262, -4, -50), (245, -16, -36), (222, -16, -28)], (7, 7.5, 8), coat_mm=3
    )
    for side in (-1, 1):
        paint_vessel(
            canvas,
            "jugular_vein",
            [(345, y(340) - 12, side * 30), (300, y(300) - 18, side * 34), (260, -6, side * 42)],
            (6 * rng.uniform(0.6, 1.3), 6, 7),
        )
        label = "brachiocephalic_vein_left" if side > 0 else "brachiocephalic_vein_right"
        paint_vessel(
            canvas,
            label,
            [(260, -6, side * 46), (258, -14, side * 80), (256 + 10 * body.patient.arms_up, -2, side * 125)],
            (7, 6.5, 6),
        )
        paint_vessel(
            canvas,
            "femoral_vein",
            [(-262, -29, side * 57), (-300, -44, side * 66), (-345, -50, side * 74), (-420, -40, side * 80)],
            (6.5, 6.5, 6, 6),
        )
        paint_vessel(
            canvas,
            "iliac_vein",
            [
                (-132, y(-132) - 22, side * 4 - 12),
                (-165, 12, side * 23),
                (-200, 8, side * 33),
                (-235, -10, side * 45),
                (-264, -30, side * 57),
            ],
            (8.0, 7.5, 7, 6.5, 6.5),
        )
        paint_vessel(
            canvas, "iliac_vein", [(-178, 12, side * 27), (-205, 36, side * 38), (-240, 46, side * 44)], (5, 4.5, 3.5)
        )
    flat = float(rng.uniform(0.8, 1.15))
    paint_vessel(
        canvas,
        "ivc_infrarenal",
        [(-134, y(-132) - 22, -10), (-105, y(-105) - 22, -20), (-60, y(-60) - 24, -22), (-24, y(-24) - 26, -22)],
        (9.5 * flat, 10 * flat, 10 * flat, 10.5 * flat),
    )
    paint_vessel(
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
        over=(*SOFT, "liver", "hepatic_vein", "portal_vein", "right_atrium"),
    )
    paint_vessel(
        canvas,
        "renal_vein",
        [(-14, 16, 42), (-16, -2, 28), (-15, y(-15) - 42, 10), (-18, y(-18) - 34, -8), (-22, 2, -18)],
        (5, 5.5, 5, 4.5, 5.5),
    )
    paint_vessel(canvas, "renal_vein", [(-26, 14, -44), (-26, 6, -32), (-24, 2, -22)], (5, 5.5, 6))
    body_veins = ("portal_vein", "splenic_vein", "superior_mesenteric_vein")
    over = (*SOFT, "liver", "hepatic_vein", *body_veins, "renal_vein")
    paint_vessel(
        canvas,
        "superior_mesenteric_vein",
        [(-110, -32, -14), (-75, -28, -11), (-40, -20, -9), (-12, -14, -8)],
        (3.5, 4.5, 5.5, 6),
        over=over,
    )
    paint_vessel(
        canvas,
        "splenic_vein",
        [(26 + d, 26, 76), (18, 12, 60), (8, -4, 36), (-2, -14, 14), (-10, -13, -6)],
        (4.0, 4.2, 4.5, 4.8, 5.0),
        over=over,
    )
    paint_vessel(canvas, "portal_vein", PORTAL_TRUNK, PORTAL_TRUNK_RADII, over=over)
