"""Pix2pix in 3-D (Isola et al. 2017): L1 to the target and a patch discriminator that sees source and image side by side.

The paper's: λ 100, half the discriminator's loss, and the schedule (constant, then linear; in the training file). Ours: a residual U-Net
with instance norm that draws the change, where the paper's has batch norm, which at batch 1 behaves differently once trained; least
squares as in CycleGAN's and RegGAN's code (``criterion: bce`` is the paper's); no dropout, which the paper itself found to be ignored as
noise.
"""

import torch
from pydantic import Field, model_validator
from torch import Tensor

from s2ldm_core.systems.adversarial import BETAS, Criterion, DiscriminatorConfig, deceives, judged, told_apart
from s2ldm_core.systems.base import How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import L1, voxel_error
from s2ldm_core.systems.image_generator import Generator, GeneratorConfig


class Pix2pixConfig(SystemConfig):
    """Networks, loss and weights."""

    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    criterion: Criterion = "lsgan"
    l1: float = Field(100.0, ge=0)
    """Weight of the L1 beside the adversarial term's 1."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the values that a U-Net's decoder leaves out below full resolution, in training and where a sample is asked for (0.5 in
    the paper). One step answers with all of them."""

    @model_validator(mode="after")
    def _has_a_decoder(self) -> "Pix2pixConfig":
        if self.dropout and self.generator.kind != "unet":
            raise ValueError("dropout belongs to a generator of kind unet")
        return self


class Pix2pix(System):
    """One stage, ``gan``, on pairs."""

    name = "pix2pix"
    Config = Pix2pixConfig
    training_only = ("discriminator",)
    stages = (Stage(name="gan"),)
    config: Pix2pixConfig

    def __init__(self, config: Pix2pixConfig) -> None:
        super().__init__(config)
        phases = len(config.phases)
        self.generator = Generator(config.generator, phases=phases)
        self.traits = Traits(
            multiple_of=self.generator.multiple_of, tiling="blend", samples=config.dropout > 0, draws="dropout"
        )
        self.discriminator = config.discriminator.of_phases(phases, in_channels=2)

    def players(self, stage: str) -> tuple[Player, ...]:
        sides = {"generator": self.generator, "discriminator": self.discriminator}
        return tuple(
            Player(name=name, parameters=side.parameters(), betas=BETAS, weight_decay=0.0)
            for name, side in sides.items()
        )

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        criterion = self.config.criterion
        if player == "discriminator":
            real, fake = (self._logits(image, batch) for image in (batch.target, turn.kept["image"]))
            return told_apart(criterion, real=real, fake=fake), {}
        change = self._change(batch.source, batch.condition, dropped=self.config.dropout, generator=turn.generator)
        image = judged(batch.source + change, batch)
        turn.kept["image"] = image.detach()
        parts = {
            "l1": voxel_error(change, batch.change, change=batch.change, valid=batch.valid, loss=L1),
            "adversarial": deceives(criterion, self._logits(image, batch)),
        }
        return self.config.l1 * parts["l1"] + parts["adversarial"], parts

    def change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        sampled = how.steps is not None and how.steps > 1
        dropped = self.config.dropout if sampled else 0.0
        return self._change(source, condition, dropped=dropped, generator=how.generator)

    def _change(
        self, source: Tensor, condition: Condition, *, dropped: float, generator: torch.Generator | None
    ) -> Tensor:
        return self.generator(source, condition.phase, dropped=dropped, generator=generator)

    def _logits(self, image: Tensor, batch: Batch) -> Tensor:
        return self.discriminator(torch.cat([batch.source, image], dim=1), batch.condition.phase)
