"""Transforms of crops that other packages offer as entry points, in the group ``s2ldm.transforms``.

An entry point is called with the options of the configuration and gives a transform: a function of `Images` and a random number
generator that gives `Images` of the same shapes. All that is random in it must come from the generator, and nothing may be changed in
place: then a killed run resumes bit for bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from train.errors import TrainError

GROUP = "s2ldm.transforms"


@dataclass(frozen=True, kw_only=True)
class Images:
    """A crop before it is brought into window units; arrays are ``(D, H, W)``."""

    native_hu: np.ndarray
    """float32."""
    change_hu: np.ndarray
    """float32 CECT − NCCT."""
    labels: np.ndarray | None
    """uint8, as the case numbers its organs."""
    valid: np.ndarray | None
    """uint8, 1 where the phase was measured; ``None``: everywhere."""
    spacing_mm: tuple[float, float, float]


Transform = Callable[[Images, np.random.Generator], Images]


def build_transform(name: str, options: Mapping[str, Any]) -> Transform:
    """The transform that an installed package calls ``name``.

    Raises
    ------
    TrainError
        ``transform_unknown`` naming the known ones; ``transform_unusable`` when it cannot be imported or made of these options.
    """
    known: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise TrainError(
            "transform_unknown",
            f"No installed package offers a transform called {name!r}{f'; did you mean {near[0]}?' if near else '.'}",
            f"Known transforms: {', '.join(sorted(known)) or 'none'}. Install the package that declares it in {GROUP}.",
        )
    try:
        made: Transform = known[name].load()(**options)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise TrainError(
            "transform_unusable",
            f"The transform {name} cannot be made: {error}",
            "Correct its options, or its package.",
        ) from error
    if not callable(made):
        raise TrainError(
            "transform_unusable", f"{known[name].value} gives no function.", "It must give one of (images, generator)."
        )
    return made


def applied(transform: Transform, images: Images, rng: np.random.Generator, *, name: str) -> Images:
    """What ``transform`` makes of ``images``.

    Raises
    ------
    TrainError
        ``transform_reshapes`` when an array is of another shape or missing.
    """
    changed = transform(images, rng)
    for key in ("native_hu", "change_hu", "labels", "valid"):
        before, after = getattr(images, key), getattr(changed, key)
        if (None if before is None else before.shape) != (None if after is None else after.shape):
            raise TrainError(
                "transform_reshapes",
                f"The transform {name} gives {key} another shape.",
                "It must keep every shape, and labels and masks where they are.",
            )
    return changed
