"""MONAI Bundles of others become packages that answer as MONAI itself would, and nothing in them runs."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet
from monai.transforms import ScaleIntensityRange

from dicom_node.cli import main as node
from s2ldm_core import Translator
from s2ldm_core.bundles import BundleReading, package_of_bundle
from s2ldm_core.errors import PackageError
from s2ldm_core.systems.monai_network import MonaiNetwork, MonaiNetworkConfig
from s2ldm_core.volume import Volume

ARGUMENTS = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "features": [4, 4, 4, 4, 4, 4]}
TRANSFORMS = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 2.0, 3.0], "mode": "bilinear"},
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": -100,
        "a_max": 300,
        "b_min": 0.0,
        "b_max": 1.0,
        "clip": True,
    },
]


def _bundle(folder: Path, *, weights: Any = None, **changes: Any) -> Path:
    torch.manual_seed(0)
    network = BasicUNet(**ARGUMENTS)
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = {
        "device": "$torch.device('cuda')",
        "network_def": {"_target_": "BasicUNet", **ARGUMENTS},
        "preprocessing": {"_target_": "Compose", "transforms": TRANSFORMS},
        **changes,
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "0.3", "name": "others"}))
    if weights is None:
        torch.save(network.state_dict(), folder / "models" / "model.pt")
    else:
        (folder / "models" / "model.pt").write_bytes(weights)
    return folder


def test_a_bundle_s_package_answers_as_monai_does_with_its_transforms(tmp_path: Path) -> None:
    package = package_of_bundle(
        _bundle(tmp_path / "bundle"), tmp_path / "package", name="others", reading=BundleReading(phase="venous")
    )
    assert package.metadata.window_hu == (-100.0, 300.0)
    assert package.metadata.spacing_mm == (3.0, 2.0, 1.5)
    rng = np.random.default_rng(0)
    hu = rng.uniform(0.0, 90.0, (16, 32, 48)).astype(np.float32)
    volume = Volume(hu=hu, affine=np.diag([1.5, 2.0, 3.0, 1.0]))  # LPS, on the bundle's grid
    answer = Translator.load(package.path, device="cpu").translate(volume, phase="venous").volume.hu

    # By the bundle's own words: an array (x, y, z) that leads to right, anterior and superior, 0 to 1 over the window.
    torch.manual_seed(0)
    network = BasicUNet(**ARGUMENTS).eval()
    turned = torch.from_numpy(np.flip(hu.transpose(2, 1, 0), (0, 1)).copy())[None]
    with torch.inference_mode():
        found = network(torch.as_tensor(ScaleIntensityRange(-100, 300, 0, 1, clip=True)(turned))[None])
    expected = np.flip(found[0, 0].numpy(), (0, 1)).transpose(2, 1, 0) * 400 - 100
    inside = (slice(2, -2), slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(answer[inside], expected[inside], atol=0.6)
    assert np.abs(answer - hu).max() > 20.0


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "IAR", "PIR"])
def test_every_orientation_comes_back_as_it_went(codes: str) -> None:
    system = MonaiNetwork(MonaiNetworkConfig(orientation=codes, arguments=ARGUMENTS))
    system.network = torch.nn.Identity()
    image = torch.randn(1, 1, 3, 4, 5)
    turned = system._turned(image)
    assert torch.equal(system._back(turned), image)
    # The first voxel of an axis that leads the other way is our last.
    pairs = ("SI", "PA", "LR")
    place = {n: 0 if code in "SPL" else -1 for code in codes for n, pair in enumerate(pairs) if code in pair}
    assert turned[0, 0, 0, 0, 0] == image[0, 0, place[0], place[1], place[2]]


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("evil"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network_def": {"_target_": "os.system", "command": "x"}}, "no class of monai.networks.nets"),
        ({"network_def": {"_target_": "Nothing"}}, "no network called Nothing"),
        ({"network_def": {"_target_": "BasicUNet", "spatial_dims": "$__import__('os').getpid()"}}, "expression"),
        ({"network_def": "$import_it()"}, "no network_def"),
        ({"preprocessing": []}, "do not say orientation, window_hu, given, spacing_mm"),
        ({"weights": pickle.dumps({"a": _Evil()}, protocol=2)}, "more than tensors"),
        ({"weights": b"nothing"}, "cannot be taken over"),
    ],
)
def test_what_would_run_or_is_not_said_is_refused(
    changes: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = _bundle(tmp_path / "bundle", **changes)
    with pytest.raises(PackageError, match=said) as refusal:
        package_of_bundle(bundle, tmp_path / "package", name="others", reading=BundleReading(phase="venous"))
    assert refusal.value.code == "bundle_invalid"
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "package").exists()


def test_what_the_bundle_leaves_open_the_caller_says(tmp_path: Path) -> None:
    reading = BundleReading(
        phase="arterial",
        window_hu=(-200, 200),
        given=(-1, 1),
        spacing_mm=(3, 1.5, 1.5),
        orientation="LPS",
        answer="change",
    )
    package = package_of_bundle(
        _bundle(tmp_path / "bundle", preprocessing=[]), tmp_path / "package", name="others", reading=reading
    )
    assert package.metadata.phases == ("arterial",)
    assert package.build().config.orientation == "LPS"


def test_models_add_takes_a_bundle_over_and_a_route_can_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "node.yaml"
    config.write_text(json.dumps({"node": {"data_dir": str(tmp_path / "var")}}))
    bundle = _bundle(tmp_path / "others")

    def add(*options: str) -> int:
        with pytest.raises(SystemExit) as ended:
            node(["models", "add", str(bundle), "--config", str(config), *options])
        return int(ended.value.code or 0)

    assert add() == 2
    assert "--phase" in capsys.readouterr().err
    assert add("--phase", "venous", "--answer", "picture") == 2
    assert add("--phase", "venous") == 0
    path = Path(capsys.readouterr().out.split("model: ")[1].strip())
    volume = Volume(hu=np.full((16, 32, 48), 40, np.float32), affine=np.diag([1.5, 2.0, 3.0, 1.0]))
    assert Translator.load(path, device="cpu").translate(volume, phase="venous").translation.model_name == "others"
