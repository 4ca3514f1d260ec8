"""Lungs with their vessels and airways, pleura, mediastinum, heart, thyroid, breasts."""

from collections.abc import Callable

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Ellipsoid, Formula, Region, interval, rotation, smooth_union
from s2ldm_core.phantom.trees import curve, grow

_LUNG = ("lung", "dependent_lung")
_HILUM = {-1: (170.0, 12.0, -42.0), 1: (174.0, 16.0, 44.0)}  # (z, y, x)


def _lung(body: Body, side: int, shift: float) -> Formula:
    def sdf(r: Region) -> np.ndarray:
        medial = (
            11.0 + 10.0 * np.clip((r.y - 12.0) / 25.0, 0, 1) + shift + 3.0 * np.sin(0.05 * r.y + 0.03 * r.z + shift)
        )
        # In front the lungs come close to one another; above the arch the vessels hold them apart.
        front = np.clip((-r.y - 38.0) / 22.0, 0, 1) * np.clip((205.0 - r.z) / 30.0, 0, 1)
        medial = medial - 7.0 * front + 12.0 * np.clip((r.z - 205.0) / 35.0, 0, 1)
        wall = np.minimum(r.depth("cavity") - 2.5, r.z - body.dome(r) - 2.5)
        return np.minimum(wall, side * r.x - medial)

    x = (-140, 0) if side < 0 else (0, 140)
    return Formula(limits=(*x, -115, 110, -20, 300), function=sdf)


def _dependent(side: int, depth_mm: float) -> Formula:
    return Formula(
        limits=(*interval(0, side * 140), -20, 110, -20, 260),
        function=lambda r: np.minimum(depth_mm + 0.02 * (100 - r.z) - r.depth("cavity"), r.y - 30.0),
    )


def _effusion(side: int, level_mm: float) -> Formula:
    return Formula(
        limits=(*interval(0, side * 140), -40, 110, -20, 190),
        function=lambda r: np.minimum(r.y + r.depth("cavity") * 0.4 - (88.0 - level_mm), 150.0 - r.z),
    )


def _atelectasis(side: int, level_mm: float) -> Formula:
    return Formula(
        limits=(*interval(0, side * 140), -40, 110, -20, 170),
        function=lambda r: np.minimum(r.y - (72.0 - level_mm), 130.0 - r.z),
    )


def paint_lungs(canvas: Canvas, body: Body) -> None:
    """Paint both lungs, their dependent density and their vessel and airway trees."""
    rng = body.rng("lungs")
    effusion = rng.random() < 0.13
    for side in (-1, 1):
        lung = _lung(body, side, float(rng.normal(0, 2.5)))
        canvas.paint(lung, "lung", over=("mediastinal_fat", "visceral_fat", "diaphragm", "air", "intercostal"))
        depth = float(rng.uniform(2.0, 10.0)) if rng.random() < 0.7 else 0.0
        if depth:
            canvas.paint(_dependent(side, depth), "dependent_lung", over=("lung",))
        if effusion and rng.random() < 0.6:
            level = float(rng.uniform(12, 45))
            canvas.paint(_effusion(side, level), "pleural_effusion", over=_LUNG)
            canvas.paint(_atelectasis(side, level), "consolidation", over=_LUNG)
        root = _HILUM[side]
        for name, count, leaf, offset in (
            ("pulmonary_artery", 210, 0.95, (3, -4, 0)),
            ("pulmonary_vein", 190, 0.9, (-12, -6, 0)),
            ("airway_wall", 24, 1.6, (0, 4, 0)),
        ):
            targets = _lung_targets(rng, body, side, count)
            start = (root[0] + offset[0], root[1] + offset[1], root[2] + offset[2])
            tree = grow(
                start,
                targets,
                rng,
                root_radius_mm=7.0 if count > 100 else 5.5,
                leaf_radius_mm=leaf,
                step_mm=10.0,
                wobble_mm=1.6,
            )
            over = (*_LUNG, "pulmonary_artery", "pulmonary_vein", "airway_wall", "consolidation")
            if name == "airway_wall":
                canvas.segments(tree.points, tree.radii + 0.7, tree.parents, name, over=over)
                canvas.segments(tree.points, tree.radii - 0.3, tree.parents, "airway", over=(*over, "airway"))
            else:
                canvas.segments(tree.points, tree.radii, tree.parents, name, over=(*over, "airway"))
    _lung_lesions(canvas, body, rng)


def _lung_targets(rng: np.random.Generator, body: Body, side: int, count: int) -> np.ndarray:
    """Return points (z, y, x) spread over the lung, denser at its surface and base."""
    out: list[tuple[float, float, float]] = []
    while len(out) < count:
        z = rng.uniform(15, 275)
        width = float(np.interp(z, (15, 80, 140, 190, 225, 255, 275), (112, 118, 114, 100, 80, 52, 28)))
        front = float(np.interp(z, (15, 80, 140, 190, 225, 255, 275), (70, 78, 74, 58, 40, 22, 10)))
        back = float(np.interp(z, (15, 80, 140, 190, 225, 255, 275), (76, 78, 80, 80, 70, 50, 28)))
        x, y = rng.uniform(20, width), rng.uniform(-front, back)
        inside = (x / width) ** 2.4 + (abs(y) / (front if y < 0 else back)) ** 2.4 < 1
        floor = 74 + body.dome_mm - 30 * ((x - 64) / 90) ** 2 - 60 * (abs(y + 5) / 95) ** 3
        if inside and z > floor + 4:
            out.append((z, y, side * x))
    return np.array(out)


def _lung_lesions(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    for _ in range(int(rng.poisson(0.5))):
        z, y, x = _lung_targets(rng, body, int(rng.choice((-1, 1))), 1)[0]
        size = float(rng.uniform(2.5, 14))
        canvas.paint(
            Ellipsoid(centre=(x, y, z), radii=(size, size * 0.9, size), waves_mm=0.12 * size, wave_length_mm=9),
            "nodule",
            over=_LUNG,
        )
    if rng.random() < 0.12:
        z, y, x = _lung_targets(rng, body, int(rng.choice((-1, 1))), 1)[0]
        canvas.paint(
            Ellipsoid(centre=(x * 1.1, max(y, 10), min(z, 170)), radii=(32, 30, 34), waves_mm=5, wave_length_mm=22),
            "consolidation",
            over=("lung",),
        )


def paint_mediastinum(canvas: Canvas, body: Body) -> None:
    """Paint heart, trachea, oesophagus, thyroid and lymph nodes."""
    rng = body.rng("mediastinum")
    y = body.spine_y
    scale = float(np.clip(rng.normal(1.0, 0.08) + 0.002 * (body.patient.age - 55), 0.85, 1.25))
    shift = np.array([0.0, 0.0, 0.45 * body.dome_mm]) + rng.normal(0, 3.0, 3)
    turn = rotation(about_z=38.0 + rng.normal(0, 8), about_y=-28.0 + rng.normal(0, 8))

    def at(x: float, y_: float, z: float) -> tuple[float, float, float]:
        p = (np.array([x - 12, y_ + 22, z - 118]) * scale) + np.array([12, -22, 118]) + shift
        return float(p[0]), float(p[1]), float(p[2])

    def sized(*radii: float) -> tuple[float, float, float]:
        return tuple(r * scale for r in radii)  # type: ignore[return-value]

    coat = 4.0 + 7.0 * body.fat
    lv = Ellipsoid(centre=at(38, -28, 110), radii=sized(48, 31, 34), turn=turn)
    rv = Ellipsoid(centre=at(8, -48, 104), radii=sized(42, 23, 36), turn=rotation(about_z=22, about_y=-18))
    ra = Ellipsoid(centre=at(-28, -22, 118), radii=sized(24, 29, 32))
    la = Ellipsoid(centre=at(8, 8, 146), radii=sized(37, 19, 23))

    def heart(r: Region, grow_mm: float) -> np.ndarray:
        out = smooth_union(lv.sdf(r), rv.sdf(r), blend_mm=5)
        out = smooth_union(out, ra.sdf(r), blend_mm=3)
        return smooth_union(out, la.sdf(r), blend_mm=3) + grow_mm

    limits = (-85.0, 110.0, -100.0, 55.0, 45.0, 195.0)
    canvas.paint(
        Formula(limits=limits, function=lambda r: np.minimum(heart(r, coat), r.z - body.dome(r) - 1.0)),
        "mediastinal_fat",
        over=(
            "lung",
            "dependent_lung",
            "mediastinal_fat",
            "pulmonary_artery",
            "pulmonary_vein",
            "airway_wall",
            "airway",
            "consolidation",
        ),
    )
    canvas.paint(
        Formula(limits=limits, function=lambda r: np.minimum(heart(r, 0.0), r.z - body.dome(r) - 0.5)), "myocardium"
    )

    def chamber(shape: Ellipsoid, wall: float, label: str, keep: Ellipsoid | None = None) -> None:
        def sdf(r: Region) -> np.ndarray:
            out = np.minimum(shape.sdf(r) - wall, r.z - body.dome(r) - 3.0)
            return out if keep is None else np.minimum(out, -keep.sdf(r))

        canvas.paint(Formula(limits=limits, function=sdf), label, over=("myocardium",))

    septum = Ellipsoid(centre=lv.centre, radii=(lv.radii[0] + 0.5, lv.radii[1] + 0.5, lv.radii[2] + 0.5), turn=turn)
    chamber(lv, 10.0 * float(rng.uniform(0.85, 1.2)), "left_ventricle")
    chamber(rv, 3.5, "right_ventricle", septum)
    chamber(la, 2.5, "left_atrium", septum)
    chamber(ra, 2.5, "right_atrium")
    if body.patient.age > 50 and rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 5))):
            p = at(float(rng.uniform(8, 45)), float(rng.uniform(-55, -35)), float(rng.uniform(125, 145)))
            canvas.paint(Ellipsoid(centre=p, radii=(2.0, 2.0, 2.8)), "calcification")
    for path in (
        [at(10, -30, 152), at(26, -44, 148), at(34, -58, 125), at(40, -66, 100)],
        [at(-6, -32, 150), at(-14, -52, 138), at(-10, -55, 110)],
        [at(14, -26, 152), at(40, -12, 142), at(58, -10, 118)],
    ):
        line = curve([p[::-1] for p in path])
        canvas.tube(
            line,
            np.linspace(2.3, 1.2, len(line)),
            "coronary_artery",
            over=("mediastinal_fat", "lung", "myocardium", "pulmonary_vein"),
        )

    gullet = curve(
        [
            (330, y(330) - 16, 2),
            (290, y(290) - 17, 4),
            (230, y(230) - 23, 5),
            (190, y(190) - 21, 4),
            (140, y(140) - 22, 4),
            (95, y(95) - 24, 10),
            (62, y(62) - 40, 20),
        ]
    )
    canvas.tube(gullet, np.full(len(gullet), 9.0), "mediastinal_fat", over=_LUNG)
    canvas.tube(gullet, np.full(len(gullet), 6.8) + rng.normal(0, 0.5, len(gullet)), "oesophagus")
    if rng.random() < 0.5:
        canvas.tube(gullet[6:14], np.full(8, 2.2), "bowel_gas", over=("oesophagus",))
    _airways(canvas, rng, y)
    for side in (-1, 1):
        canvas.paint(
            Ellipsoid(centre=(side * 17, y(302) - 30, 304), radii=(9 * rng.uniform(0.7, 1.4), 10, 22)), "thyroid"
        )
    canvas.paint(Ellipsoid(centre=(0, y(296) - 38, 292), radii=(12, 4, 7)), "thyroid")
    for _ in range(int(rng.integers(3, 10))):
        p = (float(rng.uniform(-25, 25)), float(rng.uniform(-15, 30)), float(rng.uniform(160, 235)))
        size = float(rng.uniform(2, 5))
        canvas.paint(Ellipsoid(centre=p, radii=(size, size * 0.8, size * 1.3)), "lymph_node", over=("mediastinal_fat",))
    if body.patient.sex == "F":
        _breasts(canvas, body, rng)


def _airways(canvas: Canvas, rng: np.random.Generator, y: Callable[[float], float]) -> None:
    carina = (200 + rng.normal(0, 3), 16.0, 0.0)
    trunk = curve([(345, y(340) - 32, 0), (290, y(290) - 30, 0), (240, y(240) - 38, -1), carina])
    right = curve([carina, (186, 16, -20), (174, 14, -38), (158, 16, -46)])
    left = curve([carina, (188, 18, 20), (176, 18, 40), (162, 20, 48)])
    lines = ((trunk, 8.8), (right, 6.8), (left, 6.0))
    for grow_mm, label in ((4.0, "mediastinal_fat"), (1.4, "airway_wall"), (0.0, "airway")):
        for line, radius in lines:
            over = _LUNG if label == "mediastinal_fat" else None
            canvas.tube(line, np.full(len(line), radius + grow_mm), label, over=over)


def _breasts(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    share = float(np.clip(rng.normal(0.45, 0.25) - 0.006 * (body.patient.age - 50), 0.05, 0.8))
    for side in (-1, 1):
        canvas.paint(_gland(side, share), "breast_gland", over=("subcutaneous_fat",))


def _gland(side: int, share: float) -> Formula:
    return Formula(
        limits=(*interval(side * 25, side * 140), -230, -40, 80, 172),
        function=lambda r: np.minimum(
            np.minimum(r.depth("skin") - 9.0, -r.depth("muscle") - 4.0),
            26.0 * share**0.5
            - 0.6 * np.sqrt((side * r.x - 78.0) ** 2 + (r.z - 124.0) ** 2)
            + 3.0 * np.sin(0.45 * r.x) * np.sin(0.5 * r.z + 0.3 * r.y),
        ),
    )
