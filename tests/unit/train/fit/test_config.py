"""Training configurations: what is wrong is named before anything starts, files extend files, every file of the product builds."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from s2ldm_core.systems import build_system
from tests.paths import ROOT
from tests.tiny_training import fit_config
from train.config import load_config
from train.errors import TrainError

FOLDER = ROOT / "config" / "train"
# Plans of ablations lie there too: they have rows.
FILES = [
    path for path in sorted(FOLDER.glob("*.yaml")) if "rows" not in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stages": ({"name": "diffusion", "steps": 1},)}, "autoencoder, diffusion"),
        ({"stages": ({"name": "autoencoder"},)}, "either minutes or steps"),
        (
            {"stages": ({"name": "autoencoder", "steps": 1, "latent_variants": 1},)},
            "latent_variants belongs to a stage with a frozen map: diffusion",
        ),
        ({"stages": ({"name": "autoencoder", "steps": 1, "crop": (8, 30, 32)},)}, r"multiples of \[4, 8, 8\]"),
        (
            {"stages": ({"name": "autoencoder", "steps": 1, "batch": 3, "micro_batch": 2},)},
            "no multiple of its micro_batch",
        ),
        ({"colour": 1}, "colour"),
        ({"network": {"phase": []}}, "phase"),
        ({"system": "gan"}, "system: .*Known systems: .*s2ldm.*, unet"),
        ({"system": "u-net"}, "did you mean unet"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Any, named: str) -> None:
    values = {**fit_config(tmp_path, tmp_path).model_dump(mode="json"), **change}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(_plain(values)))
    with pytest.raises(TrainError, match=named) as caught:
        load_config(path)
    assert caught.value.code == "config_invalid"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _files(folder: Any, **texts: Any) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


BASE = """
name: base
system: unet
network: {channels: [4, 4], core_channels: [4, 4], latent: 2}
data: {store: runs/pairs, crop: [8, 32, 32]}
stages: [{name: regression, steps: 5, lr: 1.0e-3}]
"""


def test_a_file_gives_only_what_differs_from_the_one_it_extends(tmp_path: Path) -> None:
    _files(tmp_path, base=BASE, middle="extends: base.yaml\nname: middle\ndata: {batch: 4}")
    _files(tmp_path, top="extends: middle.yaml\ndata: {micro_batch: 2}")
    config = load_config(tmp_path / "top.yaml")
    assert (config.name, config.data.crop, config.data.batch, config.data.micro_batch) == ("middle", (8, 32, 32), 4, 2)


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    _files(tmp_path, a="extends: b.yaml", b="extends: a.yaml")
    with pytest.raises(TrainError, match="extends itself"):
        load_config(tmp_path / "a.yaml")


def test_single_keys_are_set_by_their_path(tmp_path: Path) -> None:
    _files(tmp_path, base=BASE)
    overrides = ["data.batch=2", "stages.regression.steps=7", "stages.0.lr=0.5", "optim.ema=0.9", "network.latent=3"]
    config = load_config(tmp_path / "base.yaml", overrides=overrides)
    assert (config.data.batch, config.stages[0].steps, config.stages[0].lr, config.optim.ema) == (2, 7, 0.5, 0.9)
    assert config.network["latent"] == 3


@pytest.mark.parametrize(
    ("override", "named"), [("data.batch", "KEY=VALUE"), ("stages.nothing.lr=1", "nothing"), ("dat.batch=2", "dat")]
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, named: str) -> None:
    _files(tmp_path, base=BASE)
    with pytest.raises(TrainError, match=named):
        load_config(tmp_path / "base.yaml", overrides=[override])


def test_a_missing_file_and_one_without_keys_are_told_apart(tmp_path: Path) -> None:
    _files(tmp_path, empty="")
    for name, code in (("none", "config_missing"), ("empty", "config_invalid")):
        with pytest.raises(TrainError) as caught:
            load_config(tmp_path / f"{name}.yaml")
        assert caught.value.code == code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_configuration_of_the_product_builds_its_system_and_names_no_path_of_a_machine(path: Any) -> None:
    config = load_config(path)
    assert build_system(config.system, config.network).count_parameters() > 1000
    assert config.data.store.parts[0] == "runs"
    assert config.output == Path("runs")


def test_no_two_configurations_of_the_product_share_a_run_folder() -> None:
    names = [load_config(path).name for path in FILES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "override",
    [f"network.frequency.mode={mode}" for mode in ("none", "unsharp", "fft", "wavelet", "loss")]
    + [f"network.similarity.axis={axis}" for axis in ("channel", "spatial", "element", "window")]
    + ["network.similarity.on=post_vq", "network.autoencoder.kind=kl"],
)
def test_the_documented_switches_apply_to_the_ablation(override: Any) -> None:
    config = load_config(FOLDER / "ablation_full.yaml", overrides=[override])
    path, _, value = override.removeprefix("network.").partition("=")
    node: Any = build_system(config.system, config.network).config
    for part in path.split("."):
        node = getattr(node, part)
    assert node == value


def test_the_ablation_switches_encoder_similarity_and_mask_one_by_one() -> None:
    def switches(row: Any) -> Any:
        network = build_system("s2ldm", load_config(FOLDER / f"ablation_{row}.yaml").network).config
        return network.syncretic, network.loss.sim > 0, network.mask.enabled

    assert {row: switches(row) for row in ("a", "b", "c", "d", "full")} == {
        "a": (False, False, False),
        "b": (True, False, False),
        "c": (True, True, False),
        "d": (True, False, True),
        "full": (True, True, True),
    }


def test_the_paper_preset_has_the_numbers_that_the_paper_gives() -> None:
    config = load_config(FOLDER / "s2ldm_paper.yaml")
    network = build_system("s2ldm", config.network).config
    assert (config.data.window_hu, config.data.crop) == ((-200, 200), (48, 256, 256))
    assert [config.batch_of(stage)[0] for stage in config.stages] == [1, 2]
    assert (network.similarity.gamma, network.mask.alpha, network.diffusion.schedule) == (1.0, 2.0, "ddpm")
    assert not network.autoencoder.source_conditioned


@pytest.mark.parametrize("name", ["s2ldm.yaml", "s2ldm_cpu.yaml", "s2ldm_paper.yaml"])
def test_configurations_for_pairs_of_ones_own_need_no_labels(name: str) -> None:
    data = load_config(FOLDER / name).data
    assert (data.focus, data.organ_offset) == (None, None)
    assert load_config(
        FOLDER / name, overrides=["data.focus.share=0.5", "data.focus.organs=[liver]"]
    ).data.focus.organs == ("liver",)
