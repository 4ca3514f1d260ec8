"""What the catalog must know about a route's model, whether its package is there or not."""

from dicom_node.config import Settings
from dicom_node.errors import ConfigError
from s2ldm_core.errors import PackageError
from s2ldm_core.package import ModelPackage


def model_identity(model: str) -> str:
    """Identity of a model for the catalog.

    While the package is missing its bare name, so that jobs can still be opened, and then say why they fail.
    """
    try:
        return ModelPackage.load(model).identity
    except PackageError:
        return model


def model_min_slices(model: str) -> int:
    """Fewest slices that a model translates; 0 while the package is missing."""
    try:
        return ModelPackage.load(model).metadata.min_slices
    except PackageError:
        return 0


def check_models(settings: Settings) -> None:
    """Raise where a route asks a model for what it does not have: none of its series could be translated.

    A package that is missing may come later, and its jobs say so until then.

    Raises
    ------
    ConfigError
        ``phase_unknown`` or ``uncertainty_unknown``.
    """
    for title, route in settings.routes.items():
        try:
            metadata = ModelPackage.load(route.model).metadata
        except PackageError:
            continue
        if not metadata.offers(route.phase):
            raise ConfigError(
                "phase_unknown",
                f"routes.{title} asks the model {route.model} for the phase {route.phase}; it knows {metadata.offered}.",
                "Change the route's phase or model.",
            )
        if route.uncertainty and metadata.calibration is None:
            raise ConfigError(
                "uncertainty_unknown",
                f"routes.{title} asks the model {route.model} for the uncertainty of its answers, which it does not know.",
                "Set the route's uncertainty to false, or give it a model with a calibration.",
            )
