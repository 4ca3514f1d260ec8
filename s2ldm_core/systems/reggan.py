"""RegGAN in 3-D (Kong et al. 2021): a generator held to targets that lie elsewhere, by a registration network that learns with it.

A wrapper around any system that answers in one step and can be trained through its answer: that system is named, its networks are the
generator and ship, its own losses and discriminators are not used. As in the paper the generator is CycleGAN's ResNet unless another is
named, and the mode is its default "NC+R": no cycle, with registration. The discriminator sees the image before it is moved, and not the
source beside it, since source and target need not lie alike. Weights 1, 20 and 10 and the rate in the training file are the paper's; ours
are 3-D, the bound on the displacement, the anchor (below), and that voxels are left out that the target does not show or that come from
outside the crop.

Judge such a system by the image before it is moved, on registered pairs: the registration is not there when it translates.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from s2ldm_core.errors import S2LDMError
from s2ldm_core.networks.registration import Largest, RegistrationNetwork
from s2ldm_core.networks.warp import inside, roughness, warped
from s2ldm_core.systems.adversarial import BETAS, Criterion, DiscriminatorConfig, deceives, judged, told_apart
from s2ldm_core.systems.base import AT_ONCE, How, Player, Stage, System, SystemConfig, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import L1, voxel_error
from s2ldm_core.systems.image_generator import RESNET
from s2ldm_core.systems.registry import build_system, system_class

Judge = Callable[[Tensor, Tensor], Tensor]
"""Image ``(B, 1, D, H, W)`` and phase ``(B,)`` → logits of its patches."""


class WrappedConfig(BaseModel):
    """The system whose networks are the generator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = "pix2pix"
    network: dict[str, Any] = {"generator": RESNET.model_dump(mode="json")}
    """Its configuration, but for the phases."""

    @field_validator("system")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return system_class(name).name
        except S2LDMError as error:
            raise ValueError(f"{error.sentence} {error.remedy}") from error

    @field_validator("network")
    @classmethod
    def _without_phases(cls, network: dict[str, Any]) -> dict[str, Any]:
        if "phases" in network:
            raise ValueError("the phases are named once, for the whole system")
        return network

    def build(self, phases: tuple[str, ...]) -> System:
        """The system without what only its own training needs; ``ValueError`` when it samples in several steps."""
        system = build_system(self.system, {**self.network, "phases": phases})
        if system.traits.steps != 1:
            raise ValueError(f"the generator {self.system} answers in {system.traits.steps} steps, not in one")
        system.strip()
        return system


class RegistrationConfig(BaseModel):
    """Size of the registration network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[int, ...] = Field((16, 32, 32, 32), min_length=1)
    in_plane: int = Field(2, ge=0)
    largest: Largest = (6.0, 8.0, 8.0)
    """Voxels (slices, rows, columns) by which an image may be moved at most: 18, 12 and 12 mm at 3 × 1.5 × 1.5 mm."""


class RegGANConfig(SystemConfig):
    """Generator, registration, discriminator and the weights of their losses."""

    generator: WrappedConfig = WrappedConfig()
    registration: RegistrationConfig = RegistrationConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    criterion: Criterion = "lsgan"
    adversarial: float = Field(1.0, ge=0)
    correction: float = Field(20.0, ge=0)
    """Weight of the L1 between the moved image and the target."""
    anchor: float = Field(2.0, ge=0)
    """Weight of the L1 between the image before it is moved and the target; 0 in the paper. Without it nothing says where an image lies:
    the generator may draw it elsewhere and the registration bring it back."""
    smooth: float = Field(10.0, ge=0)
    """Weight of the displacement's mean squared difference from voxel to voxel."""


class RegGAN(System):
    """One stage, ``registered``, on pairs that need not be registered."""

    name = "reggan"
    Config: ClassVar[type[SystemConfig]] = RegGANConfig
    training_only: ClassVar[tuple[str, ...]] = ("registration", "discriminator")
    stages: tuple[Stage, ...] = (Stage(name="registered"),)
    config: RegGANConfig

    def __init__(self, config: RegGANConfig) -> None:
        super().__init__(config)
        self.generator = config.generator.build(config.phases)
        self.traits = self.generator.traits
        self.registration = RegistrationNetwork(**config.registration.model_dump())
        self.discriminator = config.discriminator.of_phases(len(config.phases))

    def players(self, stage: str) -> tuple[Player, ...]:
        """Generator and registration share a loss, and so a turn."""
        made = (*self.generator.parameters(), *self.registration.parameters())
        return (
            Player(name="generator", parameters=made, betas=BETAS, weight_decay=0.0),
            Player(name="discriminator", parameters=self.discriminator.parameters(), betas=BETAS, weight_decay=0.0),
        )

    def judges(self, stage: str) -> tuple[tuple[float, Judge], ...]:
        """Who judges images in ``stage``, and with what weight."""
        return ((1.0, self.discriminator),)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        cfg, phase = self.config, batch.condition.phase
        if player == "discriminator":
            image = turn.kept["image"]
            return _sum(
                weight * told_apart(cfg.criterion, real=judge(batch.target, phase), fake=judge(image, phase))
                for weight, judge in self.judges(stage)
            ), {}
        image = batch.source + self.generator.predict_change(batch.source, batch.condition, AT_ONCE)
        displacement = self.registration(image, batch.target)
        seen = judged(image, batch)
        turn.kept["image"] = seen.detach()
        where = inside(displacement)
        terms = self.held(
            stage,
            warped(image, displacement),
            batch,
            where=where if batch.valid is None else where & batch.valid,
            turn=turn,
        )
        terms |= {
            "anchor": (cfg.anchor, l1(image, batch, where=batch.valid)),
            "smooth": (cfg.smooth, roughness(displacement)),
            "adversarial": (
                cfg.adversarial,
                _sum(weight * deceives(cfg.criterion, judge(seen, phase)) for weight, judge in self.judges(stage)),
            ),
        }
        parts = {name: value for name, (_, value) in terms.items()}
        parts["moved_voxels"] = displacement.detach().abs().mean()
        return _sum(weight * value for weight, value in terms.values()), parts

    def held(
        self, stage: str, moved: Tensor, batch: Batch, *, where: Tensor, turn: Turn
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of what the ``moved`` image is held to, in voxels ``where`` it and the target both show the patient."""
        return {"correction": (self.config.correction, l1(moved, batch, where=where))}

    def predict_change(self, source: Tensor, condition: Condition, how: How = AT_ONCE) -> Tensor:
        return self.generator.predict_change(source, condition, how)


def l1(image: Tensor, batch: Batch, *, where: Tensor | None) -> Tensor:
    return voxel_error(image, batch.target, change=batch.change, valid=where, loss=L1)


def _sum(values: Iterable[Tensor]) -> Tensor:
    total, *others = values
    for value in others:
        total = total + value
    return total
