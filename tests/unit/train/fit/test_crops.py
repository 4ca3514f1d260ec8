"""Crops of a pair store: seeded item by item, augmented alike in both phases, of the phases that a case has."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2ldm_core.phantom import ORGANS
from tests.tiny_training import fit_config, write_pair
from train.config import DataConfig
from train.crops import CropSampler
from train.cuts import Pose
from train.errors import TrainError
from train.store import PairStore, write_case


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("store")
    for seed in range(2):
        write_pair(folder, seed)
    return folder


def test_the_same_item_is_the_same_crop_in_any_batch_and_another_step_another(store: Any, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path)
    sampler = CropSampler(PairStore(store), config.data, phases=("arterial", "venous"), seed=3)
    pair, second, later = (sampler.batch(stage=0, step=s, items=i) for s, i in ((5, (0, 1)), (5, (1,)), (6, (1,))))
    assert pair.source.shape == (2, 1, 8, 32, 32)
    assert torch.equal(pair.source[1:], second.source)
    assert not torch.equal(second.source, later.source)


def test_a_case_without_a_phase_is_drawn_in_the_phases_it_has(tmp_path: Path) -> None:
    write_pair(tmp_path, 0, phases=("venous",))
    write_pair(tmp_path, 1)
    config = fit_config(tmp_path, tmp_path)
    sampler = CropSampler(PairStore(tmp_path), config.data, phases=("arterial", "venous"), seed=0)
    batch = sampler.batch(stage=0, step=0, items=range(40))
    assert 0.05 < float((batch.condition.phase == 0).float().mean()) < 0.45


def test_a_phase_that_no_case_has_is_named(tmp_path: Path) -> None:
    write_pair(tmp_path, 0, phases=("venous",))
    with pytest.raises(TrainError, match="no phase arterial"):
        CropSampler(PairStore(tmp_path), fit_config(tmp_path, tmp_path).data, phases=("arterial", "venous"), seed=0)


def test_a_stage_may_have_its_own_crop_and_every_crop_may_be_softened_alike(store: Any, tmp_path: Path) -> None:
    data = fit_config(store, tmp_path).data
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


def test_a_pair_without_separate_noise_is_used_as_it_is(store: Any, tmp_path: Path) -> None:
    native = np.arange(8 * 16 * 16, dtype=np.float32).reshape(8, 16, 16) % 100
    write_case(tmp_path, "real", spacing_mm=(3, 1.5, 1.5), native=native, changes={"arterial": native / 2}, about={})
    config = fit_config(store, tmp_path).data.model_copy(
        update={"crop": (8, 16, 16), "offset_hu": 0.0, "smooth_share": 0.0}
    )
    batch = CropSampler(PairStore(tmp_path), config, phases=("arterial",), seed=0).batch(stage=0, step=0)
    np.testing.assert_allclose(batch.source[0, 0].numpy() * 350 + 150, native, atol=0.01)


def test_organs_are_cropped_with_the_images_and_cases_without_have_none(store: Any, tmp_path: Path) -> None:
    native = np.arange(8 * 16 * 16, dtype=np.float32).reshape(8, 16, 16) % 100
    arrays = {"spacing_mm": (3, 1.5, 1.5), "native": native, "changes": {"arterial": native / 2}, "about": {}}
    config = fit_config(store, tmp_path).data.model_copy(
        update={"crop": (4, 8, 8), "offset_hu": 0.0, "smooth_share": 0.0}
    )

    def batch() -> Any:
        return CropSampler(PairStore(tmp_path), config, phases=("arterial",), seed=0).batch(
            stage=0, step=0, items=range(8)
        )

    write_case(tmp_path, "bare", **arrays)
    assert batch().organs is None
    write_case(tmp_path, "labelled", **arrays, labels=native, organs={"aorta": ORGANS["aorta"]})
    known = [i for i in range(8) if batch().organs[i].any()]
    assert 0 < len(known) < 8
    for i in known:
        np.testing.assert_allclose(batch().source[i].numpy() * 350 + 150, batch().organs[i].numpy(), atol=0.01)


def test_organs_have_the_phantoms_numbers_whatever_a_case_calls_them(store: Any, tmp_path: Path) -> None:
    labels = np.zeros((8, 32, 32), np.uint8)
    labels[..., 8:16], labels[..., 16:24], labels[..., 24:] = 7, 65, 9
    organs = {"spleen": 7, "kidney_left": 65, "aorta": 9}
    arrays = {"spacing_mm": (3, 1.5, 1.5), "native": labels * 1.0, "changes": {"arterial": labels * 1.0}, "about": {}}
    write_case(tmp_path, "a", **arrays, labels=labels, organs=organs)
    config = fit_config(store, tmp_path).data.model_copy(update={"crop": (8, 32, 32)})
    sampler = CropSampler(PairStore(tmp_path), config, phases=("arterial",), seed=0)
    found = sampler.batch(stage=0, step=0).organs[0, 0, 0, 0]
    assert found[8].item() == ORGANS["spleen"]
    assert found[24].item() == ORGANS["aorta"]
    assert found[0].item() == 0
    assert found[16].item() not in ORGANS.values()  # the phantom has no such organ: a number of its own, no other's


def test_a_share_of_the_crops_is_drawn_around_organs(store: Any, tmp_path: Path) -> None:
    labels = np.zeros((16, 64, 64))
    labels[3, 5, 60] = 5
    arrays = {"spacing_mm": (3, 1.5, 1.5), "native": labels, "changes": {"arterial": labels}, "about": {}}
    write_case(tmp_path, "bare", **arrays)
    write_case(tmp_path, "labelled", **arrays, labels=labels, organs={"aorta": 5})
    data = fit_config(store, tmp_path).data

    def seen(**focus: Any) -> Any:
        config = data.model_validate({**data.model_dump(), "crop": (8, 16, 16), "focus": focus or None})
        organs = (
            CropSampler(PairStore(tmp_path), config, phases=("arterial",), seed=0)
            .batch(stage=0, step=0, items=range(200))
            .organs
        )
        return float((organs == ORGANS["aorta"]).flatten(1).any(1).float().mean())

    assert seen() < 0.1
    assert 0.2 < seen(share=0.5, organs=["aorta", "portal_vein"]) < 0.35  # half the crops of one of two cases
    assert 0.4 < seen(share=1.0, organs=["aorta"]) < 0.6
    with pytest.raises(TrainError, match="labels of portal_vein"):
        seen(share=0.5, organs=["portal_vein"])
    with pytest.raises(ValueError, match=r"focus\.organs"):
        seen(share=0.5)


def test_organs_are_moved_in_groups_in_both_phases_where_a_case_has_labels(store: Any, tmp_path: Path) -> None:
    labels = np.zeros((8, 32, 32))
    labels[:, :, 10:20], labels[:, :, 20:30] = 1, 2
    native = np.full(labels.shape, 40.0)
    arrays = {"spacing_mm": (3, 1.5, 1.5), "native": native, "changes": {"arterial": native}, "about": {}}
    plain = fit_config(store, tmp_path).data.model_dump() | {"crop": (8, 32, 32), "offset_hu": 0.0, "smooth_share": 0.0}
    organs = {"renal_cortex": 1, "renal_medulla": 2}

    def offsets(case: Any, groups: Any) -> Any:
        config = DataConfig.model_validate(plain | {"organ_offset": {"hu": 8.0, "organs": groups}})
        batch = CropSampler(PairStore(tmp_path / case), config, phases=("arterial",), seed=0).batch(
            stage=0, step=0, items=range(50)
        )
        np.testing.assert_allclose(batch.change.numpy() * 350, 40.0, atol=0.01)
        hu = batch.source.numpy()[:, 0, 4, 16] * 350 + 150 - 40
        return hu[:, 4], hu[:, 14], hu[:, 25]

    write_case(tmp_path / "labelled", "a", **arrays, labels=labels, organs=organs)
    outside, cortex, medulla = offsets("labelled", [["renal_cortex", "renal_medulla"]])
    np.testing.assert_allclose(outside, 0, atol=0.01)
    np.testing.assert_allclose(cortex, medulla, atol=0.01)
    assert 5 < cortex.std() < 11
    _, cortex, medulla = offsets("labelled", [["renal_cortex"], ["renal_medulla"]])
    assert abs(np.corrcoef(cortex, medulla)[0, 1]) < 0.5
    with pytest.raises(TrainError, match="labels of spleen"):
        offsets("labelled", [["spleen"]])
    write_case(tmp_path / "mixed", "b", **arrays)
    write_case(tmp_path / "mixed", "a", **arrays, labels=labels, organs=organs)
    _, cortex, _ = offsets("mixed", [["renal_cortex"]])
    assert 10 < np.count_nonzero(np.abs(cortex) < 0.01) < 40  # the case without labels is as it was


def test_noise_is_added_to_a_real_scan_alike_in_both_phases_and_not_to_a_case_that_keeps_its_own(
    store: Any, tmp_path: Path
) -> None:
    flat = np.full((8, 32, 32), 40.0)
    arrays = {"spacing_mm": (3, 1.5, 1.5), "native": flat, "changes": {"arterial": flat}, "about": {}}
    write_case(tmp_path / "real", "a", **arrays)
    write_case(tmp_path / "made", "a", **arrays, noise=np.zeros(flat.shape))
    quiet = {"crop": (8, 32, 32), "offset_hu": 0.0, "smooth_share": 0.0}
    config = DataConfig.model_validate(fit_config(store, tmp_path).data.model_dump() | quiet | {"added_noise_hu": 20.0})

    def crops(case: str) -> Any:
        sampler = CropSampler(PairStore(tmp_path / case), config, phases=("arterial",), seed=0)
        batch = sampler.batch(stage=0, step=0, items=range(40))
        np.testing.assert_allclose(batch.change.numpy() * 350, 40.0, atol=0.01)
        return batch.source.numpy()[:, 0] * 350 + 150 - 40

    noise = crops("real")
    spread = noise.std(axis=(1, 2, 3))
    assert spread.min() < 3
    assert 17 < spread.max() <= 20.01
    assert 8 < spread.mean() < 12
    assert np.abs(noise.mean(axis=(1, 2, 3))).max() < 3
    beside, below = ((noise * np.roll(noise, 1, axis=axis)).mean() / noise.var() for axis in (3, 1))
    assert beside > 0.2 > 0.05 > abs(below)  # grain in the plane, slices of their own
    np.testing.assert_array_equal(crops("real"), noise)
    np.testing.assert_allclose(crops("made"), 0, atol=0.01)


def test_a_smooth_field_is_added_alike_in_both_phases(store: Any, tmp_path: Path) -> None:
    flat = np.full((16, 64, 64), 40.0)
    write_case(tmp_path, "a", spacing_mm=(3, 1.5, 1.5), native=flat, changes={"arterial": flat}, about={})
    quiet = {"crop": (16, 64, 64), "offset_hu": 0.0, "smooth_share": 0.0, "shading_hu": 10.0}
    plain = fit_config(store, tmp_path).data.model_dump() | quiet

    def fields(plane: tuple[float, float], slices: tuple[float, float]) -> Any:
        config = DataConfig.model_validate(plain | {"shading_mm": plane, "shading_slices_mm": slices})
        sampler = CropSampler(PairStore(tmp_path), config, phases=("arterial",), seed=0)
        batch = sampler.batch(stage=0, step=0, items=range(40))
        np.testing.assert_allclose(batch.change.numpy() * 350, 40.0, atol=0.01)
        return batch.source.numpy()[:, 0] * 350 + 150 - 40

    one_size = fields((4, 4), (6, 6))
    spread = one_size.std(axis=(1, 2, 3))
    assert spread.min() < 2
    assert 8 < spread.max() < 11
    assert 4 < spread.mean() < 6
    # A Gaussian of s mm makes places d mm apart correlate by exp(-d² / 4s²): here d = 1.5 s.
    for axis, voxels in ((1, 3), (2, 4), (3, 4)):
        one, other = (np.take(one_size, range(*ends), axis=axis) for ends in ((0, 12), (voxels, 12 + voxels)))
        assert (one * other).mean() / one_size.var() == pytest.approx(math.exp(-(1.5**2) / 4), abs=0.12)
    sizes = fields((2, 18), (6, 6))
    along = np.array([(field[..., 1:] * field[..., :-1]).mean() / field.var() for field in sizes])
    weak, smooth = sizes.std(axis=(1, 2, 3)), np.argsort(along)
    assert along.min() < 0.9
    assert weak[smooth[:10]].max() > 6
    assert weak[smooth[-10:]].max() < 6  # those of 10 mm and more: 10 sqrt(2 / 10), and chance
    np.testing.assert_array_equal(fields((2, 18), (6, 6)), sizes)
    for wrong in (((18, 2), (6, 6)), ((2, 18), (0, 6))):
        with pytest.raises(ValueError, match="shading"):
            fields(*wrong)


def test_the_anatomy_of_a_crop_is_zoomed_and_its_noise_is_not(store: Any, tmp_path: Path) -> None:
    labels = np.zeros((24, 64, 64))
    labels[:, 24:40, 24:40] = 1
    noise = np.random.default_rng(0).normal(0, 10, labels.shape)
    case = {
        "native": labels * 100,
        "changes": {"arterial": labels * 50},
        "labels": labels,
        "organs": {"aorta": 1},
        "about": {},
    }
    write_case(tmp_path, "a", spacing_mm=(3, 1.5, 1.5), noise=noise, **case)
    plain = fit_config(store, tmp_path).data.model_dump() | {"crop": (8, 48, 48), "offset_hu": 0.0, "smooth_share": 0.0}

    def drawn(**changes: Any) -> Any:
        sampler = CropSampler(
            PairStore(tmp_path), DataConfig.model_validate(plain | changes), phases=("arterial",), seed=0
        )
        return sampler.batch(stage=0, step=0, items=range(40))

    def size(batch: Any) -> Any:  # voxels of the organ in a row, where the crop holds it whole
        rows = (batch.organs[:, 0, 4, :, :] == ORGANS["aorta"]).any(1)
        return rows[~rows[:, 0] & ~rows[:, -1]].sum(1).float()

    assert size(drawn()).unique().tolist() == [16]
    sizes = size(drawn(zoom=(0.75, 1.5)))
    assert sizes.min() < 15
    assert sizes.max() > 19
    large = drawn(zoom=(1.5, 1.5), noise=(1.0, 1.0))
    assert set(size(large).tolist()) <= {23, 24, 25}
    assert large.source.shape == large.change.shape == large.organs.shape == (40, 1, 8, 48, 48)
    inside = (large.organs == ORGANS["aorta"]) & (large.change * 350 > 49.9)
    assert 8 < float((large.source[inside] * 350).std()) < 12  # noise of one voxel, not smoothed by the zoom
    with pytest.raises(ValueError, match="zoom"):
        drawn(zoom=(1.5, 0.7))


def test_a_store_offers_its_splits_its_organs_and_a_digest_of_what_it_holds(tmp_path: Path) -> None:
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
    before = train.digest()
    write_case(
        tmp_path,
        "a",
        **{**arrays, "native": native + 1},
        labels=np.full(native.shape, 5),
        organs={"aorta": 5},
        patient="p",
    )
    assert PairStore(tmp_path, split="train").digest() != before
    before = PairStore(tmp_path).digest()
    write_case(tmp_path, "b", **arrays, split="test")
    assert PairStore(tmp_path).digest() != before


def _write_level_case(folder: Any, number: int, *, slices: int) -> None:
    """HU say how far down the case a slice is, 100 at the end; labels say which case it is; its phase is its own alone."""
    level = np.broadcast_to(np.linspace(0, 100, slices)[:, None, None], (slices, 40, 40))
    write_case(
        folder,
        f"case-{number}",
        spacing_mm=(3, 1.5, 1.5),
        native=level,
        changes={("arterial", "venous")[number]: np.full(level.shape, 10.0)},
        labels=np.full(level.shape, number + 1, np.uint8),
        seconds={"venous": 72.5} if number else None,
        valid={"venous": np.broadcast_to(np.arange(40) < 20, level.shape)} if number else None,
        about={},
    )


def _level_sampler(folder: Any) -> Any:
    for number, slices in enumerate((20, 40)):
        _write_level_case(folder, number, slices=slices)
    quiet = {"offset_hu": 0.0, "smooth_share": 0.0}
    data = fit_config(folder, folder).data.model_copy(update=quiet)
    return CropSampler(PairStore(folder), data, phases=("arterial", "venous"), seed=0)


def test_unpaired_crops_are_of_independent_cases_at_the_same_level_of_the_body(tmp_path: Path) -> None:
    sampler = _level_sampler(tmp_path)
    batch = sampler.batch(stage=0, step=0, items=range(60), data="unpaired")
    assert batch.images.keys() == {"source", "target"}
    own = (batch.organs[:, 0, 0, 0, 0] - 1).tolist()
    others = batch.condition.phase.tolist()
    assert {(a, b) for a, b in zip(own, others, strict=True)} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    slices = torch.tensor([20, 40])

    def level(image: Any, case: Any, change_hu: float) -> Any:
        hu = (image[:, 0, 0, 0, 0] + 1) * 350 - 200 - change_hu
        return hu / 100 * (slices[case] - 1) / (slices[case] - 8)

    difference = level(batch.source, own, 0) - level(batch.target, others, 10)
    assert difference.abs().max() < 0.05  # a slice of the shorter case
    assert level(batch.source, own, 0).std() > 0.2


@pytest.mark.parametrize("data", ["source", "target"])
def test_crops_of_one_phase_are_that_side_of_the_same_pairs(tmp_path: Path, data: Any) -> None:
    sampler = _level_sampler(tmp_path)
    pair = sampler.batch(stage=0, step=0, items=range(6))
    alone = sampler.batch(stage=0, step=0, items=range(6), data=data)
    assert torch.equal(alone.images[data], getattr(pair, data))
    assert torch.equal(alone.condition.phase, pair.condition.phase)
    with pytest.raises(KeyError):
        _ = alone.change


def test_seconds_and_what_was_measured_come_with_the_crops_where_they_are_known(tmp_path: Path) -> None:
    batch = _level_sampler(tmp_path).batch(stage=0, step=0, items=range(12))
    venous = batch.condition.phase == 1
    seconds = batch.condition.value("seconds")
    assert set(seconds[venous].tolist()) == {72.5}
    assert seconds[~venous].isnan().all()
    assert batch.condition.value("dose").isnan().all()
    assert batch.valid is not None
    assert batch.valid.dtype == torch.bool
    assert batch.valid[~venous].all()
    assert 0 < float(batch.valid[venous].float().mean()) < 1


def test_a_case_of_which_neither_is_known_is_written_as_before(store: Any) -> None:
    record = json.loads((store / "phantom-000000" / "case.json").read_text())
    assert set(record) == {"spacing_mm", "phases", "patient", "split", "organs", "sha256", "about"}
    assert PairStore(store)[0].valid == {}
    sampler = CropSampler(PairStore(store), fit_config(store, store).data, phases=("arterial",), seed=0)
    assert sampler.batch(stage=0, step=0).valid is None


def test_crops_know_the_enhancement_of_the_aorta_where_it_is_labelled_and_measured(tmp_path: Path) -> None:
    write_pair(tmp_path, 0, labels=True)
    write_pair(tmp_path, 1)
    store = PairStore(tmp_path)
    assert store[0].aorta_hu == {"arterial": 120.0, "venous": 60.0}
    assert store[1].aorta_hu == {}
    sampler = CropSampler(store, DataConfig(store=tmp_path, crop=(4, 8, 8)), phases=("arterial", "venous"), seed=0)
    seen = set()
    for step in range(40):
        one = sampler.batch(stage=0, step=step).condition
        seen.add((int(one.phase), float(one.value("aorta_hu").nan_to_num(-1.0))))
    assert seen == {(0, 120.0), (1, 60.0), (0, -1.0), (1, -1.0)}


def _posed(folder: Path, **switches: Any) -> Any:
    """A crop of an asymmetric case whose labels and masks are its own outline, with nothing else drawn."""
    native = np.zeros((8, 48, 48), np.float32)
    native[2:4, 8:20, 10:40] = 100.0
    native[5:7, 30:40, 10:16] = 200.0
    if not (folder / "case" / "case.json").is_file():
        arrays = {"native": native, "changes": {"arterial": native / 2}, "valid": {"arterial": native > 0}}
        write_case(folder, "case", spacing_mm=(3, 1.5, 1.5), **arrays, labels=native > 0, organs={"aorta": 1}, about={})
    values = {"store": folder, "crop": (8, 48, 48), "offset_hu": 0.0, "smooth_share": 0.0, **switches}
    sampler = CropSampler(PairStore(folder), DataConfig.model_validate(values), phases=("arterial",), seed=0)
    return sampler.batch(stage=0, step=0, items=range(24))


def test_without_the_switches_no_random_number_is_drawn_for_them(tmp_path: Path) -> None:
    plain = DataConfig(store=tmp_path)
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    assert Pose.draw(rng, plain) == Pose(0.0, ())
    assert rng.random() == untouched.random()


@pytest.mark.parametrize(("name", "axis"), [("up_down", 2), ("front_back", 3), ("left_right", 4)])
def test_half_of_the_crops_are_mirrored_with_labels_and_masks(tmp_path: Path, name: str, axis: int) -> None:
    plain, mirrored = _posed(tmp_path), _posed(tmp_path, flip=[name])
    turned = [not torch.equal(mirrored.source[i], plain.source[i]) for i in range(24)]
    assert 5 <= sum(turned) <= 19
    for i, other in enumerate(turned):
        for kind in ("source", "change", "organs", "valid"):
            expected = getattr(plain, kind)[i : i + 1]
            assert torch.equal(getattr(mirrored, kind)[i : i + 1], expected.flip(axis) if other else expected)


def test_crops_are_turned_in_the_plane_with_labels_and_masks_that_stay_whole_numbers(tmp_path: Path) -> None:
    plain, turned = _posed(tmp_path), _posed(tmp_path, rotation_degrees=20)
    assert set(turned.organs.unique().tolist()) == {0, ORGANS["aorta"]}
    angles = []
    for i in range(24):
        hu = turned.source[i, 0, 2].numpy() * 350 + 150
        inside = turned.valid[i, 0, 2].numpy()
        assert np.array_equal(inside, turned.organs[i, 0, 2].numpy() > 0)
        assert (
            hu[inside].min() >= 24
        )  # the masks lie on the anatomy: half of a value at its outline, a quarter at its corners
        assert hu[~inside].max() <= 51
        np.testing.assert_allclose(turned.change[i, 0, 2].numpy() * 350, hu / 2, atol=0.1)
        y, x = np.nonzero(inside)
        axis = np.linalg.eigh(np.cov(x, y))[1][:, 1]
        angles.append(np.degrees(np.arctan2(axis[1], axis[0]) + np.pi / 2) % 180 - 90)
    assert inside.sum() == pytest.approx(plain.valid[0, 0, 2].sum().item(), rel=0.05)
    assert -20 <= min(angles) < -10 < 10 < max(angles) <= 20.5


@pytest.mark.parametrize("shape", [(8, 48, 48), (5, 20, 30)])
def test_a_turn_is_that_of_the_millimetres_and_continues_the_edge(shape: Any) -> None:
    """A case smaller than the crop, too: outside it goes on as its edge does."""
    _, y, x = np.indices(shape, dtype=np.float32)
    spacing, size, degrees = (3.0, 2.0, 1.0), (8, 24, 24), 15.0
    origin = tuple(max(0, (n - s) // 2) for n, s in zip(shape, size, strict=True))
    pose = Pose(degrees, ())
    rows, columns = (pose.cut(array, origin, size, spacing_mm=spacing) for array in (y, x))
    out = np.indices(size)[1:, 0] - 11.5
    angle = np.deg2rad(degrees)
    expected_y = origin[1] + 11.5 + (np.cos(angle) * out[0] * 2 - np.sin(angle) * out[1]) / 2
    expected_x = origin[2] + 11.5 + np.sin(angle) * out[0] * 2 + np.cos(angle) * out[1]
    np.testing.assert_allclose(rows[0], expected_y.clip(0, shape[1] - 1), atol=1e-4)
    np.testing.assert_allclose(columns[0], expected_x.clip(0, shape[2] - 1), atol=1e-4)
    assert rows.shape == size


def test_moved_anatomy_and_cached_latents_exclude_each_other(store: Any, tmp_path: Path) -> None:
    stages = [{"name": "autoencoder", "steps": 1}, {"name": "diffusion", "steps": 1, "latent_variants": 2}]
    stages.append({"name": "finetune", "steps": 1})
    for change, named in (({"flip": ["front_back"]}, "flip"), ({"rotation_degrees": 5}, "rotation_degrees")):
        with pytest.raises(ValueError, match=f"data.{named} needs crops"):
            fit_config(store, tmp_path, stages=stages, data={"store": store, "crop": (8, 32, 32), **change})
