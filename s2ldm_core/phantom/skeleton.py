"""The skeleton: vertebrae with discs and canal, ribs with cartilage, sternum, shoulder girdle, pelvis and hips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .body import Body
from .canvas import Canvas
from .shapes import CONTOUR_ANGLES, CONTOUR_STEP, CONTOUR_Z0, Column, Ellipsoid, Formula, both, rotation
from .trees import curve

_LEVELS = (-150, -115, -80, -45, -12, 18, 46, 72, 97, 121, 144, 166, 187, 208, 228, 248, 268, 287, 304, 320, 336, 352)


def paint_spine(canvas: Canvas, body: Body) -> None:
    """Paint vertebral bodies, discs, arches, processes, canal and cord from L5 to the neck."""
    rng = body.rng("spine")
    y = body.spine_y
    canvas.paint(
        Column(
            z=(-270, -200, -160, -60, 60, 200, 290, 370),
            x=(0,),
            y=tuple(
                y(z) + d
                for z, d in zip(
                    (-270, -200, -160, -60, 60, 200, 290, 370), (14, 18, 27, 27, 25, 23, 19, 18), strict=True
                )
            ),
            a=(6, 9, 10, 10, 8.5, 8.5, 10, 10),
            b=(5, 7, 9, 9, 8.5, 8.5, 8.5, 8.5),
        ),
        "csf",
    )
    canvas.paint(
        Column(
            z=(-20, 40, 200, 290, 370),
            x=(0,),
            y=tuple(y(z) + d for z, d in zip((-20, 40, 200, 290, 370), (27, 25, 23, 19, 18), strict=True)),
            a=(3.5, 4.5, 4.5, 6, 6),
            b=(3.5, 4, 4, 4.5, 4.5),
        ),
        "spinal_cord",
    )
    for index, z in enumerate(_LEVELS):
        below = _LEVELS[index - 1] if index else z - 34
        height = 0.5 * (z - below) if index else 17.0
        size = float(np.interp(z, (-150, -45, 60, 180, 270, 300), (25, 23, 17, 15, 14, 11)))
        deep = float(np.interp(z, (-150, -45, 60, 180, 270, 300), (17.5, 17, 16, 13.5, 10.5, 8)))
        disc = float(np.interp(z, (-150, 0, 100, 250, 320), (5.0, 4.2, 2.6, 2.3, 2.5))) * float(rng.uniform(0.7, 1.1))
        half = height - disc
        # The disc reaches from this body down to the next one.
        canvas.paint(
            Column(z=(z - height - 2 * disc, z), x=(0,), y=(y(z - height), y(z)), a=(size,), b=(deep,), power=2.4),
            "disc",
        )
        spongy = Column(
            z=(z - half, z - 0.4 * half, z + 0.4 * half, z + half),
            x=(0,),
            y=(y(z),),
            a=(size, size - 2.2, size - 2.2, size),
            b=(deep, deep - 1.3, deep - 1.3, deep),
            power=2.4,
        )
        canvas.paint(spongy, "cortical_bone")
        inner = Column(
            z=(z - half + 0.4, z - 0.4 * half, z + 0.4 * half, z + half - 0.4),
            x=(0,),
            y=(y(z),),
            a=(size - 1.2, size - 3.3, size - 3.3, size - 1.2),
            b=(deep - 1.2, deep - 2.4, deep - 2.4, deep - 1.2),
            power=2.4,
        )
        canvas.paint(inner, "vertebral_marrow")
        _arch(canvas, body, z=float(z), size=size, deep=deep, height=height)
        if body.patient.age > 60 and rng.random() < 0.3:
            side = rng.choice((-1, 1))
            canvas.paint(
                Ellipsoid(centre=(side * size * 0.9, y(z) - deep * 0.6, z - half), radii=(6, 5, 4)), "cortical_bone"
            )


def _limits(shape: Column) -> tuple[float, float, float, float, float, float]:
    low, high = shape.bounds()
    return low[2], high[2], low[1], high[1], low[0], high[0]


def _arch(canvas: Canvas, body: Body, *, z: float, size: float, deep: float, height: float) -> None:
    y = body.spine_y(z)
    canal = y + deep + 9.0
    for side in (-1, 1):
        pedicle = [
            (z + 3, y + deep - 3, side * (size * 0.62)),
            (z + 1, canal, side * 13.5),
            (z - 5, canal + 10, side * 9),
            (z - 8, canal + 14, side * 1.0),
        ]
        points = curve(pedicle, per_segment=2)
        canvas.tube(points, np.full(len(points), 4.6), "cortical_bone", over=_SOFT)
        canvas.tube(points, np.full(len(points), 2.6), "vertebral_marrow")
        reach = 40.0 if z < 0 else 32.0
        if z < 260:
            process = np.array(
                [(z, canal, side * 13.0), (z + (0 if z < 0 else -2), canal + (0 if z < 0 else 10), side * reach)]
            )
            canvas.tube(process, np.array([4.5, 3.5]), "cortical_bone", over=_SOFT)
            canvas.tube(process, np.array([2.0, 1.2]), "vertebral_marrow", over=("cortical_bone",))
        canvas.paint(
            Ellipsoid(centre=(side * (size * 0.72), canal + 5.0, z - height), radii=(7, 6, 10)),
            "cortical_bone",
            over=_SOFT,
        )
    droop = 4.0 if z < 20 else 16.0
    long = 22.0 if z < 60 else 18.0
    spine = np.array(
        [
            (z - 7, canal + 10, 0.0),
            (z - 7 - droop * 0.5, canal + 10 + long * 0.55, 0),
            (z - 7 - droop, canal + 10 + long, 0),
        ]
    )
    canvas.tube(spine, np.array([3.8, 3.4, 4.4]), "cortical_bone", over=_SOFT)
    canvas.tube(spine, np.array([1.9, 1.8, 2.6]), "vertebral_marrow", over=("cortical_bone",))


_SOFT = (
    "paraspinal",
    "intermuscular_fat",
    "visceral_fat",
    "mediastinal_fat",
    "trapezius",
    "subcutaneous_fat",
    "intercostal",
    "quadratus_lumborum",
    "psoas",
    "lung",
    "neck_muscle",
    "shoulder_muscle",
    "oblique_muscles",
    "latissimus",
    "gluteal",
    "disc",
    "diaphragm",
    "dependent_lung",
    "liver",
    "spleen",
    "iliacus",
    "thigh_muscle",
    "pectoral",
)


def paint_ribs(canvas: Canvas, body: Body, contours: dict[str, np.ndarray]) -> None:
    """Paint twelve pairs of ribs along the chest wall, costal cartilage and sternum."""
    rng = body.rng("ribs")
    cavity = contours["cavity"]

    def wall(angle: np.ndarray, z: np.ndarray, out: float) -> np.ndarray:
        row = np.clip(((z - CONTOUR_Z0) / CONTOUR_STEP).astype(int), 0, cavity.shape[0] - 1)
        column = (angle / (2 * np.pi) * CONTOUR_ANGLES).astype(int) % CONTOUR_ANGLES
        radius = cavity[row, column] + out
        return np.stack([z, radius * np.sin(angle), radius * np.cos(angle)], axis=1)

    for number in range(1, 13):
        level = _LEVELS[17 - number] + 6.0
        # Angle from posterior midline (0) to anterior midline (pi); the rib falls towards its front end.
        end = (2.15, 2.35, 2.45, 2.5, 2.5, 2.45, 2.35, 2.2, 2.05, 1.9, 1.45, 1.0)[number - 1]
        drop = (42, 62, 80, 95, 108, 115, 118, 112, 105, 95, 68, 35)[number - 1]
        thick = float(rng.uniform(4.2, 5.2)) * (1.1 if number < 3 else 1.0)
        for side in (-1, 1):
            t = np.linspace(0, 1, 22)
            sweep = 0.22 + t * (end - 0.22)
            z = level - drop * (t**1.15) - (8 * np.sin(np.pi * t))
            angle = np.pi / 2 - side * sweep
            points = wall(angle, z, 6.0)
            # The head lies at the vertebral body, the neck runs back to the wall.
            head = np.array(
                [[level - 4, body.spine_y(level) + 8, side * 19.0], [level - 2, body.spine_y(level) + 20, side * 27.0]]
            )
            points = np.vstack([head, points])
            canvas.tube(points, np.full(len(points), thick), "cortical_bone")
            canvas.tube(points, np.full(len(points), thick - 1.5), "rib_marrow")
            if number <= 10:
                last = points[-1]
                goal = (
                    (last[0] + (6 if number < 5 else 26), -_sternum_y(body, last[0]), side * 16.0)
                    if number <= 7
                    else (last[0] + 26, last[1] - 14, last[2] - side * 24)
                )
                rise = curve(
                    [
                        tuple(last),
                        (0.5 * (last[0] + goal[0]) - 6, 0.5 * (last[1] + goal[1]) - 5, 0.5 * (last[2] + goal[2])),
                        goal,
                    ]
                )
                canvas.tube(
                    rise,
                    np.full(len(rise), thick + 0.6),
                    "cartilage",
                    over=(*_SOFT, "visceral_fat", "rectus_abdominis"),
                )
                if body.patient.age > 45 and rng.random() < 0.6:
                    canvas.tube(rise[1:4], np.array([1.2, 1.8, 1.0]), "calcification", over=("cartilage",))
    y = [-_sternum_y(body, z) for z in (80, 110, 150, 190, 212, 228)]
    plate = Column(
        z=(80, 110, 150, 190, 212, 228),
        x=(0,),
        y=tuple(y),
        a=(8, 17, 19, 17, 28, 24),
        b=(4, 5.5, 5.5, 6, 6.5, 5),
        power=2.6,
    )
    canvas.paint(plate, "cortical_bone")
    canvas.paint(Formula(limits=_limits(plate), function=lambda r: plate.sdf(r) - 1.2), "rib_marrow")


def _sternum_y(body: Body, z: float) -> float:
    return float(np.interp(z, (60, 110, 150, 190, 212, 235), (96, 93, 88, 75, 64, 52)))


def paint_shoulders(canvas: Canvas, body: Body) -> None:
    """Paint clavicles, scapulae and the heads of the humeri."""
    lift = 22.0 if body.patient.arms_up else 0.0
    muscle = body.patient.muscle
    for side in (-1, 1):
        line = curve(
            [
                (226, -50, side * 18),
                (238 + lift * 0.3, -42, side * 60),
                (252 + lift, -8, side * 110),
                (258 + lift, 12, side * 140),
            ]
        )
        canvas.tube(line, np.full(len(line), 6.0), "cortical_bone")
        canvas.tube(line, np.full(len(line), 3.6), "rib_marrow")
        blade = Column(
            z=(140, 165, 200, 235, 250),
            x=tuple(side * v for v in (92, 95, 98, 104, 112)),
            y=(78, 74, 70, 62, 54),
            a=(8, 24, 34, 34, 20),
            b=(2.4, 2.6, 2.6, 3.5, 4.0),
            angle=(side * -38.0,),
        )
        canvas.paint(
            Formula(
                limits=_grow(_limits(blade), 18),
                function=lambda r, s=blade: np.minimum(
                    s.sdf(r) + 12.0 * muscle, np.minimum(r.depth("muscle") - 3.0, -15.5 - r.depth("cavity"))
                ),
            ),
            "shoulder_muscle",
            over=("intermuscular_fat", "latissimus", "trapezius", "shoulder_muscle", "intercostal"),
        )
        canvas.paint(blade, "cortical_bone")
        ridge = curve([(215, 98, side * 70), (240, 92, side * 105), (262 + lift * 0.5, 55, side * 142)])
        canvas.tube(ridge, np.full(len(ridge), 4.5), "cortical_bone")
        canvas.tube(ridge, np.full(len(ridge), 2.4), "rib_marrow")
        head = (side * 150.0, 22.0, 250.0 + lift)
        fat = 4.0 + 0.4 * body.patient.subcutaneous_fat_mm
        around = ("air", "subcutaneous_fat", "intermuscular_fat", "shoulder_muscle", "skin")
        for shape, label, over in (
            (
                Ellipsoid(centre=(side * 132.0, 26.0, 246.0 + lift), radii=(66 + fat, 54 + fat, 62 + fat)),
                "skin",
                ("air",),
            ),
            (
                Ellipsoid(centre=(side * 132.0, 26.0, 246.0 + lift), radii=(64 + fat, 52 + fat, 60 + fat)),
                "subcutaneous_fat",
                ("air", "skin"),
            ),
            (
                Ellipsoid(centre=(side * 156.0, 22.0, 246.0 + lift), radii=(40.0 * muscle, 42.0 * muscle, 50.0)),
                "shoulder_muscle",
                around,
            ),
            (
                Ellipsoid(centre=(side * 110.0, 58.0, 244.0 + lift), radii=(38.0, 20.0 * muscle, 26.0)),
                "shoulder_muscle",
                around,
            ),
            (Ellipsoid(centre=head, radii=(24.0, 24.0, 26.0)), "cortical_bone", None),
            (Ellipsoid(centre=head, radii=(22.0, 22.0, 24.0)), "rib_marrow", None),
        ):
            canvas.paint(shape, label, over=over)
        canvas.paint(Ellipsoid(centre=(side * 122.0, 28.0, 248 + lift), radii=(7, 15, 18)), "cortical_bone")


def _grow(limits: tuple[float, ...], by: float) -> tuple[float, float, float, float, float, float]:
    x0, x1, y0, y1, z0, z1 = limits
    return x0 - by, x1 + by, y0 - by, y1 + by, z0 - by, z1 + by


def paint_pelvis(canvas: Canvas, body: Body) -> None:
    """Paint sacrum, coccyx, iliac wings, acetabula, pubis, ischium and proximal femora."""
    y = body.spine_y
    sacrum = Column(
        z=(-300, -280, -250, -220, -190, -166),
        x=(0,),
        y=(76, 82, 88, 82, 66, 48),
        a=(5, 12, 27, 40, 50, 52),
        b=(5, 8, 12, 16, 20, 20),
        power=2.2,
    )
    _bone(canvas, sacrum, shell=1.6)
    canvas.paint(Column(z=(-255, -166), x=(0,), y=(94, 66), a=(5, 11), b=(3, 8)), "csf")
    for side in (-1, 1):
        wing = Column(
            z=(-270, -245, -220, -190, -160, -130, -108),
            x=tuple(side * v for v in (88, 86, 84, 86, 92, 100, 108)),
            y=(14, 20, 30, 36, 36, 32, 26),
            a=(30, 34, 44, 52, 54, 46, 24),
            b=(15, 11, 6.5, 5.5, 5.0, 5.5, 6.5),
            angle=(side * -52.0,),
            power=2.6,
        )
        _bone(canvas, wing, shell=1.7)
        # The sacroiliac part.
        back = Ellipsoid(centre=(side * 56, 70, -196), radii=(9, 30, 34), turn=rotation(about_z=side * 28))
        _bone(canvas, back, shell=1.7)
        socket = both(
            Ellipsoid(centre=(side * 88, 6, -285), radii=(34, 33, 33)),
            Formula(
                limits=(-150, 150, -60, 60, -340, -230),
                function=lambda r, side=side: 94.0 - side * r.x + 0.15 * r.z + 42.0,
            ),
        )
        _bone(canvas, socket, shell=2.0)
        canvas.paint(Ellipsoid(centre=(side * 89, 6, -286), radii=(26, 26, 26)), "cartilage")
        head = (side * 89.0, 6.0, -286.0)
        canvas.paint(Ellipsoid(centre=head, radii=(24.5, 24.5, 24.5)), "cortical_bone")
        canvas.paint(Ellipsoid(centre=head, radii=(22.5, 22.5, 22.5)), "pelvic_marrow")
        neck = np.array([(-290, 8, side * 96), (-308, 14, side * 122)])
        canvas.tube(
            neck,
            np.array([16.0, 18.0]),
            "cortical_bone",
            over=("thigh_muscle", "gluteal", "intermuscular_fat", "psoas", "iliacus", "cortical_bone", "visceral_fat"),
        )
        canvas.tube(neck, np.array([14.5, 15.5]), "pelvic_marrow")
        canvas.paint(Ellipsoid(centre=(side * 132, 20, -302), radii=(17, 20, 22)), "cortical_bone")
        canvas.paint(Ellipsoid(centre=(side * 132, 20, -302), radii=(15.5, 18.5, 20.5)), "pelvic_marrow")
        shaft = np.array([(-318, 12, side * 126), (-420, 4, side * 116)])
        canvas.tube(shaft, np.array([15.0, 14.0]), "cortical_bone")
        canvas.tube(shaft, np.array([10.0, 7.0]), "long_bone_marrow")
        pubis = curve([(-275, -22, side * 66), (-290, -44, side * 34), (-303, -50, side * 8)])
        lower = curve(
            [
                (-308, -46, side * 12),
                (-330, -20, side * 36),
                (-345, 18, side * 54),
                (-318, 36, side * 68),
                (-292, 34, side * 76),
            ]
        )
        for line, radius in ((pubis, 9.0), (lower, 9.5)):
            canvas.tube(line, np.full(len(line), radius), "cortical_bone")
            canvas.tube(line, np.full(len(line), radius - 2.2), "pelvic_marrow")
    canvas.paint(Ellipsoid(centre=(0, -50, -303), radii=(4, 10, 16)), "cartilage")
    del y


def _bone(canvas: Canvas, shape: Column | Ellipsoid | Formula, *, shell: float) -> None:
    low, high = shape.bounds()
    limits = (low[2], high[2], low[1], high[1], low[0], high[0])
    canvas.paint(shape, "cortical_bone")
    inner: Column | Formula = Formula(limits=limits, function=lambda r: shape.sdf(r) - shell)
    if isinstance(shape, Column):
        # Ends of a column are joints with a thin plate, not a shell.
        span = max(shape.z) - min(shape.z)
        z = tuple(v + (0.5 - (v - min(shape.z)) / span) for v in shape.z)
        inner = replace(shape, z=z, a=tuple(v - shell for v in shape.a), b=tuple(max(v - shell, 0.5) for v in shape.b))
    canvas.paint(inner, "pelvic_marrow")
