"""What the catalog must know about a route's model, whether its package is there or not."""

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
