"""What a step of a system needs, measured by taking one on a small crop: memory and time grow with the voxels of a crop."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from s2ldm_core.systems import System, Turn, build_system
from train.config import FitConfig, Triple
from train.crops import CropSampler
from train.fit.seeds import seed_everything
from train.store import pairs_of

_BYTES_PER_WEIGHT = 20
"""float32: the weight, its gradient, AdamW's two moments, its moving average."""
_WORKSPACE = 1.5
"""What a step needs beyond what it keeps for the backward pass: gradients of activations, workspaces of convolutions."""
_PROBE = (16, 64, 64)
_STEPS = 2
"""The first one sets things up."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Of the stage that needs most."""

    fixed_bytes: int
    """Whatever the crop."""
    bytes_per_voxel: float
    seconds_per_voxel: float
    """Of forward and backward pass on this machine's CPU, if it did nothing else."""

    def bytes_for(self, crop: Triple, *, crops: int = 1) -> float:
        """At once, for so many crops."""
        return self.fixed_bytes + crops * self.bytes_per_voxel * _voxels(crop)

    def seconds_for(self, crop: Triple) -> float:
        return self.seconds_per_voxel * _voxels(crop)


def demand_of(config: FitConfig, *, probe: Triple = _PROBE) -> Demand:
    """Take a step of every stage of ``config`` on crops of its store, about as large as ``probe``, in float32 on the CPU."""
    if config.threads:
        torch.set_num_threads(config.threads)
    system = build_system(config.system, config.network)
    crop = probe_crop(system.traits.multiple_of, probe)
    store = pairs_of(config.data, "train")
    sampler = CropSampler(store, config.data, phases=tuple(system.config.phases), seed=config.seed)
    per_voxel, seconds = 0.0, 0.0
    for number, stage in enumerate(config.stages):
        steps = [_step(system, sampler, stage=stage.name, number=number, crop=crop) for _ in range(_STEPS)]
        per_voxel = max(per_voxel, max(kept for kept, _ in steps) / _voxels(crop))
        seconds = max(seconds, min(took for _, took in steps) / _voxels(crop))
    weights = sum(parameter.numel() for parameter in system.parameters())
    return Demand(
        fixed_bytes=_BYTES_PER_WEIGHT * weights,
        bytes_per_voxel=_WORKSPACE * per_voxel,
        seconds_per_voxel=seconds,
    )


def probe_crop(stride: Triple, wanted: Triple) -> Triple:
    """The smallest crop that fits the stride and is no smaller than ``wanted``."""
    z, y, x = (-(-size // step) * step for size, step in zip(wanted, stride, strict=True))
    return z, y, x


def _step(system: System, sampler: CropSampler, *, stage: str, number: int, crop: Triple) -> tuple[int, float]:
    """(bytes kept for the backward pass by the player that keeps most, seconds of all players together)."""
    seed_everything(0, number)
    system.begin_stage(stage)
    system.train()
    batch = sampler.batch(stage=number, step=0, crop=crop, data=system.stage(stage).data)
    turn, most, began = Turn(progress=0.99), 0, time.process_time()
    for player in system.players(stage):
        own = {id(parameter) for parameter in player.parameters}
        for parameter in system.parameters():
            parameter.requires_grad_(id(parameter) in own)
        turn.generator = seed_everything(1, number)
        kept = _Kept(system)
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
            loss, _ = system.loss(stage, player.name, batch, turn)
        most = max(most, kept.bytes)
        loss.backward()
        system.zero_grad(set_to_none=True)
    return most, (time.process_time() - began) / torch.get_num_threads()


class _Kept:
    """Counts every storage that autograd keeps once, but for the weights."""

    def __init__(self, system: System) -> None:
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in system.parameters()}
        self.bytes = 0

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def memory_bytes(*, gpu: bool) -> int:
    """Of the GPU, or of this machine as far as its control group lets a process go."""
    if gpu:
        return int(torch.cuda.mem_get_info()[1])
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(whole, int(text)) if text.isdigit() else whole


def _voxels(crop: Triple) -> int:
    z, y, x = crop
    return z * y * x
