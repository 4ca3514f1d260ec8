"""Two tiny pairs that a system must be able to learn by heart, and a bare training loop without files."""

import math

import torch
from torch import Tensor

from s2ldm_core.systems import Batch, Condition, How, System, Turn

SIZE = (8, 16, 16)


def two_pairs(size: tuple[int, int, int] = SIZE) -> Batch:
    """A box of soft tissue in each of two textured sources, arterial and venous, that enhances by 0.3 and 0.15 window units."""
    g = torch.Generator().manual_seed(1)
    source = torch.nn.functional.avg_pool3d(torch.randn(2, 1, *size, generator=g), 3, stride=1, padding=1) - 0.5
    change = torch.zeros_like(source)
    d, h, w = size
    change[0, :, d // 4 : d // 2, h // 4 : h // 2, w // 4 : w // 2] = 0.3
    change[1, :, d // 4 : d // 2, h // 2 : 3 * h // 4, w // 4 : w // 2] = 0.15
    condition = Condition(phase=torch.tensor([0, 1]), values={"seconds": torch.tensor([35.0, 70.0])})
    return Batch(images={"source": source, "change": change}, condition=condition)


def taught(system: System, batch: Batch, *, steps: dict[str, int], lr: float = 4e-3, seed: int = 0) -> System:
    """``system`` after so many steps of each stage on ``batch``, which every step sees whole; the rate falls along a cosine."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    everything = list(system.parameters())
    for stage, count in steps.items():
        data = _drawn(batch, system.stage(stage).data)
        system.begin_stage(stage)
        players = system.players(stage)
        optimisers = [
            torch.optim.AdamW(p.parameters, lr=lr * p.lr, betas=p.betas or (0.9, 0.99), weight_decay=0.0)
            for p in players
        ]
        system.train()
        for number in range(count):
            turn = Turn(progress=number / count, generator=generator)
            for player, optimiser in zip(players, optimisers, strict=True):
                if turn.progress < player.start:
                    continue
                own = {id(p) for p in player.parameters}
                for parameter in everything:
                    parameter.requires_grad_(id(parameter) in own)
                for group in optimiser.param_groups:
                    group["lr"] = lr * player.lr * 0.5 * (1 + math.cos(math.pi * number / count))
                optimiser.zero_grad(set_to_none=True)
                loss, _ = system.loss(stage, player.name, data, turn)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(player.parameters, 1.0)
                optimiser.step()
        system.eval()
        system.end_stage(stage, [data])
    return system


def psnr_of_change(system: System, batch: Batch, how: How | None = None) -> float:
    """dB of the predicted change, the peak being the largest true one."""
    with torch.no_grad():
        answer = system.predict_change(batch.source, batch.condition, how or How())
    return _db(answer, batch.change)


def _db(answer: Tensor, truth: Tensor) -> float:
    return float(20 * torch.log10(truth.abs().max() / (answer - truth).square().mean().sqrt()))


def _drawn(batch: Batch, data: str) -> Batch:
    if data == "target":
        return Batch(images={"target": batch.target}, condition=batch.condition)
    if data == "source":
        return Batch(images={"source": batch.source}, condition=batch.condition)
    return batch
