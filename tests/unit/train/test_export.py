"""Export: the averaged weights with what they were made of; a card that says the same; a changed package is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dicom_node.cli.models import commands as models
from s2ldm_core.errors import PackageError
from s2ldm_core.intensity import window_to_unit
from s2ldm_core.package import ModelPackage, save_package
from s2ldm_core.systems.latent_system import LatentSystem
from tests.tiny_training import fit_config, write_pair
from train.answers import Drawn, answer_limits
from train.errors import TrainError
from train.export import export
from train.fit import Fit, finished_system
from train.store import PairStore

METRICS = {
    "slices": 64,
    "results": {
        "arterial": {
            "identity": {"psnr_db": 26.04, "enhancement_recovered": {"aorta": 0.0}},
            "S2LDM": {"psnr_db": 29.36},
        }
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    for seed in range(2):
        write_pair(folder / "store", seed)
    fit = Fit(fit_config(folder / "store", folder, steps=1))
    fit.fit()
    return fit.run


@pytest.fixture
def package(run: Any, tmp_path: Path) -> Any:
    return export(run, tmp_path / "package", name="tiny", version="1.2", metrics=METRICS)


def test_the_package_holds_the_averaged_weights(run: Any, package: Any) -> None:
    _, system = finished_system(run)
    built = package.build().state_dict()
    assert all(torch.equal(value, built[key]) for key, value in system.state_dict().items())


def test_the_metadata_name_data_spacing_and_limits(package: Any) -> None:
    meta = ModelPackage.load(package.path).metadata
    assert meta.training_data["seeds"] == [0, 1]
    assert meta.training_data["sources"][0]["cases"] == 2
    assert meta.training_data["source"].startswith("digital torso phantom")
    assert meta.spacing_mm == (3.0, 1.5, 1.5)
    assert any("No contrast agent" in limit for limit in meta.limits)


def test_the_store_may_be_gone_when_the_package_is_made(run: Any, tmp_path: Path) -> None:
    store = run.parent / "store"
    store.rename(run.parent / "elsewhere")
    try:
        assert export(run, tmp_path / "package", name="tiny", version="1").metadata.training_data["cases"] == 2
    finally:
        (run.parent / "elsewhere").rename(store)


@pytest.mark.parametrize(("source_conditioned", "redrawn"), [(True, False), (False, True)])
def test_limits_of_a_system_that_draws_the_image_anew_are_those_of_what_its_latents_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, source_conditioned: bool, redrawn: bool
) -> None:
    config = fit_config(tmp_path / "store", tmp_path, steps=1)
    network = {
        **config.network,
        "autoencoder": {**config.network["autoencoder"], "source_conditioned": source_conditioned},
    }
    write_pair(tmp_path / "store", 0)
    fit = Fit(config.model_copy(update={"network": network}))
    fit.fit()
    _, system = finished_system(fit.run)
    assert isinstance(system, LatentSystem)
    seen: list[Drawn | None] = []

    def limits(store: PairStore, *, drawn: Drawn | None, **_: Any) -> dict[str, Any]:
        seen.append(drawn)
        return answer_limits(store, drawn=drawn, **_)

    monkeypatch.setattr("train.export.answer_limits", limits)
    export(fit.run, tmp_path / "package", name="tiny", version="1")
    (drawn,) = seen
    assert (drawn is not None) == redrawn
    if drawn is not None:
        case = PairStore(tmp_path / "store")[0]
        native, change = (np.asarray(one, np.float32) for one in (case.native, case.changes["arterial"]))
        source = window_to_unit(torch.from_numpy(native), window_hu=config.data.window_hu)[None, None]
        target = window_to_unit(torch.from_numpy(native + change), window_hu=config.data.window_hu)[None, None]
        half = (config.data.window_hu[1] - config.data.window_hu[0]) / 2
        with torch.no_grad():
            wanted = system.reconstruct_change(source, target)[0, 0].numpy() * half
        np.testing.assert_allclose(drawn(native, change), wanted, atol=0.1)
        assert np.abs(wanted - change).max() > 20.0


def test_the_card_says_what_it_is_for_what_it_saw_how_good_it_is_and_what_it_cannot(package: Any) -> None:
    card = (package.path / "README.md").read_text()
    assert package.metadata.weights_sha256 in card
    for expected in ("# tiny 1.2", "not for diagnosis", "seeds: 0, 1", "## Limits"):
        assert expected in card
    for row in ("| psnr db | 26.04 | 29.36 |", "| enhancement aorta | 0 | – |"):
        assert row in card


def test_a_package_that_is_there_is_not_overwritten(run: Any, package: Any) -> None:
    with pytest.raises(TrainError, match="already holds"):
        export(run, package.path, name="tiny", version="1.2")


def test_an_unchanged_package_verifies(package: Any) -> None:
    result = CliRunner().invoke(models, ["verify", str(package.path)])
    assert (result.exit_code, result.output) == (0, "tiny 1.2: checksums match and the network loads\n")


def _flip(path: Any) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def _rewrite(path: Any, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model.safetensors", _flip),
        ("network.yaml", _flip),
        ("README.md", _flip),
        ("README.md", lambda path: path.unlink()),
        ("metadata.json", lambda path: _rewrite(path, intended_use="diagnosis")),
        ("metadata.json", lambda path: _rewrite(path, window_hu=[-200, 400])),
        ("metadata.json", lambda path: _rewrite(path, metrics={})),
    ],
)
def test_verify_refuses_a_changed_package_and_names_the_file(package: Any, file: str, change: Any) -> None:
    change(package.path / file)
    result = CliRunner().invoke(models, ["verify", str(package.path)])
    assert result.exit_code != 0
    assert isinstance(result.exception, PackageError)
    assert result.exception.code == "package_changed"
    assert file in result.exception.sentence


def test_a_package_of_version_0_1_without_metadata_checksum_still_verifies(package: Any) -> None:
    path = package.path / "metadata.json"
    values = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {key: value for key, value in values.items() if key not in ("limits", "card_sha256", "metadata_sha256")}
        )
    )
    ModelPackage.load(package.path).verify()


def test_weights_of_16_bits_take_half_the_room_and_answer_alike(run: Any, package: Any, tmp_path: Path) -> None:
    small = export(run, tmp_path / "half", name="tiny", version="1.2", half=True)
    small.verify()
    sizes = [(one.path / "model.safetensors").stat().st_size for one in (package, small)]
    assert sizes[1] < 0.6 * sizes[0]
    whole, rounded = (one.build().state_dict() for one in (package, small))
    assert all(rounded[key].dtype == value.dtype for key, value in whole.items())
    assert all(torch.allclose(rounded[key], value, rtol=1e-3, atol=1e-7) for key, value in whole.items())
    assert not all(torch.equal(rounded[key], value) for key, value in whole.items())


def test_a_weight_that_does_not_fit_16_bits_is_refused(run: Any, tmp_path: Path) -> None:
    _, system = finished_system(run)
    with torch.no_grad():
        next(system.parameters()).fill_(1e6)
    metadata = {"name": "tiny", "version": "1", "window_hu": (-200, 500), "spacing_mm": (3, 1.5, 1.5)}
    with pytest.raises(PackageError, match="do not fit 16 bits"):
        save_package(tmp_path / "half", system=system, metadata=metadata, half=True)
    assert not list((tmp_path / "half").glob("*"))
