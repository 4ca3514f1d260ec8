"""Configuration of ALDM: the paper's five losses of stage 1, those of MS-SPADE, and the diffusion."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from s2ldm_core.networks.spade import Norm
from s2ldm_core.noise_schedule import Target
from s2ldm_core.systems.base import SystemConfig
from s2ldm_core.systems.change_loss import ChangeLossConfig


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AutoencoderConfig(_Part):
    """The VQ-GAN."""

    channels: tuple[int, int] = (64, 128)
    blocks: tuple[int, int] = (1, 1)
    latent: int = Field(4, ge=1)
    codes: int = Field(8192, ge=2)
    cosine: bool = False
    decay: float = Field(0.99, ge=0, lt=1)
    """Of the codes' moving averages, a step."""
    detail_window: tuple[float, float] | None = (-0.6, -0.03)
    discriminator_channels: int = 32
    discriminator_layers: int = Field(2, ge=1)
    difference: bool = True
    """The change is D(z_c) − D(z_n), so that what the autoencoder loses is lost on both sides; ``False``, the paper: D(z_c) − x_n."""


class SpadeConfig(_Part):
    """MS-SPADE; paper: 128, 256, 128 channels, hidden 64, instance norm."""

    channels: tuple[int, ...] = (128, 256, 128)
    hidden: int = 64
    norm: Norm = "voxel"


class DiffusionConfig(_Part):
    """The latent diffusion; paper: 128 × (1, 1, 2) channels with attention."""

    channels: tuple[int, ...] = (64, 96, 128)
    blocks: int = 1
    target: Target = "epsilon"
    """The paper's; ``x0`` needs fewer steps, in training and in sampling."""
    steps: int = Field(200, ge=2)
    """DDIM."""
    eta: float = Field(0.0, ge=0, le=1)
    """The released code's pictures in training: 1."""


class LossConfig(_Part):
    """Weights. The first five are those of the paper's stage 1."""

    reconstruction: float = Field(1.0, ge=0)
    codebook: float = Field(1.0, ge=0)
    adversarial: float = Field(0.1, ge=0)
    perceptual: float = Field(0.1, ge=0)
    """Where ``perceptual_weights`` names a file."""
    cycle: float = Field(0.1, ge=0)
    """A decoded latent, encoded again, is that latent; the paper gives no formula."""
    spade_adversarial: float = Field(0.05, ge=0)
    """MS-SPADE's output passes for the target's phase with a judge of phases."""
    start: float = Field(0.25, ge=0, lt=1)
    """Progress of a stage from which its judge plays."""

    def released(self) -> Self:
        """As the released configuration (``disc_factor`` 0, ``codebook_weight`` 0, no perceptual network in use)."""
        off = ("codebook", "adversarial", "perceptual", "cycle", "spade_adversarial")
        return self.model_copy(update=dict.fromkeys(off, 0.0))


class ALDMConfig(SystemConfig):
    """``released: true`` is what the authors' repository trains and not what their paper describes: L1 alone in both stages, latents
    as they are (scale 1.0)."""

    autoencoder: AutoencoderConfig = AutoencoderConfig()
    spade: SpadeConfig = SpadeConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    loss: LossConfig = LossConfig()
    voxels: ChangeLossConfig = ChangeLossConfig()
    """How the reconstruction's voxels are weighed; default: L1."""
    perceptual_weights: Path | None = None
    """Safetensors file of VGG-16 with torchvision's names; ``None``: no perceptual loss. Nothing is downloaded."""
    released: bool = False
    answer: Literal["diffusion", "spade"] = "diffusion"
    """``spade``: MS-SPADE's latent is the answer, in one step; the diffusion need not be trained long."""

    @model_validator(mode="after")
    def _voxels_alone(self) -> Self:
        if self.voxels.organ_bias or self.voxels.further:
            raise ValueError("voxels weighs voxels: this system has no organ_bias and no further losses")
        return self

    @property
    def weights(self) -> LossConfig:
        return self.loss.released() if self.released else self.loss
