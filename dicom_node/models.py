"""What the node must know about a route's model without loading it."""

from dataclasses import dataclass

from s2ldm_core.errors import PackageError


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Name, version, phases and needs of a model package."""

    name: str
    version: str
    phases: tuple[str, ...]
    min_slices: int
    weights_sha256: str

    @property
    def identity(self) -> str:
        """What makes its output another one: name, version, and the weights themselves."""
        return f"{self.name} {self.version} {self.weights_sha256[:12]}"


def model_facts(model: str) -> ModelFacts:
    """Facts about a bundled package (by name) or a package folder (by path).

    Raises
    ------
    PackageError
        The package is missing or invalid.
    """
    # Imported here: packages bring torch along, which most commands of the node do without.
    from s2ldm_core.package import ModelPackage

    metadata = ModelPackage.load(model).metadata
    return ModelFacts(
        name=metadata.name,
        version=metadata.version,
        phases=tuple(metadata.phases),
        min_slices=metadata.min_slices,
        weights_sha256=metadata.weights_sha256,
    )


def model_identity(model: str) -> str:
    """Identity of a model for the catalog; its bare name while the package is missing, so that its jobs can still be
    opened, and then say why they fail.
    """
    try:
        return model_facts(model).identity
    except PackageError:
        return model


def model_min_slices(model: str) -> int:
    """Fewest slices that a model translates; 0 while the package is missing."""
    try:
        return model_facts(model).min_slices
    except PackageError:
        return 0
