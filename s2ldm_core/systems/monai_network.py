"""Any network of MONAI that maps an image to an image, trained here or taken over from a MONAI Bundle.

`s2ldm_core.bundles` turns a bundle into a package of this system. Only classes that `monai.networks.nets` itself offers are built, by name
and plain arguments: nothing of a configuration is evaluated or imported.
"""

import inspect
from typing import Any, Literal

import torch
from pydantic import Field, JsonValue, field_validator, model_validator
from torch import Tensor, nn

from s2ldm_core.systems.base import AT_ONCE, How, Player, Stage, System, SystemConfig, Traits, Turn
from s2ldm_core.systems.batch import Batch, Condition
from s2ldm_core.systems.change_loss import ChangeLossConfig, voxel_error

_OURS = "SPL"
"""Where slices, rows and columns of our arrays lead: superior, posterior, left."""
_OPPOSITE = dict(zip("SIPALR", "ISAPRL", strict=True))
_L1 = ChangeLossConfig()


class MonaiNetworkConfig(SystemConfig):
    """Which network, and what it is given; one phase, which the network itself does not know."""

    phases: tuple[str, ...] = Field(("venous",), min_length=1, max_length=1)
    network: str = "BasicUNet"
    """Class in ``monai.networks.nets``."""
    arguments: dict[str, JsonValue] = Field(
        {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "features": [16, 16, 32, 64, 128, 16]}
    )
    answer: Literal["image", "change"] = "change"
    """What comes out: the contrast-enhanced image, or its difference from the source."""
    given: tuple[float, float] = (-1.0, 1.0)
    """What the ends of the HU window are to the network, in and out; MONAI's ``ScaleIntensityRanged`` often says 0 to 1."""
    orientation: str = _OURS
    """Axis codes of the network's array, such as RAS."""
    multiple_of: tuple[int, int, int] = (16, 16, 16)
    """What tiles must be multiples of, in the network's axis order."""

    @field_validator("orientation")
    @classmethod
    def _axes(cls, value: str) -> str:
        if len(value) != 3 or {frozenset((c, _OPPOSITE.get(c, ""))) for c in value} != {
            frozenset(pair) for pair in ("SI", "PA", "LR")
        }:
            raise ValueError("three axis codes such as RAS, one of each pair SI, PA, LR")
        return value

    @field_validator("given")
    @classmethod
    def _ends(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("the lower end first")
        return value

    @model_validator(mode="after")
    def _plain(self) -> "MonaiNetworkConfig":
        _network_class(self.network)
        if self.arguments.get("pretrained"):
            raise ValueError("pretrained would load weights from elsewhere")
        return self


class MonaiNetwork(System):
    """x_n → image or change; one stage, ``regression``, with L1."""

    name = "monai_network"
    Config = MonaiNetworkConfig
    stages = (Stage(name="regression"),)
    config: MonaiNetworkConfig

    def __init__(self, config: MonaiNetworkConfig) -> None:
        super().__init__(config)
        arguments: dict[str, Any] = dict(config.arguments)
        self.network = _network_class(config.network)(**arguments)
        ours = [next(i for i, c in enumerate(_OURS) if c in (code, _OPPOSITE[code])) for code in config.orientation]
        self._axes = tuple(2 + axis for axis in ours)
        self._flips = tuple(
            2 + place
            for place, (code, axis) in enumerate(zip(config.orientation, ours, strict=True))
            if code != _OURS[axis]
        )
        multiple = dict(zip(ours, config.multiple_of, strict=True))
        self.traits = Traits(multiple_of=(multiple[0], multiple[1], multiple[2]), tiling="blend")

    def players(self, stage: str) -> tuple[Player, ...]:
        return (Player(name="network", parameters=self.network.parameters()),)

    def loss(self, stage: str, player: str, batch: Batch, turn: Turn) -> tuple[Tensor, dict[str, Tensor]]:
        change = self.change(batch.source, batch.condition, AT_ONCE)
        error = voxel_error(change, batch.change, change=batch.change, valid=batch.valid, loss=_L1)
        return error, {"l1": error.detach()}

    def change(self, source: Tensor, condition: Condition, how: How) -> Tensor:
        low, high = self.config.given
        half = (high - low) / 2
        given = self._turned((source + 1) * half + low)
        found = self.network(given)
        # Some networks answer with several scales, the finest first.
        found = self._back(found[0] if isinstance(found, list | tuple) else found)
        if self.config.answer == "change":
            return found / half
        return (found - low) / half - 1 - source

    def _turned(self, image: Tensor) -> Tensor:
        """To the network's orientation."""
        return torch.flip(image.permute(0, 1, *self._axes), self._flips)

    def _back(self, image: Tensor) -> Tensor:
        axes = [2 + self._axes.index(2 + axis) for axis in range(3)]
        return torch.flip(image, self._flips).permute(0, 1, *axes)


def _network_class(name: str) -> type[nn.Module]:
    """MONAI's network of that name; ``ValueError`` when there is none. MONAI is imported here alone: that takes seconds."""
    from monai.networks import nets

    kind = getattr(nets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        raise ValueError(f"monai.networks.nets has no network called {name}")
    return kind
