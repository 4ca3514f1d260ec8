"""Transforms of crops that other packages offer as entry points, in the group ``s2ldm.transforms``.

An entry point is called with the options of the configuration and gives a transform: a function of `Images` and a random number
generator that gives `Images` of the same shapes. All that is random in it must come from the generator, and nothing may be changed in
place: then a killed run resumes bit for bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2ldm_core.extensions import build_extension
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
    """The transform that an installed package calls ``name``; ``ExtensionError`` as `build_extension`."""
    return build_extension(GROUP, name, options)


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
