"""Training: it learns, it resumes to the same weights, it refuses what cannot work."""

import numpy as np
import pytest
import torch
import yaml

from train.adversary import PatchAdversary, hinge
from train.checkpoint import load_checkpoint
from train.config import FitConfig, load_config
from train.crops import CropSampler
from train.errors import TrainError
from train.export import export
from train.fit import Fit, finished_system
from train.store import PairStore, write_case

NETWORK = {"autoencoder": {"kind": "vq", "codes": 32, "channels": (4, 6), "blocks": (1, 1), "latent": 3}, "diffusion": {"channels": (4, 6)}}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :40]
    for seed in range(2):
        native = np.full((12, 48, 40), -100.0)
        native[:, (y - 24) ** 2 + (x - 20) ** 2 < 100] = 40.0
        change = np.where(native > 0, 120.0, 0.0)
        write_case(
            folder, f"phantom-{seed:06d}", spacing_mm=(3, 1.5, 1.5), native=native, noise=rng.normal(0, 5, native.shape),
            changes={"arterial": change, "venous": 0.5 * change}, about={},
        )  # fmt: skip
    return folder


def _config(store, output, *, steps=3, **changes):
    stages = tuple({"name": name, "steps": steps, "lr": 2e-3} for name in ("autoencoder", "diffusion", "finetune"))
    values = {
        "name": "run", "system": "s2ldm", "network": NETWORK, "data": {"store": store, "crop": (8, 32, 32)}, "stages": stages,
        "precision": "fp32", "checkpoint_steps": 2, "output": output,
    }  # fmt: skip
    return FitConfig.model_validate({**values, **changes})


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("kill_at", [(0, 3), (1, 1), (2, 3)])
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(store, tmp_path, monkeypatch, kill_at):
    expected = Fit(_config(store, tmp_path / "whole")).fit().state_dict()
    step = Fit._step

    def dying(self, index, *arguments):
        if (index, self.position.step + 1) == kill_at:
            raise _KilledError
        return step(self, index, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_step", dying)
        with pytest.raises(_KilledError):
            Fit(_config(store, tmp_path / "killed")).fit()
    resumed = Fit(_config(store, tmp_path / "killed")).fit().state_dict()
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)


def test_training_reduces_the_error_of_the_deterministic_step(store, tmp_path):
    config = _config(store, tmp_path, steps=40)
    run = Fit(config)
    batch = run.sampler.batch(stage=9, step=0)
    system = run.fit()
    with torch.inference_mode():
        error = (system.predict_change(batch.source, batch.phase) - batch.change).abs().mean()
    assert error < 0.6 * batch.change.abs().mean()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(store, tmp_path, monkeypatch):
    run = Fit(_config(store, tmp_path))
    loss = run.system.loss

    def poisoned(stage, batch, **keywords):
        value, parts = loss(stage, batch, **keywords)
        return (value * float("nan") if run.position.step == 2 else value), parts

    monkeypatch.setattr(run.system, "loss", poisoned)
    with pytest.raises(TrainError, match="step 2 of stage autoencoder"):
        run.fit()
    position, state = load_checkpoint(run.run)
    assert position.step == 2
    assert all(torch.isfinite(value).all() for value in state["system"].values())


def test_export_packages_the_averaged_weights(store, tmp_path):
    run = Fit(_config(store, tmp_path))
    run.fit()
    package = export(run.run, tmp_path / "package", name="tiny", version="1.2")
    _, system = finished_system(run.run)
    built = package.build().state_dict()
    assert all(torch.equal(value, built[key]) for key, value in system.state_dict().items())
    assert package.metadata.training_data["seeds"] == [0, 1]
    with pytest.raises(TrainError, match="already holds"):
        export(run.run, tmp_path / "package", name="tiny", version="1.2")


def test_an_unfinished_run_is_not_exported(store, tmp_path, monkeypatch):
    run = Fit(_config(store, tmp_path))
    run._save(None, None)
    (run.run / "config.yaml").write_text(yaml.safe_dump(run.config.model_dump(mode="json")))
    with pytest.raises(TrainError, match="stopped in stage autoencoder"):
        export(run.run, tmp_path / "package", name="tiny", version="1")


def test_the_same_step_draws_the_same_crop_and_another_step_another(store, tmp_path):
    config = _config(store, tmp_path)
    sampler = CropSampler(PairStore(store), config.data, phases=("arterial", "venous"), seed=3)
    a, b, c = (sampler.batch(stage=0, step=s) for s in (5, 5, 6))
    assert torch.equal(a.source, b.source)
    assert not torch.equal(a.source, c.source)
    assert a.source.shape == (1, 1, 8, 32, 32)


def test_the_adversary_learns_to_tell_fake_from_real():
    torch.manual_seed(0)
    adversary = PatchAdversary(lr=2e-3, channels=4, layers=1)
    real, fake = torch.randn(1, 1, 16, 16, 16), torch.zeros(1, 1, 16, 16, 16)
    losses = []
    for _ in range(30):
        adversary(fake, real)
        losses.append(float(adversary.step()))
    assert losses[-1] < 0.5 * losses[0]
    assert adversary.step() is None


def test_hinge_has_its_known_values():
    assert hinge(real=torch.tensor([2.0, 0.0]), fake=torch.tensor([-2.0, 1.0])).item() == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stages": ({"name": "diffusion", "steps": 1},)}, "autoencoder, diffusion"),
        ({"stages": ({"name": "autoencoder"},)}, "either minutes or steps"),
        ({"colour": 1}, "colour"),
        ({"network": {"phase": []}}, "phase"),
    ],
)
def test_a_wrong_configuration_is_named_before_anything_starts(store, tmp_path, change, named):
    values = {**_config(store, tmp_path).model_dump(mode="json"), **change}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(yaml.safe_dump(_plain(values)))))
    with pytest.raises(TrainError, match=named):
        load_config(path)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def test_a_stage_may_have_its_own_crop_and_every_crop_may_be_softened_alike(store, tmp_path):
    data = _config(store, tmp_path).data
    batches = {}
    for share in (0.0, 1.0):
        config = data.model_copy(update={"smooth_share": share, "noise": (0.0, 0.0), "offset_hu": 0.0})
        sampler = CropSampler(PairStore(store), config, phases=("arterial",), seed=3)
        batches[share] = sampler.batch(stage=0, step=1, crop=(8, 48, 40))
    sharp, soft = batches[0.0], batches[1.0]
    assert sharp.source.shape == (1, 1, 8, 48, 40)
    assert (sharp.source.unique().numel(), sharp.change.unique().numel()) == (2, 2)
    assert soft.source.unique().numel() > 2
    inside = sharp.change > 0
    assert soft.change[inside].std() > 0  # the edge of the change is softened with the edge of the organ
    np.testing.assert_allclose(soft.change.mean(), sharp.change.mean(), rtol=0.02)


def test_a_pair_without_separate_noise_is_used_as_it_is(store, tmp_path):
    native = np.arange(8 * 16 * 16, dtype=np.float32).reshape(8, 16, 16) % 100
    write_case(tmp_path, "real", spacing_mm=(3, 1.5, 1.5), native=native, changes={"arterial": native / 2}, about={})
    config = _config(store, tmp_path).data.model_copy(update={"crop": (8, 16, 16), "offset_hu": 0.0, "smooth_share": 0.0})
    batch = CropSampler(PairStore(tmp_path), config, phases=("arterial",), seed=0).batch(stage=0, step=0)
    np.testing.assert_allclose(batch.source[0, 0].numpy() * 350 + 150, native, atol=0.01)


def test_a_store_offers_its_splits_its_organs_and_a_digest_of_what_it_holds(tmp_path):
    native = np.zeros((4, 8, 8))
    arrays = {"spacing_mm": (3, 1.5, 1.5), "native": native, "changes": {"arterial": native}, "about": {}}
    write_case(tmp_path, "a", **arrays, labels=np.full(native.shape, 5), organs={"aorta": 5}, patient="p")
    write_case(tmp_path, "b", **arrays, split="validation")
    train = PairStore(tmp_path, split="train")
    assert (train.names, train[0].patient, dict(train[0].organs)) == (["a"], "p", {"aorta": 5})
    assert train[0].labels is not None
    assert int(train[0].labels[0, 0, 0]) == 5
    assert PairStore(tmp_path, split="validation")[0].labels is None
    with pytest.raises(TrainError, match="test split"):
        PairStore(tmp_path, split="test")
    before = PairStore(tmp_path).digest()
    write_case(tmp_path, "b", **arrays, split="test")
    assert PairStore(tmp_path).digest() != before
