"""Networks of S2LDM and what translation does with them: encode, denoise, decode."""

import torch
from torch import Tensor

from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder, Features
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.networks.quantiser import VectorQuantiser
from s2ldm_core.systems.base import How, Traits
from s2ldm_core.systems.batch import Condition
from s2ldm_core.systems.latent_grid import decoded, decoded_difference, through_core
from s2ldm_core.systems.latent_system import LatentSystem
from s2ldm_core.systems.s2ldm_config import S2LDMConfig


class S2LDMNetworks(LatentSystem):
    """All tensors in window units, axis order (slices, rows, columns)."""

    config: S2LDMConfig

    def __init__(self, config: S2LDMConfig) -> None:
        ae = config.autoencoder
        super().__init__(config, latent=ae.latent)
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
        z, y, x = (f * s for f, s in zip(FACTOR, self.denoiser.stride, strict=True))
        self.traits = Traits(
            multiple_of=(z, y, x),
            tiling="exact",
            samples=True,
            steps=config.diffusion.steps,
            redraws=not (ae.source_conditioned or ae.difference),
        )

    def translated(self, z_n: Tensor, condition: Condition, how: How) -> Tensor:
        """One step starts from ε = 0 (deterministic); more start from noise of ``how.generator``. S is all ones."""
        steps = self.traits.steps if how.steps is None else how.steps
        noise = torch.zeros_like(z_n) if steps == 1 else torch.randn(z_n.shape, generator=how.generator).to(z_n.device)
        done = 0

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            nonlocal done
            done += 1
            return through_core(
                self.denoiser,
                lambda a, b: self.denoise(a, t, b, condition.phase),
                [x_t, z_n],
                how=how,
                step=f"step {done}",
            )

        return self.process.sample(predict, z_n=z_n, noise=noise, steps=steps)

    def latent_and_features(self, x: Tensor) -> tuple[Tensor, Features]:
        z, _, features = self.encode(x)
        return z, features

    def change_of(self, z_c: Tensor, z_n: Tensor, features: Features, x: Tensor, how: How) -> Tensor:
        if self.config.autoencoder.difference:
            return decoded_difference(self.decoder, self.codes(z_c), self.codes(z_n), how=how)
        out = decoded(self.decoder, self.codes(z_c), features, how=how)
        return out if self.decoder.source_conditioned else out - x

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
        return (self.normalise(z) if normalise else z), moments, features

    def quantise(self, z: Tensor, *, update: bool) -> tuple[Tensor, Tensor]:
        if self.quantiser is None:
            return z, z.new_zeros(())
        quantised = self.quantiser(z, update=update)
        return quantised.latent, quantised.loss

    def codes(self, z: Tensor) -> Tensor:
        """Normalised latent → what the decoder takes."""
        return self.quantise(self.denormalise(z), update=False)[0]

    def decode(self, z: Tensor, z_n: Tensor | None, features: Features | None, source: Tensor) -> Tensor:
        """Latent → CECT image in window units (fp32). ``z_n``: the NCCT's latent, which decoding by difference subtracts."""
        if self.config.autoencoder.difference:
            if z_n is None:
                raise ValueError("decoding by difference needs the NCCT's latent")
            drawn, own = self.decoder(torch.cat([z, z_n])).float().chunk(2)
            return source + drawn - own
        out = self.decoder(z, features).float()
        return source + out if self.decoder.source_conditioned else out

    def denoise(self, x: Tensor, t: Tensor, z_n: Tensor, phase: Tensor) -> Tensor:
        out = self.denoiser(torch.cat([x, z_n], dim=1) if self.process.conditioned else x, t=t, phase=phase)
        diffusion = self.config.diffusion
        if not diffusion.residual or self.process.mode != "concat" or diffusion.target == "epsilon":
            return out
        if diffusion.target == "x0":
            return z_n + out
        # v = ε − z_c (flow) or a ε − b z_c (ddpm): z_n stands in for z_c.
        return out - (z_n if diffusion.schedule == "flow" else self.process.coefficients(t)[1] * z_n)
