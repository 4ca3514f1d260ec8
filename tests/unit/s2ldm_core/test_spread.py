"""Uncertainty: what a package's network says of its answer's error, beside the same answer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from s2ldm_core import Translator, Volume
from s2ldm_core.errors import PackageError, TranslationError
from s2ldm_core.package import ModelPackage
from s2ldm_core.package_archive import install_package
from s2ldm_core.sampling import Sampling
from s2ldm_core.spread import SpreadNetwork
from tests.tiny_model import with_spread, write_tiny_package

PREDICTED = Sampling(kind="predicted")


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("tiny") / "without")


@pytest.fixture
def package(without: Path, tmp_path: Path) -> Path:
    return with_spread(without, tmp_path / "with")


@pytest.fixture(scope="module")
def volume() -> Volume:
    rng = np.random.default_rng(0)
    _, y, x = np.mgrid[:12, :70, :90]
    hu = np.full((12, 70, 90), -1000.0, dtype=np.float32)
    hu[((y - 35) / 28) ** 2 + ((x - 45) / 38) ** 2 < 1] = 40.0
    hu[((y - 50) / 5) ** 2 + ((x - 45) / 6) ** 2 < 1] = 900.0
    hu += rng.normal(0, 3, hu.shape).astype(np.float32)
    return Volume(hu=hu, affine=np.array([[1.7, 0, 0, -70], [0, 2.1, 0, -60], [0, 0, 4.0, 5], [0, 0, 0, 1.0]]))


def test_the_answer_is_the_same_with_its_uncertainty_beside_it(package: Path, volume: Volume) -> None:
    translator = Translator.load(package, device="cpu")
    alone, beside = (translator.translate(volume, phase="venous", sampling=how) for how in (Sampling(), PREDICTED))
    assert alone.spread is None
    assert beside.spread is not None
    assert beside.spread.kind == "predicted"
    assert np.array_equal(alone.volume.hu, beside.volume.hu)
    assert alone.translation.weights_sha256 == beside.translation.weights_sha256
    assert "spread" in beside.translation.seconds
    hu = beside.spread.hu
    assert hu.shape == volume.shape
    assert hu.min() == 0
    assert hu[np.abs(volume.hu - 40) < 10].min() > 0.3
    assert hu[(volume.hu < -300) | (volume.hu > 500)].max() == 0  # what keeps its HU has no error


def test_it_is_another_for_another_phase(package: Path, volume: Volume) -> None:
    translator = Translator.load(package, device="cpu")
    found = [translator.translate(volume, phase=phase, sampling=PREDICTED).spread for phase in ("arterial", "venous")]
    assert found[0] is not None
    assert found[1] is not None
    assert not np.allclose(found[0].hu, found[1].hu)


def test_tiles_have_the_numbers_of_the_whole() -> None:
    torch.manual_seed(0)
    network = SpreadNetwork(channels=(4, 4), phases=2).eval()
    torch.nn.init.normal_(network.core.out.weight, std=0.5)
    source, change, phase = torch.randn(1, 1, 37, 61, 83), torch.randn(1, 1, 37, 61, 83), torch.tensor([1])
    with torch.inference_mode():
        whole = network.predict(source, change, phase)
        tiled = network.predict(source, change, phase, tile=(8, 24, 16))
        far = network.predict(source, change + (torch.arange(83) > 70), phase)
    assert whole.shape == source.shape
    assert float(whole.std()) > 0
    assert torch.allclose(tiled, whole, rtol=1e-4)
    assert not torch.allclose(far, whole, rtol=1e-4)  # it looks at the change


@pytest.mark.parametrize(
    ("sampling", "code"),
    [
        (Sampling(kind="predicted", steps=3), "uncertainty_of_draws"),
        (Sampling(kind="predicted", samples=2), "uncertainty_of_draws"),
    ],
)
def test_what_holds_for_its_own_answer_is_not_told_of_others(
    package: Path, volume: Volume, sampling: Sampling, code: str
) -> None:
    with pytest.raises(TranslationError) as caught:
        Translator.load(package, device="cpu").translate(volume, phase="venous", sampling=sampling)
    assert caught.value.code == code


def test_a_package_without_a_calibration_says_so(without: Path, volume: Volume) -> None:
    with pytest.raises(TranslationError) as caught:
        Translator.load(without, device="cpu").translate(volume, phase="venous", sampling=PREDICTED)
    assert caught.value.code == "uncertainty_unknown"


def test_a_changed_network_is_no_part_of_the_package(package: Path) -> None:
    path = package / "spread.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(PackageError) as caught:
        ModelPackage.load(package).verify()
    assert caught.value.code == "package_changed"
    path.unlink()
    with pytest.raises(PackageError) as caught:
        Translator.load(package, device="cpu")
    assert caught.value.code == "package_changed"


def test_a_network_of_another_size_is_named(package: Path) -> None:
    path = package / "metadata.json"
    known = json.loads(path.read_text())
    known["calibration"]["channels"] = [8, 8]
    known["metadata_sha256"] = None
    path.write_text(json.dumps(known))
    with pytest.raises(PackageError) as caught:
        Translator.load(package, device="cpu")
    assert caught.value.code == "package_invalid"


def test_a_package_that_says_nothing_of_what_its_network_was_fitted_to_has_the_checksum_it_had(package: Path) -> None:
    made = ModelPackage.load(package)
    assert made.metadata.calibration is not None
    assert set(made.metadata.plain()["calibration"]) == {
        "channels",
        "half_widths",
        "coverage",
        "cases",
        "weights_sha256",
    }
    made.verify()


def test_it_is_added_like_any_package(package: Path, tmp_path: Path) -> None:
    added = install_package(package, tmp_path / "models")
    assert (added.path / "spread.safetensors").is_file()
    assert added.metadata.calibration is not None
    added.verify()
