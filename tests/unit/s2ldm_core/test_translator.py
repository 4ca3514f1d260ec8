"""The translator: source HU + predicted change, on exactly the source's grid."""

from typing import Any

import numpy as np
import pytest
import torch

from s2ldm_core import Translator, Volume
from s2ldm_core.change import soft_edged
from s2ldm_core.errors import TranslationError
from s2ldm_core.package import save_package
from s2ldm_core.sampling import Sampling
from s2ldm_core.systems import build_system

CONFIG = {
    "autoencoder": {"kind": "plain", "channels": (4, 6), "blocks": (1, 1), "latent": 3},
    "diffusion": {"channels": (4, 6)},
}


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.manual_seed(0)
    system = build_system("s2ldm", CONFIG)
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    metadata = {
        "name": "tiny",
        "version": "0.1",
        "window_hu": (-200, 500),
        "spacing_mm": (3, 1.5, 1.5),
        "intended_use": "tests",
        "training_data": {},
        "metrics": {},
    }
    folder = tmp_path_factory.mktemp("package") / "tiny"
    save_package(folder, system=system, metadata=metadata)
    return Translator.load(folder, device="cpu")


@pytest.fixture
def volume() -> Any:
    rng = np.random.default_rng(0)
    _, y, x = np.mgrid[:12, :70, :90]
    hu = np.full((12, 70, 90), -1000.0)
    hu[((y - 35) / 28) ** 2 + ((x - 45) / 38) ** 2 < 1] = 40.0
    hu[((y - 50) / 5) ** 2 + ((x - 45) / 6) ** 2 < 1] = 900.0
    hu[((y - 25) / 8) ** 2 + ((x - 30) / 10) ** 2 < 1] = -850.0
    hu += rng.normal(0, 3, hu.shape)
    return Volume(hu=hu, affine=np.array([[1.7, 0, 0, -70], [0, 2.1, 0, -60], [0, 0, 4.0, 5], [0, 0, 0, 1.0]]))


def test_the_result_lies_on_the_sources_grid(translator: Any, volume: Any) -> None:
    result = translator.translate(volume, phase="arterial")
    assert result.volume.shape == volume.shape
    assert np.array_equal(result.volume.affine, volume.affine)
    assert result.translation.steps == 1
    assert {"crop", "resample", "encode", "step 1", "decode", "add"} <= result.translation.seconds.keys()


def test_air_lung_and_dense_bone_keep_their_values_exactly_and_soft_tissue_changes(
    translator: Any, volume: Any
) -> None:
    change = translator.translate(volume, phase="arterial").volume.hu - volume.hu
    assert np.abs(change[(volume.hu < -300) | (volume.hu > 500)]).max() == 0
    assert np.abs(change[np.abs(volume.hu - 40) < 10]).mean() > 0.5


def test_the_same_input_and_seed_give_the_same_voxels(translator: Any, volume: Any) -> None:
    once, again, other = (
        translator.translate(volume, phase="venous", seed=s, sampling=Sampling(steps=2)).volume.hu for s in (4, 4, 5)
    )
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_a_short_stack_has_the_answer_of_one_whose_outermost_slices_go_on(translator: Any, volume: Any) -> None:
    model_mm = np.diag([1.5, 1.5, 3.0, 1.0])
    short = np.concatenate([volume.hu, volume.hu[::-1][:8]])
    longer = np.pad(short, ((8, 8), (0, 0), (0, 0)), mode="edge")
    found, expected = (
        translator.translate(Volume(hu=hu, affine=model_mm), phase="venous").volume.hu for hu in (short, longer)
    )
    assert np.abs(found - expected[8:-8]).max() < 1e-3
    assert np.abs(found - short).max() > 1


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (True, True, False)])
def test_the_answer_does_not_depend_on_how_the_array_is_stored(
    translator: Any, volume: Any, axes: Any, flips: Any
) -> None:
    columns = [volume.affine[:3, 2 - axis] for axis in axes]
    origin = volume.affine[:3, 3].copy()
    hu = volume.hu.transpose(axes)
    for axis, flip in enumerate(flips):
        if flip:
            origin += columns[axis] * (hu.shape[axis] - 1)
            columns[axis] = -columns[axis]
            hu = np.flip(hu, axis)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = columns[2], columns[1], columns[0], origin
    stored = Volume(hu=hu.copy(), affine=affine)
    there = translator.translate(stored, phase="arterial").volume.hu
    for axis, flip in enumerate(flips):
        if flip:
            there = np.flip(there, axis)
    here = translator.translate(volume, phase="arterial").volume.hu
    assert np.abs(there.transpose(np.argsort(axes)) - here).max() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [({"phase": "oral"}, "unknown_phase"), ({"phase": "venous", "sampling": Sampling(steps=0)}, "bad_steps")],
)
def test_wrong_requests_are_named(translator: Any, volume: Any, arguments: Any, code: str) -> None:
    with pytest.raises(TranslationError) as caught:
        translator.translate(volume, **arguments)
    assert caught.value.code == code


def test_too_few_slices_are_refused(translator: Any, volume: Any) -> None:
    few = Volume(hu=volume.hu[:3], affine=volume.affine)
    with pytest.raises(TranslationError, match="3 slices"):
        translator.translate(few, phase="arterial")


@pytest.mark.parametrize("plane", [(40, 1), (2, 2), (3, 40)])
def test_a_field_of_a_few_voxels_is_translated_like_any_other(translator: Any, plane: tuple[int, int]) -> None:
    hu = np.full((8, *plane), 40.0, np.float32)
    narrow = Volume(hu=hu, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    change = translator.translate(narrow, phase="venous").volume.hu - hu
    assert np.abs(change).min() > 0.0


def test_the_body_s_edge_is_soft_over_four_voxels_and_ends_with_the_field() -> None:
    """Known answer: widened by two voxels, then the mean of five, of those that there are."""
    body = np.zeros((1, 9, 12), bool)
    body[:, :, :4] = True
    soft = soft_edged(body).numpy()
    assert np.allclose(soft[0, 4], [1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0])
    assert np.allclose(soft, soft[:, :1])


def test_values_that_are_not_numbers_are_refused(translator: Any, volume: Any) -> None:
    hu = volume.hu.copy()
    hu[2, 3, 4] = np.nan
    with pytest.raises(TranslationError, match="not_finite"):
        translator.translate(volume.with_hu(hu), phase="arterial")


def test_a_device_that_is_not_there_is_named(translator: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(TranslationError, match="CUDA"):
        Translator.load(translator.package.path, device="cuda")
