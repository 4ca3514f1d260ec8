"""S2LDM: syncretic VQ-GAN encoder and similarity-guided latent diffusion (arXiv 2406.13977).

Three stages. ``autoencoder`` (eq. 2) trains the weight-shared encoder E, the quantiser Q and the CECT decoder D; ``diffusion``
(eq. 4, a reading of `s2ldm_core.diffusion`) trains the denoiser on the frozen latents; ``finetune`` trains everything end to end
through the one deterministic step (ε = 0, t = 1), which is what translation uses unless more steps are asked for.

A fourth, ``tissues``, is not the paper's: before the last one it trains a network that names tissues, in whose features the last stage then
compares answer and target.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.frequency import enhance, gain_at, gradient_loss
from s2ldm_core.networks.autoencoder import Features
from s2ldm_core.networks.discriminator import PatchDiscriminator, deceived, hinge
from s2ldm_core.networks.segmenter import Segmenter, TissueNetwork
from s2ldm_core.similarity import cosine, similarity_loss, similarity_mask
from s2ldm_core.systems.base import Alarm, How, Player, Stage, Turn
from s2ldm_core.systems.batch import Batch
from s2ldm_core.systems.change_loss import change_loss, voxel_error
from s2ldm_core.systems.codebook import codebook_alarms
from s2ldm_core.systems.s2ldm_config import S2LDMConfig
from s2ldm_core.systems.s2ldm_networks import S2LDMNetworks

_LATENT_MOMENTUM = 0.1
_LATENT = "latent"


class S2LDM(S2LDMNetworks):
    """The model's training; its networks are in `s2ldm_core.systems.s2ldm_networks`."""

    name = "s2ldm"
    Config = S2LDMConfig
    training_only = ("discriminator", "segmenter", "tissues")
    ceiling = "autoencoder"

    def __init__(self, config: S2LDMConfig) -> None:
        super().__init__(config)
        self.stages = tuple(
            Stage(name=n, cached=_LATENT if n == "diffusion" else None, shipped=n != "tissues") for n in config.stages
        )
        self.discriminator = PatchDiscriminator() if config.loss.adv else None
        self.segmenter = Segmenter(config.autoencoder.channels[0]) if config.loss.segmentation else None
        self.tissues: TissueNetwork | None = None
        if config.loss.features:
            self.tissues = TissueNetwork(
                channels=config.tissues.channels, detail_window=config.autoencoder.detail_window
            )

    def players(self, stage: str) -> tuple[Player, ...]:
        if stage == "diffusion":
            return (Player(name="denoiser", parameters=self.denoiser.parameters()),)
        if stage == "tissues" and self.tissues is not None:
            return (Player(name="tissues", parameters=self.tissues.parameters()),)
        parts: tuple[nn.Module, ...] = (self.encoder, self.decoder)
        if stage == "finetune":
            parts += (self.denoiser, *(() if self.segmenter is None else (self.segmenter,)))
        model = Player(name=stage, parameters=[p for part in parts for p in part.parameters()])
        if self.discriminator is None:
            return (model,)
        judge = Player(
            name="discriminator",
            parameters=self.discriminator.parameters(),
            betas=(0.5, 0.9),
            weight_decay=0.01,
            steady=True,
            start=self.config.loss.adv_start,
        )
        return model, judge

    def begin_stage(self, stage: str) -> None:
        """Every stage has a discriminator of its own, which must not be ahead of the images it judges."""
        if self.discriminator is not None:
            self.discriminator.load_state_dict(PatchDiscriminator().state_dict())

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        if player == "discriminator" and self.discriminator is not None:
            real, fake = (self.discriminator(image) for image in (batch.target, turn.kept["image"]))
            return hinge(real=real, fake=fake), {}
        if stage == "autoencoder":
            return self._autoencoder_loss(batch, turn)
        if stage == "diffusion":
            loss = self.diffusion_loss(*self.latents(batch), batch.condition.phase, turn)
            return loss, {"diffusion": loss.detach()}
        if stage == "tissues" and self.tissues is not None:
            return self._tissues_loss(self.tissues, batch, turn)
        return self._finetune_loss(batch, turn)

    def _tissues_loss(self, network: TissueNetwork, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        native = torch.rand(batch.source.shape[0], generator=turn.generator) < self.config.tissues.source_share
        image = torch.where(native.to(batch.source.device)[:, None, None, None, None], batch.source, batch.target)
        organs = torch.zeros_like(image, dtype=torch.uint8) if batch.organs is None else batch.organs
        loss = network(image, organs)
        return loss, {"naming": loss.detach()}

    def _autoencoder_loss(self, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        """L_auto, eq. 2."""
        cfg, weight = self.config, self.config.loss
        e_c, moments_c, _ = self.encode(batch.target, generator=turn.generator, normalise=False)
        features: Features | None = None
        q_n: Tensor | None = None
        parts: dict[str, Tensor] = {}
        q_c, quant = self.quantise(e_c, update=True)
        if cfg.syncretic:
            e_n, _, features = self.encode(batch.source, normalise=False)
            q_n, _ = self.quantise(e_n, update=False)
            a, b = (e_n, e_c) if cfg.similarity.on == "pre_vq" else (q_n, q_c)
            c = cosine(a, b, axis=cfg.similarity.axis)
            parts["similarity"] = similarity_loss(c, gamma=cfg.similarity.gamma, clamp=cfg.similarity.clamp)
            parts["similarity_l2"] = F.mse_loss(e_n.float(), e_c.float())
        reconstruction = self.decode(q_c, q_n, features, batch.source)
        parts["rec"], parts["frequency"] = self._reconstruction_losses(reconstruction, batch, turn.progress)
        loss = weight.rec * (parts["rec"] + parts["frequency"]) + weight.quant * quant
        if q_n is not None:
            loss = loss + weight.sim * (parts["similarity"] + cfg.similarity.l2_weight * parts["similarity_l2"])
            if weight.decode_source:
                from_source = self.decode(q_n, q_n, features, batch.source)
                rec, frequency = self._reconstruction_losses(from_source, batch, turn.progress)
                parts["decode_source"] = rec + frequency
                loss = loss + weight.decode_source * parts["decode_source"]
        if moments_c is not None:
            mean, log_variance = moments_c
            parts["kl"] = 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).mean()
            loss = loss + weight.kl * parts["kl"]
        loss = loss + self._adversarial(reconstruction, turn, parts)
        parts["quant"] = quant
        parts["latent_spread"] = F.normalize(e_c.float(), dim=1).var(dim=(0, 2, 3, 4)).mean()
        return loss, {name: part.detach() for name, part in parts.items()}

    def _reconstruction_losses(self, image: Tensor, batch: Batch, progress: float) -> tuple[Tensor, Tensor]:
        f = self.config.frequency
        wanted = enhance(batch.target, mode=f.mode, gain=gain_at(progress, gain=f.gain, anneal=f.anneal), sigma=f.sigma)
        frequency = image.new_zeros(())
        if f.mode == "loss":
            frequency = f.gain * gradient_loss(image, batch.target, valid=batch.valid)
        error = voxel_error(image, wanted, change=batch.change, valid=batch.valid, loss=self.config.loss)
        return error, frequency

    def _adversarial(self, image: Tensor, turn: Turn, parts: dict[str, Tensor]) -> Tensor | float:
        """Weighted generator's side; leaves the image for the discriminator's turn."""
        if self.discriminator is None or turn.progress < self.config.loss.adv_start:
            return 0.0
        turn.kept["image"] = image.detach()
        parts["adversarial"] = deceived(self.discriminator(image))
        return self.config.loss.adv * parts["adversarial"]

    def diffusion_loss(self, z_n: Tensor, z_c: Tensor, phase: Tensor, turn: Turn) -> Tensor:
        """Eq. 4 under the configured reading; ``z_n``, ``z_c`` normalised."""
        cfg = self.config
        if cfg.mask.enabled:
            raw_n, raw_c = self.denormalise(z_n), self.denormalise(z_c)
            mask = similarity_mask(
                cosine(raw_n, raw_c, axis=cfg.similarity.axis), progress=turn.progress, alpha=cfg.mask.alpha
            )
            z_n = z_n * mask.to(z_n.dtype)
        t = torch.rand(z_n.shape[0], generator=turn.generator)
        noise = torch.randn(z_n.shape, generator=turn.generator)
        plain = torch.rand(z_n.shape[0], generator=turn.generator) < cfg.diffusion.deterministic_share
        if self.process.mode == "concat" and cfg.diffusion.target != "epsilon":
            t = torch.where(plain, 1.0, t)
            noise = torch.where(plain[:, None, None, None, None], 0.0, noise)
        t, noise = t.to(z_n.device), noise.to(z_n.device)
        x_0, x_1 = self.process.endpoints(z_n=z_n, z_c=z_c, noise=noise)
        prediction = self.denoise(self.process.interpolate(x_0, x_1, t), t, z_n, phase)
        return F.mse_loss(prediction.float(), self.process.regression_target(x_0, x_1, t).float())

    def _finetune_loss(self, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        weight = self.config.loss
        true_c = None
        if weight.finetune_flow and float(torch.rand((), generator=turn.generator)) < weight.finetune_flow_share:
            true_c = self._follow_latents(batch.target)
        z_n, _, features = self.encode(batch.source)
        z_c = self.process.sample(
            lambda x, t: self.denoise(x, t, z_n, batch.condition.phase), z_n=z_n, noise=torch.zeros_like(z_n), steps=1
        )
        image, seen = self._drawn(self.codes(z_c), z_n, features, batch.source)
        gain = self.config.frequency.gain if self.config.frequency.mode == "loss" else 0.0
        loss, parts = change_loss(image, batch, weight, gradient=gain)
        if self.segmenter is not None and seen is not None and batch.organs is not None:
            parts["segmentation"] = self.segmenter(seen, batch.organs)
            loss = loss + weight.segmentation * parts["segmentation"]
        if self.tissues is not None:
            parts["features"] = self.tissues.distance(image, batch.target, valid=batch.valid)
            loss = loss + weight.features * parts["features"]
        if true_c is not None:
            parts["diffusion"] = self.diffusion_loss(
                z_n.detach(), true_c, batch.condition.phase, replace(turn, progress=1.0)
            )
            loss = loss + weight.finetune_flow * parts["diffusion"]
        loss = loss + self._adversarial(image, turn, parts)
        return loss, {name: part.detach() for name, part in parts.items()}

    def _drawn(self, code: Tensor, z_n: Tensor, features: Features, source: Tensor) -> tuple[Tensor, Tensor | None]:
        """The image, and where the decoder adds to the source what it drew that from."""
        if not self.decoder.source_conditioned:
            q_n = self.codes(z_n) if self.config.autoencoder.difference else None
            return self.decode(code, q_n, features, source), None
        seen = self.decoder.seen(code, features)
        return source + self.decoder.drawn(seen).float(), seen

    @torch.no_grad()
    def _follow_latents(self, target: Tensor) -> Tensor:
        """Normalised E_c while E itself is trained: mean and standard deviation follow it, so that the flow's data stay standardised."""
        raw = self.encode(target, normalise=False)[0].float()
        if self.training:
            self.latent_mean.lerp_(raw.mean(dim=(0, 2, 3, 4)), _LATENT_MOMENTUM)
            self.latent_std.lerp_(raw.std(dim=(0, 2, 3, 4)).clamp_min(1e-3), _LATENT_MOMENTUM)
        return self.normalise(raw)

    @torch.no_grad()
    def end_stage(self, stage: str, batches: Iterable[Batch]) -> None:
        """After stage 1: fix the latents' mean and standard deviation per channel."""
        if stage != "autoencoder":
            return
        self.fix_latents([self.encode(batch.target, normalise=False)[0] for batch in batches])

    def view(self, stage: str, batch: Batch, how: How) -> Tensor | None:
        """While the autoencoder is trained, the decoded true target: whether the contrast survives the latent. Naming tissues changes no
        answer."""
        if stage == "tissues":
            return None
        if stage == "autoencoder":
            return self.reconstruct_change(batch.source, batch.target, how)
        return super().view(stage, batch, how)

    def alarms(self, parts: Mapping[str, float], limits: Mapping[str, float]) -> tuple[dict[str, float], list[Alarm]]:
        """A codebook that dies (share in use of as many codes as there were latents, if fewer), embeddings that collapse (variance of the
        normalised ones, 1 being directions spread evenly)."""
        values, alarms = codebook_alarms(self.quantiser, limits)
        if "latent_spread" in parts:
            values["spread"] = parts["latent_spread"] * self.config.autoencoder.latent
            if values["spread"] < limits["spread_min"]:
                sentence = (
                    f"The normalised embeddings point in one direction (relative variance {values['spread']:.2g}): the similarity says "
                    "nothing any more. Lower loss.sim."
                )
                alarms.append(Alarm("similarity_collapsed", sentence))
        return values, alarms
