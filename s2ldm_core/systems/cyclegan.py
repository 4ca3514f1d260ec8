"""CycleGAN in 3-D (Zhu et al. 2017): native and contrast-enhanced scans of different patients, tied by the way there and back.

The paper's: least squares, cycle 10, identity 5, a pool of 50 images, the discriminators' loss halved, and the schedule (half constant,
half linear; in the training file). Ours: 3-D networks that reduce the plane before the slices; one model for all phases, in which the
generators know the phase and the discriminator of enhanced images has a head for each; a generator draws the change and starts with none,
where the paper's draws the image through a tanh (``generator.draws: image``) and cannot leave the window.

Nothing ties the amount of enhancement to the patient: it is what is common at that level of the body.
"""

from pydantic import Field
from torch import Tensor

from s2ldm_core.systems.adversarial import BETAS, Criterion, DiscriminatorConfig, deceives, told_apart
from s2ldm_core.systems.base import How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import L1, voxel_error
from s2ldm_core.systems.image_generator import RESNET, Generator, GeneratorConfig
from s2ldm_core.systems.image_pool import ImagePool


class CycleGANConfig(SystemConfig):
    """Networks, loss and weights."""

    generator: GeneratorConfig = RESNET
    """Of both directions."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    criterion: Criterion = "lsgan"
    cycle: float = Field(10.0, ge=0)
    """Weight of the L1 between an image and what comes back of it, in both directions, beside the adversarial terms' 1."""
    identity: float = Field(0.5, ge=0)
    """Times ``cycle``: weight of the L1 between an image and what the generator of its own kind makes of it."""
    pool: int = Field(50, ge=0)
    """Generated images of either kind that the discriminators may see again."""


class CycleGAN(System):
    """One stage, ``cycle``, on unpaired images; ``to_contrast`` alone ships."""

    name = "cyclegan"
    Config = CycleGANConfig
    training_only = ("to_native", "contrast_judge", "native_judge", "contrast_pool", "native_pool")
    stages = (Stage(name="cycle", data="unpaired"),)
    config: CycleGANConfig

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__(config)
        phases = len(config.phases)
        self.to_contrast = Generator(config.generator, phases=phases)
        self.traits = Traits(multiple_of=self.to_contrast.multiple_of, tiling="blend")
        self.to_native = Generator(config.generator, phases=phases)
        self.contrast_judge = config.discriminator.of_phases(phases)
        self.native_judge = config.discriminator.plain()
        self.contrast_pool, self.native_pool = ImagePool(config.pool), ImagePool(config.pool)

    def players(self, stage: str) -> tuple[Player, ...]:
        sides = {
            "generators": (self.to_contrast, self.to_native),
            "discriminators": (self.contrast_judge, self.native_judge),
        }
        return tuple(
            Player(name=name, parameters=(p for one in side for p in one.parameters()), betas=BETAS, weight_decay=0.0)
            for name, side in sides.items()
        )

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        if player == "discriminators":
            return self._judges_loss(batch, turn)
        native, contrast, phase = batch.source, batch.target, batch.condition.phase
        made_contrast, made_native = self._contrast(native, phase), self._native(contrast, phase)
        turn.kept |= {"contrast": made_contrast.detach(), "native": made_native.detach()}
        adversarial = deceives(self.config.criterion, self.contrast_judge(made_contrast, phase)) + deceives(
            self.config.criterion, self.native_judge(made_native)
        )
        parts = {
            "adversarial": adversarial,
            "cycle": _distance(self._native(made_contrast, phase), native, None)
            + _distance(self._contrast(made_native, phase), contrast, batch.valid),
        }
        loss = adversarial + self.config.cycle * parts["cycle"]
        if self.config.identity:
            parts["identity"] = _distance(self._contrast(contrast, phase), contrast, batch.valid) + _distance(
                self._native(native, phase), native, None
            )
            loss = loss + self.config.cycle * self.config.identity * parts["identity"]
        return loss, parts

    def change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        return self.to_contrast(source, condition.phase)

    def _judges_loss(self, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        criterion, phase = self.config.criterion, batch.condition.phase
        contrast, shown = self.contrast_pool.exchange(turn.kept["contrast"], phase, turn.generator)
        native, _ = self.native_pool.exchange(turn.kept["native"], phase, turn.generator)
        parts = {
            "contrast": told_apart(
                criterion,
                real=self.contrast_judge(batch.target, phase),
                fake=self.contrast_judge(contrast, shown),
                measured=batch.valid,
            ),
            "native": told_apart(criterion, real=self.native_judge(batch.source), fake=self.native_judge(native)),
        }
        return parts["contrast"] + parts["native"], parts

    def _contrast(self, image: Tensor, phase: Tensor) -> Tensor:
        return image + self.to_contrast(image, phase)

    def _native(self, image: Tensor, phase: Tensor) -> Tensor:
        """``phase``: of ``image``, or of what it was made from."""
        return image + self.to_native(image, phase)


def _distance(image: Tensor, wanted: Tensor, measured: Tensor | None) -> Tensor:
    return voxel_error(image, wanted, change=wanted, valid=measured, loss=L1)
