"""CCDM: continuous conditional diffusion (Ding et al., arXiv 2405.03546), with a contrast phase as a point on an axis of seconds.

As in the paper's scripts: x_0 is predicted, the schedule is the cosine, sampling is DDIM, guidance keeps its part orthogonal to the
conditional prediction and is rescaled by 0.7, a learned null embedding stands for one label in ten. Two things differ. The label's
embedding is sinusoids and an MLP, which the paper names as an alternative to a trained label network. The noise has no covariance
that depends on the label: its embedding has one number a voxel, which no volume affords (the authors' later iCCDM weights it by 0.01).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from s2ldm_core.guidance import guided
from s2ldm_core.networks.folded import FoldedDenoiser
from s2ldm_core.networks.label_embedding import LabelEmbedding, SeenLabels
from s2ldm_core.noise_schedule import NoiseSchedule
from s2ldm_core.systems.base import AT_ONCE, How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import item_errors
from s2ldm_core.systems.folded_grid import denoised
from s2ldm_core.tiling import pad_to_multiple
from s2ldm_core.vicinity import Mode, rule_of_thumb, vicinal

_EMBEDDING = 128


class CCDMConfig(SystemConfig):
    """Sizes, the condition's axis, and the paper's constants."""

    value: str = "seconds"
    """Name of the condition's value: ``seconds`` after the injection, or ``aorta_hu``, the enhancement of the aorta."""
    value_range: tuple[float, float] = (10.0, 190.0)
    """What the label's 0 and 1 stand for."""
    nominal: Mapping[str, float] = {"arterial": 35.0, "venous": 70.0, "delayed": 180.0}
    """Phase → its value where the training data do not tell; where they do, their median takes its place."""
    with_phase: bool = False
    """Embed the phase beside the value, for a value that does not tell the phases apart, such as ``aorta_hu``."""
    channels: tuple[int, ...] = (64, 96, 128)
    blocks: int = 1
    detail_window: tuple[float, float] | None = (-0.6, -0.03)
    space: Literal["residual", "pixels"] = "residual"
    """What is denoised: the change, or, as in the paper, the image."""
    scale: float = Field(0.25, gt=0)
    """Change in window units that counts as 1 in ``residual``."""
    null_share: float = Field(0.1, ge=0, lt=1)
    vicinal: Mode = "hard"
    sigma: float | None = Field(0.02, ge=0)
    """Spread of the labels that a crop stands for, on the axis from 0 to 1; ``None``: the paper's rule on the labels seen."""
    kappa: float | None = Field(0.04, ge=0)
    """Their reach. 0 where labels are few and discrete: one that reaches the next label mixes the phases."""
    guidance: float = Field(1.5, ge=1)
    """1: none, and half the computing."""
    rescale: float = Field(0.7, ge=0, le=1)
    start_share: float = Field(0.1, ge=0, lt=1)
    """Share of the crops at the last step without noise (ours; the paper: 0): what an answer in one step sees."""
    steps: int = Field(100, ge=1)
    """Paper: 100 to 250."""

    @model_validator(mode="after")
    def _knows_its_phases(self) -> "CCDMConfig":
        if self.value != "seconds" and not {"nominal", "value_range"} <= self.model_fields_set:
            raise ValueError(f"nominal and value_range are in seconds unless given: give those of {self.value}")
        if missing := [phase for phase in self.phases if phase not in self.nominal]:
            raise ValueError(f"nominal has no value of {', '.join(missing)}")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError("value_range must be two numbers, the smaller one first")
        return self


class CCDM(System):
    """x_k, x_n, k and a value → x_0; one stage, ``diffusion``."""

    name = "ccdm"
    Config = CCDMConfig
    training_only = ("seen",)
    stages = (Stage(name="diffusion"),)
    config: CCDMConfig
    median: Tensor

    def __init__(self, config: CCDMConfig) -> None:
        super().__init__(config)
        self.schedule = NoiseSchedule("cosine")
        self.denoiser = FoldedDenoiser(
            images=1,
            channels=config.channels,
            blocks=config.blocks,
            phases=len(config.phases) if config.with_phase else 0,
            detail_window=config.detail_window,
            embedding=_EMBEDDING,
        )
        self.label = LabelEmbedding(_EMBEDDING)
        self.register_buffer("median", torch.tensor([config.nominal[phase] for phase in config.phases]))
        self.traits = Traits(
            multiple_of=self.denoiser.multiple_of,
            tiling="exact",
            samples=True,
            steps=config.steps,
            values=(config.value,),
        )
        self.seen = SeenLabels()

    def players(self, stage: str) -> tuple[Player, ...]:
        return (Player(name="denoiser", parameters=self.parameters()),)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        cfg, condition = self.config, batch.condition
        self.seen.add(condition.phase, self._scaled(condition.value(cfg.value)))
        label, weight = vicinal(self.labels(condition), mode=cfg.vicinal, **self._vicinity(), generator=turn.generator)
        x_0 = batch.change / cfg.scale if cfg.space == "residual" else batch.target
        items = x_0.shape[0]
        k = torch.randint(self.schedule.steps, (items,), generator=turn.generator)
        noise = torch.randn(x_0.shape, generator=turn.generator)
        plain = torch.rand(items, generator=turn.generator) < cfg.start_share
        dropped = torch.rand(items, generator=turn.generator) < cfg.null_share
        k = torch.where(plain, self.schedule.steps - 1, k).to(x_0.device)
        noise = torch.where(plain[:, None, None, None, None], 0.0, noise).to(x_0.device)
        x = self.schedule.noised(x_0, noise, k)
        answer = self.denoiser(
            batch.source,
            x,
            t=self.schedule.time(k),
            phase=condition.phase,
            extra=self.label(label, dropped=dropped.to(x_0.device)),
        )
        errors = item_errors((answer - x_0).square(), batch.valid)
        loss = (weight * errors).sum() / weight.sum()
        return loss, {"diffusion": loss.detach()}

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        """One step starts from no noise (deterministic); more start from noise of ``how.generator``."""
        cfg = self.config
        steps = self.traits.steps if how.steps is None else how.steps
        x_n, undo = pad_to_multiple(source, self.traits.multiple_of)
        start = torch.zeros_like(x_n)
        if steps > 1:
            start = torch.randn(x_n.shape, generator=how.generator).to(x_n.device)
        label = self.labels(condition)
        done = 0

        def predict(x: Tensor, k: Tensor) -> Tensor:
            nonlocal done
            done += 1
            with_label = self._denoised(x_n, x, k, condition, label, dropped=False, how=how, step=f"step {done}")
            if cfg.guidance == 1:
                return with_label
            without = self._denoised(x_n, x, k, condition, label, dropped=True, how=how, step=f"step {done}")
            return guided(with_label, without, scale=cfg.guidance, rescale=cfg.rescale)

        x_0 = self.schedule.ddim(predict, start, target="x0", steps=steps)
        return (x_0 * cfg.scale if cfg.space == "residual" else x_0 - x_n)[(..., *undo)]

    def _denoised(
        self,
        source: Tensor,
        x: Tensor,
        k: Tensor,
        condition: Condition,
        label: Tensor,
        *,
        dropped: bool,
        how: How,
        step: str,
    ) -> Tensor:
        extra = self.label(label, dropped=torch.full_like(label, dropped, dtype=torch.bool))
        t = self.schedule.time(k)
        return denoised(self.denoiser, source, x, t=t, phase=condition.phase, extra=extra, how=how, step=step)

    def labels(self, condition: Condition) -> Tensor:
        """``(B,)``: the value asked for on the axis from 0 to 1, where it is unknown the phase's own."""
        asked = condition.value(self.config.value)
        return self._scaled(torch.where(asked.isnan(), self.median[condition.phase], asked))

    def _scaled(self, value: Tensor) -> Tensor:
        low, high = self.config.value_range
        return (value - low) / (high - low)

    def _vicinity(self) -> dict[str, float]:
        cfg = self.config
        if cfg.sigma is not None and cfg.kappa is not None:
            return {"sigma": cfg.sigma, "kappa": cfg.kappa}
        sigma, kappa = rule_of_thumb(self.seen.labels(), phases=len(cfg.phases))
        return {
            "sigma": sigma if cfg.sigma is None else cfg.sigma,
            "kappa": kappa if cfg.kappa is None else cfg.kappa,
        }

    @torch.no_grad()
    def end_stage(self, stage: str, batches: Iterable[Batch]) -> None:
        """Fix what each phase stands for where nobody says a value: the median of the crops seen."""
        for batch in batches:
            self.seen.add(batch.condition.phase, self._scaled(batch.condition.value(self.config.value)))
        low, high = self.config.value_range
        for phase in range(len(self.config.phases)):
            if len(seen := self.seen.labels(phase)):
                self.median[phase] = low + (high - low) * seen.median()

    def phase_at(self, values: Mapping[str, float]) -> int:
        """The phase whose own value is nearest."""
        asked = values.get(self.config.value, math.nan)
        return super().phase_at(values) if math.isnan(asked) else int((self.median - asked).abs().argmin())
