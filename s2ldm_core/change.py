"""The predicted change on its way to the scan: from the model's grid back to the source's, gated by the source's HU, and added."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from s2ldm_core.answers import Limits, judge_answer
from s2ldm_core.body import body_box, body_mask
from s2ldm_core.errors import TranslationError
from s2ldm_core.intensity import gate, unit_change_to_hu, window_to_unit
from s2ldm_core.package import PackageMetadata
from s2ldm_core.problem import Problem
from s2ldm_core.resample import from_spacing, to_spacing
from s2ldm_core.volume import Volume, canonical

# The change comes back to the source's grid in pieces of so many voxels: a long series takes gigabytes as it is.
_SLAB_VOXELS = 2**24

Progress = Callable[[str, float], None]
Resampler = Callable[[np.ndarray], torch.Tensor]


class Clock:
    """Wall seconds per step; network steps report themselves through ``on_progress``."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._last = time.perf_counter()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        self._last = time.perf_counter()
        yield
        self.on_progress(name, 1.0)

    def on_progress(self, name: str, fraction: float) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
        if self._progress is not None:
            self._progress(name, fraction)

    def part(self, number: int, of: int) -> Progress:
        """As `on_progress`, of the answer ``number`` of ``of`` that are made one after the other."""
        return lambda name, fraction: self.on_progress(name, (number + fraction) / of)


class Changed(NamedTuple):
    """A scan with the change, both on the source's grid."""

    volume: Volume
    spread_hu: np.ndarray | None
    """``(D, H, W)`` float32; ``None``: none was predicted."""
    doubt: Problem | None
    """Why the change lies outside the limits; ``None``: it lies within, or there are none."""


def add_change(
    volume: Volume,
    predict: Callable[[torch.Tensor, Resampler], torch.Tensor],
    *,
    metadata: PackageMetadata,
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> Changed:
    """``volume`` plus the change that ``predict`` gives on the model's grid.

    The model's grid is regular and stands straight on the slices, also where the source's does not (`Volume.offsets`).

    ``predict(unit, to_model)`` gets the body's box on the model's grid in window units ``(1, 1, D, H, W)``, and a function that brings any
    other HU array on the source's grid there too; it returns the change in window units, same shape, or change and spread
    ``(1, 2, D, H, W)``. Whether it lies within ``limits`` is judged on that grid.
    """
    clock = clock or Clock(None)
    window = metadata.window_hu
    with clock.measure("crop"):
        turned, undo = canonical(volume)
        box = body_box(turned.hu, turned.spacing_mm, padding=turned.padding)
        source = turned.hu[box]
        offsets = None if turned.offsets is None else turned.offsets.cropped(box)
    with clock.measure("resample"):
        model_hu, grid = to_spacing(source, turned.spacing_mm, metadata.spacing_mm, offsets=offsets)
        unit = window_to_unit(torch.from_numpy(model_hu), window_hu=window)[None, None]

    def to_model(hu: np.ndarray) -> torch.Tensor:
        other, _ = canonical(volume.with_hu(hu))
        there, _ = to_spacing(other.hu[box], turned.spacing_mm, metadata.spacing_mm, offsets=offsets)
        return window_to_unit(torch.from_numpy(there), window_hu=window)[None, None]

    answer = predict(unit, to_model)
    with clock.measure("add"):
        answer_hu = unit_change_to_hu(answer[0].float().cpu(), window_hu=window)
        body = body_mask(model_hu, metadata.spacing_mm)
        if not body.any():  # body_box fell back to the whole array as well
            body[:] = True
        answer_hu *= soft_edged(body)
        if not bool(torch.isfinite(answer_hu).all()):
            raise TranslationError(
                "not_finite",
                "The model's answer holds values that are not numbers.",
                "Check the source series for damaged slices; if it is sound, report the model package.",
            )
        change_hu, *spread_hu = answer_hu.numpy()
    doubt = None
    if limits:
        with clock.measure("check"):
            doubt = judge_answer(
                model_hu,
                change_hu * gate(model_hu, window_hu=window),
                body=body,
                spacing_mm=metadata.spacing_mm,
                limits=limits,
            )
    with clock.measure("add"):
        found = [turned.hu.copy(), *(np.zeros(turned.hu.shape, dtype=np.float32) for _ in spread_hu)]
        for start in range(0, len(source), slab := max(1, _SLAB_VOXELS // source[0].size)):
            part = slice(start, min(start + slab, len(source)))
            weight = gate(source[part], window_hu=window)
            for there, here in zip((change_hu, *spread_hu), found, strict=True):
                here[box][part] += from_spacing(there, grid.part(part.start, part.stop), method="linear") * weight
        hu, *spread = (np.ascontiguousarray(undo.array(one)) for one in found)
        return Changed(volume=volume.with_hu(hu), spread_hu=spread[0] if spread else None, doubt=doubt)


def soft_edged(body: np.ndarray) -> torch.Tensor:
    """Weight ``(D, H, W)``: 1 in the body, 0 on table and blankets, with a soft edge of a few millimetres."""
    mask = torch.from_numpy(body)[None, None].float()
    mask = F.max_pool3d(mask, (1, 5, 5), stride=1, padding=(0, 2, 2))
    # Padded here: PyTorch's own padding refuses what is narrower than the kernel.
    total, count = (
        F.avg_pool3d(F.pad(one, (2, 2, 2, 2)), (1, 5, 5), stride=1, divisor_override=1)
        for one in (mask, torch.ones_like(mask[:, :, :1]))
    )
    return (total / count)[0, 0]
