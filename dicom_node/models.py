"""What the node must know about a route's model without loading it: the node's own process does without PyTorch."""

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from s2ldm_core.errors import PackageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Name, version, phases and needs of a model package, from its ``metadata.json``."""

    path: Path
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
        ``PACKAGE_NOT_FOUND`` or ``PACKAGE_INVALID``.
    """
    folder = _folder(model)
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        return ModelFacts(
            path=folder,
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            phases=tuple(map(str, metadata["phases"])),
            min_slices=int(metadata.get("min_slices", 0)),
            weights_sha256=str(metadata["weights_sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageError(
            "PACKAGE_INVALID",
            f"The metadata of the model package {model!r} cannot be read.",
            "Install the package again.",
        ) from error


def model_identity(model: str) -> str:
    """Identity of a model for the catalog.

    While the package is missing its bare name, so that jobs can still be opened, and then say why they fail.
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


def _folder(model: str) -> Path:
    if _NAME.fullmatch(model):
        bundled = Path(str(resources.files("s2ldm_core"))) / "packages" / model
        if (bundled / "metadata.json").is_file():
            return bundled
    if (Path(model) / "metadata.json").is_file():
        return Path(model)
    raise PackageError(
        "PACKAGE_NOT_FOUND",
        f"There is no model package {model!r}.",
        "Name a folder, or one of the packages in: s2ldm-node models list",
    )
