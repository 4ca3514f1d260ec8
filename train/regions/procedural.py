"""Parts of the body the phantom lacks, and what is no body, drawn from ellipses: heads, necks, limbs, water phantoms."""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from train.regions.example import REGION, Example

_PIXEL_MM = 2.0
_AIR = -1000.0


class Plane:
    """One slice to paint on, 2 mm pixels, the middle at (0, 0); y runs to the back."""

    def __init__(self, size_mm: float, rng: np.random.Generator) -> None:
        count = int(size_mm / _PIXEL_MM)
        axis = (np.arange(count) - (count - 1) / 2) * _PIXEL_MM
        self.y, self.x = np.meshgrid(axis, axis, indexing="ij")
        self.hu = np.full((count, count), _AIR, np.float32)
        self.rng = rng

    def within(self, x: float, y: float, a: float, b: float, *, power: float = 2.0, turn: float = 0.0) -> np.ndarray:
        """(H, W) bool of an ellipse with half axes a, b, turned by radians; a power above 2 makes it boxy."""
        dx, dy = self.x - x, self.y - y
        u, v = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
        inside: np.ndarray = np.abs(u / max(a, 0.1)) ** power + np.abs(v / max(b, 0.1)) ** power < 1.0
        return inside

    def paint(self, where: np.ndarray, hu: float, *, texture: float = 6.0) -> None:
        self.hu[where] = hu + self.rng.normal(0.0, texture)

    def bone(self, x: float, y: float, a: float, b: float, *, cortex: float, marrow: float, turn: float = 0.0) -> None:
        """A bone with its cortex (mm) and marrow (HU)."""
        self.paint(self.within(x, y, a, b, turn=turn), float(self.rng.uniform(600, 1300)))
        if min(a, b) > cortex + 1:
            self.paint(self.within(x, y, a - cortex, b - cortex, turn=turn), marrow, texture=20.0)


def head(rng: np.random.Generator) -> tuple[list[np.ndarray], list[str], float]:
    """From the upper neck or the skull base to the crown."""
    step = float(rng.choice((3.0, 5.0, 7.0)))
    low, high = float(rng.choice((-95.0, -60.0, -25.0, 0.0))), float(rng.uniform(70, 96))
    wide, long, thick = rng.uniform(66, 82), rng.uniform(82, 102), rng.uniform(5, 9)
    size, rest = float(rng.uniform(200, 300)), bool(rng.random() < 0.7)
    planes, lean = [], rng.uniform(-0.25, 0.25)
    for z in np.arange(low, high, step):
        plane = Plane(size, rng)
        shrink = np.sqrt(max(1.0 - max(z, 0.0) ** 2 / 98.0**2, 0.02)) * (1.0 if z > -40 else 1.0 + (z + 40) * 0.004)
        if rest:
            ring = plane.within(0, 8, wide + 18, long + 12) & ~plane.within(0, 8, wide + 14, long + 8)
            plane.paint(ring & (plane.y > -20), 100.0)
        a, b = wide * shrink, long * shrink
        plane.paint(plane.within(0, 0, a + 7, b + 7, power=2.2), float(rng.uniform(-70, 30)))
        if z > -22:
            plane.paint(plane.within(0, 0, a, b, power=2.2), float(rng.uniform(800, 1300)))
            plane.paint(plane.within(0, 0, a - thick, b - thick, power=2.2), 34.0, texture=3.0)
            if 0 < z < 60:
                for side in (-1, 1):
                    plane.paint(plane.within(side * 12, -5, 7, 28, turn=side * 0.3), 8.0)
        if z < 22:
            _skull_base(plane, z + lean * 20, a, b, thick)
        if z < -20:
            _face(plane, z, a, b)
        planes.append(plane.hu)
    return planes, ["head" if z > -88 else "neck" for z in np.arange(low, high, step)], step


def _skull_base(plane: Plane, z: float, a: float, b: float, thick: float) -> None:
    rng = plane.rng
    if z < -22:
        plane.paint(plane.within(0, 0, a, b, power=2.2), 45.0)
    for side in (-1, 1):
        turn = side * rng.uniform(0.5, 0.9)
        plane.paint(plane.within(side * 0.55 * a, 12, 0.5 * a, 12, turn=turn), float(rng.uniform(500, 1100)))
        for _ in range(4):
            plane.paint(plane.within(side * rng.uniform(0.55, 0.85) * a, rng.uniform(0, 35), 6, 6), -600.0, texture=150)
        plane.bone(side * 0.45 * a, -0.68 * b, 0.4 * a, 0.22 * b, cortex=3, marrow=-60.0)
        plane.paint(plane.within(side * 0.45 * a, -0.74 * b, 12, 12), 15.0)
        if rng.random() < 0.7:
            plane.paint(plane.within(side * 0.18 * a, -0.5 * b, 9, 20), _AIR)
    plane.bone(0, -0.05 * b, 0.2 * a, 14, cortex=3, marrow=200.0)
    if z > -18:
        plane.paint(plane.within(0, 0.5 * b, 0.6 * a, 0.36 * b), 35.0)
    if rng.random() < 0.6:
        plane.paint(plane.within(0, -0.86 * b, 0.28 * a, 8), _AIR)


def _face(plane: Plane, z: float, a: float, b: float) -> None:
    rng = plane.rng
    plane.bone(0, 0.3 * b, 16, 14, cortex=3, marrow=250.0)
    plane.paint(plane.within(0, 0.34 * b, 8, 6), 25.0)
    if z > -55:
        for side in (-1, 1):
            plane.bone(side * 0.42 * a, -0.45 * b, 0.28 * a, 0.26 * b, cortex=2.5, marrow=-900.0)
        plane.bone(0, -0.5 * b, 0.14 * a, 0.3 * b, cortex=1.5, marrow=-900.0)
    else:
        arch = plane.within(0, -0.35 * b, 0.62 * a, 0.55 * b) & ~plane.within(0, -0.3 * b, 0.5 * a, 0.44 * b)
        plane.paint(arch & (plane.y < -0.1 * b), float(rng.uniform(700, 1300)))
        if rng.random() < 0.5:
            plane.paint(plane.within(0, -0.72 * b, 0.4 * a, 6), float(rng.uniform(1200, 2800)))
    plane.paint(plane.within(0, -0.02 * b, rng.uniform(6, 14), rng.uniform(4, 9)), _AIR)


def neck(rng: np.random.Generator) -> tuple[list[np.ndarray], list[str], float]:
    """From the jaw to above the shoulders."""
    step, count = float(rng.choice((3.0, 5.0))), int(rng.integers(8, 20))
    a, b, size = rng.uniform(54, 78), rng.uniform(52, 76), float(rng.uniform(170, 360))
    fat = rng.uniform(4, 14)
    planes = []
    for index in range(count):
        plane = Plane(size, rng)
        grow = 1.0 + 0.12 * max(0.0, 0.3 - index / count) / 0.3
        plane.paint(plane.within(0, 0, a * grow, b), -95.0)
        plane.paint(plane.within(0, 0, a * grow - fat, b - fat), 55.0)
        for side in (-1, 1):
            plane.paint(plane.within(side * 0.55 * a, rng.uniform(-10, 15), 9, 16), -80.0, texture=15)
            plane.paint(plane.within(side * 0.4 * a, -5, 6, 6), float(rng.choice((45.0, 250.0))))
        plane.bone(0, 0.15 * b, rng.uniform(13, 18), rng.uniform(10, 14), cortex=2.5, marrow=280.0)
        plane.bone(0, 0.5 * b, rng.uniform(8, 28), 9, cortex=3, marrow=150.0)
        plane.paint(plane.within(0, 0.33 * b, 8, 6), 25.0)
        plane.paint(plane.within(0, -0.4 * b, rng.uniform(6, 11), rng.uniform(6, 12)), _AIR)
        if index > 0.6 * count and rng.random() < 0.6:
            arch = plane.within(0, -0.4 * b, 0.6 * a, 0.5 * b) & ~plane.within(0, -0.35 * b, 0.48 * a, 0.4 * b)
            plane.paint(arch & (plane.y < -0.1 * b), 900.0)
        planes.append(plane.hu)
    return planes, ["neck"] * count, step


def _limb(plane: Plane, x: float, y: float, radius: float, fat: float, bones: list[tuple[float, float, float]]) -> None:
    squash = plane.rng.uniform(0.85, 1.15)
    plane.paint(plane.within(x, y, radius, radius * squash, power=plane.rng.uniform(1.9, 2.4)), -100.0)
    plane.paint(plane.within(x, y, radius - fat, radius * squash - fat), 52.0)
    for _ in range(3):
        turn = plane.rng.uniform(0, 3)
        plane.paint(plane.within(x, y, 0.75 * radius, 2.0, turn=turn), -60.0, texture=20)
    for dx, dy, size in bones:
        trabecular = size > 17
        plane.bone(
            x + dx,
            y + dy,
            size,
            size * plane.rng.uniform(0.8, 1.2),
            cortex=2.0 if trabecular else max(3.0, 0.35 * size),
            marrow=float(plane.rng.uniform(120, 260)) if trabecular else float(plane.rng.uniform(-70, 20)),
        )


def legs(rng: np.random.Generator) -> tuple[list[np.ndarray], list[str], float]:
    """One or both legs, about the thigh, the knee, the calf or the ankle."""
    step, count = float(rng.choice((3.0, 5.0))), int(rng.integers(10, 24))
    both, fat = bool(rng.random() < 0.6), rng.uniform(3, 22)
    part = str(rng.choice(("thigh", "knee", "calf", "ankle")))
    radius = {"thigh": 78.0, "knee": 60.0, "calf": 52.0, "ankle": 36.0}[part] * rng.uniform(0.85, 1.2)
    gap = rng.uniform(0.9, 1.6) * radius if both else 0.0
    size = float(rng.uniform(2.3, 2.9) * radius) if not both else float(2 * (gap + radius) + rng.uniform(10, 80))
    planes = []
    for index in range(count):
        plane = Plane(size, rng)
        for side in (-1, 1) if both else (1,):
            bones: list[tuple[float, float, float]]
            if part == "thigh":
                bones = [(rng.normal(0, 2), -5 + rng.normal(0, 2), 14.0)]
            elif part == "knee":
                middle = abs(index / count - 0.5)
                if middle < 0.3:
                    bones = [(-20, 4, 23), (20, 4, 23), (0, -radius + 22, 12 if middle < 0.15 else 4)]
                else:
                    bones = [(0, 0, 30 - 30 * (middle - 0.3) / 0.2 * 0.4)]
            elif part == "calf":
                bones = [(-10 * side, -radius * 0.4, 14), (22 * side, 0, 7)]
            else:
                bones = [(0, rng.uniform(-8, 8), 19), (20 * side, 6, 8), (-6, 20, 12)]
            _limb(plane, side * gap, 0.0, radius * (1 + 0.02 * rng.normal()), min(fat, radius * 0.3), bones)
        planes.append(plane.hu)
    return planes, ["extremity"] * count, step


def arm(rng: np.random.Generator) -> tuple[list[np.ndarray], list[str], float]:
    """An arm: upper arm, elbow, forearm or wrist."""
    step, count = float(rng.choice((2.0, 3.0, 5.0))), int(rng.integers(8, 20))
    part = str(rng.choice(("upper", "elbow", "forearm", "wrist")))
    radius = {"upper": 46.0, "elbow": 40.0, "forearm": 34.0, "wrist": 26.0}[part] * rng.uniform(0.85, 1.2)
    size, fat = float(radius * rng.uniform(2.4, 5.0)), rng.uniform(2, 10)
    x, y = rng.uniform(-0.5, 0.5, 2) * (size / 2 - radius)
    planes = []
    for _ in range(count):
        plane = Plane(size, rng)
        bones = {
            "upper": [(0.0, 0.0, 11.5)],
            "elbow": [(-11.0, 0.0, 14.0), (13.0, 2.0, 12.0), (0.0, 14.0, 10.0)],
            "forearm": [(-11.0, 0.0, 7.5), (11.0, 4.0, 7.5)],
            "wrist": [(-12.0, 0.0, 9.0), (0.0, 2.0, 9.0), (12.0, 0.0, 8.0)],
        }[part]
        _limb(plane, float(x), float(y), radius, min(fat, 0.25 * radius), bones)
        planes.append(plane.hu)
    return planes, ["extremity"] * count, step


def water_phantom(rng: np.random.Generator) -> tuple[list[np.ndarray], list[str], float]:
    """A cylinder of water or plastic, with or without a shell and inserts, or an empty table."""
    step, count = float(rng.choice((3.0, 5.0, 10.0))), int(rng.integers(5, 16))
    radius, size = rng.uniform(45, 175), float(rng.uniform(200, 480))
    kind, fill = str(rng.choice(("water", "inserts", "line", "empty"), p=(0.4, 0.35, 0.15, 0.1))), 0.0
    fill = float(rng.choice((0.0, 100.0, -100.0, 40.0), p=(0.6, 0.2, 0.1, 0.1))) + rng.normal(0, 8)
    shell = float(rng.choice((0.0, 6.0, 12.0)))
    oval = float(rng.choice((1.0, 1.0, 0.7)))
    rods = [(rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.8), rng.uniform(5, 16), _rod(rng)) for _ in range(8)]
    table = bool(rng.random() < 0.5)
    planes = []
    for _ in range(count):
        plane = Plane(size, rng)
        if table:
            plane.paint((np.abs(plane.y - 0.44 * size) < 6) & (np.abs(plane.x) < 0.4 * size), -100.0)
        if kind != "empty":
            plane.paint(plane.within(0, 0, radius, radius * oval), 120.0, texture=2.0)
            plane.paint(plane.within(0, 0, radius - shell, radius * oval - shell), fill, texture=1.0)
        if kind == "inserts":
            for angle, away, rod, hu in rods:
                at = away * (radius - shell)
                plane.paint(plane.within(at * np.cos(angle), at * oval * np.sin(angle), rod, rod), hu, texture=1.0)
        if kind == "line":
            for x in np.linspace(-0.6, 0.6, 8) * radius:
                plane.paint(plane.within(float(x), 0.0, 3.0, 0.2 * radius), 800.0)
        planes.append(plane.hu)
    return planes, ["other"] * count, step


def _rod(rng: np.random.Generator) -> float:
    return float(rng.choice((-1000.0, -100.0, -35.0, 120.0, 340.0, 900.0, 1200.0)))


Maker = Callable[[np.random.Generator], tuple[list[np.ndarray], list[str], float]]
MAKERS: Final[dict[str, Maker]] = {
    "head": head,
    "neck": neck,
    "legs": legs,
    "arm": arm,
    "water": water_phantom,
}


def procedural(kind: str, seed: int) -> Example:
    """One made-up series of a kind in `MAKERS`, blurred and with noise; deterministic in its arguments."""
    rng = np.random.default_rng([seed, sorted(MAKERS).index(kind)])
    planes, names, step = MAKERS[kind](rng)
    hu = gaussian_filter(np.stack(planes), (0.3, 0.5, 0.5))
    hu += rng.normal(0.0, float(rng.uniform(4, 30)), hu.shape).astype(np.float32)
    name = f"{kind}-{seed}"
    regions = np.array([REGION[one] for one in names])
    return Example(name, name, np.maximum(hu, -1024.0), (step, _PIXEL_MM, _PIXEL_MM), regions)
