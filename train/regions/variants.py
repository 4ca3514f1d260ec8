"""Other views of the same slices: smaller fields, other positions, noise; and one shoulder alone, which is no torso."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from train.regions.example import REGION, Example

_TORSO = [REGION[name] for name in ("shoulder", "thorax", "upper_abdomen", "lower_abdomen", "pelvis")]
_SHOULDER_FIELD_MM = (140.0, 225.0)
# The head of the humerus lies so far out, as part of the way from the middle to the side of the body.
_HUMERUS = (0.62, 0.85)
_SHOULDER_TOP_MM = 75.0
# A body narrower than this is cut by its field of view, and its shoulders with it.
_LEAST_WIDTH_MM = 330.0
# With more lung than this in the field it is a half of a chest, which nobody would call a shoulder.
_MOST_LUNG = 0.25


def variants(example: Example, *, count: int, seed: int) -> Iterator[Example]:
    """The example itself, ``count`` random views of it and, where it has shoulders, each of them alone."""
    yield example
    rng = np.random.default_rng([seed, *example.name.encode()])
    for number in range(count):
        yield _turned(_noisy(_cut(example, rng) if number % 2 == 0 else example, rng), rng)
    if (example.regions == REGION["shoulder"]).any():
        for side in (-1, 1, -1, 1):
            if (alone := one_shoulder(example, rng, side=side)) is not None:
                yield _turned(alone, rng)


def one_shoulder(example: Example, rng: np.random.Generator, *, side: int) -> Example | None:
    """The slices about the head of the humerus in a field of about 200 mm on it; ``None`` when they are not there.

    Only the highest shoulder slices are taken, or a single one: below, the field would show a lung.
    """
    top = np.flatnonzero(example.regions == REGION["shoulder"])
    top = top[-max(1, int(_SHOULDER_TOP_MM / example.spacing_mm[0])) :]
    body = (example.hu[top] > -300).any(axis=0)
    if not body.any():
        return None
    rows, columns = np.nonzero(body)
    if (columns.max() - columns.min()) * example.spacing_mm[2] < _LEAST_WIDTH_MM:
        return None
    field = rng.uniform(*_SHOULDER_FIELD_MM)
    out = rng.uniform(*_HUMERUS) * (columns.max() - columns.min()) / 2
    middle = (columns.max() + columns.min()) / 2 + side * out
    window = _window(example, (float(np.median(rows)), float(middle)), field)
    hu = example.hu[top][:, window[0], window[1]]
    if min(hu.shape[1:]) * example.spacing_mm[1] < 0.6 * field:
        return None
    hu = hu[((hu > -950.0) & (hu < -500.0)).mean(axis=(1, 2)) <= _MOST_LUNG]
    if not len(hu):
        return None
    regions = np.full(len(hu), REGION["extremity"])
    return replace(example, name=f"{example.name}/shoulder{side}", hu=hu, regions=regions)


def _window(example: Example, middle: tuple[float, float], field_mm: float) -> tuple[slice, slice]:
    cut = []
    for axis in (0, 1):
        half = field_mm / 2 / example.spacing_mm[axis + 1]
        low = int(max(0, middle[axis] - half))
        cut.append(slice(low, max(low + 8, int(middle[axis] + half))))
    return cut[0], cut[1]


def _cut(example: Example, rng: np.random.Generator) -> Example:
    """A field that cuts the body, as reconstructions of heart or spine do."""
    body = np.nonzero((example.hu[:: max(1, len(example.hu) // 12)] > -300).any(axis=0))
    if not len(body[0]):
        return example
    middle = [float(np.median(axis)) + rng.normal(0, 12.0) / example.spacing_mm[1] for axis in body]
    window = _window(example, (middle[0], middle[1]), rng.uniform(150, 380))
    return replace(example, hu=example.hu[:, window[0], window[1]])


def _noisy(example: Example, rng: np.random.Generator) -> Example:
    noise = rng.normal(0.0, rng.uniform(0, 40) / example.spacing_mm[1], example.hu.shape)
    scale = rng.uniform(0.88, 1.14)
    dz, dy, dx = example.spacing_mm
    return replace(example, hu=(example.hu + noise).astype(np.float32), spacing_mm=(dz, dy * scale, dx * scale))


def _turned(example: Example, rng: np.random.Generator) -> Example:
    """Turned and mirrored by quarters: patients lie on any side, and tags do not always say so."""
    quarters = int(rng.integers(0, 4))
    hu = np.rot90(example.hu, quarters, axes=(1, 2))
    if rng.random() < 0.5:
        hu = hu[:, :, ::-1]
    return replace(example, hu=np.ascontiguousarray(hu))
