"""What systems that translate the latents of an autoencoder share: encode the source, find the target's latent, decode it."""

from abc import abstractmethod

import torch
from torch import Tensor

from s2ldm_core.networks.autoencoder import Encoder, Features
from s2ldm_core.systems.base import AT_ONCE, How, System, SystemConfig
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.latent_grid import encoded
from s2ldm_core.tiling import pad_to_multiple


class LatentSystem(System):
    """A system with an ``encoder`` for native and enhanced images. Latents ``(B, C, d, h, w)`` are normalised: mean 0 and standard
    deviation 1 in each channel once its stage 1 has ended. Tiles are exact."""

    encoder: Encoder
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: SystemConfig, *, latent: int) -> None:
        """``latent``: channels."""
        super().__init__(config)
        self.latent = latent
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_std", torch.ones(latent))

    @abstractmethod
    def latent_and_features(self, x: Tensor) -> tuple[Tensor, Features]:
        """Latent of images ``(B, 1, D, H, W)``, and what the encoder saw."""

    @abstractmethod
    def translated(self, z_n: Tensor, condition: Condition, how: How) -> Tensor:
        """The target's latent, from the source's."""

    @abstractmethod
    def change_of(self, z_c: Tensor, z_n: Tensor, features: Features, x: Tensor, how: How) -> Tensor:
        """Change ``(B, 1, D, H, W)`` that the target's latent stands for, beside the source ``x``, its latent and features."""

    def encoded(self, x: Tensor, how: How) -> tuple[Tensor, Features]:
        """`latent_and_features` of images that fit ``traits.multiple_of``, tile by tile."""
        return encoded(self.encoder, self.latent_and_features, x, how=how)

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        x, undo = pad_to_multiple(source, self.traits.multiple_of)
        z_n, features = self.encoded(x, how)
        return self.change_of(self.translated(z_n, condition, how), z_n, features, x, how)[(..., *undo)]

    def reconstruct_change(self, source: Tensor, target: Tensor, how: How = AT_ONCE) -> Tensor:
        """Change that the true target's latent stands for: the autoencoder's own ceiling."""
        x, undo = pad_to_multiple(source, self.traits.multiple_of)
        y, _ = pad_to_multiple(target, self.traits.multiple_of)
        z_n, features = self.encoded(x, how)
        z_c, _ = self.encoded(y, how)
        return self.change_of(z_c, z_n, features, x, how)[(..., *undo)]

    def cache(self, key: str, image: Tensor, how: How) -> Tensor:
        """The latent."""
        return self.encoded(image, how)[0]

    @torch.no_grad()
    def latents(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of source and target."""
        if batch.cached:
            return batch.cached["source"], batch.cached["target"]
        return self.latent_and_features(batch.source)[0], self.latent_and_features(batch.target)[0]

    def normalise(self, z: Tensor) -> Tensor:
        return (z - _per_channel(self.latent_mean)) / _per_channel(self.latent_std)

    def denormalise(self, z: Tensor) -> Tensor:
        return z * _per_channel(self.latent_std) + _per_channel(self.latent_mean)

    def fix_latents(self, latents: list[Tensor]) -> None:
        """Have latents normalised by the statistics of these, which are not."""
        flat = torch.cat([z.float().movedim(1, 0).flatten(1) for z in latents], dim=1)
        self.latent_mean.copy_(flat.mean(dim=1))
        self.latent_std.copy_(flat.std(dim=1).clamp_min(1e-3))


def _per_channel(x: Tensor) -> Tensor:
    return x[None, :, None, None, None]
