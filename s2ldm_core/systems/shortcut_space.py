"""What a shortcut noises and denoises: voxels, or the latents of the prior's autoencoder."""

from abc import ABC, abstractmethod
from types import EllipsisType
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from s2ldm_core.networks.autoencoder import FACTOR, Features
from s2ldm_core.networks.blocks import Triple
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.networks.folded import FoldedDenoiser
from s2ldm_core.noise_schedule import Target
from s2ldm_core.systems.base import How, System
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.folded_grid import denoised
from s2ldm_core.systems.latent_grid import through_core
from s2ldm_core.systems.latent_system import LatentSystem
from s2ldm_core.tiling import pad_to_multiple

_STEP = "paths"

Seen = TypeVar("Seen")
Undo = tuple[EllipsisType, slice, slice, slice]


class Space(ABC, Generic[Seen]):
    """x_0 is what is denoised, ``Seen`` what the denoiser is shown of the source beside it."""

    multiple_of: Triple
    """Of sizes of a source."""
    cached: str | None = None
    """Key of the prior's map that training may have computed once a case."""

    @abstractmethod
    def learnt(self, batch: Batch) -> tuple[Seen, Tensor, Tensor | None]:
        """The true x_0 of a batch of pairs, and where it was measured."""

    @abstractmethod
    def begun(self, source: Tensor, condition: Condition, how: How) -> tuple[Seen, Tensor, Undo]:
        """The prior's x_0, and the index that undoes the padding of what `change` gives."""

    @abstractmethod
    def denoised(self, seen: Seen, x: Tensor, *, t: Tensor, phase: Tensor, how: How) -> Tensor:
        """The denoiser's prediction at ``x``."""

    @abstractmethod
    def change(self, x_0: Tensor, seen: Seen, how: How) -> Tensor:
        """Change in window units."""


class VoxelSpace(Space[Tensor]):
    """Changes, 1 being ``scale`` window units, or with ``scale`` ``None`` images; the source is seen as it is."""

    def __init__(self, prior: System, denoiser: FoldedDenoiser, *, scale: float | None) -> None:
        self._prior, self._denoiser, self._scale = prior, denoiser, scale
        self.multiple_of = denoiser.multiple_of

    def learnt(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        x_0 = batch.target if self._scale is None else batch.change / self._scale
        return batch.source, x_0, batch.valid

    def begun(self, source: Tensor, condition: Condition, how: How) -> tuple[Tensor, Tensor, Undo]:
        x_n, undo = pad_to_multiple(source, self.multiple_of)
        prior, _ = pad_to_multiple(self._prior.predict_change(source, condition, how), self.multiple_of)
        return x_n, x_n + prior if self._scale is None else prior / self._scale, (..., *undo)

    def denoised(self, seen: Tensor, x: Tensor, *, t: Tensor, phase: Tensor, how: How) -> Tensor:
        return denoised(self._denoiser, seen, x, t=t, phase=phase, how=how, step=_STEP)

    def change(self, x_0: Tensor, seen: Tensor, how: How) -> Tensor:
        return x_0 - seen if self._scale is None else x_0 * self._scale


class Latents(NamedTuple):
    """Of the source, and what it takes to decode beside them."""

    z_n: Tensor
    features: Features | None
    x: Tensor | None


class LatentSpace(Space[Latents]):
    """The target's latent in the autoencoder of the prior; the source's latent is seen. An untrained denoiser of x_0 gives the latter."""

    cached = "latent"

    def __init__(self, prior: LatentSystem, denoiser: Denoiser, *, target: Target) -> None:
        self._prior, self._denoiser, self._target = prior, denoiser, target
        z, y, x = (f * s for f, s in zip(FACTOR, denoiser.stride, strict=True))
        self.multiple_of = (z, y, x)

    def learnt(self, batch: Batch) -> tuple[Latents, Tensor, Tensor | None]:
        z_n, z_c = self._prior.latents(batch)
        return Latents(z_n, None, None), z_c, None

    def begun(self, source: Tensor, condition: Condition, how: How) -> tuple[Latents, Tensor, Undo]:
        x, undo = pad_to_multiple(source, self.multiple_of)
        z_n, features = self._prior.encoded(x, how)
        return Latents(z_n, features, x), self._prior.translated(z_n, condition, how), (..., *undo)

    def denoised(self, seen: Latents, x: Tensor, *, t: Tensor, phase: Tensor, how: How) -> Tensor:
        def core(z: Tensor, z_n: Tensor) -> Tensor:
            return self._denoiser(torch.cat([z, z_n], dim=1), t=t, phase=phase)

        out = through_core(self._denoiser, core, [x, seen.z_n], how=how, step=_STEP)
        return out if self._target == "epsilon" else seen.z_n + out

    def change(self, x_0: Tensor, seen: Latents, how: How) -> Tensor:
        if seen.features is None or seen.x is None:
            raise ValueError("a latent is decoded beside its source")
        return self._prior.change_of(x_0, seen.z_n, seen.features, seen.x, how)
