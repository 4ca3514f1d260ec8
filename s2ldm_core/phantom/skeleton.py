"""The skeleton: vertebrae with discs and canal, ribs with cartilage, sternum, shoulder girdle, pelvis and hips."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import CONTOUR_ANGLES, CONTOUR_STEP, CONTOUR_Z0, Column, Ellipsoid, Formula
from s2ldm_core.phantom.trees import curve

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
