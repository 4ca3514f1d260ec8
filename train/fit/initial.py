"""Where a run's weights come from when it does not start at random: a model package of the same network, or of one with fewer blocks."""

from typing import Any

from s2ldm_core.package import ModelPackage
from s2ldm_core.systems import System
from s2ldm_core.systems.ensemble import Ensemble
from train.errors import TrainError
from train.fit.ancestry import entry
from train.growth import grown


def start_from(system: System, *, name: str, init: str) -> dict[str, Any]:
    """Load the weights of package ``init`` into ``system`` (called ``name``); returns what the run's record says of it.

    Of an ensemble's package that member gives its weights that counts most among those of the run's system. A package whose network has
    fewer residual blocks and is otherwise alike will do: the others start as the identity.

    Raises
    ------
    PackageError
        There is no such package, or it is damaged.
    TrainError
        ``init_differs``.
    """
    package = ModelPackage.load(init)
    meta = package.metadata
    built = _part(package.build(), name)
    if built.name != name or built.config.phases != system.config.phases:
        raise TrainError(
            "init_differs",
            f"The package {init} is of the system {meta.system} for {', '.join(meta.phases)}; the run is of {name} for "
            f"{', '.join(system.config.phases)}.",
            "Start from a package of the same system and phases, in the same order.",
        )
    try:
        system.load_shipped(grown(built.shipped(), system))
    except RuntimeError as error:
        raise TrainError(
            "init_differs",
            f"The package {init} belongs to another network than the configuration's.",
            "Take the keys under network from its network.yaml.",
        ) from error
    return entry(meta)


def _part(system: System, name: str) -> System:
    """``system``, or of an ensemble the member called ``name`` that counts most."""
    if system.name == name or not isinstance(system, Ensemble):
        return system
    members = [
        (one.share, member)
        for one, member in zip(system.config.members, system.members, strict=True)
        if member.name == name
    ]
    return max(members, key=lambda pair: pair[0])[1] if members else system
