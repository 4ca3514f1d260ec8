"""Model packages: what is written is what is built, and a changed one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from s2ldm_core.errors import PackageError
from s2ldm_core.package import ModelPackage, list_packages, save_package
from s2ldm_core.systems import build_system

CONFIG = {
    "autoencoder": {"kind": "plain", "channels": (4, 6), "blocks": (1, 1), "latent": 3},
    "diffusion": {"channels": (4, 6)},
}
METADATA = {
    "name": "tiny",
    "version": "0.1",
    "window_hu": (-200, 500),
    "spacing_mm": (3, 1.5, 1.5),
    "intended_use": "tests",
    "training_data": {},
    "metrics": {},
}


@pytest.fixture
def package(tmp_path: Path) -> Any:
    torch.manual_seed(0)
    return save_package(tmp_path / "tiny", system=build_system("s2ldm", CONFIG), metadata=METADATA)


def test_a_saved_package_builds_the_same_network(package: Any) -> None:
    torch.manual_seed(0)
    expected = build_system("s2ldm", CONFIG).state_dict()
    built = ModelPackage.load(package.path).build().state_dict()
    assert built.keys() == expected.keys()
    assert all(torch.equal(built[key], expected[key]) for key in expected)


def test_one_changed_byte_in_the_weights_is_refused(package: Any) -> None:
    weights = package.path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(PackageError) as caught:
        ModelPackage.load(package.path).build()
    assert caught.value.code == "package_changed"
    assert "model.safetensors" in caught.value.sentence


def test_a_changed_network_file_is_refused(package: Any) -> None:
    network = package.path / "network.yaml"
    network.write_text(network.read_text().replace("latent: 3", "latent: 4"))
    with pytest.raises(PackageError, match="package_changed"):
        ModelPackage.load(package.path).verify()


@pytest.mark.parametrize("field", [{"version": ""}, {"weights_sha256": "x"}, {"colour": "red"}, {"name": "../evil"}])
def test_invalid_metadata_name_the_key(package: Any, field: Any) -> None:
    path = package.path / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **field}))
    with pytest.raises(PackageError, match=next(iter(field))) as caught:
        ModelPackage.load(package.path)
    assert caught.value.code == "package_invalid"


@pytest.mark.parametrize("file", ["metadata.json", "network.yaml", "model.safetensors"])
def test_a_missing_file_is_named(package: Any, file: str) -> None:
    (package.path / file).unlink()
    with pytest.raises(PackageError, match=file):
        ModelPackage.load(package.path)


def test_an_unknown_name_lists_the_known_ones(package: Any) -> None:
    with pytest.raises(PackageError, match="tiny") as caught:
        ModelPackage.load("nonexistent", directories=[package.path.parent])
    assert caught.value.code == "package_not_found"


def test_packages_of_further_directories_are_listed(package: Any) -> None:
    assert "tiny" in [p.metadata.name for p in list_packages([package.path.parent])]
