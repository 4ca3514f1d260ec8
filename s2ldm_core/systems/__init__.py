"""Ways to translate, one file each, behind `s2ldm_core.systems.base.System`."""

from s2ldm_core.errors import PackageError
from s2ldm_core.systems.base import PairBatch, System, SystemConfig
from s2ldm_core.systems.s2ldm import S2LDM, S2LDMConfig
from s2ldm_core.systems.unet import ResidualUNet, ResidualUNetConfig

__all__ = ["S2LDM", "PairBatch", "ResidualUNet", "System", "SystemConfig", "build_system"]


def build_system(name: str, config: dict[str, object]) -> System:
    """The system called ``name`` from its network configuration (``network.yaml`` of a package, ``system`` of a training file)."""
    if name == "s2ldm":
        return S2LDM(S2LDMConfig.model_validate(config))
    if name == "unet":
        return ResidualUNet(ResidualUNetConfig.model_validate(config))
    raise PackageError(
        "unknown_system",
        f"There is no system called {name!r} in this version.",
        "Known systems: s2ldm, unet. A package made by a newer version needs that version.",
    )
