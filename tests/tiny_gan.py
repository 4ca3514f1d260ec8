"""A system of another package: generator and discriminator, first on sources alone, then on pairs, asked for seconds, tiles blended."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.discriminator import PatchDiscriminator, deceived, hinge
from s2ldm_core.systems import Batch, Condition, How, Player, Stage, System, SystemConfig, Traits, Turn


class TinyGanConfig(SystemConfig):
    """Width of both networks."""

    channels: int = 4


class TinyGan(System):
    """Stages ``copy`` (the generator learns to change nothing) and ``gan``."""

    name = "tiny_gan"
    Config: ClassVar[type[SystemConfig]] = TinyGanConfig
    training_only = ("discriminator",)
    stages = (Stage(name="copy", data="source"), Stage(name="gan"))
    traits = Traits(multiple_of=(1, 2, 2), tiling="blend", values=("seconds",))

    def __init__(self, config: TinyGanConfig) -> None:
        super().__init__(config)
        n = config.channels
        self.generator = nn.Sequential(
            nn.Conv3d(2, n, 3, padding=1, bias=False), nn.InstanceNorm3d(n), nn.SiLU(), nn.Conv3d(n, 1, 3, padding=1)
        )
        self.discriminator = PatchDiscriminator(in_channels=2, channels=n, layers=1)

    def players(self, stage: str) -> tuple[Player, ...]:
        generator = Player(name="generator", parameters=self.generator.parameters())
        if stage == "copy":
            return (generator,)
        parameters = self.discriminator.parameters()
        return generator, Player(name="discriminator", parameters=parameters, lr=0.5, steady=True, start=0.3)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        if player == "discriminator":
            real, fake = (torch.cat([batch.source, image], dim=1) for image in (batch.target, turn.kept["image"]))
            return hinge(real=self.discriminator(real), fake=self.discriminator(fake)), {}
        change = self.change(batch.source, batch.condition, How())
        if stage == "copy":
            return change.abs().mean(), {}
        turn.kept["image"] = (batch.source + change).detach()
        l1 = F.l1_loss(change, batch.change)
        adversarial = deceived(self.discriminator(torch.cat([batch.source, batch.source + change], dim=1)))
        return l1 + 0.01 * adversarial, {"l1": l1, "adversarial": adversarial}

    def view(self, stage: str, batch: Batch, how: How) -> Tensor | None:
        return None if stage == "copy" else super().view(stage, batch, how)

    def change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        minutes = condition.value("seconds").nan_to_num(70.0) / 60
        asked = minutes.view(-1, 1, 1, 1, 1).expand_as(source)
        return self.generator(torch.cat([source, asked], dim=1))
