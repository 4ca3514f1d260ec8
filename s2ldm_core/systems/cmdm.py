"""CMDM: cascaded multi-path shortcut diffusion (Zhou et al., Medical Image Analysis 2024, arXiv 2405.12223), on voxels or latents.

A prior, which here any system of the registry gives in one step, is noised as far as step t_s alone and denoised from there
(*shortcut*), several times with other noise (*multi-path*); the mean of the paths, mixed with the prior (*residual averaging*), is the
next round's prior (*cascade*). Noise of path k is a permutation of the voxels of one noise image, as in the authors' code. With ``space:
latent`` all of this happens to latents of the prior's autoencoder, and the answer is decoded once; the authors have voxels.

The authors take 20 paths, 3 cascades and every step from t_s = 200: some 12,000 evaluations a slice. Their evaluation script calls
100 · mean |e| ``nmse``; here metrics bear their own names whatever the system.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from s2ldm_core.errors import S2LDMError
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.networks.folded import FoldedDenoiser
from s2ldm_core.noise_schedule import NoiseSchedule, Target
from s2ldm_core.systems.base import AT_ONCE, Alarm, How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import item_errors
from s2ldm_core.systems.latent_system import LatentSystem
from s2ldm_core.systems.registry import build_system, system_class
from s2ldm_core.systems.shortcut_space import LatentSpace, Space, VoxelSpace

_DIFFUSION = "diffusion"
_PRIOR = "prior-"
_OWN_SHARES = (0.5, 0.45, 0.4, 0.35, 0.3)
"""Share of the first prior in the prior of cascade 2, 3, …; the last one serves all that follow."""


class PriorConfig(BaseModel):
    """The system that gives the first image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = "unet"
    network: Mapping[str, Any] = {}
    """Its configuration, without ``phases``, which are CMDM's."""

    @field_validator("system")
    @classmethod
    def _registered(cls, name: str) -> str:
        try:
            return system_class(name).name
        except S2LDMError as error:
            raise ValueError(f"{error.sentence} {error.remedy}") from error


class CMDMConfig(SystemConfig):
    """The prior, the size of the denoiser, and how long, how often and how wide it is run."""

    prior: PriorConfig = PriorConfig()
    channels: tuple[int, ...] = (64, 96, 128)
    blocks: int = 1
    detail_window: tuple[float, float] | None = (-0.6, -0.03)
    """Of a denoiser of voxels."""
    space: Literal["residual", "pixels", "latent"] = "residual"
    """What is denoised: the change; as in the paper, the image; or the latent of a prior that has latents, such as s2ldm. Stages that train
    the prior's encoder or decoder end to end after its autoencoder take its decoder away from true latents: leave them out then."""
    scale: float = Field(0.25, gt=0)
    """Change in window units that counts as 1 in ``residual``."""
    target: Target = "x0"
    """Paper: ``epsilon``, which on folded voxels asks the network to carry every channel's noise through itself."""
    t_start: int = Field(200, ge=1, lt=1000)
    """t_s of T = 1000: as much noise as hides the prior's errors, and no more."""
    train_steps: Literal["shortcut", "all"] = "shortcut"
    """Steps that are learnt: those up to t_s, which are all that a shortcut visits, or, as in the paper, all."""
    steps: int = Field(8, ge=2)
    """DDIM evaluations of a path; paper: t_s + 1."""
    paths: int = Field(8, ge=1)
    """Paper: 20."""
    cascades: int = Field(2, ge=1)
    """Paper: 3."""

    @model_validator(mode="after")
    def _has_latents(self) -> Self:
        if self.space == "latent" and not issubclass(system_class(self.prior.system), LatentSystem):
            raise ValueError("space latent needs a prior that has latents, such as s2ldm or aldm")
        return self


class CMDM(System):
    """Stages of the prior, each called ``prior-…``, then ``diffusion``.

    An answer in a number of steps of the caller's is one path, so that mean and standard deviation over seeds are the paper's result of
    one cascade and its uncertainty; in one step it is the prior's.
    """

    name = "cmdm"
    Config = CMDMConfig
    config: CMDMConfig

    def __init__(self, config: CMDMConfig) -> None:
        super().__init__(config)
        self.schedule = NoiseSchedule("cosine")
        self.prior = build_system(config.prior.system, {**config.prior.network, "phases": config.phases})
        self.denoiser, self._space = _denoiser_and_space(config, self.prior)
        self.stages = (
            *(replace(stage, name=f"{_PRIOR}{stage.name}") for stage in self.prior.stages),
            Stage(name=_DIFFUSION, cached=self._space.cached),
        )
        z, y, x = map(math.lcm, self._space.multiple_of, self.prior.traits.multiple_of)
        self.traits = Traits(
            multiple_of=(z, y, x),
            tiling=self.prior.traits.tiling,
            samples=True,
            steps=config.steps,
            values=self.prior.traits.values,
        )

    def players(self, stage: str) -> tuple[Player, ...]:
        if stage == _DIFFUSION:
            return (Player(name="denoiser", parameters=self.denoiser.parameters()),)
        return self.prior.players(_of_prior(stage))

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        if stage != _DIFFUSION:
            return self.prior.loss(_of_prior(stage), player, batch, turn)
        cfg = self.config
        seen, x_0, valid = self._space.learnt(batch)
        steps = self.schedule.steps if cfg.train_steps == "all" else cfg.t_start + 1
        k = torch.randint(steps, (x_0.shape[0],), generator=turn.generator).to(x_0.device)
        noise = torch.randn(x_0.shape, generator=turn.generator).to(x_0.device)
        x = self.schedule.noised(x_0, noise, k)
        t = self.schedule.time(k)
        answer = self._space.denoised(seen, x, t=t, phase=batch.condition.phase, how=AT_ONCE)
        wanted = noise if cfg.target == "epsilon" else x_0
        loss = item_errors((answer.float() - wanted).square(), valid).mean()
        return loss, {"diffusion": loss.detach()}

    def begin_stage(self, stage: str) -> None:
        if stage != _DIFFUSION:
            self.prior.begin_stage(_of_prior(stage))

    def end_stage(self, stage: str, batches: Iterable[Batch]) -> None:
        if stage != _DIFFUSION:
            self.prior.end_stage(_of_prior(stage), batches)

    def cache(self, key: str, image: Tensor, how: How) -> Tensor:
        return self.prior.cache(key, image, how)

    def view(self, stage: str, batch: Batch, how: How) -> Tensor | None:
        if stage == _DIFFUSION:
            return super().view(stage, batch, how)
        return self.prior.view(_of_prior(stage), batch, how)

    def alarms(self, parts: Mapping[str, float], limits: Mapping[str, float]) -> tuple[dict[str, float], list[Alarm]]:
        return self.prior.alarms(parts, limits)

    def phase_at(self, values: Mapping[str, float]) -> int:
        return self.prior.phase_at(values)

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        cfg = self.config
        once = replace(how, steps=1 if self.prior.traits.samples else None)
        if how.steps == 1:
            return self.prior.predict_change(source, condition, once)
        seen, prior, undo = self._space.begun(source, condition, once)

        def path(began: Tensor, noise: Tensor, steps: int) -> Tensor:
            """x_0 at the end of a path from ``began``."""
            start = torch.full((source.shape[0],), cfg.t_start, device=source.device)

            def predict(x: Tensor, k: Tensor) -> Tensor:
                return self._space.denoised(seen, x, t=self.schedule.time(k), phase=condition.phase, how=how)

            noised = self.schedule.noised(began, noise, start)
            return self.schedule.ddim(predict, noised, target=cfg.target, steps=steps, start=cfg.t_start)

        if how.steps is not None:
            answer = path(prior, self._noise(prior, how), how.steps)
        else:
            answer = prior
            for cascade in range(cfg.cascades):
                began = answer if cascade == 0 else mixed(answer, prior, cascade=cascade)
                noise = self._noise(prior, how)
                answer = torch.zeros_like(prior)
                for _ in range(cfg.paths):
                    answer += path(began, permuted(noise, how.generator), cfg.steps) / cfg.paths
        return self._space.change(answer, seen, how)[undo]

    @staticmethod
    def _noise(like: Tensor, how: How) -> Tensor:
        return torch.randn(like.shape, generator=how.generator).to(like.device)


def mixed(mean: Tensor, prior: Tensor, *, cascade: int) -> Tensor:
    """Prior of ``cascade`` (from 1): (1 − w) mean of the paths before + w first prior, w = 0.5, 0.45, …, 0.3."""
    w = _OWN_SHARES[min(cascade, len(_OWN_SHARES)) - 1]
    return (1 - w) * mean + w * prior


def permuted(noise: Tensor, generator: torch.Generator | None) -> Tensor:
    """``noise`` ``(B, …)`` with the voxels of each item in another order: the histogram stays the same."""
    flat = noise.flatten(1)
    order = torch.stack([torch.randperm(flat.shape[1], generator=generator) for _ in range(len(flat))])
    return flat.gather(1, order.to(flat.device)).view_as(noise)


def _of_prior(stage: str) -> str:
    return stage.removeprefix(_PRIOR)


def _denoiser_and_space(config: CMDMConfig, prior: System) -> tuple[Denoiser | FoldedDenoiser, Space[Any]]:
    phases = len(config.phases)
    if isinstance(prior, LatentSystem) and config.space == "latent":
        core = Denoiser(
            in_channels=2 * prior.latent,
            out_channels=prior.latent,
            channels=config.channels,
            blocks=config.blocks,
            phases=phases,
        )
        return core, LatentSpace(prior, core, target=config.target)
    folded = FoldedDenoiser(
        images=1, channels=config.channels, blocks=config.blocks, phases=phases, detail_window=config.detail_window
    )
    return folded, VoxelSpace(prior, folded, scale=config.scale if config.space == "residual" else None)
