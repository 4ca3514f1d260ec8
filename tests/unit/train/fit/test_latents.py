"""Latents on disk: exact, made once, made anew for another encoder, and as good to train on as encoded crops."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2ldm_core.systems import Batch, How, Turn, build_system
from tests.tiny_training import CROP, PLAIN, fit_config, write_pair
from train.fit import Fit
from train.fit.latents import LatentCache
from train.store import PairStore

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    for seed in range(2):
        write_pair(tmp_path / "store", seed)
    return PairStore(tmp_path / "store")


@pytest.fixture
def system() -> Any:
    torch.manual_seed(0)
    return build_system("s2ldm", PLAIN).eval()


def _cache(store: Any, folder: Any, *, variants: Any = 1) -> Any:
    data = fit_config(store.folder, folder).data
    return LatentCache(
        folder / "latents", store=store, config=data, phases=("arterial", "venous"), seed=0, variants=variants
    )


def test_a_tiled_encoding_is_the_whole_volumes(system: Any) -> None:
    image = torch.rand(1, 1, 24, 64, 64) * 2 - 1
    whole, _, _ = system.encode(image)
    assert torch.allclose(system.cache("latent", image, How(tile=(8, 32, 32))), whole, atol=1e-5)


def test_a_cropped_latent_is_that_part_of_the_encoded_case(store: Any, system: Any, tmp_path: Path) -> None:
    cache = _cache(store, tmp_path)
    cache.prepare(system, stage="diffusion", digest="a")
    cache.encode(system, stage="diffusion", device=CPU, autocast=nullcontext)
    batch = cache.batch(stage=1, step=3, items=(0, 1), crop=CROP).cached["source"]
    assert batch.shape == (2, 3, 4, 8, 8)
    whole = [np.load(path) for path in (tmp_path / "latents").glob("*/native-0.npy")]
    crop = batch[0].numpy()
    found = [
        np.array_equal(array[:, z : z + 4, y : y + 8, x : x + 8], crop)
        for array in whole
        for z in range(array.shape[1] - 3)
        for y in range(array.shape[2] - 7)
        for x in range(array.shape[3] - 7)
    ]
    assert any(found)


def test_variants_differ_in_their_augmentation(store: Any, system: Any, tmp_path: Path) -> None:
    cache = _cache(store, tmp_path, variants=2)
    cache.prepare(system, stage="diffusion", digest="a")
    cache.encode(system, stage="diffusion", device=CPU, autocast=nullcontext)
    first, second = (np.load(tmp_path / "latents" / store.names[0] / f"native-{i}.npy") for i in range(2))
    assert not np.array_equal(first, second)


def test_latents_are_made_once_and_anew_for_another_encoder_or_other_data(
    store: Any, system: Any, tmp_path: Path
) -> None:
    cache = _cache(store, tmp_path)
    cache.prepare(system, stage="diffusion", digest="a")
    cache.encode(system, stage="diffusion", device=CPU, autocast=nullcontext)
    path = tmp_path / "latents" / store.names[0] / "native-0.npy"
    made = path.stat().st_mtime_ns
    cache.prepare(system, stage="diffusion", digest="a")
    cache.encode(system, stage="diffusion", device=CPU, autocast=nullcontext)
    assert path.stat().st_mtime_ns == made
    cache.prepare(system, stage="diffusion", digest="b")
    assert not path.exists()
    cache.encode(system, stage="diffusion", device=CPU, autocast=nullcontext)
    with torch.no_grad():
        system.encoder.out.bias.add_(1.0)
    cache.prepare(system, stage="diffusion", digest="b")
    assert not path.exists()


def test_the_loss_of_latents_is_the_loss_of_the_pairs_they_come_from(store: Any, system: Any) -> None:
    from train.crops import CropSampler

    config = fit_config(store.folder, store.folder).data
    pair = CropSampler(store, config, phases=("arterial", "venous"), seed=0).batch(stage=1, step=0, items=(0, 1))
    expected, _ = system.loss("diffusion", "denoiser", pair, Turn(0.2, torch.Generator().manual_seed(5)))
    maps = {
        name: system.cache("latent", image, How()) for name, image in (("source", pair.source), ("target", pair.target))
    }
    latents = Batch(images={}, condition=pair.condition, cached=maps)
    loss, _ = system.loss("diffusion", "denoiser", latents, Turn(0.2, torch.Generator().manual_seed(5)))
    assert torch.equal(loss, expected)


def test_a_run_with_cached_latents_trains_its_denoiser_and_removes_them(store: Any, tmp_path: Path) -> None:
    stages = (
        {"name": "autoencoder", "steps": 2, "lr": 2e-3},
        {"name": "diffusion", "steps": 3, "lr": 2e-3, "latent_variants": 1},
    )
    run = Fit(fit_config(store.folder, tmp_path, network=PLAIN, stages=stages))
    before = run.system.denoiser.out.weight.detach().clone()
    run.fit()
    assert not torch.equal(run.system.denoiser.out.weight, before)
    assert not (run.run / "latents").exists()
