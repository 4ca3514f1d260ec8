"""ALDM: adaptive latent diffusion for one source and many targets (Kim and Park, WACV 2024, arXiv 2311.00265).

``autoencoder`` trains a VQ-GAN on native and enhanced images alike; ``spade``, on frozen latents, MS-SPADE, which makes the target's
latent of the source's with modulations of its own for each phase; ``diffusion`` predicts the noise of the target's latent from (noisy
target, source, SPADE(source)). Noise is scheduled linearly in √β; DDIM samples in 200 steps.

The paper's stage 1 has five losses, the released configuration but L1: `ALDMConfig.released`. Latents are normalised by statistics fixed
when stage 1 ends; as released they are not. The codebook follows the latents by moving averages (`VectorQuantiser`), so the released
code's β on the wrong term has no counterpart. The denoiser has no attention, so that tiles have the whole volume's numbers.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder, Features
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.networks.discriminator import PatchDiscriminator, deceived, hinge
from s2ldm_core.networks.perceptual import PerceptualDistance
from s2ldm_core.networks.quantiser import VectorQuantiser
from s2ldm_core.networks.spade import MultiSwitchableSpade, PhaseJudge
from s2ldm_core.noise_schedule import NoiseSchedule
from s2ldm_core.systems.aldm_config import ALDMConfig
from s2ldm_core.systems.base import Alarm, How, Player, Stage, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import voxel_error
from s2ldm_core.systems.codebook import codebook_alarms
from s2ldm_core.systems.latent_grid import decoded, decoded_difference, through_core
from s2ldm_core.systems.latent_system import LatentSystem

_LATENT = "latent"


class ALDM(LatentSystem):
    """One model for all phases. In one step, or with ``answer: spade``, the answer is MS-SPADE's."""

    name = "aldm"
    Config = ALDMConfig
    training_only = ("discriminator", "judge", "perceptual")
    ceiling = "autoencoder"
    stages = (Stage(name="autoencoder"), Stage(name="spade", cached=_LATENT), Stage(name="diffusion", cached=_LATENT))
    config: ALDMConfig

    def __init__(self, config: ALDMConfig) -> None:
        ae, phases = config.autoencoder, len(config.phases)
        super().__init__(config, latent=ae.latent)
        self.schedule = NoiseSchedule("scaled_linear")
        self.encoder = Encoder(channels=ae.channels, blocks=ae.blocks, latent=ae.latent, detail_window=ae.detail_window)
        self.quantiser = VectorQuantiser(codes=ae.codes, channels=ae.latent, cosine=ae.cosine, decay=ae.decay)
        self.decoder = Decoder(channels=ae.channels, blocks=ae.blocks, latent=ae.latent, source_conditioned=False)
        self.spade = MultiSwitchableSpade(
            latent=ae.latent,
            channels=config.spade.channels,
            hidden=config.spade.hidden,
            phases=phases,
            norm=config.spade.norm,
        )
        self.denoiser = Denoiser(
            in_channels=3 * ae.latent,
            out_channels=ae.latent,
            channels=config.diffusion.channels,
            blocks=config.diffusion.blocks,
            phases=phases,
        )
        z, y, x = (f * s for f, s in zip(FACTOR, self.denoiser.stride, strict=True))
        sampled = config.answer == "diffusion"
        self.traits = Traits(
            multiple_of=(z, y, x),
            tiling="exact",
            samples=sampled,
            steps=config.diffusion.steps if sampled else 1,
            redraws=not config.autoencoder.difference,
        )
        weight = config.weights
        self.discriminator = (
            PatchDiscriminator(channels=ae.discriminator_channels, layers=ae.discriminator_layers)
            if weight.adversarial
            else None
        )
        self.judge = PhaseJudge(latent=ae.latent, phases=phases) if weight.spade_adversarial else None
        seen = weight.perceptual and config.perceptual_weights is not None
        self.perceptual = PerceptualDistance() if seen else None

    def players(self, stage: str) -> tuple[Player, ...]:
        if stage == "diffusion":
            return (Player(name="denoiser", parameters=self.denoiser.parameters()),)
        critic: nn.Module | None
        if stage == "spade":
            model, critic = Player(name="spade", parameters=self.spade.parameters()), self.judge
        else:
            parts = (*self.encoder.parameters(), *self.decoder.parameters())
            model, critic = Player(name="autoencoder", parameters=parts, betas=(0.5, 0.9)), self.discriminator
        if critic is None:
            return (model,)
        start = self.config.loss.start
        return model, Player(
            name="discriminator", parameters=critic.parameters(), betas=(0.5, 0.9), steady=True, start=start
        )

    def begin_stage(self, stage: str) -> None:
        """The perceptual network's weights are read here, once; they then are in the checkpoints."""
        path = self.config.perceptual_weights
        if stage == "autoencoder" and self.perceptual is not None and path is not None:
            self.perceptual.load(path)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        if player == "discriminator":
            return self._critic_loss(stage, batch, turn), {}
        if stage == "autoencoder":
            return self._autoencoder_loss(batch, turn)
        z_n, z_c = self.latents(batch)
        if stage == "spade":
            return self._spade_loss(z_n, z_c, batch.condition.phase, turn)
        with torch.no_grad():
            first = self.spade(z_n, batch.condition.phase)
        k = torch.randint(self.schedule.steps, (z_c.shape[0],), generator=turn.generator).to(z_c.device)
        noise = torch.randn(z_c.shape, generator=turn.generator).to(z_c.device)
        answer = self._denoised(self.schedule.noised(z_c, noise, k), z_n, first, k, batch.condition.phase)
        loss = F.mse_loss(answer.float(), noise if self.config.diffusion.target == "epsilon" else z_c)
        return loss, {"diffusion": loss.detach()}

    def _critic_loss(self, stage: str, batch: Batch, turn: Turn) -> Tensor:
        if stage == "autoencoder" and self.discriminator is not None:
            real, fake = (self.discriminator(image) for image in (_both(batch), turn.kept["image"]))
            return hinge(real=real, fake=fake)
        if self.judge is None:
            raise ValueError(f"stage {stage} has no discriminator")
        phase, (_, z_c) = batch.condition.phase, self.latents(batch)
        made_up = torch.full_like(phase, self.judge.made_up)
        return 0.5 * (self.judge.loss(z_c, phase) + self.judge.loss(turn.kept["latent"], made_up))

    def _autoencoder_loss(self, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        weight, image = self.config.weights, _both(batch)
        z = self.encode(image, normalise=False)
        quantised = self.quantiser(z)
        made = self.decoder(quantised.latent).float()
        change = torch.cat([batch.change, batch.change])
        valid = None if batch.valid is None else torch.cat([torch.ones_like(batch.valid), batch.valid])
        parts = {
            "rec": voxel_error(made, image, change=change, valid=valid, loss=self.config.voxels),
            "quant": quantised.loss,
        }
        total = weight.reconstruction * parts["rec"] + weight.codebook * parts["quant"]
        if self.perceptual is not None:
            kept = made if valid is None else torch.where(valid, made, image)
            parts["perceptual"] = self.perceptual(kept, image)
            total = total + weight.perceptual * parts["perceptual"]
        if weight.cycle:
            parts["cycle"] = F.l1_loss(self.encode(made, normalise=False).float(), z.detach().float())
            total = total + weight.cycle * parts["cycle"]
        if self.discriminator is not None and turn.progress >= self.config.loss.start:
            turn.kept["image"] = made.detach()
            parts["adversarial"] = deceived(self.discriminator(made))
            total = total + weight.adversarial * parts["adversarial"]
        return total, {name: part.detach() for name, part in parts.items()}

    def _spade_loss(self, z_n: Tensor, z_c: Tensor, phase: Tensor, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        made = self.spade(z_n, phase)
        total = F.l1_loss(made.float(), z_c.float())
        parts = {"l1": total.detach()}
        if self.judge is not None and turn.progress >= self.config.loss.start:
            turn.kept["latent"] = made.detach()
            adversarial = self.judge.loss(made, phase)
            parts["adversarial"] = adversarial.detach()
            total = total + self.config.weights.spade_adversarial * adversarial
        return total, parts

    @torch.no_grad()
    def end_stage(self, stage: str, batches: Iterable[Batch]) -> None:
        """After stage 1: fix the latents' mean and standard deviation per channel, of native and enhanced images together."""
        if stage != "autoencoder" or self.config.released:
            return
        self.fix_latents([self.encode(_both(batch), normalise=False) for batch in batches])

    def translated(self, z_n: Tensor, condition: Condition, how: How) -> Tensor:
        steps = self.traits.steps if how.steps is None else how.steps
        first = self.spade(z_n, condition.phase)
        if self.config.answer == "spade" or steps == 1:
            return first
        return self._sampled(z_n, first, condition.phase, steps, how)

    def _sampled(self, z_n: Tensor, first: Tensor, phase: Tensor, steps: int, how: How) -> Tensor:
        done = 0

        def predict(z: Tensor, k: Tensor) -> Tensor:
            nonlocal done
            done += 1
            return through_core(
                self.denoiser,
                lambda a, b, c: self._denoised(a, b, c, k, phase),
                [z, z_n, first],
                how=how,
                step=f"step {done}",
            )

        noise = torch.randn(z_n.shape, generator=how.generator).to(z_n.device)
        cfg = self.config.diffusion
        return self.schedule.ddim(predict, noise, target=cfg.target, steps=steps, eta=cfg.eta, generator=how.generator)

    def _denoised(self, z: Tensor, z_n: Tensor, first: Tensor, k: Tensor, phase: Tensor) -> Tensor:
        return self.denoiser(torch.cat([z, z_n, first], dim=1), t=self.schedule.time(k), phase=phase)

    def change_of(self, z_c: Tensor, z_n: Tensor, features: Features, x: Tensor, how: How) -> Tensor:
        codes = self.quantiser(self.denormalise(z_c), update=False).latent
        if self.config.autoencoder.difference:
            own = self.quantiser(self.denormalise(z_n), update=False).latent
            return decoded_difference(self.decoder, codes, own, how=how)
        return decoded(self.decoder, codes, Features(codes, codes), how=how) - x

    def view(self, stage: str, batch: Batch, how: How) -> Tensor | None:
        """While the autoencoder is trained the decoded true target, while MS-SPADE is, its own answer."""
        if stage == "autoencoder":
            return self.reconstruct_change(batch.source, batch.target, how)
        steps = 1 if stage == "spade" else how.steps
        return self.predict_change(
            batch.source, batch.condition, How(steps=steps, generator=how.generator, tile=how.tile)
        )

    def encode(self, x: Tensor, *, normalise: bool = True) -> Tensor:
        """``(B, 1, D, H, W)``, clipped to the window → latent before quantisation."""
        z, _ = self.encoder(x.clamp(-1, 1))
        return self.normalise(z) if normalise else z

    def latent_and_features(self, x: Tensor) -> tuple[Tensor, Features]:
        z, features = self.encoder(x.clamp(-1, 1))
        return self.normalise(z), features

    def alarms(self, parts: Mapping[str, float], limits: Mapping[str, float]) -> tuple[dict[str, float], list[Alarm]]:
        return codebook_alarms(self.quantiser, limits)


def _both(batch: Batch) -> Tensor:
    """Native and enhanced images of a batch of pairs, ``(2 B, 1, D, H, W)``."""
    return torch.cat([batch.source, batch.target])
