"""A MONAI Bundle around a model package (MONAI Bundle Specification, docs.monai.io).

::

    <bundle>/configs/metadata.json       what the specification asks for; accepted by monai.bundle.verify_metadata
             configs/meta_schema.json    the specification's mandatory keys as a JSON schema, to verify without a network
             configs/inference.json      source series or volume → synthetic volume
             models/model.pt             state dictionary, the form that the specification prescribes
             models/package/             the package itself, with its checksums: what inference.json runs
             scripts/change_network.py   the network as one image in, one prediction out
             docs/README.md              the model card
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from s2ldm_core.package import CARD, METADATA, NETWORK, SPREAD, WEIGHTS, ModelPackage
from train.card import model_card
from train.errors import TrainError

SCHEMA = "meta_schema.json"
SCHEMA_URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
PAPER = "Lin et al.: Similarity-aware Syncretic Latent Diffusion Model for Medical Image Translation. arXiv 2406.13977 (2024)."
_HERE = Path(__file__).parent
_PACKAGE = "models/package"
_IMPORTS = (("s2ldm_core", "Translator"), ("s2ldm_core.io", "read_volume"), ("s2ldm_core.io", "write_volume"))
_NEEDED = ("s2ldm-node", "safetensors", "SimpleITK", "scipy", "pydantic", "PyYAML")


def make_bundle(
    package: ModelPackage, folder: Path, *, authors: str = "S2LDM node contributors", rights: str = "Apache-2.0"
) -> Path:
    """Write ``package`` as a bundle into ``folder``; returns it.

    Raises
    ------
    PackageError
        The package was changed.
    TrainError
        ``output_exists``.
    """
    import torch

    if folder.exists() and any(folder.iterdir()):
        raise TrainError("output_exists", f"{folder} is not empty.", "Name another folder or empty that one.")
    system = package.build()
    for name in ("configs", "docs", "scripts", _PACKAGE):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for file in (METADATA, NETWORK, WEIGHTS, CARD, SPREAD):
        if (package.path / file).is_file():
            shutil.copy(package.path / file, folder / _PACKAGE / file)
    torch.save(system.state_dict(), folder / "models" / "model.pt")
    _write(
        folder / "configs" / "metadata.json",
        bundle_metadata(package, factor=system.traits.multiple_of, authors=authors, rights=rights),
    )
    _write(folder / "configs" / "inference.json", inference_config(package))
    shutil.copy(_HERE / SCHEMA, folder / "configs" / SCHEMA)
    (folder / "scripts" / "__init__.py").touch()
    shutil.copy(_HERE / "change_network.py", folder / "scripts" / "change_network.py")
    (folder / "docs" / "README.md").write_text(_readme(package), encoding="utf-8")
    return folder


def bundle_metadata(
    package: ModelPackage, *, factor: tuple[int, int, int], authors: str, rights: str
) -> dict[str, Any]:
    """``metadata.json`` of the bundle; sizes are multiples of ``factor``, the network's stride (slices, rows, columns)."""
    meta = package.metadata
    low, high = meta.window_hu
    needed = {name: version(name) for name in _NEEDED}
    shape = [f"{multiple}*n" for multiple in factor]
    tensor = {
        "type": "image",
        "format": "magnitude",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": shape,
        "dtype": "float32",
    }
    return {
        "schema": SCHEMA_URL,
        "version": meta.version,
        "changelog": {meta.version: f"package {package.identity}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": needed,
        "name": meta.name,
        "task": f"Synthesis of contrast-enhanced CT ({', '.join(meta.phases)}) from non-contrast CT",
        "description": f"{meta.system} at {' × '.join(f'{mm:g}' for mm in meta.spacing_mm)} mm: predicts the change that a contrast agent "
        "would make, which is added to the source.",
        "authors": authors,
        "copyright": rights,
        "intended_use": meta.intended_use,
        "data_source": str(meta.training_data.get("source", "not recorded")),
        "data_type": "dicom or nifti",
        "image_classes": f"one channel, [{low:g}, {high:g}] HU mapped to [-1, 1] and clipped",
        "pred_classes": "one channel, CECT - NCCT in the same units",
        "eval_metrics": meta.metrics,
        "references": [PAPER],
        "network_data_format": {
            "inputs": {
                "image": {
                    **tensor,
                    "value_range": [-1, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "non-contrast CT"},
                }
            },
            "outputs": {
                "pred": {
                    **tensor,
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {"0": "change by contrast"},
                }
            },
        },
    }


def inference_config(package: ModelPackage) -> dict[str, Any]:
    """``inference.json``: run with ``input`` and ``output``, and any other key, overridden."""
    return {
        # One name an import: MONAI's parser takes no more.
        "imports": [f"$from {module} import {name}" for module, name in _IMPORTS],
        "bundle_root": ".",
        "input": "source",
        "output": "synthetic.nii.gz",
        "phase": package.metadata.phases[0],
        "seed": 0,
        "device": "auto",
        "package": f"$@bundle_root + '/{_PACKAGE}'",
        "network_def": {"_target_": "scripts.change_network.ChangeNetwork", "package": "@package", "phase": "@phase"},
        "translator": "$Translator.load(@package, device=@device)",
        "run": ["$write_volume(@translator.translate(read_volume(@input), phase=@phase, seed=@seed).volume, @output)"],
    }


def _readme(package: ModelPackage) -> str:
    usage = f"""
## As a MONAI Bundle

    pip install s2ldm-node "monai[fire,jsonschema]"
    python -m monai.bundle run --config_file configs/inference.json --bundle_root . --input SERIES_OR_NIFTI --output synthetic.nii.gz
    python -m monai.bundle verify_metadata --meta_file configs/metadata.json --filepath configs/{SCHEMA}
    python -m monai.bundle verify_net_in_out network_def --meta_file configs/metadata.json --config_file configs/inference.json -n 1

`--phase` chooses among {", ".join(package.metadata.phases)}. With `--filepath` as above nothing is downloaded: `configs/{SCHEMA}` holds the
keys that the MONAI Bundle Specification makes mandatory. Without it MONAI fetches its own schema.
"""
    return model_card(package.metadata) + usage


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
