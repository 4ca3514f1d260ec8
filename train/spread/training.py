"""Training of a `SpreadNetwork` on the errors of a package's answers."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2ldm_core.spread import SpreadNetwork
from train.checkpoint import Position, load_checkpoint, save_checkpoint
from train.errors import TrainError
from train.spread.answered import NO_TISSUE, Answered, crops_of

_CROP = (24, 96, 96)
_BATCH = 2
_RATE = 2e-3
_WARM = 0.05
"""Share of the training over which the rate rises."""
_LARGEST_GRADIENT = 1.0
_FOCUSED = 0.6
"""Share of the crops that lie around a voxel of a tissue, each tissue as often as any other: most of a body is muscle and fat."""
_CHECKPOINT_STEPS = 100


Budget = Callable[[int], float]
"""Steps made from now on to the share of the whole budget that they spent."""


def of_minutes(minutes: float, *, device: str) -> Budget:
    """Minutes of computing from now on: on a CPU the process's own time a thread, as others use it too."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    threads = torch.get_num_threads() if device == "cpu" else 1
    began = clock()
    return lambda _: (clock() - began) / threads / (60 * minutes)


def train_spread(
    cases: Sequence[Answered],
    *,
    phases: tuple[str, ...],
    channels: tuple[int, ...],
    window_hu: tuple[float, float],
    budget: Budget,
    seed: int = 0,
    device: str = "cpu",
    run: Path,
    on_progress: Callable[[float, float], None],
) -> SpreadNetwork:
    """Maximise the normal likelihood of the errors until ``budget`` is spent; ``on_progress`` gets its share and the mean loss.

    ``run`` is a folder for what a training that was cut short goes on from, with the same crops; one whose budget is spent is at its end.

    Raises
    ------
    TrainError
        ``loss_not_finite``, ``checkpoint_damaged``.
    """
    torch.manual_seed(seed)
    network = SpreadNetwork(channels=channels, phases=len(phases)).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-4)
    places = [_places(one) for one in cases]
    half = (window_hu[1] - window_hu[0]) / 2
    first, spent, mean = 0, 0.0, math.nan
    if found := load_checkpoint(run):
        position, state = found
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        first, spent, mean = position.step, state["spent"], state["mean"]
    step = first

    def keep(share: float) -> None:
        state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "spent": share, "mean": mean}
        run.mkdir(parents=True, exist_ok=True)
        save_checkpoint(run, position=Position(step=step), state=state)

    while (done := spent + budget(step - first)) < 1:
        if step > first and step % _CHECKPOINT_STEPS == 0:
            keep(done)
        rng = np.random.default_rng((seed, step))
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1, (done + 0.002) / _WARM) * 0.5 * (1 + math.cos(math.pi * done))
        source, change, error, phase = _batch(cases, places, rng, phases=phases, device=device)
        loss = normal_loss(error / half, network(source, change, phase))
        if not torch.isfinite(loss):
            raise TrainError("loss_not_finite", f"The loss of step {step} is no number.", "Look at the store's cases.")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        step += 1
        value = float(loss.detach())
        mean = value if math.isnan(mean) else 0.98 * mean + 0.02 * value
        on_progress(done, mean)
    keep(done)
    return network.eval()


def normal_loss(error: Tensor, spread: Tensor) -> Tensor:
    """Mean over the voxels whose ``error`` is a number of (e / σ)² / 2 + log σ; both ``(B, 1, D, H, W)`` in window units."""
    judged = torch.isfinite(error)
    e = torch.where(judged, error, 0.0) / spread
    each = torch.where(judged, 0.5 * e.square() + spread.log(), 0.0)
    return each.sum() / judged.sum().clamp_min(1)


def _places(one: Answered) -> list[np.ndarray]:
    """Voxels ``(n, 3)`` of each tissue, at most 256 of each."""
    rng = np.random.default_rng(0)
    found, tissues = [], one.tissue
    for tissue in np.unique(tissues):
        if tissue == NO_TISSUE:
            continue
        flat = np.flatnonzero(tissues == tissue)
        chosen = rng.choice(flat, min(len(flat), 256), replace=False)
        found.append(np.stack(np.unravel_index(chosen, tissues.shape), axis=1))
    return found


def _batch(
    cases: Sequence[Answered],
    places: Sequence[list[np.ndarray]],
    rng: np.random.Generator,
    *,
    phases: tuple[str, ...],
    device: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    drawn, numbers = [], []
    for _ in range(_BATCH):
        index = int(rng.integers(len(cases)))
        one, tissues = cases[index], places[index]
        room = np.maximum(0, np.array(one.source.shape) - _CROP)
        if tissues and rng.random() < _FOCUSED:
            around = tissues[int(rng.integers(len(tissues)))]
            voxel = around[int(rng.integers(len(around)))]
            corner = np.clip(voxel - rng.integers(np.array(_CROP)), 0, room)
        else:
            corner = rng.integers(room + 1)
        z, y, x = (int(n) for n in corner)
        drawn.append([torch.from_numpy(part)[None] for part in crops_of(one, corner=(z, y, x), size=_CROP)])
        numbers.append(phases.index(one.phase))
    source, change, error = (torch.stack(parts).to(device) for parts in zip(*drawn, strict=True))
    return source, change, error, torch.tensor(numbers, device=device)
