"""Where a run's weights come from when it does not start at random: a model package of the same network, or of one with fewer blocks."""

from typing import Any

from s2ldm_core.package import ModelPackage
from s2ldm_core.systems import System
from train.errors import TrainError
from train.growth import grown


def start_from(system: System, *, name: str, init: str) -> dict[str, Any]:
    """Load the weights of package ``init`` into ``system`` (called ``name``); returns what the run's record says of it.

    A package whose network has fewer residual blocks and is otherwise alike will do: the others start as the identity.

    Raises
    ------
    PackageError
        There is no such package, or it is damaged.
    TrainError
        ``init_differs``.
    """
    package = ModelPackage.load(init)
    meta = package.metadata
    built = package.build()
    if meta.system != name or built.config.phases != system.config.phases:
        raise TrainError(
            "init_differs",
            f"The package {init} is a {meta.system} for {', '.join(meta.phases)}, the run a {name} for {', '.join(system.config.phases)}.",
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
    return {
        "name": meta.name,
        "version": meta.version,
        "weights_sha256": meta.weights_sha256,
        "training_data": meta.training_data,
    }
