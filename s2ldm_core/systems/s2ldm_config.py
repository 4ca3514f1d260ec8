"""Configuration of S2LDM: every reading and every deviation from the paper is a key here."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from s2ldm_core.diffusion import Process
from s2ldm_core.frequency import Mode as FrequencyMode
from s2ldm_core.similarity import Axis
from s2ldm_core.systems.base import SystemConfig
from s2ldm_core.systems.change_loss import ChangeLossConfig


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AutoencoderConfig(_Part):
    """Stage 1 networks; channel pairs are (stem grid, latent grid)."""

    kind: Literal["vq", "kl", "plain"] = "vq"
    channels: tuple[int, int] = (32, 64)
    blocks: tuple[int, int] = (1, 2)
    latent: int = Field(16, ge=1)
    source_conditioned: bool = True
    """``D(z; x_n) = x_n + head(…)``; false: the paper's decoder, which sees the latent alone."""
    difference: bool = False
    """``x_n + D(z_c) − D(z_n)``, for a decoder that sees the latent alone: the anatomy that it cannot draw cancels."""
    codes: int = Field(8192, ge=2)
    cosine: bool = False
    """Compare directions of latents and codes only (L2-normalised codebook)."""
    detail_window: tuple[float, float] | None = (-0.6, -0.03)
    """A second, narrower input window, in units of the first: -60 to 140 HU for [-200, 500]; null: none."""


class SimilarityConfig(_Part):
    """L_sim, eq. 1."""

    axis: Axis = "channel"
    on: Literal["pre_vq", "post_vq"] = "pre_vq"
    gamma: float = 1.0
    clamp: float = Field(1e-4, gt=0)
    l2_weight: float = 0.0
    """Weight of ‖E_n − E_c‖² beside the cosine, which aligns directions only."""


class MaskConfig(_Part):
    """S, eq. 3."""

    enabled: bool = True
    alpha: float = 2.0


class FrequencyConfig(_Part):
    """x_F. ``gain`` is the enhancement's gain, or the weight of the gradient loss in mode ``loss``."""

    mode: FrequencyMode = "loss"
    gain: float = 0.3
    sigma: float = 1.0
    """Pixels, in-plane."""
    anneal: float = 0.3


class LossConfig(ChangeLossConfig):
    """λ of eq. 2, and the weights of the last stage."""

    rec: float = 1.0
    """Weight of the error of the image in eq. 2."""
    segmentation: float = Field(0.0, ge=0)
    """Last stage: weight of telling the tissues (`s2ldm_core.tissue_groups`) by a head of the decoder's features that is not shipped."""
    features: float = Field(0.0, ge=0)
    """Last stage: weight of the distance to the target in the features of a network that names tissues, which the stage ``tissues`` trains
    before; it is not shipped."""
    quant: float = 1.0
    sim: float = 0.1
    adv: float = 0.0
    """Patch adversarial; needs the training package's discriminator."""
    adv_start: float = Field(0.25, ge=0, le=1)
    """Training progress of the stage at which the adversarial term starts."""
    kl: float = 1e-6
    decode_source: float = 0.0
    """Weight of decoding Q(E_n) against x_F as well."""
    finetune_flow: float = 0.01
    """Weight of eq. 4 during end-to-end fine-tuning, for sampling from noise."""
    finetune_flow_share: float = Field(0.25, ge=0, le=1)
    """In which share of the steps eq. 4 is computed then."""


class TissuesConfig(_Part):
    """The network of the stage ``tissues``."""

    channels: tuple[int, ...] = Field((16, 32, 48), min_length=1)
    source_share: float = Field(0.25, ge=0, le=1)
    """Share of the crops of which it sees the source; of the others it sees the target."""


class DiffusionConfig(_Part):
    """Stage 2; see `s2ldm_core.diffusion.Process`."""

    mode: Literal["concat", "bridge", "literal"] = "concat"
    schedule: Literal["flow", "ddpm"] = "flow"
    target: Literal["velocity", "epsilon", "x0"] = "velocity"
    t_start: float = Field(0.5, gt=0, le=1)
    bridge_sigma: float = Field(0.1, ge=0)
    channels: tuple[int, ...] = (64, 96, 128)
    blocks: int = Field(1, ge=1)
    residual: bool = True
    """Predict relative to z_n (velocity and x0 targets of the concat reading): an untrained denoiser then answers "no change"."""
    deterministic_share: float = Field(0.5, ge=0, le=1)
    """Share of the training pairs of stage 2 that see the deterministic start (ε = 0, t = 1) instead of noise at a random t."""
    steps: int = Field(1, ge=1)
    """Sampling steps at translation. 1: the deterministic step (ε = 0) that the last stage fine-tunes."""

    def process(self) -> Process:
        return Process(
            mode=self.mode,
            schedule=self.schedule,
            target=self.target,
            t_start=self.t_start,
            bridge_sigma=self.bridge_sigma,
        )


class S2LDMConfig(SystemConfig):
    """Everything that defines an S2LDM; defaults are ours, the paper's are in ``config/train``."""

    autoencoder: AutoencoderConfig = AutoencoderConfig()
    similarity: SimilarityConfig = SimilarityConfig()
    mask: MaskConfig = MaskConfig()
    frequency: FrequencyConfig = FrequencyConfig()
    loss: LossConfig = LossConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    tissues: TissuesConfig = TissuesConfig()
    syncretic: bool = True
    """Encode NCCT and CECT with the shared weights in stage 1; false: stage 1 sees CECT only (ablation a)."""
    stages: tuple[Literal["autoencoder", "diffusion", "tissues", "finetune"], ...] = (
        "autoencoder",
        "diffusion",
        "finetune",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.diffusion.process()  # raises on a reading that cannot run
        if not self.syncretic and self.autoencoder.source_conditioned:
            raise ValueError(
                "a source-conditioned decoder needs the source's encoder: set syncretic or unset source_conditioned"
            )
        if self.autoencoder.difference and (
            self.autoencoder.source_conditioned or not self.syncretic or self.loss.decode_source
        ):
            raise ValueError("difference decoding needs syncretic true, source_conditioned false and decode_source 0")
        self._names_tissues()
        if "finetune" in self.stages and self.diffusion.target == "epsilon":
            raise ValueError(
                "the deterministic step cannot be fine-tuned with an ε-prediction: use target velocity or x0"
            )
        return self

    def _names_tissues(self) -> None:
        wanted, known = bool(self.loss.features), "tissues" in self.stages
        if wanted != known or (known and "finetune" not in self.stages[self.stages.index("tissues") :]):
            raise ValueError("loss.features and a stage tissues before finetune belong together: set both or neither")
        if wanted and len(self.tissues.channels) > len(self.diffusion.channels) + 1:
            raise ValueError("tissues.channels may have one level more than diffusion.channels: crops fit that grid")
