"""A training configuration from a fingerprint and from what a step needs: crop and batch for the memory and time that there are."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from train.config import Triple
from train.errors import TrainError
from train.planning.demand import Demand
from train.planning.fingerprint import Fingerprint

_SPARE = 0.7
"""Share of the memory that is planned with: validation translates whole cases, and others may be on the machine."""
_MOST_AT_ONCE = 4
_LEAST = (16, 48, 48)
"""Smaller crops show no organ with its surroundings."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What differs from the base configuration, and why."""

    values: Mapping[str, Any]
    """The whole configuration."""
    reasons: Sequence[str]

    def text(self) -> str:
        """As a file that ``s2ldm-train fit`` takes and a person may edit."""
        head = ["Planned by s2ldm-train plan; edit what you know better.", *self.reasons]
        return "\n".join(f"# {line}" for line in head) + "\n" + yaml.safe_dump(dict(self.values), sort_keys=False)


def largest_crop(ideal: Triple, *, stride: Triple, affords: Callable[[Triple], bool]) -> Triple | None:
    """The largest crop that ``affords`` allows, shaped like ``ideal`` (voxels) as nearly as the stride lets it (Isensee et al., Nat
    Methods 18:203, 2021: the axis that is largest beside the median shape shrinks first); ``None``: not even the smallest."""
    least = tuple(-(-size // step) * step for size, step in zip(_LEAST, stride, strict=True))
    crop = [max(low, size // step * step) for low, size, step in zip(least, ideal, stride, strict=True)]
    while not affords((crop[0], crop[1], crop[2])):
        shrinkable = [axis for axis in range(3) if crop[axis] - stride[axis] >= least[axis]]
        if not shrinkable:
            return None
        axis = max(shrinkable, key=lambda axis: crop[axis] / ideal[axis])
        crop[axis] -= stride[axis]
    return crop[0], crop[1], crop[2]


def planned(
    base: Mapping[str, Any],
    *,
    found: Fingerprint,
    demand: Demand,
    stride: Triple,
    memory_bytes: int,
    step_seconds: float | None,
    told: Sequence[str] = (),
) -> Plan:
    """``base`` (a configuration's own keys) with crop, batch and what else follows from ``found``.

    Raises
    ------
    TrainError
        ``memory_too_small`` for the smallest crop.
    """
    room = _SPARE * memory_bytes

    def affords(crop: Triple) -> bool:
        return demand.bytes_for(crop) <= room and (step_seconds is None or demand.seconds_for(crop) <= step_seconds)

    crop = largest_crop(found.median, stride=stride, affords=affords)
    if crop is None:
        raise TrainError(
            "memory_too_small",
            f"Not even crops of {' × '.join(map(str, _LEAST))} fit into {memory_bytes / 2**30:.1f} GiB of memory"
            f"{'' if step_seconds is None else f' and {step_seconds:g} s a step'}.",
            "Give more with --memory-gib or --step-seconds, or start from a smaller network with --base.",
        )
    free = room - demand.fixed_bytes
    at_once = min(_MOST_AT_ONCE, int(free // (demand.bytes_for(crop) - demand.fixed_bytes)))
    at_once = 1 if step_seconds is not None else max(1, at_once)
    data = dict(base.get("data", {}))
    batch = at_once * math.ceil(int(data.get("batch", 1)) / at_once)
    data |= {"crop": list(crop), "batch": batch, "micro_batch": at_once}
    reasons = [
        f"crop: the median case has {_times(found.median)} voxels of {_times(found.spacing_mm)} mm; a crop needs "
        f"{demand.bytes_for(crop) / 2**30:.2f} of {room / 2**30:.2f} GiB"
        + ("." if step_seconds is None else f" and {demand.seconds_for(crop):.1f} of {step_seconds:g} s (CPU)."),
        "spacing: the store's; prepare another store for another one.",
    ]
    reasons += _without_organs(data, found)
    reasons += told
    reasons += [
        f"window: {100 * share:.2f} % of the soft tissue's voxels are above it in {phase}, and are clipped."
        for phase, share in found.above_window.items()
        if share > 0.005
    ]
    stages = [_stage(stage, at_once) for stage in base.get("stages", [])]
    return Plan(values={**base, "data": data, "stages": stages}, reasons=reasons)


def _stage(stage: Mapping[str, Any], at_once: int) -> dict[str, Any]:
    """Without a crop of its own; one that draws from cached latents keeps its batch, as no image passes through it."""
    kept = {key: value for key, value in stage.items() if key != "crop"}
    if not stage.get("latent_variants"):
        kept.pop("micro_batch", None)
        if kept.get("batch"):
            kept["batch"] = at_once * math.ceil(int(kept["batch"]) / at_once)
    return kept


def _without_organs(data: dict[str, Any], found: Fingerprint) -> list[str]:
    """Switches that need labels which no training case has are taken out of ``data``."""
    known, told = set(found.organs), []
    if (focus := data.get("focus")) is not None and not known & set(focus["organs"]):
        data["focus"] = None
        told.append("focus: no training case has labels of these organs.")
    moved = data.get("organ_offset")
    if moved is not None and not {name for group in moved["organs"] for name in group} <= known:
        data["organ_offset"] = None
        told.append("organ_offset: the training cases lack labels of some of these organs.")
    return told


def with_phases(network: Mapping[str, Any], found: Fingerprint) -> tuple[dict[str, Any], list[str]]:
    """``network`` with those of its phases that the store has (all of the store's, where it has none of them), and what to say of it."""
    wanted = network.get("phases", ["arterial", "venous"])
    there = [phase for phase in wanted if phase in found.phases] or sorted(found.phases)
    told = [] if list(wanted) == there else [f"phases: the store has {', '.join(sorted(found.phases))}."]
    return {**network, "phases": there}, told


def _times(values: Sequence[float]) -> str:
    return " × ".join(f"{value:g}" for value in values)
