"""Model packages: a folder with metadata, network configuration and weights, the only thing that passes from training to the node.

``metadata.json``, ``network.yaml``, ``model.safetensors`` and a model card ``README.md``; nothing in a package can run code, and the
checksums of all of them are verified before anything is built. They show accidents and tampering with single files, not who made it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2ldm_core import contrast_dose
from s2ldm_core.calibration import Calibration
from s2ldm_core.documents import Document, mistakes, read_document
from s2ldm_core.errors import DocumentError, PackageError
from s2ldm_core.seconds import NAME, seconds_of
from s2ldm_core.times import Times

if TYPE_CHECKING:
    import torch

    from s2ldm_core.spread import SpreadNetwork
    from s2ldm_core.systems import System

METADATA, NETWORK, WEIGHTS, CARD = "metadata.json", "network.yaml", "model.safetensors", "README.md"
SPREAD = "spread.safetensors"
"""Weights of the network that tells the uncertainty, in packages that have one."""
BUNDLED = Path(__file__).parent / "packages"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_SHA256 = r"^[0-9a-f]{64}$"


class PackageMetadata(BaseModel):
    """Contents of ``metadata.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(1, ge=1, le=1)
    name: str = Field(pattern=_NAME.pattern)
    version: str = Field(min_length=1, max_length=32)
    system: str
    phases: tuple[str, ...] = Field(min_length=1)
    values: tuple[str, ...] = ()
    """What it can be asked for beside or instead of a phase, such as ``seconds``."""
    times: Times | None = None
    """How it answers for times between its phases; ``None``: it does not, unless its ``values`` have seconds."""
    window_hu: tuple[float, float]
    spacing_mm: tuple[float, float, float]
    """Model grid: slices, rows, columns."""
    min_slices: int = Field(8, ge=1)
    intended_use: str
    training_data: dict[str, Any]
    metrics: dict[str, Any]
    limits: tuple[str, ...] = ()
    """What the model is known not to do, a sentence each."""
    answers: dict[str, dict[str, dict[str, tuple[float, float]]]] | None = None
    """What its answers must lie within, phase → region → measure (`s2ldm_core.answers`); ``None``: nobody measured it."""
    calibration: Calibration | None = None
    """Of its uncertainty; ``None``: it has none."""
    weights_sha256: str = Field(pattern=_SHA256)
    network_sha256: str = Field(pattern=_SHA256)
    card_sha256: str | None = Field(None, pattern=_SHA256)
    """Of the model card; ``None``: the package has none."""
    metadata_sha256: str | None = Field(None, pattern=_SHA256)
    """Of everything above (`digest`); ``None`` in packages of version 0.1, whose metadata are not covered."""

    @model_validator(mode="after")
    def _times_are_of_its_phases(self) -> Self:
        if self.times is not None and (unknown := sorted(set(self.times.weights).difference(self.phases))):
            raise ValueError(f"times name {', '.join(unknown)}, which is none of its phases")
        return self

    def offers(self, phase: str) -> bool:
        """Whether it can be asked for ``phase``: one of its phases, or a time such as ``35s`` that it knows how to answer for."""
        if phase in self.phases or (seconds := seconds_of(phase)) is None:
            return phase in self.phases
        return NAME in self.values or (self.times is not None and self.times.covers(seconds))

    @property
    def heeded(self) -> tuple[str, ...]:
        """What it can be told beside the phase; every package a contrast dose."""
        times = () if self.times is None else (NAME,)
        return tuple(dict.fromkeys((*self.values, *times, contrast_dose.NAME)))

    @property
    def offered(self) -> str:
        """What it can be asked for, in words."""
        if NAME in self.values:
            return ", ".join((*self.phases, "seconds such as 35s"))
        return ", ".join((*self.phases, *(() if self.times is None else (self.times.said,))))

    def plain(self) -> dict[str, Any]:
        """As it is written; packages made before there were any have no empty ``answers``, ``values``, ``times`` and ``calibration``."""
        later = {key for key in ("answers", "values", "times", "calibration") if not getattr(self, key)}
        return self.model_dump(mode="json", exclude=later)

    def digest(self) -> str:
        """SHA-256 of these metadata without `metadata_sha256`, as JSON with sorted keys."""
        content = self.plain()
        del content["metadata_sha256"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A package on disk with its metadata read and validated; weights are read by `build`."""

    path: Path
    metadata: PackageMetadata

    @classmethod
    def load(cls, name_or_path: str | Path, *, directories: Iterable[Path] = ()) -> ModelPackage:
        """The package of that name, bundled or in one of ``directories``, or the one in that folder.

        Raises
        ------
        PackageError
            ``package_not_found``, or ``package_invalid`` when a file is missing or malformed.
        """
        folder = _find(name_or_path, directories)
        for file in (METADATA, NETWORK, WEIGHTS):
            if not (folder / file).is_file():
                raise PackageError(
                    "package_invalid",
                    f"The model package {folder} has no {file}.",
                    "Install the complete package again.",
                )
        try:
            metadata = PackageMetadata.model_validate_json((folder / METADATA).read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise PackageError(
                "package_invalid", f"{folder / METADATA} is not valid: {_first(error)}", "Install the package again."
            ) from error
        return cls(path=folder, metadata=metadata)

    @property
    def identity(self) -> str:
        """What makes its output another one: name, version, the weights themselves, and where it has them its times and what tells its
        uncertainty."""
        meta = self.metadata
        times = [] if meta.times is None else [f"times {meta.times.digest[:12]}"]
        uncertainty = [] if meta.calibration is None else [f"uncertainty {meta.calibration.weights_sha256[:12]}"]
        return " ".join((meta.name, meta.version, meta.weights_sha256[:12], *times, *uncertainty))

    def verify(self) -> None:
        """Compare the checksums of metadata, network, weights and model card with the metadata.

        Raises
        ------
        PackageError
            ``package_changed`` naming the file that differs.
        """
        meta = self.metadata
        if meta.metadata_sha256 is not None:
            _require_same(self.path / METADATA, meta.digest(), meta.metadata_sha256)
        for file, expected in (
            (NETWORK, meta.network_sha256),
            (WEIGHTS, meta.weights_sha256),
            (CARD, meta.card_sha256),
            (SPREAD, None if meta.calibration is None else meta.calibration.weights_sha256),
        ):
            path = self.path / file
            if expected is not None:
                _require_same(path, sha256_of(path) if path.is_file() else "missing", expected)

    def build(self, *, device: torch.device | str = "cpu") -> System:
        """Verify, then build the system in evaluation mode on ``device``."""
        # Imported here: who only asks for metadata, as the node's own process does, needs no PyTorch.
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from s2ldm_core.systems import build_system

        self.verify()
        network = None
        try:
            network = read_document(self.path / NETWORK)
            system = build_system(self.metadata.system, network.values)
            system.load_shipped(load_file(self.path / WEIGHTS))
        except (DocumentError, ValueError, SafetensorError, RuntimeError) as error:
            raise PackageError(
                "package_invalid",
                f"The network of {self.path} cannot be built: {_first(error, network)}",
                "Install the package again.",
            ) from error
        if system.config.phases != self.metadata.phases:
            raise PackageError(
                "package_invalid",
                f"Metadata and network of {self.path} name different phases.",
                "Install the package again.",
            )
        system.strip()
        system.eval().requires_grad_(False).to(device)
        return system.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def build_spread(self, *, device: torch.device | str = "cpu") -> SpreadNetwork | None:
        """The network that tells the uncertainty, in evaluation mode on ``device``; ``None``: the package has none.

        To be built after `build`, which verifies."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from s2ldm_core.spread import SpreadNetwork

        calibration = self.metadata.calibration
        if calibration is None:
            return None
        try:
            network = SpreadNetwork(channels=calibration.channels, phases=len(self.metadata.phases))
            network.load_state_dict(load_file(self.path / SPREAD))
        except (SafetensorError, RuntimeError) as error:
            raise PackageError(
                "package_invalid", f"{self.path / SPREAD} does not fit: {_first(error)}", "Install the package again."
            ) from error
        return network.eval().requires_grad_(False).to(device)


def save_package(
    folder: Path,
    *,
    system: System,
    metadata: dict[str, Any],
    model_card: Callable[[PackageMetadata], str] | None = None,
    half: bool = False,
) -> ModelPackage:
    """Write ``system`` as a package into ``folder``; ``metadata`` lacks only what is computed here (system, phases, checksums).

    ``model_card`` renders the package's README.md from its metadata (without the two checksums that depend on it). ``half``: floating-point
    weights are rounded to float16.

    Raises
    ------
    PackageError
        ``package_invalid`` when the metadata do not validate, or a weight is beyond float16; nothing is left half-written under the final
        names then.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().cpu().contiguous() for key, value in system.shipped().items()}
    if half:
        weights = {key: _halved(key, value) for key, value in weights.items()}
    network = system.config.model_dump(mode="json")
    (folder / NETWORK).write_text(yaml.safe_dump(network, sort_keys=False), encoding="utf-8")
    network_sha256 = sha256_of(folder / NETWORK)
    # The same weights in another network (other shares of an ensemble) answer otherwise, and have another checksum by this.
    save_file(weights, folder / WEIGHTS, metadata={"network_sha256": network_sha256})
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes 0600; a package is read by whichever user runs the node
    try:
        complete = PackageMetadata.model_validate(
            {
                **metadata,
                "system": system.name,
                "phases": system.config.phases,
                "values": system.traits.values,
                "weights_sha256": sha256_of(folder / WEIGHTS),
                "network_sha256": network_sha256,
            }
        )
    except ValidationError as error:
        raise PackageError("package_invalid", f"The metadata for {folder} are not valid: {_first(error)}") from error
    return _finished(folder, complete, model_card)


def _halved(name: str, value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    rounded = value.half()
    if not bool(rounded.isfinite().all()):
        raise PackageError(
            "package_invalid", f"Weights {name} do not fit 16 bits.", "Export the package without --half."
        )
    return rounded


def _finished(
    folder: Path, metadata: PackageMetadata, model_card: Callable[[PackageMetadata], str] | None
) -> ModelPackage:
    """Write card and metadata, whose two checksums are made here."""
    if model_card is not None:
        (folder / CARD).write_text(model_card(metadata), encoding="utf-8")
        metadata = metadata.model_copy(update={"card_sha256": sha256_of(folder / CARD)})
    metadata = metadata.model_copy(update={"metadata_sha256": metadata.digest()})
    (folder / METADATA).write_text(json.dumps(metadata.plain(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return ModelPackage(path=folder, metadata=metadata)


def with_spread(
    package: ModelPackage,
    folder: Path,
    *,
    network: SpreadNetwork,
    calibration: Calibration,
    version: str,
    model_card: Callable[[PackageMetadata], str] | None = None,
) -> ModelPackage:
    """Write ``package`` anew into ``folder`` with a network that tells its uncertainty; what it answers stays as it is.

    ``calibration`` may have any checksum; the weights' own is put in its place.

    Raises
    ------
    PackageError
        ``package_exists``: there is something in ``folder``; ``package_changed``.
    """
    from safetensors.torch import save_file

    copied = _copied(package, folder)
    weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(weights, folder / SPREAD)
    (folder / SPREAD).chmod(0o644)
    told = calibration.model_copy(update={"weights_sha256": sha256_of(folder / SPREAD)})
    return _finished(folder, copied.model_copy(update={"calibration": told, "version": version}), model_card)


def with_times(
    package: ModelPackage,
    folder: Path,
    *,
    times: Times,
    version: str,
    model_card: Callable[[PackageMetadata], str] | None = None,
) -> ModelPackage:
    """Write ``package`` anew into ``folder`` with ``times``; what it answers for its phases stays as it is.

    Raises
    ------
    PackageError
        As of `with_spread`.
    """
    copied = _copied(package, folder)
    return _finished(folder, copied.model_copy(update={"times": times, "version": version}), model_card)


def _copied(package: ModelPackage, folder: Path) -> PackageMetadata:
    package.verify()
    if folder.exists() and any(folder.iterdir()):
        raise PackageError("package_exists", f"{folder} is not empty.", "Name another folder.")
    shutil.copytree(package.path, folder, dirs_exist_ok=True)
    return package.metadata


def list_packages(directories: Iterable[Path] = ()) -> list[ModelPackage]:
    """All valid packages, bundled first; folders that are not packages are passed over."""
    found = []
    for parent in (BUNDLED, *directories):
        if parent.is_dir():
            found += [ModelPackage.load(p) for p in sorted(parent.iterdir()) if (p / METADATA).is_file()]
    return found


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _require_same(path: Path, actual: str, expected: str) -> None:
    if actual != expected:
        raise PackageError(
            "package_changed",
            f"{path} was changed after the package was made (sha256 {actual[:12]}…, expected {expected[:12]}…).",
            "Install the package again from its source; do not use this copy.",
        )


def _find(name_or_path: str | Path, directories: Iterable[Path]) -> Path:
    text = str(name_or_path)
    if _NAME.fullmatch(text):
        for parent in (BUNDLED, *directories):
            if (parent / text / METADATA).is_file():
                return parent / text
    path = Path(name_or_path)
    if path.is_dir():
        return path
    known = ", ".join(p.metadata.name for p in list_packages(directories)) or "none"
    raise PackageError(
        "package_not_found",
        f"There is no model package {text!r}.",
        f"Give a folder or one of the installed names: {known}.",
    )


def _first(error: Exception, document: Document | None = None) -> str:
    if isinstance(error, ValidationError):
        return mistakes(error, document or Document(values=None))[0]
    if isinstance(error, DocumentError):
        return error.sentence
    return str(error).splitlines()[0]
