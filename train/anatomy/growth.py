"""Vessels grown where a map has none: inside liver, spleen and lungs, to the kidneys, through the mesentery, over the heart."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from s2ldm_core.phantom.patient import stream
from s2ldm_core.phantom.trees import curve, grow
from train.anatomy.canvas import MapCanvas
from train.anatomy.names import CODES

_FAT = ("visceral_fat", "mediastinal_fat", "subcutaneous_fat")
_YIELDING = (
    *_FAT,
    "diaphragm",
    "pancreas",
    "pelvic_soft_tissue",
    "mesenteric_vein",
    "mesenteric_artery",
    "small_bowel_wall",
    "ureter",
)
_ENOUGH_VOXELS = 60
_NEAR_MM = 60.0


def grow_vessels(canvas: MapCanvas, *, seed: int, outside_organs: bool) -> None:
    """Paint the vessels that the structures lack.

    outside_organs: also those that run through fat, whose place a real CT already shows and which belong in painted images only.
    """
    rng = stream(seed, "anatomy vessels")
    _liver(canvas, rng)
    _spleen(canvas, rng)
    if outside_organs:
        _lungs(canvas, rng)
        _renal(canvas, rng)
        _visceral(canvas, rng)
        _mesentery(canvas, rng)
        _coronaries(canvas, rng)


def _points(canvas: MapCanvas, mask: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """World (z, y, x) of up to ``count`` of a mask's voxels."""
    found = np.flatnonzero(mask)
    chosen = rng.choice(found, size=min(count, found.size), replace=False)
    return canvas.world(np.stack(np.unravel_index(chosen, mask.shape), axis=1))


def _touching(canvas: MapCanvas, organ: np.ndarray, vessel: np.ndarray, *, highest: bool = False) -> np.ndarray | None:
    """World point of the organ nearest to a vessel; with ``highest`` among the upper quarter of the organ's slices."""
    if np.count_nonzero(vessel) < 5 or np.count_nonzero(organ) < _ENOUGH_VOXELS:
        return None
    place = organ.copy()
    if highest:
        levels = np.flatnonzero(organ.any(axis=(1, 2)))
        place[: levels[(3 * len(levels)) // 4]] = False
    points = canvas.world(np.argwhere(place & ~ndimage.binary_erosion(place)))
    distance, _ = cKDTree(canvas.world(np.argwhere(vessel))).query(points, distance_upper_bound=_NEAR_MM)
    nearest = int(np.argmin(distance))
    return points[nearest] if np.isfinite(distance[nearest]) else None


def _liver(canvas: MapCanvas, rng: np.random.Generator) -> None:
    liver = canvas.is_("liver")
    if np.count_nonzero(liver) < 2000:
        return
    ml = np.count_nonzero(liver) * float(np.prod(canvas.spacing_mm)) / 1000.0
    count = int(np.clip(ml / 9.0, 30, 190))
    portal = _touching(canvas, liver, canvas.is_("portal_vein", "splenic_vein", "superior_mesenteric_vein"))
    cava = _touching(canvas, liver, canvas.is_("ivc_suprarenal", "hepatic_vein", "right_atrium"), highest=True)
    for root, label, radius, leaf, others in (
        (portal, "portal_vein", 5.2, 1.1, ("liver",)),
        (cava, "hepatic_vein", 5.0, 1.3, ("liver", "portal_vein")),
    ):
        if root is None:
            continue
        targets = _points(canvas, ndimage.binary_erosion(liver, iterations=3), rng, count)
        if len(targets):
            tree = grow(
                tuple(root),
                targets,
                rng,
                root_radius_mm=radius * float(rng.uniform(0.8, 1.1)),
                leaf_radius_mm=leaf,
                step_mm=10.0,
            )
            canvas.segments(tree.points, tree.radii, tree.parents, label, over=others)


def _spleen(canvas: MapCanvas, rng: np.random.Generator) -> None:
    spleen = canvas.is_("spleen")
    root = _touching(canvas, spleen, canvas.is_("splenic_vein", "portal_vein", "pancreas"))
    if root is not None:
        targets = _points(canvas, spleen, rng, 14)
        targets = targets[np.linalg.norm(targets - root, axis=1) < 32.0]
        if len(targets):
            tree = grow(tuple(root), targets, rng, root_radius_mm=3.5, leaf_radius_mm=1.1, step_mm=8.0)
            canvas.segments(tree.points, tree.radii, tree.parents, "splenic_vein", over=("spleen",))


def _lungs(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Arteries and veins from the hilum into each lung that has none of its own."""
    lung = canvas.structures == CODES["lung"]
    parts, count = ndimage.label(lung)
    middle = float(np.mean(np.flatnonzero((canvas.top != 0).any(axis=(0, 1)))))
    for index in range(1, count + 1):
        part = parts == index
        size = np.count_nonzero(part)
        if size < 20_000:
            continue
        around = ndimage.binary_dilation(part, iterations=3)
        if np.count_nonzero(around & canvas.is_("pulmonary_artery")) > 0.01 * size:
            continue
        where = np.argwhere(part)
        # The hilum: the voxel nearest to the midline at half height and half depth.
        cost = np.abs(where[:, 2] - middle) * canvas.spacing_mm[2]
        cost = cost + 0.7 * np.abs(where[:, 0] - where[:, 0].mean()) * canvas.spacing_mm[0]
        cost = cost + 0.7 * np.abs(where[:, 1] - where[:, 1].mean()) * canvas.spacing_mm[1]
        root = canvas.world(where[[int(np.argmin(cost))]])[0]
        for label, leaf, shift in (("pulmonary_artery", 0.95, 0.0), ("pulmonary_vein", 0.9, -10.0)):
            targets = _points(canvas, part, rng, int(np.clip(size / 1200, 30, 200)))
            tree = grow(
                (root[0] + shift, root[1], root[2]),
                targets,
                rng,
                root_radius_mm=7.0,
                leaf_radius_mm=leaf,
                step_mm=10.0,
                wobble_mm=1.6,
            )
            canvas.segments(
                tree.points, tree.radii, tree.parents, label, over=("lung", "pulmonary_artery", "pulmonary_vein")
            )


def _renal(canvas: MapCanvas, rng: np.random.Generator) -> None:
    aorta, cava = canvas.is_("aorta"), canvas.is_("ivc_suprarenal", "ivc_infrarenal")
    for name in ("kidney_right", "kidney_left"):
        kidney = canvas.structures == CODES[name]
        if np.count_nonzero(kidney) < 500:
            continue
        where = np.argwhere(kidney)
        centre = where.mean(axis=0)
        for vessel, own, label, radius in (
            (aorta, "renal_artery", "renal_artery", 2.6),
            (cava, "renal_vein", "renal_vein", 4.6),
        ):
            level = int(np.clip(round(float(centre[0] + rng.normal(0, 2))), 0, kidney.shape[0] - 1))
            section = np.argwhere(vessel[level])
            if len(section) == 0 or canvas.is_(own).any():
                continue
            trunk = np.array([level, *section.mean(axis=0)])
            # The hilum: half way from the kidney's middle towards the trunk, where the parenchyma ends.
            plane = where[where[:, 0] == level]
            if len(plane) == 0:
                continue
            hilum = plane[int(np.argmin(np.linalg.norm((plane - trunk) * canvas.spacing_mm, axis=1)))]
            a, b, c = canvas.world(np.array([trunk, hilum, centre]).round().astype(int))
            deep = b + 0.35 * (c - b)
            bend = (a + b) / 2 + np.array([float(rng.normal(2, 3)), float(rng.normal(3, 3)), 0.0])
            line = curve([tuple(a), tuple(bend), tuple(b), tuple(deep)])
            radii = np.linspace(radius, 0.7 * radius, len(line)) * float(rng.uniform(0.85, 1.15))
            canvas.tube(line, radii, label, over=(*_YIELDING, "renal_medulla", "renal_sinus_fat"))


def _visceral(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """The coeliac trunk with its splenic and hepatic branches and the superior mesenteric artery, from the aorta."""
    aorta = canvas.is_("aorta")
    kidneys = canvas.is_("renal_cortex").any(axis=(1, 2))
    if not kidneys.any() or canvas.is_("visceral_artery").any():
        return
    middle = float(np.mean(np.flatnonzero(kidneys)))
    for rise_mm, kind in ((45.0, "coeliac"), (28.0, "mesenteric")):
        level = round(middle + rise_mm / canvas.spacing_mm[0])
        if not 0 <= level < aorta.shape[0] or not aorta[level].any():
            continue
        section = np.argwhere(aorta[level])
        front = section[section[:, 0] == section[:, 0].min()].mean(axis=0)
        z, y, x = canvas.world(np.array([[level, round(front[0]), round(front[1])]]))[0]
        if kind == "mesenteric":
            points = [
                (z, y, x),
                (z - 6, y - 12, x),
                (z - 30, y - 18, x - 2),
                (z - 80, y - 26, x - 4),
                (z - 130, y - 30, x - 10),
            ]
            canvas.tube(curve(points), np.linspace(3.8, 1.8, 4 * 4 + 1), "visceral_artery", over=_YIELDING)
            continue
        trunk = (z - 2, y - 14, x)
        canvas.tube(np.array([(z, y, x), trunk]), np.array([3.8, 3.6]), "visceral_artery", over=_YIELDING)
        for organ, radius in (("spleen", 2.8), ("liver", 2.4)):
            mask = canvas.is_(organ)
            if np.count_nonzero(mask) < 500:
                continue
            targets = _points(canvas, mask & ~ndimage.binary_erosion(mask, iterations=2), rng, 400)
            end = targets[int(np.argmin(np.linalg.norm(targets - np.array(trunk), axis=1)))]
            way = [
                np.array(trunk) + (end - np.array(trunk)) * t + rng.normal(0, 4.0 if 0 < t < 1 else 0.0, 3)
                for t in (0, 0.3, 0.6, 1)
            ]
            line = curve([(float(p[0]), float(p[1]), float(p[2])) for p in way])
            canvas.tube(line, np.linspace(radius, 0.7 * radius, len(line)), "visceral_artery", over=_YIELDING)


def _mesentery(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Jejunal, ileal and colic branches through the fat around the bowel."""
    bowel = np.isin(canvas.structures, [CODES["small_bowel"], CODES["colon"]])
    fat = canvas.is_("visceral_fat")
    if np.count_nonzero(bowel) < 5000 or np.count_nonzero(fat) < 5000:
        return
    near = canvas.within(bowel, 14.0)
    where = np.argwhere(bowel)
    root_index = np.array([np.quantile(where[:, 0], 0.8), np.quantile(where[:, 1], 0.7), where[:, 2].mean()])
    root = canvas.world(root_index.round().astype(int)[None])[0]
    for label, radius, leaf, shift, share in (
        ("mesenteric_artery", 2.6, 0.75, 4.0, 2600),
        ("mesenteric_vein", 4.2, 0.95, -5.0, 2200),
    ):
        targets = _points(canvas, fat & near, rng, int(np.clip(np.count_nonzero(bowel) / share, 40, 160)))
        targets = targets[targets[:, 0] < root[0] + 15.0]
        if len(targets):
            tree = grow(
                (root[0], root[1], root[2] + shift),
                targets,
                rng,
                root_radius_mm=radius,
                leaf_radius_mm=leaf,
                step_mm=12.0,
                wobble_mm=2.5,
            )
            canvas.segments(tree.points, tree.radii, tree.parents, label, over=("visceral_fat",))


def _coronaries(canvas: MapCanvas, rng: np.random.Generator) -> None:
    """Two arteries along the surface of a whole heart, from its base towards its apex."""
    heart = canvas.structures == CODES["heart"]
    if np.count_nonzero(heart) < 20_000 or canvas.is_("coronary_artery").any():
        return
    surface = np.argwhere(heart & ~ndimage.binary_erosion(heart, iterations=1))
    low, high = surface.min(axis=0), surface.max(axis=0)
    for way in (
        ((0.85, 0.35, 0.60), (0.6, 0.12, 0.68), (0.3, 0.10, 0.75)),
        ((0.8, 0.35, 0.35), (0.5, 0.25, 0.10), (0.2, 0.4, 0.2)),
    ):
        points = []
        for share in way:
            wanted = low + (high - low) * np.array(share)
            points.append(surface[int(np.argmin(np.linalg.norm((surface - wanted) * canvas.spacing_mm, axis=1)))])
        line = curve([tuple(p) for p in canvas.world(np.array(points))])
        canvas.tube(line, np.linspace(2.0, 1.1, len(line)) * float(rng.uniform(0.8, 1.2)), "coronary_artery")
