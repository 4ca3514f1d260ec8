"""Random crops of a pair store: which crop an item is depends on the seed, stage, step and the item's number alone.

So a resumed run sees the same data, and so do one process and several: item i of the step's batch is the same crop whoever computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s2ldm_core.intensity import gate, window_to_unit
from s2ldm_core.phantom import ORGANS
from s2ldm_core.systems import Batch, Condition
from s2ldm_core.systems.batch import Data
from train.augmentation import Augmentation
from train.config import DataConfig, Triple
from train.cuts import Pose, cut, origin_around, random_origin
from train.errors import TrainError
from train.store import Case, PairStore
from train.transforms import Images, applied, build_transform

_PLACES = 256
"""Voxels kept of an organ as places to draw crops around."""


class _Crop(NamedTuple):
    source: np.ndarray
    change: np.ndarray
    phase: int
    values: Mapping[str, float]
    organs: np.ndarray | None
    valid: np.ndarray | None
    level: float
    """Where it begins along the slices, as a share of all the places at which it fits."""


class CropSampler:
    """Draws batches for one data configuration and list of phases. A case may lack phases, but not all of them."""

    def __init__(self, store: PairStore, config: DataConfig, *, phases: tuple[str, ...], seed: int) -> None:
        self._store, self._config, self._seed = store, config, seed
        self._places: dict[int, list[np.ndarray]] = {}
        self._numbers: dict[int, np.ndarray] = {}
        self._transforms = [(one.name, build_transform(one.name, one.options)) for one in config.transforms]
        cases = [store[i] for i in range(len(store))]
        self._phases = [tuple((i, name) for i, p in enumerate(phases) for name in case.showing(p)) for case in cases]
        absent = [p for i, p in enumerate(phases) if not any(i == j for known in self._phases for j, _ in known)]
        if absent:
            raise TrainError(
                "phase_missing",
                f"The training split of {store.folder} has no phase {', '.join(absent)}.",
                "Name the phases it has in network.phases, or prepare the missing ones.",
            )
        without = [store.names[n] for n, known in enumerate(self._phases) if not known]
        if without:
            raise TrainError(
                "phase_missing",
                f"{len(without)} cases of {store.folder} have none of the phases, such as {without[0]}.",
            )
        if config.focus is not None and not any(set(config.focus.organs) & set(case.organs) for case in cases):
            raise TrainError(
                "focus_without_organs",
                f"No training case of {store.folder} has labels of {', '.join(config.focus.organs)}.",
                "Name organs that its cases have in data.focus.organs, or set data.focus to null.",
            )
        moved = (
            {name for group in config.organ_offset.organs for name in group}
            if config.organ_offset is not None
            else set()
        )
        if unknown := sorted(moved.difference(*(case.organs for case in cases))):
            raise TrainError(
                "offset_without_organs",
                f"No training case of {store.folder} has labels of {', '.join(unknown)}.",
                "Name organs that its cases have in data.organ_offset.organs, or set data.organ_offset to null.",
            )

    def batch(
        self,
        *,
        stage: int,
        step: int,
        items: Iterable[int] = (0,),
        crop: Triple | None = None,
        data: Data = "paired",
    ) -> Batch:
        """``items`` of the batch of optimiser step ``step`` in stage number ``stage``; ``crop`` instead of the configured one.

        An unpaired target is drawn independently of the source, at the same level: as far down its case, relative to its height.
        """
        size = crop or self._config.crop
        rngs = [np.random.default_rng((self._seed, stage, step, i)) for i in items]
        drawn = [self._item(rng, size) for rng in rngs]
        if data == "unpaired":
            targets = [self._item(rng, size, level=item.level) for rng, item in zip(rngs, drawn, strict=True)]
            images = {"source": [one.source for one in drawn], "target": [one.source + one.change for one in targets]}
        else:
            targets = drawn
            images = {
                "paired": {"source": [one.source for one in drawn], "change": [one.change for one in drawn]},
                "source": {"source": [one.source for one in drawn]},
                "target": {"target": [one.source + one.change for one in drawn]},
            }[data]
        return Batch(
            images={name: torch.from_numpy(np.stack(crops)[:, None]) for name, crops in images.items()},
            condition=condition([(one.phase, one.values) for one in targets]),
            valid=_stacked([one.valid for one in targets], size=size, absent=1, dtype=bool),
            organs=_stacked([one.organs for one in drawn], size=size, absent=0, dtype=np.uint8),
        )

    def _item(self, rng: np.random.Generator, crop: Triple, *, level: float | None = None) -> _Crop:
        number = int(rng.integers(len(self._store)))
        case, phases = self._store[number], self._phases[number]
        phase, name = phases[int(rng.integers(len(phases)))]
        seen = self._seen(rng, crop)
        room = max(0, case.native.shape[0] - seen[0])
        if level is None:
            origin = self._origin(rng, number, seen)
        else:
            origin = (round(level * room), *random_origin(rng, case.native.shape, seen)[1:])

        pose = Pose.draw(rng, self._config)

        def mask(array: np.ndarray | None) -> np.ndarray | None:
            if array is None:
                return None
            part = pose.cut(array, origin, seen, spacing_mm=case.spacing_mm, nearest=True)
            return _resized(part, crop, mode="nearest-exact").astype(np.uint8)

        labels = mask(case.labels)
        native, change = (
            _resized(pose.cut(array, origin, seen, spacing_mm=case.spacing_mm), crop, mode="trilinear")
            for array in (case.native, case.changes[name])
        )
        augmentation = Augmentation.draw(rng, self._config, case)
        noise = None if case.noise is None else cut(case.noise, _fitting(origin, case.noise.shape, crop), crop)
        native = augmentation.native(native, noise, labels, spacing_mm=case.spacing_mm)
        change = augmentation.blurred(change, spacing_mm=case.spacing_mm)
        images = Images(
            native_hu=native,
            change_hu=change,
            labels=labels,
            valid=mask(case.valid.get(name)),
            spacing_mm=case.spacing_mm,
        )
        for called, transform in self._transforms:
            images = applied(transform, images, rng, name=called)
        source, change = to_units(images.native_hu, images.change_hu, window_hu=self._config.window_hu)
        return _Crop(
            source=source,
            change=change,
            phase=phase,
            values=case.values(name),
            organs=self._named(number, images.labels),
            valid=images.valid,
            level=origin[0] / max(1, room),
        )

    def _named(self, number: int, labels: np.ndarray | None) -> np.ndarray | None:
        """``labels`` with the phantom's numbers, where a case has numbers of its own for the same names."""
        organs = self._store[number].organs
        if labels is None or all(ORGANS.get(name) == value for name, value in organs.items()):
            return labels
        if number not in self._numbers:
            self._numbers[number] = shared_numbers(organs)
        return self._numbers[number][labels]

    def _seen(self, rng: np.random.Generator, crop: Triple) -> Triple:
        """Size of the part of a case that fills the crop once it is zoomed."""
        if self._config.zoom is None:
            return crop
        smallest, largest = np.log(self._config.zoom)
        factor = float(np.exp(rng.uniform(smallest, largest)))
        z, y, x = (max(1, round(n / factor)) for n in crop)
        return z, y, x

    def _origin(self, rng: np.random.Generator, number: int, crop: Triple) -> tuple[int, ...]:
        shape, focus = self._store[number].native.shape, self._config.focus
        if focus is not None and rng.random() < focus.share and (places := self._organ_places(number, focus.organs)):
            voxels = places[int(rng.integers(len(places)))]
            return origin_around(rng, voxels[int(rng.integers(len(voxels)))], shape, crop)
        return random_origin(rng, shape, crop)

    def _organ_places(self, number: int, organs: tuple[str, ...]) -> list[np.ndarray]:
        """Voxels ``(n, 3)`` of each of ``organs`` that the case has, evenly thinned."""
        if number not in self._places:
            case = self._store[number]
            values = [case.organs[name] for name in organs if name in case.organs]
            labels = None if case.labels is None else np.asarray(case.labels)
            found = [] if labels is None else [np.flatnonzero(labels == value) for value in values]
            self._places[number] = [
                np.stack(np.unravel_index(flat[:: -(-flat.size // _PLACES)], case.native.shape), axis=1)
                for flat in found
                if flat.size
            ]
        return self._places[number]


def shared_numbers(organs: Mapping[str, int]) -> np.ndarray:
    """``(256,)`` uint8: label of a case → the phantom's of the same name; other names get numbers that the phantom does not use."""
    free = iter(sorted(set(range(1, 256)) - set(ORGANS.values())))
    table = np.zeros(256, np.uint8)
    for name, value in sorted(organs.items()):
        table[value] = ORGANS[name] if name in ORGANS else next(free)
    return table


def _fitting(origin: tuple[int, ...], shape: tuple[int, ...], size: Triple) -> tuple[int, ...]:
    """``origin`` moved as little as lets ``size`` fit into ``shape``."""
    return tuple(max(0, min(o, n - s)) for o, n, s in zip(origin, shape, size, strict=True))


def _resized(array: np.ndarray, size: Triple, *, mode: str) -> np.ndarray:
    """float32 ``(D, H, W)`` of ``size``."""
    if array.shape == size:
        return array
    return F.interpolate(torch.from_numpy(array)[None, None], size=size, mode=mode)[0, 0].numpy()


def condition(known: Sequence[tuple[int, Mapping[str, float]]]) -> Condition:
    """Of (index of the phase, `train.store.Case.values`) for each item of a batch."""
    phases, values = zip(*known, strict=True)
    names = values[0]
    told = {name: torch.tensor([one[name] for one in values], dtype=torch.float32) for name in names}
    return Condition(phase=torch.tensor(phases), values=told)


def _stacked(masks: list[np.ndarray | None], *, size: Triple, absent: int, dtype: type) -> Tensor | None:
    """``(B, 1, D, H, W)``, ``absent`` where a case has none; ``None`` when no case has any."""
    if all(mask is None for mask in masks):
        return None
    arrays: list[np.ndarray] = [np.full(size, absent, dtype) if mask is None else mask.astype(dtype) for mask in masks]
    return torch.from_numpy(np.stack(arrays)[:, None])


def to_units(
    native_hu: np.ndarray, change_hu: np.ndarray, *, window_hu: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """(source, change) in window units; the change is 0 where translation would gate it away anyway."""
    half = (window_hu[1] - window_hu[0]) / 2
    source = window_to_unit(native_hu, window_hu=window_hu).astype(np.float32)
    kept = gate(native_hu, window_hu=window_hu) > 0.5
    return source, np.where(kept, change_hu / half, 0.0).astype(np.float32)


def whole_case(
    case: Case, *, phase: str, window_hu: tuple[float, float], slices: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(source, change) of a whole case, or of at most ``slices`` from its middle, ``(1, 1, D, H, W)`` each."""
    part = middle(case, slices)
    native = case.native[part].astype(np.float32)
    if case.noise is not None:
        native += case.noise[part].astype(np.float32)
    source, change = to_units(native, case.changes[phase][part].astype(np.float32), window_hu=window_hu)
    return torch.from_numpy(source)[None, None], torch.from_numpy(change)[None, None]


def middle(case: Case, slices: int | None) -> slice:
    """The middle ``slices`` of a case, or all of them."""
    depth = case.native.shape[0]
    start = 0 if slices is None else max(0, (depth - slices) // 2)
    return slice(start, depth if slices is None else min(depth, start + slices))
