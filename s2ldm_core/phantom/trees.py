"""Branching vessels grown towards target points, with radii from Murray's law."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Tree:
    """points (n, 3) (z, y, x) mm, radii (n,) mm, parents (n,) indices, -1 for the root."""

    points: np.ndarray
    radii: np.ndarray
    parents: np.ndarray


def grow(
    root: tuple[float, float, float],
    targets: np.ndarray,
    rng: np.random.Generator,
    *,
    root_radius_mm: float,
    leaf_radius_mm: float,
    step_mm: float = 9.0,
    wobble_mm: float = 1.2,
    exponent: float = 2.7,
) -> Tree:
    """Grow a tree from `root` (z, y, x) to `targets` (n, 3): near targets first, each from the best node so far.

    The best node balances the new branch's length against the way back to the root, which gives long smooth trunks
    instead of a star or a chain. A node's radius is leaf * leaves^(1/exponent) (Murray), at most the root's.
    """
    points = [np.asarray(root, float)]
    parents = [-1]
    path = [0.0]
    for target in targets[np.argsort(np.linalg.norm(targets - points[0], axis=1))]:
        known = np.asarray(points)
        distance = np.linalg.norm(known - target, axis=1)
        best = int(np.argmin(distance + 0.35 * np.asarray(path)))
        count = max(1, round(float(distance[best]) / step_mm))
        start = known[best]
        for i in range(1, count + 1):
            point = start + (target - start) * (i / count)
            if i < count:
                point = point + rng.normal(0, wobble_mm, 3)
            parents.append(best if i == 1 else len(points) - 1)
            path.append(path[parents[-1]] + float(np.linalg.norm(point - points[parents[-1]])))
            points.append(point)
    leaves = np.zeros(len(points))
    has_child = np.zeros(len(points), bool)
    has_child[[p for p in parents if p >= 0]] = True
    leaves[~has_child] = 1.0
    for index in range(len(points) - 1, 0, -1):
        leaves[parents[index]] += leaves[index]
    radii = np.minimum(leaf_radius_mm * leaves ** (1.0 / exponent), root_radius_mm)
    return Tree(points=np.asarray(points), radii=radii, parents=np.asarray(parents))


def curve(points: list[tuple[float, float, float]] | np.ndarray, *, per_segment: int = 4) -> np.ndarray:
    """Return a Catmull-Rom curve through points (n, 3), `per_segment` steps between two of them."""
    p = np.asarray(points, float)
    if len(p) < 3:
        t = np.linspace(0, 1, per_segment + 1)[:, None]
        return p[0] * (1 - t) + p[-1] * t
    padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    out = []
    for i in range(1, len(p)):
        a, b, c, d = padded[i - 1 : i + 3]
        for t in np.arange(per_segment) / per_segment:
            out.append(
                0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
            )
    out.append(p[-1])
    return np.asarray(out)
