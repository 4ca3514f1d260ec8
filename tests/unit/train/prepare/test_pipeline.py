"""From a tree of phantom studies to a store: registered, split, resumable, with reasons for what is left out."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import typer
import yaml
from pydicom import dcmread
from typer.testing import CliRunner

from s2ldm_core.io import write_volume
from s2ldm_core.phantom import ORGANS
from s2ldm_core.volume import Volume
from tests.prepare_trees import organ_mask, small_phantom, write_phase, write_study
from tests.tiny_training import fit_config
from train.commands.prepare import prepare as command
from train.errors import TrainError
from train.fit import Fit
from train.phantoms import write_labels
from train.prepare import PrepareOptions, prepare
from train.prepare.images import image_of
from train.prepare.labels import read_labels
from train.prepare.maps import MapFile
from train.prepare.quality import boundary_error_mm
from train.prepare.registration import register
from train.prepare.warping import warp, warp_labels
from train.store import PairStore, place_case

GRID = (6.0, 4.0, 4.0)
PLAIN = PrepareOptions(registration="none", phases=("venous",), spacing_mm=GRID)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three phantoms without breathing, and one whose contrast scan is another patient's."""
    root = tmp_path_factory.mktemp("studies")
    for seed in (5, 6, 7):
        folder = root / f"phantom-{seed:06d}"
        write_study(small_phantom(seed), {"native": folder / "native"})
        began = {"ContrastBolusStartTime": "115848"} if seed == 6 else {}
        write_study(small_phantom(seed), {"venous": folder / "venous"}, **began)
    write_labels(small_phantom(5), root / "phantom-000005")
    write_study(small_phantom(8), {"native": root / "phantom-000008" / "native"})
    write_study(small_phantom(6), {"venous": root / "phantom-000008" / "venous"}, SeriesInstanceUID="1.2.840.8")
    return root


@pytest.fixture(scope="module")
def store(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("store")
    prepare(studies, output, options=PLAIN)
    return output


def test_the_change_is_contrast_minus_native_where_nothing_moved(store: Path) -> None:
    case = next(case for case in PairStore(store) if case.name == "phantom-000005")
    phantom = small_phantom(5)
    expected = phantom.curve("liver", phantom.seconds("venous") or 0.0)
    liver = _cropped_labels(case.native.shape, phantom) == ORGANS["liver"]
    assert case.noise is None
    assert np.median(case.changes["venous"][liver]) == pytest.approx(expected, abs=4.0)


@pytest.mark.parametrize("method", ["none", "rigid"])
def test_what_breathed_stays_where_it_was_scanned_with_what_was_measured_and_a_system_learns_from_it(
    method: Any, store: Path, tmp_path: Path
) -> None:
    phantom, folder = small_phantom(5), tmp_path / "studies" / "phantom-000005"
    write_study(phantom, {"native": folder / "native"})
    for file in write_phase(phantom, folder / "venous", "venous", breathing=20.0):  # of a narrower field of view
        dataset = dcmread(file)
        dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:, :-8]).tobytes()
        dataset.Columns -= 8
        dataset.save_as(file)
    output = tmp_path / "store"
    prepare(tmp_path / "studies", output, options=replace(PLAIN, registration=method))
    case = PairStore(output)[0]
    still = next(other for other in PairStore(store) if other.name == case.name)
    valid, (depth, height, width) = case.valid["venous"], case.native.shape
    aligned = still.changes["venous"][:depth, :height, :width]
    assert valid[..., :-8].mean() > 0.95
    assert not valid[..., -2:].any()
    assert not case.changes["venous"][~valid].any()
    apart = np.abs(case.changes["venous"].astype("f4") - aligned)[valid & (case.native > -300)]
    assert np.mean(apart > 100) > 0.03  # gas, fat and organs that changed places

    network = {"generator": {"system": "unet", "network": {"channels": (4, 4), "core_channels": (4, 4), "latent": 2}}}
    judge = {"discriminator": {"channels": 4, "layers": 1}, "phases": ("venous",)}
    place_case(output, case.name, split="train", fold=None)
    run = fit_config(
        output,
        tmp_path,
        system="reggan",
        network={**network, **judge, "registration": {"channels": (4, 6)}},
        stages=({"name": "registered", "steps": 2},),
    )
    assert {"correction", "smooth", "adversarial"} <= _first_line(Fit(run)).keys()


def _first_line(fit: Fit) -> dict[str, Any]:
    fit.fit()
    lines = (fit.run / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return dict(json.loads(lines[0]))


def _cropped_labels(shape: tuple[int, ...], phantom: object) -> np.ndarray:
    """The phantom's labels in the box that the store cropped to."""
    from s2ldm_core.body import body_box

    volume = phantom.volume("native", noise_seed=0)
    labels = phantom.labels[body_box(np.clip(np.rint(volume.hu), -1024, 3071), volume.spacing_mm)]
    assert labels.shape == shape
    return labels


def test_seconds_after_the_injection_come_with_the_case_where_the_headers_tell_them(store: Path) -> None:
    assert {case.name: dict(case.seconds) for case in PairStore(store)} == {
        "phantom-000005": {},
        "phantom-000006": {"venous": 72.0},
        "phantom-000007": {},
    }


def test_labels_beside_a_study_come_with_the_case(store: Path) -> None:
    case = next(case for case in PairStore(store) if case.name == "phantom-000005")
    assert dict(case.organs)["liver"] == ORGANS["liver"]
    assert case.labels is not None
    liver = case.labels == ORGANS["liver"]
    assert np.median(case.native[liver]) == pytest.approx(50.0, abs=25.0)


def _mapped_study(folder: Path, *, maps: dict[str, float]) -> None:
    """Native and venous images, the venous one's coordinates 9 mm off, and label maps ``seg_<scan>``, each so many mm off."""
    phantom = small_phantom(5)
    for number, (phase, off) in enumerate((("native", 0.0), ("venous", 9.0))):
        write_volume(_moved(phantom.volume(phase, noise_seed=number), off), folder / f"{phase}.nii.gz")
    for scan, off in maps.items():
        cortex = phantom.labels == ORGANS["renal_cortex"]
        left = np.arange(phantom.shape[2]) < phantom.shape[2] // 2
        labels = np.where(phantom.labels == ORGANS["liver"], 300, np.where(cortex, np.where(left, 301, 302), 0))
        grid = _moved(Volume(hu=labels.astype(np.float32), affine=phantom.affine), off)
        sitk.WriteImage(image_of(grid, labels.astype(np.uint16)), str(folder / f"seg_{scan}.nii.gz"))
    named = {"300": "liver", "301": "kidney_right_cortex", "302": "kidney_left_cortex", "9": "not there"}
    (folder / "labels.json").write_text(json.dumps(named), encoding="utf-8")


def _moved(volume: Volume, mm: float) -> Volume:
    affine = volume.affine.copy()
    affine[0, 3] += mm
    return Volume(hu=volume.hu, affine=affine)


@pytest.mark.parametrize("maps", [{"venous": 9.0}, {"native": 0.0, "venous": 40.0}])
def test_a_scans_own_label_map_comes_with_the_case_and_is_no_scan(maps: dict[str, float], tmp_path: Path) -> None:
    """Of the contrast scan alone: moved along with it by the registration; of both: the native one's."""
    for patient in ("p1", "p2"):
        (tmp_path / "in" / patient).mkdir(parents=True)
        _mapped_study(tmp_path / "in" / patient, maps=maps)
    result = prepare(tmp_path / "in", tmp_path / "out", options=replace(PLAIN, registration="rigid"))
    assert result.rejections == ()
    case, phantom = PairStore(tmp_path / "out", split=None)[0], small_phantom(5)
    assert dict(case.organs) == {"liver": 1, "renal_cortex": 2}
    assert case.labels is not None
    for name, value in case.organs.items():
        there, wanted = case.labels == value, _cropped_labels(case.native.shape, phantom) == ORGANS[name]
        assert 2 * (there & wanted).sum() / (there.sum() + wanted.sum()) > 0.85


def test_a_label_map_that_cannot_be_read_costs_its_own_scan_alone(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        (tmp_path / "in" / patient).mkdir(parents=True)
        _mapped_study(tmp_path / "in" / patient, maps={"venous": 9.0})
    (tmp_path / "in" / "p1" / "labels.json").write_text("[", encoding="utf-8")
    result = prepare(tmp_path / "in", tmp_path / "out", options=PLAIN)
    assert {one.place: one.code for one in result.rejections} == {
        "p1/venous.nii.gz": "labels_unreadable",
        "p1/native.nii.gz": "no_pair_left",
    }


def test_a_label_map_without_names_costs_no_scan(tmp_path: Path) -> None:
    (tmp_path / "in" / "p1").mkdir(parents=True)
    _mapped_study(tmp_path / "in" / "p1", maps={"venous": 9.0})
    (tmp_path / "in" / "p1" / "labels.json").unlink()
    result = prepare(tmp_path / "in", tmp_path / "out", options=PLAIN)
    assert [(one.place, one.code) for one in result.rejections] == [("p1/seg_venous.nii.gz", "not_hu")]
    assert len(PairStore(tmp_path / "out", split=None)) == 1


def test_another_patients_contrast_scan_is_rejected_with_its_reason(store: Path) -> None:
    with (store / "rejected.csv").open(encoding="utf-8") as file:
        rows = {row["place"]: row for row in csv.DictReader(file)}
    assert rows["phantom-000008/venous"]["code"].startswith("misaligned")
    assert "registration" in rows["phantom-000008/venous"]["reason"]
    assert "phantom-000008" not in PairStore(store).names


def test_the_manifest_tells_versions_options_quality_and_no_patient(store: Path) -> None:
    manifest = yaml.safe_load((store / "manifest.yaml").read_text(encoding="utf-8"))
    assert manifest["options"]["registration"] == "none"
    assert manifest["options"]["layout"] == "phantom"
    assert manifest["digest"] == PairStore(store).digest()
    assert set(manifest["libraries"]) >= {"SimpleITK", "numpy", "torch"}
    assert [case["name"] for case in manifest["cases"]] == ["phantom-000005", "phantom-000006", "phantom-000007"]
    assert all(len(key) == 16 for case in manifest["cases"] for key in case["sources"].values())
    assert manifest["cases"][0]["quality"]["venous"]["after"]["fat_hu"] < 45


def test_three_patients_go_into_three_splits(studies: Path, store: Path) -> None:
    """Four patients were enrolled; the one whose pair was rejected leaves its split without a case."""
    ledger = json.loads((store / "ledger.json").read_text(encoding="utf-8"))
    assert {entry["split"] for entry in ledger.values()} == {"train", "validation", "test"}
    assert {case.patient: case.split for case in PairStore(store)} == {
        key: entry["split"] for key, entry in ledger.items() if key != "phantom-000008"
    }


def test_a_picture_is_written_for_every_pair_also_for_the_rejected(store: Path) -> None:
    names = sorted(path.name for path in (store / "pictures").glob("*.png"))
    assert names == [f"phantom-{seed:06d}-venous.png" for seed in (5, 6, 7, 8)]


def test_a_run_goes_on_where_it_was_killed_and_comes_to_the_same_store(
    studies: Path, store: Path, tmp_path: Path
) -> None:
    """Killed while the second case was being written: its arrays are there, its case.json is not."""
    for name in ("ledger.json", "options.json", "evidence.jsonl"):
        (tmp_path / name).write_bytes((store / name).read_bytes())
    with (tmp_path / "evidence.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"series": "cut')
    first = tmp_path / "phantom-000005"
    first.mkdir()
    for file in (store / "phantom-000005").iterdir():
        (first / file.name).write_bytes(file.read_bytes())
    stamp = (first / "case.json").stat().st_mtime_ns
    (tmp_path / "phantom-000006").mkdir()
    (tmp_path / "phantom-000006" / "native.npy").write_bytes(b"half")
    result = prepare(studies, tmp_path, options=PLAIN)
    assert result.made == 2
    assert (first / "case.json").stat().st_mtime_ns == stamp
    assert PairStore(tmp_path).digest() == PairStore(store).digest()
    assert (tmp_path / "rejected.csv").read_bytes() == (store / "rejected.csv").read_bytes()


def test_a_finished_store_is_not_made_again(studies: Path, store: Path) -> None:
    before = (store / "manifest.yaml").read_bytes()
    assert prepare(studies, store, options=PLAIN).made == 0
    assert (store / "manifest.yaml").read_bytes() == before


def test_the_command_tells_what_was_made_and_how_well_it_fits(studies: Path, store: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    words = [str(studies), str(store), "--registration", "none", "--phases", "venous", "--spacing", "6", "4", "4"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "0 made, 3 were there already" in result.output
    assert "rejected: 1 misaligned" in result.output


def test_other_options_into_the_same_store_are_refused(studies: Path, store: Path) -> None:
    with pytest.raises(TrainError, match="registration was none, is rigid") as caught:
        prepare(studies, store, options=PrepareOptions(registration="rigid", phases=("venous",), spacing_mm=GRID))
    assert caught.value.code == "store_options"


def test_a_tree_without_ct_says_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(TrainError) as caught:
        prepare(tmp_path / "in", tmp_path / "out", options=PLAIN)
    assert caught.value.code == "studies_empty"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"phases": "arterial,late"}, "option_phase"),
        ({"layout": "nested"}, "option_layout"),
        ({"registration": "elastic"}, "option_registration"),
        ({"split": "0.7/0.7/0"}, "option_split"),
        ({"split": "most"}, "option_split"),
        ({"window_hu": (200.0, -200.0)}, "option_window"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(words: dict[str, object], code: str) -> None:
    with pytest.raises(TrainError) as caught:
        PrepareOptions.of(**words)
    assert caught.value.code == code


def test_mp_act_brings_the_papers_window_split_and_crop() -> None:
    options = PrepareOptions.of(layout="mp-act")
    assert (options.window_hu, options.shares) == ((-200.0, 200.0), (0.8, 0.2, 0.0))
    assert options.record()["crop"] == [48, 256, 256]
    assert PrepareOptions.of(layout="mp-act", split="0.6/0.2/0.2").shares == (0.6, 0.2, 0.2)


@pytest.mark.parametrize(("method", "phase"), [("bspline", "venous"), ("demons", "arterial")])
def test_registration_takes_sixty_per_cent_of_breathing_off_liver_and_kidneys(method: str, phase: str) -> None:
    spacing = (4.0, 4.0, 4.0)
    phantom = small_phantom(3, slices=48, spacing_mm=spacing)
    fixed = Volume(hu=phantom.hu("native", noise_seed=1), affine=phantom.affine, frame_of_reference_uid="1.2")
    moving = Volume(
        hu=phantom.hu(phase, noise_seed=2, breathing=12.0), affine=phantom.affine, frame_of_reference_uid="1.2"
    )
    found = register(fixed, moving, method=method)
    assert found.folding < 0.01
    for organ in (("liver",), ("renal_cortex", "renal_medulla")):
        target, moved = organ_mask(phantom, organ), organ_mask(phantom, organ, breathing=12.0)
        after = warp_labels(image_of(moving, moved), fixed, found.transform) > 0
        errors = [boundary_error_mm(target, one, spacing_mm=spacing) for one in (moved, after)]
        assert errors[1] <= 0.4 * errors[0], (organ, errors)


def test_a_patient_who_lies_elsewhere_on_the_table_is_found_without_a_common_frame_of_reference() -> None:
    phantom = small_phantom(3, slices=20, spacing_mm=(6.0, 4.0, 4.0))
    shifted = phantom.affine.copy()
    shifted[:3, 3] += (14.0, -22.0, 310.0)
    fixed = Volume(hu=phantom.hu("native", noise_seed=1), affine=phantom.affine, frame_of_reference_uid="1.2")
    moving = Volume(hu=phantom.hu("venous", noise_seed=2), affine=shifted, frame_of_reference_uid="1.3")
    found = register(fixed, moving, method="rigid")
    moved = np.array(found.transform.TransformPoint((0.0, 0.0, 20.0))) - (0.0, 0.0, 20.0)
    assert moved == pytest.approx([14.0, -22.0, 310.0], abs=1.0)


@pytest.mark.parametrize("method", ["bspline", "demons"])
def test_where_nothing_moved_the_registration_moves_nothing(method: str) -> None:
    phantom = small_phantom(3, slices=16)
    fixed = Volume(hu=phantom.hu("native", noise_seed=1), affine=phantom.affine, frame_of_reference_uid="1.2")
    moving = Volume(hu=phantom.hu("venous", noise_seed=2), affine=phantom.affine, frame_of_reference_uid="1.2")
    found = register(fixed, moving, method=method)
    for point in ((0.0, 0.0, 20.0), (80.0, -40.0, 0.0), (-80.0, 30.0, 40.0)):
        assert np.array(found.transform.TransformPoint(point)) == pytest.approx(np.array(point), abs=0.5)


def test_the_same_seed_gives_the_same_registration_to_the_last_bit() -> None:
    phantom = small_phantom(3, slices=12)
    fixed = Volume(hu=phantom.hu("native", noise_seed=1), affine=phantom.affine)
    moving = Volume(hu=phantom.hu("venous", noise_seed=2, breathing=8.0), affine=phantom.affine)
    answers = {
        warp(moving, fixed, register(fixed, moving, method="affine", seed=4).transform)[0].tobytes() for _ in range(6)
    }
    assert len(answers) == 1


def test_labels_may_be_named_by_id_or_by_name_and_keep_only_what_is_there(tmp_path: Path) -> None:
    phantom = small_phantom(5)
    write_labels(phantom, tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps({str(ORGANS["liver"]): "liver"}), encoding="utf-8")
    by_id = read_labels(MapFile.beside(tmp_path / "labels.nii.gz"))
    (tmp_path / "labels.json").write_text(json.dumps({"Liver": ORGANS["liver"], "spleen": 250}), encoding="utf-8")
    by_name = read_labels(MapFile.beside(tmp_path / "labels.nii.gz"))
    assert by_id.organs["liver"] == by_name.organs["liver"] == ORGANS["liver"]
    assert "spleen" not in by_name.organs
    grid = Volume(hu=np.zeros(phantom.shape, np.float32), affine=phantom.affine)
    assert np.array_equal(by_id.on(grid) == ORGANS["liver"], organ_mask(phantom, ("liver",)))


def test_breathing_between_labelled_scans_is_reported_by_the_manifest(tmp_path: Path) -> None:
    phantom = small_phantom(3, slices=30, spacing_mm=(5.0, 4.5, 4.5))
    folder = tmp_path / "in" / "phantom-000003"
    write_study(phantom, {phase: folder / phase for phase in ("native", "arterial")}, breathing=12.0)
    write_labels(phantom, folder)
    write_labels(phantom, folder / "arterial", breathing=12.0)
    options = PrepareOptions(registration="demons", phases=("arterial",), spacing_mm=(5.0, 4.5, 4.5))
    manifest = prepare(tmp_path / "in", tmp_path / "out", options=options).manifest
    quality = manifest["cases"][0]["quality"]["arterial"]
    assert quality["boundary_error_falls"]["liver"] >= 0.6
    assert quality["boundary_error_falls"]["kidney"] >= 0.6
    assert quality["boundary_mm"]["liver"][1] < 2.0
    assert quality["largest_mm"] == pytest.approx(12.0, abs=4.0)
