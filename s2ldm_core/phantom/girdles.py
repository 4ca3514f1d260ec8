"""Shoulder girdle and pelvis with the hips."""

from dataclasses import replace

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Column, Ellipsoid, Formula, both, rotation
from s2ldm_core.phantom.trees import curve


def _limits(shape: Column) -> tuple[float, float, float, float, float, float]:
    low, high = shape.bounds()
    return low[2], high[2], low[1], high[1], low[0], high[0]


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
            _around(blade, muscle),
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


def _around(blade: Column, muscle: float) -> Formula:
    return Formula(
        limits=_grow(_limits(blade), 18),
        function=lambda r: np.minimum(
            blade.sdf(r) + 15.0 * muscle, np.minimum(r.depth("muscle") - 3.0, -15.5 - r.depth("cavity"))
        ),
    )


def _medial_of_socket(side: int) -> Formula:
    return Formula(limits=(-150, 150, -60, 60, -340, -230), function=lambda r: 94.0 - side * r.x + 0.15 * r.z + 42.0)


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
    _bone(canvas, sacrum, plate_mm=1.6)
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
        _bone(canvas, wing, plate_mm=1.7)
        # The sacroiliac part.
        back = Ellipsoid(centre=(side * 56, 70, -196), radii=(9, 30, 34), turn=rotation(about_z=side * 28))
        _bone(canvas, back, plate_mm=1.7)
        socket = both(
            Ellipsoid(centre=(side * 88, 6, -285), radii=(34, 33, 33)),
            _medial_of_socket(side),
        )
        _bone(canvas, socket, plate_mm=2.0)
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


def _bone(canvas: Canvas, shape: Column | Ellipsoid | Formula, *, plate_mm: float) -> None:
    low, high = shape.bounds()
    limits = (low[2], high[2], low[1], high[1], low[0], high[0])
    canvas.paint(shape, "cortical_bone")
    inner: Column | Formula = Formula(limits=limits, function=lambda r: shape.sdf(r) - plate_mm)
    if isinstance(shape, Column):
        # Ends of a column are joints with a thin plate, not a shell.
        span = max(shape.z) - min(shape.z)
        z = tuple(v + (0.5 - (v - min(shape.z)) / span) for v in shape.z)
        inner = replace(
            shape, z=z, a=tuple(v - plate_mm for v in shape.a), b=tuple(max(v - plate_mm, 0.5) for v in shape.b)
        )
    canvas.paint(inner, "pelvic_marrow")
