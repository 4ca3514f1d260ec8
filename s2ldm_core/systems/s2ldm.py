"""S2LDM: syncretic VQ-GAN encoder and similarity-guided latent diffusion (arXiv 2406.13977).

Three stages. ``autoencoder`` (eq. 2) trains the weight-shared encoder E, the quantiser Q and the CECT decoder D; ``diffusion``
(eq. 4, a reading of `s2ldm_core.diffusion`) trains the denoiser on the frozen latents; ``finetune`` trains everything end to end
through the one deterministic step (ε = 0, t = 1), which is what translation uses unless more steps are asked for.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2ldm_core.frequency import enhance, gain_at, gradient_loss
from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder, Features
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.networks.quantiser import VectorQuantiser
from s2ldm_core.similarity import cosine, similarity_loss, similarity_mask
from s2ldm_core.systems.base import Adversary, PairBatch, Progress, System, Triple, core_tile, run_on_tiles
from s2ldm_core.systems.s2ldm_config import S2LDMConfig
from s2ldm_core.tiling import pad_to_multiple, tiled

_ONE: Triple = (1, 1, 1)
_STEM_SCALE: Triple = (2, 2, 2)
_LATENT_MOMENTUM = 0.1
_LABELS = 256


class S2LDM(System):
    """The model; all tensors in window units, axis order (slices, rows, columns)."""

    name = "s2ldm"
    config: S2LDMConfig
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: S2LDMConfig) -> None:
        super().__init__(config)
        ae = config.autoencoder
        self.stages = config.stages
        self.process = config.diffusion.process()
        self.encoder = Encoder(
            channels=ae.channels,
            blocks=ae.blocks,
            latent=ae.latent,
            moments=ae.kind == "kl",
            detail_window=ae.detail_window,
        )
        self.decoder = Decoder(
            channels=ae.channels, blocks=ae.blocks, latent=ae.latent, source_conditioned=ae.source_conditioned
        )
        self.quantiser = (
            VectorQuantiser(codes=ae.codes, channels=ae.latent, cosine=ae.cosine) if ae.kind == "vq" else None
        )
        self.denoiser = Denoiser(
            in_channels=ae.latent * (2 if self.process.conditioned else 1),
            out_channels=ae.latent,
            channels=config.diffusion.channels,
            blocks=config.diffusion.blocks,
            phases=len(config.phases),
        )
        # Fixed when stage 1 ends: the diffusion sees latents of mean 0 and standard deviation 1 per channel.
        self.register_buffer("latent_mean", torch.zeros(ae.latent))
        self.register_buffer("latent_std", torch.ones(ae.latent))
        self.factor = tuple(f * s for f, s in zip(FACTOR, self.denoiser.stride, strict=True))  # type: ignore[assignment]

    # -- training ---------------------------------------------------------------------------------------------------------

    def trainable(self, stage: str) -> Iterable[nn.Parameter]:
        if stage == "autoencoder":
            return [*self.encoder.parameters(), *self.decoder.parameters()]
        if stage == "diffusion":
            return self.denoiser.parameters()
        return self.parameters()

    def loss(
        self,
        stage: str,
        batch: PairBatch,
        *,
        progress: float,
        generator: torch.Generator | None = None,
        adversary: Adversary | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if stage == "autoencoder":
            return self._autoencoder_loss(batch, progress, generator, adversary)
        if stage == "diffusion":
            with torch.no_grad():
                z_n, _, _ = self.encode(batch.source)
                z_c, _, _ = self.encode(batch.target)
            loss = self.diffusion_loss(z_n, z_c, batch.phase, progress, generator)
            return loss, {"diffusion": loss.detach()}
        return self._finetune_loss(batch, generator, adversary, progress)

    def _autoencoder_loss(
        self, batch: PairBatch, progress: float, generator: torch.Generator | None, adversary: Adversary | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_auto, eq. 2."""
        cfg, weight = self.config, self.config.loss
        e_c, moments_c, _ = self.encode(batch.target, generator=generator, normalise=False)
        features: Features | None = None
        q_n: Tensor | None = None
        parts: dict[str, Tensor] = {}
        q_c, quant = self._quantise(e_c, update=True)
        if cfg.syncretic:
            e_n, _, features = self.encode(batch.source, normalise=False)
            q_n, _ = self._quantise(e_n, update=False)
            a, b = (e_n, e_c) if cfg.similarity.on == "pre_vq" else (q_n, q_c)
            c = cosine(a, b, axis=cfg.similarity.axis)
            parts["similarity"] = similarity_loss(c, gamma=cfg.similarity.gamma, clamp=cfg.similarity.clamp)
            parts["similarity_l2"] = F.mse_loss(e_n.float(), e_c.float())
        reconstruction = self._decode(q_c, q_n, features, batch.source)
        parts["rec"], parts["frequency"] = self._reconstruction_losses(reconstruction, batch, progress)
        loss = weight.rec * (parts["rec"] + parts["frequency"]) + weight.quant * quant
        if q_n is not None:
            loss = loss + weight.sim * (parts["similarity"] + cfg.similarity.l2_weight * parts["similarity_l2"])
            if weight.decode_source:
                from_source = self._decode(q_n, q_n, features, batch.source)
                rec, frequency = self._reconstruction_losses(from_source, batch, progress)
                parts["decode_source"] = rec + frequency
                loss = loss + weight.decode_source * parts["decode_source"]
        if moments_c is not None:
            mean, log_variance = moments_c
            parts["kl"] = 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).mean()
            loss = loss + weight.kl * parts["kl"]
        if adversary is not None and weight.adv and progress >= weight.adv_start:
            parts["adversarial"] = adversary(reconstruction, batch.target)
            loss = loss + weight.adv * parts["adversarial"]
        parts["quant"] = quant
        parts["latent_spread"] = F.normalize(e_c.float(), dim=1).var(dim=(0, 2, 3, 4)).mean()
        return loss, {name: part.detach() for name, part in parts.items()}

    def _reconstruction_losses(self, image: Tensor, batch: PairBatch, progress: float) -> tuple[Tensor, Tensor]:
        f = self.config.frequency
        wanted = enhance(batch.target, mode=f.mode, gain=gain_at(progress, gain=f.gain, anneal=f.anneal), sigma=f.sigma)
        frequency = f.gain * gradient_loss(image, batch.target) if f.mode == "loss" else image.new_zeros(())
        return self._error(image, wanted, batch.change), frequency

    def _error(self, image: Tensor, target: Tensor, change: Tensor) -> Tensor:
        """L1 + rec_l2 · L2, each voxel weighted by 1 + enhancement · min(|change| / enhancement_full, 1)."""
        loss = self.config.loss
        error = image - target
        penalty = error.abs() + loss.rec_l2 * error.square() if loss.rec_l2 else error.abs()
        if loss.enhancement:
            penalty = penalty * (1 + loss.enhancement * (change.abs() / loss.enhancement_full).clamp(max=1))
        return penalty.mean()

    def diffusion_loss(
        self, z_n: Tensor, z_c: Tensor, phase: Tensor, progress: float, generator: torch.Generator | None
    ) -> Tensor:
        """Eq. 4 under the configured reading; ``z_n``, ``z_c`` normalised."""
        cfg = self.config
        if cfg.mask.enabled:
            raw_n, raw_c = self._denormalise(z_n), self._denormalise(z_c)
            mask = similarity_mask(
                cosine(raw_n, raw_c, axis=cfg.similarity.axis), progress=progress, alpha=cfg.mask.alpha
            )
            z_n = z_n * mask.to(z_n.dtype)
        t = torch.rand(z_n.shape[0], generator=generator)
        noise = torch.randn(z_n.shape, generator=generator)
        plain = torch.rand(z_n.shape[0], generator=generator) < cfg.diffusion.deterministic_share
        if self.process.mode == "concat" and cfg.diffusion.target != "epsilon":
            t = torch.where(plain, 1.0, t)
            noise = torch.where(plain[:, None, None, None, None], 0.0, noise)
        t, noise = t.to(z_n.device), noise.to(z_n.device)
        x_0, x_1 = self.process.endpoints(z_n=z_n, z_c=z_c, noise=noise)
        prediction = self._denoise(self.process.interpolate(x_0, x_1, t), t, z_n, phase)
        return F.mse_loss(prediction.float(), self.process.regression_target(x_0, x_1, t).float())

    def _finetune_loss(
        self, batch: PairBatch, generator: torch.Generator | None, adversary: Adversary | None, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weight = self.config.loss
        true_c = None
        if weight.finetune_flow and float(torch.rand((), generator=generator)) < weight.finetune_flow_share:
            true_c = self._follow_latents(batch.target)
        z_n, _, features = self.encode(batch.source)
        z_c = self.process.sample(
            lambda x, t: self._denoise(x, t, z_n, batch.phase), z_n=z_n, noise=torch.zeros_like(z_n), steps=1
        )
        q_n = self._codes(z_n) if self.config.autoencoder.difference else None
        image = self._decode(self._codes(z_c), q_n, features, batch.source)
        parts = {"rec": self._error(image, batch.target, batch.change)}
        loss = parts["rec"]
        if weight.organ_bias and batch.organs is not None:
            parts["organ_bias"] = organ_bias(image - batch.target, batch.organs, fewest=weight.organ_voxels)
            loss = loss + weight.organ_bias * parts["organ_bias"]
        if self.config.frequency.mode == "loss":
            parts["frequency"] = self.config.frequency.gain * gradient_loss(image, batch.target)
            loss = loss + parts["frequency"]
        if true_c is not None:
            parts["diffusion"] = self.diffusion_loss(z_n.detach(), true_c, batch.phase, 1.0, generator)
            loss = loss + weight.finetune_flow * parts["diffusion"]
        if adversary is not None and weight.adv and progress >= weight.adv_start:
            parts["adversarial"] = adversary(image, batch.target)
            loss = loss + weight.adv * parts["adversarial"]
        return loss, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def _follow_latents(self, target: Tensor) -> Tensor:
        """Normalised E_c while E itself is trained: mean and standard deviation follow it, so that the flow's data stay standardised."""
        raw = self.encode(target, normalise=False)[0].float()
        if self.training:
            self.latent_mean.lerp_(raw.mean(dim=(0, 2, 3, 4)), _LATENT_MOMENTUM)
            self.latent_std.lerp_(raw.std(dim=(0, 2, 3, 4)).clamp_min(1e-3), _LATENT_MOMENTUM)
        return self._normalise(raw)

    @torch.no_grad()
    def end_stage(self, stage: str, batches: Iterable[PairBatch]) -> None:
        """After stage 1: fix the latents' mean and standard deviation per channel."""
        if stage != "autoencoder":
            return
        latents = [self.encode(batch.target, normalise=False)[0].float().movedim(1, 0).flatten(1) for batch in batches]
        flat = torch.cat(latents, dim=1)
        self.latent_mean.copy_(flat.mean(dim=1))
        self.latent_std.copy_(flat.std(dim=1).clamp_min(1e-3))

    # -- the parts --------------------------------------------------------------------------------------------------------

    def encode(
        self, x: Tensor, *, generator: torch.Generator | None = None, normalise: bool = True
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None, Features]:
        """``x`` ``(B, 1, D, H, W)`` (clipped to the window) → latent, KL moments if any, features. KL samples when given a generator."""
        z, features = self.encoder(x.clamp(-1, 1))
        moments = None
        if self.config.autoencoder.kind == "kl":
            mean, log_variance = z.float().chunk(2, dim=1)
            log_variance = log_variance.clamp(-20, 10)
            moments = (mean, log_variance)
            z = mean
            if generator is not None:
                z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator).to(mean.device)
        return (self._normalise(z) if normalise else z), moments, features

    def _quantise(self, z: Tensor, *, update: bool) -> tuple[Tensor, Tensor]:
        if self.quantiser is None:
            return z, z.new_zeros(())
        quantised = self.quantiser(z, update=update)
        return quantised.latent, quantised.loss

    def _codes(self, z: Tensor) -> Tensor:
        """Normalised latent → what the decoder takes."""
        return self._quantise(self._denormalise(z), update=False)[0]

    def _decode(self, z: Tensor, z_n: Tensor | None, features: Features | None, source: Tensor) -> Tensor:
        """Latent → CECT image in window units (fp32). ``z_n``: the NCCT's latent, which decoding by difference subtracts."""
        if self.config.autoencoder.difference:
            if z_n is None:
                raise ValueError("decoding by difference needs the NCCT's latent")
            drawn, own = self.decoder(torch.cat([z, z_n])).float().chunk(2)
            return source + drawn - own
        out = self.decoder(z, features).float()
        return source + out if self.decoder.source_conditioned else out

    def _denoise(self, x: Tensor, t: Tensor, z_n: Tensor, phase: Tensor) -> Tensor:
        out = self.denoiser(torch.cat([x, z_n], dim=1) if self.process.conditioned else x, t=t, phase=phase)
        diffusion = self.config.diffusion
        if not diffusion.residual or self.process.mode != "concat" or diffusion.target == "epsilon":
            return out
        if diffusion.target == "x0":
            return z_n + out
        # v = ε − z_c (flow) or a ε − b z_c (ddpm): z_n stands in for z_c.
        return out - (z_n if diffusion.schedule == "flow" else self.process.coefficients(t)[1] * z_n)

    def _normalise(self, z: Tensor) -> Tensor:
        return (z - _per_channel(self.latent_mean)) / _per_channel(self.latent_std)

    def _denormalise(self, z: Tensor) -> Tensor:
        return z * _per_channel(self.latent_std) + _per_channel(self.latent_mean)

    # -- translation ------------------------------------------------------------------------------------------------------

    def predict_change(
        self,
        source: Tensor,
        phase: Tensor,
        *,
        steps: int | None = None,
        generator: torch.Generator | None = None,
        tile: Triple | None = None,
        on_progress: Progress | None = None,
    ) -> Tensor:
        """One step starts from ε = 0 (deterministic); more start from noise of ``generator``. S is all ones."""
        steps = self.config.diffusion.steps if steps is None else steps
        x, undo = pad_to_multiple(source, self.factor)
        run = partial(_run, tile=tile)
        z_n, stem, latent = run(
            self._encode_parts,
            [x],
            input_scales=[FACTOR],
            output_scales=[_ONE, _STEM_SCALE, _ONE],
            halo=self.encoder.halo,
            on_tile=run_on_tiles(on_progress, "encode"),
        )
        noise = torch.zeros_like(z_n) if steps == 1 else torch.randn(z_n.shape, generator=generator).to(z_n.device)
        done = 0

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            nonlocal done
            done += 1
            (out,) = _run(
                lambda a, b: (self._denoise(a, t, b, phase),),
                [x_t, z_n],
                input_scales=[_ONE, _ONE],
                output_scales=[_ONE],
                tile=None if tile is None else core_tile(tile),
                halo=self.denoiser.halo,
                align=self.denoiser.stride,
                on_tile=run_on_tiles(on_progress, f"step {done}"),
            )
            return out

        z_c = self.process.sample(predict, z_n=z_n, noise=noise, steps=steps)
        return self._run_decoder(run, z_c, z_n, Features(stem, latent), x, on_progress)[(..., *undo)]

    def reconstruct_change(self, source: Tensor, target: Tensor, *, tile: Triple | None = None) -> Tensor:
        """D(Q(E(target)); source) − source: the autoencoder's own ceiling, which no denoiser can pass before fine-tuning."""
        x, undo = pad_to_multiple(source, self.factor)
        y, _ = pad_to_multiple(target, self.factor)
        run = partial(_run, tile=tile)
        encode = partial(
            run,
            self._encode_parts,
            input_scales=[FACTOR],
            output_scales=[_ONE, _STEM_SCALE, _ONE],
            halo=self.encoder.halo,
        )
        z_n, stem, latent = encode([x])
        z_c, _, _ = encode([y])
        return self._run_decoder(run, z_c, z_n, Features(stem, latent), x, None)[(..., *undo)]

    def _encode_parts(self, x: Tensor) -> tuple[Tensor, ...]:
        z, _, features = self.encode(x)
        return z, features.stem, features.latent

    def _run_decoder(
        self,
        run: Callable[..., tuple[Tensor, ...]],
        z_c: Tensor,
        z_n: Tensor,
        features: Features,
        x: Tensor,
        on_progress: Progress | None,
    ) -> Tensor:
        """Normalised latents → change in window units."""
        q_c = self._codes(z_c)
        decode = partial(
            run, output_scales=[FACTOR], halo=self.decoder.halo, on_tile=run_on_tiles(on_progress, "decode")
        )
        if self.config.autoencoder.difference:
            (out,) = decode(
                lambda a, b: (self.decoder(a) - self.decoder(b),), [q_c, self._codes(z_n)], input_scales=[_ONE, _ONE]
            )
            return out.float()
        (out,) = decode(
            lambda a, b, c: (self.decoder(a, Features(b, c)),), [q_c, *features], input_scales=[_ONE, _STEM_SCALE, _ONE]
        )
        out = out.float()
        return out if self.decoder.source_conditioned else out - x


def organ_bias(error: Tensor, organs: Tensor, *, fewest: int = 1) -> Tensor:
    """Mean over crops of the mean over their organs of the squared mean error inside the organ; a crop without organs counts 0.

    Inside: voxels whose eight neighbours in the slice belong to the organ too. An outline is partial volume, and branches of a vessel
    that are all outline cannot be seen without contrast: counted, they would make the network overshoot in the trunk to mend the mean.

    ``error`` and ``organs`` ``(B, 1, D, H, W)``; label 0 and organs of fewer than ``fewest`` such voxels in their crop are left out.
    """
    crops = organs.shape[0]
    offset = _LABELS * torch.arange(crops, device=organs.device).view(-1, 1, 1, 1, 1)
    index = (torch.where(_inside(organs), organs, 0).long() + offset).flatten()
    counts = torch.bincount(index, minlength=_LABELS * crops).view(crops, _LABELS)
    sums = (
        error.new_zeros(_LABELS * crops, dtype=torch.float32)
        .index_add(0, index, error.float().flatten())
        .view(crops, _LABELS)
    )
    known = counts >= fewest
    known[:, 0] = False
    squares = torch.where(known, sums / counts.clamp_min(1), 0.0).square()
    return (squares.sum(dim=1) / known.sum(dim=1).clamp_min(1)).mean()


def _inside(organs: Tensor) -> Tensor:
    """Where the largest and the smallest label of the 3 × 3 voxels around are the same; beyond the crop nothing is known to differ."""
    labels = organs.float()

    def largest(values: Tensor) -> Tensor:
        return F.max_pool3d(values, (1, 3, 3), stride=1, padding=(0, 1, 1))

    return largest(labels) == -largest(-labels)


def _per_channel(x: Tensor) -> Tensor:
    return x[None, :, None, None, None]


def _run(
    function: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor], *, tile: Triple | None, **grid: object
) -> tuple[Tensor, ...]:
    if tile is not None:
        return tiled(function, inputs, tile=tile, **grid)  # type: ignore[arg-type]
    result = function(*inputs)
    on_tile = grid.get("on_tile")
    if callable(on_tile):
        on_tile(1.0)
    return result
