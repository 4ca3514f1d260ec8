"""Liver, gallbladder, spleen, pancreas and stomach, with the vessels inside them and lesions."""

import numpy as np

from s2ldm_core.phantom.body import Body
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.shapes import Ellipsoid, Formula, Region, rotation, smooth_union
from s2ldm_core.phantom.tissues import HOLLOW
from s2ldm_core.phantom.trees import Tree, curve, grow
from s2ldm_core.phantom.vessels import PORTAL_TRUNK, PORTAL_TRUNK_RADII, tapered

_FAT = ("visceral_fat",)


def paint_stomach(canvas: Canvas, body: Body) -> None:
    """Paint the stomach: wall, fluid or food, gas above it (anterior in a lying patient)."""
    rng = body.rng("stomach")
    full = float(rng.uniform(0.35, 1.0))
    drop = float(rng.normal(0, 12))
    line = curve(
        [
            (62 + body.dome_mm * 0.8, 2, 36),
            (50, 18, 62),
            (22, -18, 66),
            (-8 + drop, -45, 50),
            (-30 + drop, -58, 22),
            (-34 + drop, -52, -8),
            (-27, -38, -30),
        ]
    )
    radii = np.interp(np.linspace(0, 1, len(line)), (0, 0.2, 0.45, 0.7, 0.9, 1), (15, 34, 28, 23, 17, 11)) * full**0.4
    wall = float(rng.uniform(3.0, 6.0)) * (1.5 - 0.5 * full)
    canvas.tube(line, radii + wall, "stomach_wall", over=(*_FAT, *HOLLOW))
    content = "oral_contrast" if rng.random() < 0.08 else "stomach_content"
    canvas.tube(line, radii, content, over=("stomach_wall", "stomach_content", *_FAT))
    if rng.random() < 0.8:
        canvas.tube(line, radii - 0.5, "bowel_gas", over=(content,), gas_level_mm=float(rng.uniform(-6.0, 26.0)))


def paint_liver(canvas: Canvas, body: Body) -> None:
    """Paint the liver under the diaphragm, its portal and hepatic veins, the gallbladder and lesions."""
    rng = body.rng("liver")
    size = float(np.clip(rng.normal(1.0, 0.08), 0.82, 1.22))
    right = Ellipsoid(centre=(-66, 2, 6), radii=(80 * size, 92, 92 * size))
    lobe = float(rng.uniform(0.55, 1.1))
    left = Ellipsoid(
        centre=(2 + 10 * lobe, -40, 34), radii=(72 * lobe, 44, 36), turn=rotation(about_y=float(rng.normal(-14, 6)))
    )
    caudate = Ellipsoid(centre=(-14, 12, 28), radii=(16, 15, 26))
    tail = float(rng.normal(-78, 16))  # level of the right lobe's tip
    slope = float(rng.uniform(0.5, 0.78))
    lean, phase = float(rng.uniform(-0.2, 0.4)), float(rng.uniform(0, 6))
    kidney = Ellipsoid(centre=(-62, 30, -27), radii=(30 + 6 * body.fat, 29 + 6 * body.fat, 55))
    # Below its hilum the liver ends at duodenum, head of the pancreas, portal and caval vein; it does not grow around them.
    below_hilum = Ellipsoid(centre=(-38, 0, -20), radii=(44, 34, 27))
    inside = body.abdomen(inset_mm=2.2, margin_mm=1.8)

    def sdf(r: Region) -> np.ndarray:
        floor = r.z - (
            tail + slope * np.maximum(r.x + 112.0, 0.0) + lean * (r.y + 20.0) + 7.0 * np.sin(0.055 * r.y + phase)
        )
        lobe_right = np.minimum(right.sdf(r), 0.8 * floor)
        # The visceral surface: hollow behind the left lobe, towards stomach and pancreas.
        lobe_left = np.minimum(left.sdf(r), -0.9 * (r.y + 8.0 - 0.35 * (r.z - 40.0)))
        out = smooth_union(lobe_right, lobe_left, blend_mm=14)
        out = smooth_union(out, caudate.sdf(r), blend_mm=6)
        out = np.minimum(out, -kidney.sdf(r))
        out = np.minimum(out, -below_hilum.sdf(r))
        return np.minimum(out, inside.sdf(r))

    liver = Formula(limits=(-150, 105, -115, 100, -120, 105), function=sdf)
    canvas.paint(liver, "liver", over=(*_FAT, *HOLLOW, "diaphragm", "lung", "mediastinal_fat"))
    canvas.paint(
        Ellipsoid(centre=(-6, -64, 22), radii=(float(rng.uniform(0.8, 3.0)), 20, 22), turn=rotation(about_z=8)),
        "visceral_fat",
        over=("liver",),
    )
    canvas.paint(
        Ellipsoid(centre=(-30, -14, 16), radii=(16, 8, 6), turn=rotation(about_z=-12)), "visceral_fat", over=("liver",)
    )

    targets = rng.uniform((-60, -80, -128), (72, 62, 55), (320, 3))
    keep = ((targets[:, 2] + 62) / 66) ** 2 + ((targets[:, 1] + 5) / 72) ** 2 + ((targets[:, 0] - 10) / 66) ** 2 < 1
    targets = targets[keep]
    portal = grow(
        (20.0, -14.0, -38.0),
        targets[: len(targets) // 2],
        rng,
        root_radius_mm=5.5,
        leaf_radius_mm=1.1,
        step_mm=9,
        exponent=2.6,
    )
    canvas.segments(portal.points, portal.radii, portal.parents, "portal_vein", over=("liver",))
    _paint_hilar_fat(canvas, portal, fat=body.fat)
    roots = (
        (58.0 + body.dome_mm * 0.7, 8.0, -30.0),
        (60.0 + body.dome_mm * 0.7, -2.0, -24.0),
        (60.0 + body.dome_mm * 0.7, -4.0, -16.0),
    )
    rest = targets[len(targets) // 2 :]
    sector = np.digitize(rest[:, 2], (-62.0, -22.0))
    for index, root in enumerate(roots):
        if np.any(sector == index):
            tree = grow(
                root, rest[sector == index], rng, root_radius_mm=5.0, leaf_radius_mm=1.35, step_mm=10, exponent=2.4
            )
            canvas.segments(tree.points, tree.radii, tree.parents, "hepatic_vein", over=("liver", "portal_vein"))
    if rng.random() < 0.85:
        gall = Ellipsoid(
            centre=(-48 + rng.normal(0, 6), -48 + rng.normal(0, 5), -38 + rng.normal(0, 8)),
            radii=(12 * rng.uniform(0.7, 1.3), 15 * rng.uniform(0.7, 1.2), 28 * rng.uniform(0.7, 1.25)),
            turn=rotation(about_x=25, about_y=12),
        )
        canvas.paint(gall, "gallbladder_wall", over=("liver", *_FAT, *HOLLOW))
        inner = Ellipsoid(centre=gall.centre, radii=tuple(v - 1.8 for v in gall.radii), turn=gall.turn)  # type: ignore[arg-type]
        canvas.paint(inner, "bile", over=("gallbladder_wall",))
        if rng.random() < 0.12:
            canvas.paint(
                Ellipsoid(centre=(gall.centre[0], gall.centre[1] + 7, gall.centre[2] - 8), radii=(4, 3, 4)),
                "calcification",
                over=("bile",),
            )
    _liver_lesions(canvas, rng)


def _paint_hilar_fat(canvas: Canvas, portal: Tree, *, fat: float) -> None:
    """The fat of the hepatoduodenal ligament and of the hilum, around the portal trunk and its first branches (Glisson's sheath)."""
    line, radii = tapered(PORTAL_TRUNK, PORTAL_TRUNK_RADII)
    canvas.tube(line, radii + np.linspace(4.0, 2.0, len(line)) * (1.0 + fat), "visceral_fat", over=("liver",))
    sheath = np.where(portal.radii > 3.2, portal.radii + 1.2 + 1.2 * fat, 0.0)
    canvas.segments(portal.points, sheath, portal.parents, "visceral_fat", over=("liver",))


def _liver_lesions(canvas: Canvas, rng: np.random.Generator) -> None:
    kind = rng.choice(("none", "cyst", "hypo", "hyper", "haemangioma"), p=(0.5, 0.2, 0.13, 0.1, 0.07))
    names = {
        "cyst": "cyst",
        "hypo": "hypovascular_lesion",
        "hyper": "hypervascular_lesion",
        "haemangioma": "haemangioma",
    }
    count = 0 if kind == "none" else int(rng.integers(1, 7 if kind in {"hypo", "cyst"} else 3))
    for _ in range(count):
        p = (float(rng.uniform(-110, 20)), float(rng.uniform(-55, 50)), float(rng.uniform(-40, 60)))
        size = float(np.exp(rng.uniform(np.log(3), np.log(26))))
        shape = Ellipsoid(
            centre=p,
            radii=(size, size * rng.uniform(0.75, 1.2), size * rng.uniform(0.75, 1.2)),
            waves_mm=0.0 if kind == "cyst" else 0.08 * size,
            wave_length_mm=14,
        )
        canvas.paint(shape, names[str(kind)], over=("liver", "portal_vein", "hepatic_vein"))
        if kind == "hyper" and size > 12:
            canvas.paint(
                Ellipsoid(centre=p, radii=(size * 0.4,) * 3, waves_mm=1.5, wave_length_mm=9),
                "hypovascular_lesion",
                over=("hypervascular_lesion",),
            )


def paint_spleen(canvas: Canvas, body: Body) -> None:
    """Paint the spleen along the left posterolateral wall."""
    rng = body.rng("spleen")
    size = float(np.clip(rng.normal(1.0, 0.13), 0.7, 1.5))
    centre = (93.0, 34.0, 30.0 + 0.6 * body.dome_mm)
    outer = Ellipsoid(centre=centre, radii=(33 * size, 54 * size, 58 * size), turn=rotation(about_z=-28, about_x=18))
    hollow = Ellipsoid(
        centre=(centre[0] - 42, centre[1] - 22, centre[2] - 4), radii=(28, 32, 44), turn=rotation(about_z=-25)
    )
    inside = body.abdomen(inset_mm=2.5, margin_mm=2.0)
    shape = Formula(
        limits=(25, 150, -60, 105, -75, 110),
        function=lambda r: np.minimum(np.minimum(outer.sdf(r), -hollow.sdf(r)), inside.sdf(r)),
    )
    over = (*_FAT, *HOLLOW, "diaphragm")
    canvas.paint(shape, "spleen", over=over)
    if rng.random() < 0.15:
        canvas.paint(Ellipsoid(centre=(72, 10, 2), radii=(6, 6, 6)), "spleen", over=over)
    hilum = (centre[2] - 4, centre[1] - 8, centre[0] - 18)
    targets = np.array(hilum) + rng.normal(0, 1, (14, 3)) * (20, 14, 6) + (0, 8, 10)
    tree = grow(hilum, targets, rng, root_radius_mm=4.0, leaf_radius_mm=1.2, step_mm=8)
    canvas.segments(tree.points, tree.radii, tree.parents, "splenic_vein", over=("spleen", *_FAT))


def paint_pancreas(canvas: Canvas, body: Body) -> None:
    """Paint head, neck, body and tail, lobulated by fat with age."""
    rng = body.rng("pancreas")
    k = float(np.clip(rng.normal(1.0, 0.1) - 0.004 * (body.patient.age - 50), 0.65, 1.25))
    rise = float(rng.normal(8, 8))
    line = curve(
        [
            (-46, -2, -24),
            (-30, -8, -24),
            (-16, -20, -8),
            (-6 + rise * 0.3, -27, 8),
            (2 + rise * 0.7, -18, 32),
            (10 + rise, 0, 56),
            (16 + rise, 16, 74),
        ]
    )
    radii = np.interp(np.linspace(0, 1, len(line)), (0, 0.15, 0.35, 0.6, 0.85, 1), (9, 14, 8.5, 9.5, 9, 7)) * k
    over = (*_FAT, *HOLLOW)
    canvas.tube(line, radii + 4.0, "visceral_fat", over=HOLLOW)
    canvas.tube(line, radii + rng.normal(0, 0.8, len(line)), "pancreas", over=over)
    # Small lobes along the edge, and fat clefts between them.
    for point, radius in zip(line[1:], radii[1:], strict=True):
        for _ in range(4):
            p = point + rng.normal(0, 0.75, 3) * radius
            canvas.paint(Ellipsoid(centre=tuple(p[::-1]), radii=tuple(rng.uniform(2.5, 5.0, 3))), "pancreas", over=over)
        if rng.random() < 0.15 + 0.006 * body.patient.age:
            p = point + rng.normal(0, 0.9, 3) * radius
            canvas.paint(
                Ellipsoid(centre=tuple(p[::-1]), radii=tuple(rng.uniform(0.8, 2.2, 3) * (1, 2, 1))),
                "visceral_fat",
                over=("pancreas",),
            )
