"""The MONAI Bundle: MONAI's own tools accept it and run it, without a network."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai import bundle as bundle_tools

from s2ldm_core import Translator
from s2ldm_core.errors import PackageError
from s2ldm_core.io import read_image, write_image
from s2ldm_core.package import ModelPackage
from s2ldm_core.volume import Volume
from tests.tiny_model import write_tiny_package
from train.bundle import SCHEMA, make_bundle
from train.errors import TrainError


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return ModelPackage.load(write_tiny_package(tmp_path_factory.mktemp("package") / "tiny"))


@pytest.fixture
def bundle(package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = make_bundle(package, tmp_path / "bundle")
    monkeypatch.syspath_prepend(str(folder))  # as MONAI does for the bundle it runs
    yield folder
    for name in [name for name in sys.modules if name == "scripts" or name.startswith("scripts.")]:
        del sys.modules[name]


def _verify(bundle: Any) -> None:
    bundle_tools.verify_metadata(
        meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(bundle / "configs" / SCHEMA), create_dir=False
    )


def test_verify_metadata_accepts_it(bundle: Any) -> None:
    _verify(bundle)


@pytest.mark.parametrize("key", ["version", "authors", "network_data_format"])
def test_verify_metadata_refuses_it_without_a_mandatory_key(bundle: Any, key: str) -> None:
    path = bundle / "configs" / "metadata.json"
    values = json.loads(path.read_text())
    del values[key]
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="Failed validating"):
        _verify(bundle)


def test_verify_net_in_out_accepts_the_network(bundle: Any) -> None:
    bundle_tools.verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        device="cpu",
        n=1,
        bundle_root=str(bundle),
    )


def test_the_workflow_has_every_property_that_monai_requires_of_metadata(bundle: Any) -> None:
    workflow = bundle_tools.ConfigWorkflow(config_file=str(bundle / "configs" / "inference.json"), workflow_type=None)
    workflow.initialize()
    assert workflow.check_properties() == []


def test_the_inference_config_gives_the_translators_volume(bundle: Any, package: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(40, 5, (8, 48, 48)).astype(np.float32)
    hu[:, :4] = -1000
    source = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    write_image(source, tmp_path / "source.nii.gz")
    bundle_tools.run(
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        input=str(tmp_path / "source.nii.gz"),
        output=str(tmp_path / "synthetic.nii.gz"),
        phase="venous",
        device="cpu",
    )
    expected = Translator.load(package.path, device="cpu").translate(
        read_image(tmp_path / "source.nii.gz"), phase="venous"
    )
    assert np.abs(expected.volume.hu - hu).max() > 0.1
    np.testing.assert_allclose(read_image(tmp_path / "synthetic.nii.gz").hu, expected.volume.hu, atol=0.51)


def test_its_state_dictionary_is_the_packages(bundle: Any, package: Any) -> None:
    found = torch.load(bundle / "models" / "model.pt", weights_only=True)
    expected = package.build().state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_package_inside_it_verifies(bundle: Any) -> None:
    ModelPackage.load(bundle / "models" / "package").verify()


def test_a_changed_package_becomes_no_bundle(package: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in package.path.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "network.yaml").write_text((copy / "network.yaml").read_text().replace("core_blocks: 1", "core_blocks: 2"))
    with pytest.raises(PackageError, match="package_changed"):
        make_bundle(ModelPackage.load(copy), tmp_path / "bundle")


def test_a_folder_in_use_is_left_alone(package: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    with pytest.raises(TrainError, match="not empty"):
        make_bundle(package, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
