"""Label maps as nnU-Net, BIDS and folders of equal file names keep them come with the case of their scan."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from s2ldm_core.phantom import ORGANS
from s2ldm_core.volume import Volume
from tests.prepare_trees import GRID, codes_of, pairs_in, put, small_phantom
from train.errors import TrainError
from train.prepare import PrepareOptions, prepare
from train.prepare.images import image_of
from train.prepare.labels import read_labels
from train.prepare.maps import MapFile
from train.prepare.pipeline import Found
from train.store import PairStore

NAMES = {"liver": ORGANS["liver"], "spleen": ORGANS["spleen"]}


@pytest.fixture(scope="module")
def organs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of liver and spleen on the grid of the fixture ``images``."""
    phantom, path = small_phantom(), tmp_path_factory.mktemp("map") / "organs.nii.gz"
    labels = np.where(np.isin(phantom.labels, list(NAMES.values())), phantom.labels, 0)
    sitk.WriteImage(image_of(Volume(hu=labels.astype(np.float32), affine=phantom.affine), labels), str(path))
    return path


def _maps(found: Found, patient: str) -> dict[str, str]:
    """Phase → name of the folder and file of its label map."""
    (one,) = (pairing for pairing in found.pairings if pairing.patient == patient)
    members = {"native": one.native} | {str(phase): candidate for phase, candidate in one.contrasts.items()}
    return {
        phase: "/".join(candidate.labels.image.parts[-2:])
        for phase, candidate in members.items()
        if candidate.labels is not None
    }


def _nnunet(root: Path, images: dict[str, Path], organs: Path, **description: object) -> None:
    for case, part in (("LIVER_001", "Tr"), ("LIVER_002", "Ts")):
        put(images["native"], root / f"images{part}" / f"{case}_0000.nii.gz")
        put(images["venous"], root / f"images{part}" / f"{case}_0001.nii.gz")
        put(organs, root / f"labels{part}" / f"{case}.nii.gz")
    held = {"channel_names": {"0": "native", "1": "venous"}, **description}
    (root / "dataset.json").write_text(json.dumps(held), encoding="utf-8")


def test_nnunets_labels_come_with_the_case(images: dict[str, Path], organs: Path, tmp_path: Path) -> None:
    """As its second version writes them; a region of several labels and what nobody labelled are no organs."""
    named = {"background": 0, "liver": NAMES["liver"], "both": list(NAMES.values()), "ignore": NAMES["spleen"]}
    _nnunet(tmp_path / "in", images, organs, labels=named)
    options = PrepareOptions(registration="none", phases=("venous",), spacing_mm=GRID)
    assert prepare(tmp_path / "in", tmp_path / "out", options=options).rejections == ()
    for case in PairStore(tmp_path / "out", split=None):
        assert dict(case.organs) == {"liver": NAMES["liver"]}
        assert case.labels is not None
        assert np.median(case.native[case.labels == NAMES["liver"]]) == pytest.approx(50.0, abs=25.0)
        assert np.median(case.changes["venous"][case.labels == NAMES["liver"]]) > 20


def test_nnunets_first_version_names_by_number(images: dict[str, Path], organs: Path, tmp_path: Path) -> None:
    _nnunet(tmp_path, images, organs, labels={"0": "background"} | {str(v): k for k, v in NAMES.items()})
    (labels,) = {one.native.labels for one in pairs_in(tmp_path).pairings if one.patient == "LIVER_001"}
    assert labels is not None
    assert dict(read_labels(labels).organs) == NAMES


def test_training_labels_are_not_those_of_test_cases(images: dict[str, Path], organs: Path, tmp_path: Path) -> None:
    _nnunet(tmp_path, images, organs, labels=NAMES)
    (tmp_path / "labelsTs" / "LIVER_002.nii.gz").rename(tmp_path / "labelsTr" / "LIVER_002.nii.gz")
    found = pairs_in(tmp_path)
    assert _maps(found, "LIVER_001") == {
        "native": "labelsTr/LIVER_001.nii.gz",
        "venous": "labelsTr/LIVER_001.nii.gz",
    }
    assert _maps(found, "LIVER_002") == {}
    assert codes_of(found) == {"labelsTr/LIVER_002.nii.gz": "labels_unused"}


@pytest.mark.parametrize("folder", ["labelsTr", "masks", "segmentations"])
def test_equal_file_names_find_their_label_map(
    images: dict[str, Path], organs: Path, tmp_path: Path, folder: str
) -> None:
    put(images["native"], tmp_path / "imagesTr" / "p7.nii.gz")
    put(images["venous"], tmp_path / "targetsTr" / "p7.nii.gz")
    put(organs, tmp_path / folder / "p7.nii.gz")
    nameless = pairs_in(tmp_path)
    assert nameless.layout == "files"
    assert _maps(nameless, "p7") == {}
    assert [(one.code, one.reason) for one in nameless.rejections] == [
        ("labels_unused", "nothing names its labels: put labels.json with id: name beside it")
    ]
    (tmp_path / folder / "labels.json").write_text(json.dumps(NAMES), encoding="utf-8")
    assert _maps(pairs_in(tmp_path), "p7") == {"native": f"{folder}/p7.nii.gz", "venous": f"{folder}/p7.nii.gz"}


def test_a_label_map_of_other_voxels_is_no_scans(images: dict[str, Path], organs: Path, tmp_path: Path) -> None:
    put(images["native"], tmp_path / "native" / "p7.nii.gz")
    put(images["venous"], tmp_path / "venous" / "p7.nii.gz")
    (tmp_path / "labels").mkdir()
    sitk.WriteImage(sitk.ReadImage(str(organs))[:, :, 1:], str(tmp_path / "labels" / "p7.nii.gz"))
    (tmp_path / "labels.json").write_text(json.dumps(NAMES), encoding="utf-8")
    found = pairs_in(tmp_path)
    assert _maps(found, "p7") == {}
    (why,) = found.rejections
    assert (why.place, why.code) == ("labels/p7.nii.gz", "labels_unused")
    assert "as many voxels" in why.reason


def _bids(root: Path, images: dict[str, Path]) -> None:
    for session in ("1", "2"):
        for entity, phase in (("none", "native"), ("portal", "venous")):
            name = f"sub-01_ses-{session}_ce-{entity}_ct.nii.gz"
            put(images[phase], root / f"sub-01/ses-{session}/ct" / name)


def test_a_bids_segmentation_belongs_to_the_scan_whose_entities_it_has(
    images: dict[str, Path], organs: Path, tmp_path: Path
) -> None:
    """And its names are in the table of the data set's own that has no other entities (BIDS, inheritance)."""
    _bids(tmp_path, images)
    made = tmp_path / "derivatives/totalsegmentator"
    put(organs, made / "sub-01/ses-1/ct/sub-01_ses-1_ce-portal_desc-total_dseg.nii.gz")
    put(organs, made / "sub-01/ses-1/ct/sub-01_ses-1_ce-portal_mask.nii.gz")
    rows = "index\tname\tcolor\n0\tbackground\t#000000\n" + "".join(f"{v}\t{k}\t#ff0000\n" for k, v in NAMES.items())
    (made / "desc-total_dseg.tsv").write_text(rows, encoding="utf-8")
    (made / "desc-other_dseg.tsv").write_text("index\tname\n1\twrong\n", encoding="utf-8")
    found = pairs_in(tmp_path)
    assert found.layout == "bids"
    assert len(found.pairings) == 2
    one, two = sorted(found.pairings, key=lambda pairing: pairing.study)
    assert one.native.labels is None
    assert two.native.labels is None
    assert all(candidate.labels is None for candidate in two.contrasts.values())
    (labels,) = (candidate.labels for candidate in one.contrasts.values())
    assert labels is not None
    assert labels.names == made / "desc-total_dseg.tsv"
    assert dict(read_labels(labels).organs) == NAMES
    assert set(codes_of(found).values()) == {"labels_unused"}


def test_a_segmentation_of_a_session_goes_with_each_of_its_scans(
    images: dict[str, Path], organs: Path, tmp_path: Path
) -> None:
    _bids(tmp_path, images)
    put(organs, tmp_path / "derivatives/ours/sub-01/ses-2/sub-01_ses-2_dseg.nii.gz")
    (tmp_path / "derivatives/ours/dseg.tsv").write_text("index\tname\n1\tliver\n", encoding="utf-8")
    one, two = sorted(pairs_in(tmp_path).pairings, key=lambda pairing: pairing.study)
    assert one.native.labels is None
    assert two.native.labels is not None
    assert {two.native.labels} == {candidate.labels for candidate in two.contrasts.values()}


def test_a_mask_of_bids_is_no_label_map(images: dict[str, Path], organs: Path, tmp_path: Path) -> None:
    """Although names for other maps lie above it."""
    _bids(tmp_path, images)
    put(organs, tmp_path / "derivatives/ours/sub-01/ses-2/sub-01_ses-2_mask.nii.gz")
    (tmp_path / "labels.json").write_text(json.dumps(NAMES), encoding="utf-8")
    found = pairs_in(tmp_path)
    assert all(one.native.labels is None for one in found.pairings)
    assert set(codes_of(found).values()) == {"labels_unused"}


def test_names_are_not_taken_from_outside_the_tree(images: dict[str, Path], organs: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    put(images["native"], root / "native" / "p7.nii.gz")
    put(images["venous"], root / "venous" / "p7.nii.gz")
    put(organs, root / "labels" / "p7.nii.gz")
    (tmp_path / "labels.json").write_text(json.dumps(NAMES), encoding="utf-8")
    (root / "labels" / "labels.json").symlink_to(tmp_path / "labels.json")
    assert _maps(pairs_in(root), "p7") == {}


@pytest.mark.parametrize("text", ["", "index\n1\n", "index\tname\n1\n", "index\tname\nx\tliver\n"])
def test_a_table_of_names_that_is_none_is_refused(organs: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "dseg.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(TrainError, match="cannot be read"):
        read_labels(MapFile(organs, tmp_path / "dseg.tsv"))
