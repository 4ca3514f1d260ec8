"""The single muscles of trunk, shoulders and hips."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Column, Ellipsoid, Formula, Region, both, interval, rotation


def paint_muscles(canvas: Canvas, body: Body) -> None:
    """Paint muscles as separate bodies with fat between them."""
    rng = body.rng("muscles")
    m = body.patient.muscle**0.7
    inside_wall = Formula(limits=(-220, 220, -150, 150, -420, 420), function=lambda r: r.depth("muscle") - 1.5)
    y = body.spine_y
    for side in (-1, 1):
        k = m * float(np.clip(rng.normal(1, 0.05), 0.85, 1.15))
        canvas.paint(
            both(
                Column(
                    z=(-300, -230, -165, -120, -80, -40, 0, 50, 100, 150, 200, 250, 290, 330),
                    x=tuple(side * v for v in (24, 28, 32, 37, 38, 37, 35, 32, 29, 27, 25, 24, 24, 26)),
                    y=tuple(
                        y(z) + d
                        for z, d in zip(
                            (-300, -230, -165, -120, -80, -40, 0, 50, 100, 150, 200, 250, 290, 330),
                            (20, 24, 36, 42, 43, 41, 38, 33, 29, 27, 27, 30, 32, 30),
                            strict=True,
                        )
                    ),
                    a=tuple(k * v for v in (10, 18, 25, 29, 30, 29, 27, 25, 22, 20, 19, 18, 19, 18)),
                    b=tuple(k * v for v in (5, 10, 18, 22, 22, 20, 17, 14, 12, 11, 11, 13, 15, 14)),
                    angle=(side * 12.0,),
                    power=2.4,
                ),
                inside_wall,
            ),
            "paraspinal",
        )
        canvas.paint(
            Column(
                z=(-318, -240, -190, -150, -115, -80, -45, -10, 12),
                x=tuple(side * v for v in (96, 68, 55, 48, 42, 37, 32, 27, 24)),
                y=tuple(
                    y(z) + d if z > -160 else d2
                    for z, d, d2 in zip(
                        (-318, -240, -190, -150, -115, -80, -45, -10, 12),
                        (0, 0, 0, -2, 1, 3, 5, 4, 2),
                        (-30, -20, 10, 0, 0, 0, 0, 0, 0),
                        strict=True,
                    )
                ),
                a=tuple(k * v for v in (14, 17, 19, 20, 19, 17, 14, 10, 6)),
                b=tuple(k * v for v in (13, 17, 21, 23, 22, 20, 17, 12, 7)),
                power=2.2,
            ),
            "psoas",
        )
        canvas.paint(
            Column(
                z=(-130, -90, -45, 0),
                x=tuple(side * v for v in (72, 66, 60, 52)),
                y=(y(-130) + 26, y(-90) + 28, y(-45) + 25, y(0) + 18),
                a=(k * 14, k * 16, k * 15, k * 8),
                b=(k * 8, k * 9, k * 9, k * 6),
                angle=(side * -18.0,),
            ),
            "quadratus_lumborum",
        )
        canvas.paint(
            Column(
                z=(-270, -235, -190, -150, -122),
                x=tuple(side * v for v in (84, 82, 86, 92, 98)),
                y=(-14, 8, 26, 32, 34),
                a=(k * 14, k * 22, k * 27, k * 24, k * 12),
                b=(k * 9, k * 11, k * 11, k * 8, k * 4),
                angle=(side * -48.0,),
            ),
            "iliacus",
        )
        strap = k * float(rng.uniform(0.8, 1.15))
        canvas.paint(_rectus(side, strap), "rectus_abdominis")
        _chest(canvas, side, k)
        _hip(canvas, side, k)


def _rectus(side: int, strap: float) -> Formula:
    return Formula(
        limits=(*interval(side * 6, side * 66), -180, -30, -300, 75),
        function=lambda r: np.minimum(
            np.minimum(
                r.depth("muscle") - 0.5,
                10.0 * strap * np.clip((64.0 - side * r.x) / 16.0, 0.0, 1.0) ** 0.5 - r.depth("muscle"),
            ),
            np.minimum(side * r.x - 3.5, 62.0 - 0.05 * np.abs(r.z + 40) - side * r.x),
        ),
    )


def _chest(canvas: Canvas, side: int, k: float) -> None:
    def sheet(low: float, high: float, x0: float, x1: float, *, front: bool, thick: float) -> Formula:
        def sdf(r: Region) -> np.ndarray:
            depth = r.depth("muscle")
            out = np.minimum(np.minimum(depth - 0.3, thick - depth), np.minimum(side * r.x - x0, x1 - side * r.x))
            taper = 0.25 * np.minimum(r.z - low, high - r.z)
            return np.minimum(np.minimum(out, taper), -r.y if front else r.y)

        return Formula(
            limits=(min(side * x0, side * x1), max(side * x0, side * x1), -140, 140, low, high), function=sdf
        )

    canvas.paint(
        Formula(
            limits=(*interval(side * 10, side * 165), -140, 30, 115, 265),
            function=lambda r: np.minimum(
                np.minimum(
                    r.depth("muscle") - 0.3,
                    2.0
                    + 13.0
                    * k
                    * np.clip((r.z - 105.0) / 70.0, 0, 1)
                    * np.clip((side * r.x - 4.0) / 35.0, 0, 1)
                    * np.clip((150.0 - side * r.x - 0.5 * np.maximum(r.y + 30.0, 0.0)) / 55.0, 0, 1)
                    - r.depth("muscle"),
                ),
                np.minimum(0.25 * (25.0 - r.y), 0.4 * (262.0 - r.z)),
            ),
        ),
        "pectoral",
    )
    canvas.paint(
        Column(
            z=(100, 140, 180, 215, 240),
            x=tuple(side * v for v in (132, 132, 130, 132, 138)),
            y=(42, 46, 44, 34, 22),
            a=(5 * k, 9 * k, 12 * k, 13 * k, 11 * k),
            b=(18, 24 * k, 25 * k, 20 * k, 14 * k),
            angle=(side * -20.0,),
        ),
        "latissimus",
        over=("intermuscular_fat", "intercostal", "shoulder_muscle"),
    )
    canvas.paint(sheet(-30, 200, 60, 175, front=False, thick=10 * k), "latissimus")
    canvas.paint(sheet(60, 300, 4, 105, front=False, thick=9 * k), "trapezius")
    _neck(canvas, side, k)
    canvas.paint(sheet(20, 160, 100, 165, front=True, thick=6 * k), "latissimus")


def _neck(canvas: Canvas, side: int, k: float) -> None:
    canvas.paint(
        Column(
            z=(225, 260, 300, 380),
            x=(side * 20, side * 22, side * 24, side * 24),
            y=(74, 66, 56, 52),
            a=(18, 22 * k, 26 * k, 26 * k),
            b=(10, 16 * k, 19 * k, 19 * k),
        ),
        "neck_muscle",
    )
    canvas.paint(
        Column(
            z=(232, 270, 310, 380),
            x=(side * 20, side * 34, side * 44, side * 46),
            y=(-36, -22, -8, 6),
            a=(8, 10 * k, 11 * k, 11 * k),
            b=(5, 7, 9, 10),
            angle=(side * 40.0,),
        ),
        "neck_muscle",
    )
    canvas.paint(
        Column(
            z=(240, 275, 320, 380),
            x=(side * 40, side * 30, side * 26, side * 24),
            y=(32, 28, 24, 22),
            a=(13, 13 * k, 11, 10),
            b=(9, 11, 11, 10),
        ),
        "neck_muscle",
    )


def _hip(canvas: Canvas, side: int, k: float) -> None:
    canvas.paint(
        Column(
            z=(-265, -240, -215, -185, -155, -128),
            x=tuple(side * v for v in (112, 108, 104, 102, 106, 112)),
            y=(26, 34, 42, 46, 44, 38),
            a=(38, 44, 50, 52, 46, 24),
            b=tuple(k * v for v in (16, 17, 16, 14, 10, 4)),
            angle=(side * -52.0,),
            power=2.4,
        ),
        "gluteal",
    )
    for centre, radii in (
        ((100, -46, -300), (18, 15, 50)),
        ((76, -58, -300), (9, 8, 60)),
        ((46, -36, -306), (20, 12, 22)),
        ((108, 46, -290), (26, 14, 20)),
        ((70, 36, -300), (18, 12, 20)),
        ((46, -20, -340), (22, 26, 40)),
        ((22, -12, -345), (12, 24, 40)),
    ):
        canvas.paint(
            Ellipsoid(
                centre=(side * centre[0], centre[1], centre[2]), radii=(radii[0] * k, radii[1] * k, radii[2] * k)
            ),
            "thigh_muscle",
            over=("intermuscular_fat", "visceral_fat", "subcutaneous_fat"),
        )
    canvas.paint(
        Ellipsoid(
            centre=(side * 74, 86, -258), radii=(62 * k, 27 * k, 92), turn=rotation(about_z=side * -22), power=2.3
        ),
        "gluteal",
        over=("intermuscular_fat",),
    )
    canvas.paint(
        Ellipsoid(centre=(side * 116, 40, -212), radii=(18 * k, 50 * k, 62), turn=rotation(about_z=side * -28)),
        "gluteal",
        over=("intermuscular_fat",),
    )
    canvas.paint(
        Ellipsoid(centre=(side * 132, -22, -270), radii=(16 * k, 24 * k, 62), turn=rotation(about_z=side * 25)),
        "thigh_muscle",
        over=("intermuscular_fat", "gluteal", "subcutaneous_fat"),
    )
    # Obturator, adductors and the front of the thigh.
    canvas.paint(
        Ellipsoid(centre=(side * 48, 8, -292), radii=(8, 30, 28), turn=rotation(about_z=side * 8)), "thigh_muscle"
    )
    canvas.paint(Ellipsoid(centre=(side * 55, -12, -350), radii=(36 * k, 42 * k, 55)), "thigh_muscle")
    canvas.paint(Ellipsoid(centre=(side * 100, -38, -365), radii=(44 * k, 30 * k, 75)), "thigh_muscle")
    canvas.paint(Ellipsoid(centre=(side * 75, 42, -385), radii=(48 * k, 32 * k, 60)), "thigh_muscle")
