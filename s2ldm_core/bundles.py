"""MONAI Bundles of others as packages: the network by its class and arguments, the weights as tensors, nothing else of the bundle runs.

A bundle's ``configs/inference.json`` (or ``.yaml``) may hold expressions and scripts. What is read of it is plain data: ``network_def``,
a class of ``monai.networks.nets``, and the transforms that say orientation, spacing and intensity range. What it leaves open, or says by
an expression, the caller has to say.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from s2ldm_core.errors import PackageError
from s2ldm_core.package import METADATA, ModelPackage, save_package

_NETS = "monai.networks.nets."
_LARGEST_CONFIG, _LARGEST_WEIGHTS = 4 << 20, 4 << 30
_CONFIGS = ("inference.json", "inference.yaml", "inference.yml", "evaluate.json", "train.json")
_WEIGHTS = "models/model.pt"


class BundleReading(BaseModel):
    """How a bundle's network is to be used; ``None``: as the bundle says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phase: str
    answer: Literal["image", "change"] = "image"
    window_hu: tuple[float, float] | None = None
    given: tuple[float, float] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    """Slices, rows, columns."""
    orientation: str | None = None
    multiple_of: tuple[int, int, int] = (16, 16, 16)


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a MONAI Bundle, and not like a package."""
    return (folder / "configs" / "metadata.json").is_file() and not (folder / METADATA).is_file()


def package_of_bundle(bundle: Path, folder: Path, *, name: str, reading: BundleReading) -> ModelPackage:
    """Write the network of ``bundle`` as package ``name`` into ``folder``.

    Raises
    ------
    PackageError
        ``bundle_invalid`` naming what is missing, of the wrong kind, or said by an expression.
    """
    import torch

    from s2ldm_core.systems.monai_network import MonaiNetwork, MonaiNetworkConfig

    about, config = _json(bundle / "configs" / "metadata.json"), _config(bundle / "configs")
    network = config.get("network_def")
    if not isinstance(network, dict) or not isinstance(network.get("_target_"), str):
        raise _invalid(bundle, "its inference configuration has no network_def with a _target_")
    target = network["_target_"].removeprefix(_NETS)
    if "." in target:
        raise _invalid(bundle, f"its network is {network['_target_']}, which is no class of monai.networks.nets")
    arguments = {key: value for key, value in network.items() if not key.startswith("_")}
    transforms = list(_transforms(config))
    said = _said(bundle, transforms, reading)
    weights = bundle / _WEIGHTS
    if not weights.is_file() or weights.stat().st_size > _LARGEST_WEIGHTS:
        raise _invalid(bundle, f"it has no {_WEIGHTS} of at most 4 GiB")
    try:
        system = MonaiNetwork(
            MonaiNetworkConfig.model_validate(
                {
                    "phases": (reading.phase,),
                    "network": target,
                    "arguments": _plain(bundle, arguments),
                    "answer": reading.answer,
                    "given": said["given"],
                    "orientation": said["orientation"],
                    "multiple_of": reading.multiple_of,
                }
            )
        )
        # Tensors alone: PyTorch's restricted reader builds no other object.
        state = torch.load(weights, map_location="cpu", weights_only=True)
        if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
            state = state["model"]
        system.network.load_state_dict(state)
    except (ValidationError, TypeError, ValueError, RuntimeError, AttributeError, KeyError, EOFError) as error:
        raise _invalid(bundle, f"its network cannot be built: {error}") from error
    except Exception as error:  # pickle.UnpicklingError, of a module that must not be imported for it
        if type(error).__name__ != "UnpicklingError":
            raise
        raise _invalid(bundle, f"{_WEIGHTS} holds more than tensors") from error
    return save_package(
        folder,
        system=system.eval(),
        metadata={
            "name": name,
            "version": str(about.get("version", "0"))[:32],
            "window_hu": said["window_hu"],
            "spacing_mm": said["spacing_mm"],
            "intended_use": str(about.get("intended_use", "Not said by the bundle.")),
            "training_data": {
                "source": str(about.get("data_source", "not said by the bundle")),
                "bundle": str(about.get("name", "")),
            },
            "metrics": {"of the bundle": about.get("eval_metrics", {})},
            "limits": ("A MONAI Bundle of others: what it was made for and how good it is, its authors say.",),
        },
    )


def _said(bundle: Path, transforms: list[Mapping[str, Any]], reading: BundleReading) -> dict[str, Any]:
    """Orientation, spacing, window and range: the caller's, else the bundle's."""
    scale = _of(transforms, "ScaleIntensityRange")
    orientation = reading.orientation or _of(transforms, "Orientation").get("axcodes")
    window = reading.window_hu or _numbers(scale.get("a_min"), scale.get("a_max"))
    given = reading.given or _numbers(scale.get("b_min"), scale.get("b_max"))
    spacing: Any = reading.spacing_mm
    if spacing is None:
        pixdim = _of(transforms, "Spacing").get("pixdim")
        numbers = _numbers(*pixdim) if isinstance(pixdim, list) and len(pixdim) == 3 else None
        if numbers is not None and isinstance(orientation, str):
            along = dict(zip((_axis(code) for code in orientation), numbers, strict=True))
            spacing = (along[0], along[1], along[2])
    missing = [
        name
        for name, value in (
            ("orientation", orientation),
            ("window_hu", window),
            ("given", given),
            ("spacing_mm", spacing),
        )
        if value is None
    ]
    if missing:
        raise _invalid(bundle, f"its transforms do not say {', '.join(missing)}")
    return {"orientation": orientation, "window_hu": window, "given": given, "spacing_mm": spacing}


def _axis(code: str) -> int:
    return next((axis for axis, pair in enumerate(("SI", "PA", "LR")) if code in pair), 0)


def _transforms(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every part of the configuration that names a class."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node
        for value in node.values():
            yield from _transforms(value)
    elif isinstance(node, list):
        for value in node:
            yield from _transforms(value)


def _of(transforms: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The first transform of that name, for arrays or dictionaries."""
    for found in transforms:
        if found["_target_"].split(".")[-1] in (name, f"{name}d", f"{name}D", f"{name}Dict"):
            return found
    return {}


def _numbers(*values: Any) -> tuple[float, ...] | None:
    """``None`` unless all are numbers: an expression is nobody's number."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    return tuple(float(value) for value in values)


def _plain(bundle: Path, value: Any) -> Any:
    """``value`` unless it holds an expression or a reference."""
    if isinstance(value, str) and value[:1] in ("$", "@", "%"):
        raise _invalid(bundle, f"an argument of its network is the expression {value[:60]!r}")
    if isinstance(value, dict):
        if "_target_" in value:
            raise _invalid(bundle, "an argument of its network is an object")
        return {key: _plain(bundle, item) for key, item in value.items()}
    return [_plain(bundle, item) for item in value] if isinstance(value, list) else value


def _config(folder: Path) -> dict[str, Any]:
    for name in _CONFIGS:
        if (folder / name).is_file():
            return _json(folder / name)
    raise _invalid(folder.parent, f"it has none of configs/{', '.join(_CONFIGS)}")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > _LARGEST_CONFIG:
        raise _invalid(path.parents[1], f"it has no configs/{path.name} of at most 4 MiB")
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise _invalid(path.parents[1], f"configs/{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise _invalid(path.parents[1], f"configs/{path.name} is no mapping")
    return found


def _invalid(bundle: Path, what: str) -> PackageError:
    return PackageError(
        "bundle_invalid",
        f"{bundle.name} cannot be taken over: {what}.",
        "Say what it leaves open by options, or export its network with plain arguments.",
    )
