"""Plausibility: regions lie where they were placed, every phase is held against its range, and faults are named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from s2ldm_core.volume import Volume
from tests.prepare_trees import small_phantom
from train.errors import TrainError
from train.evaluation.expected import EXPECTED, Range
from train.evaluation.plausibility import Region, examine, labelled_regions, placed_regions, table
from train.phantoms import write_labels

SPACING = (3.0, 2.0, 2.0)


class Steps:
    """Stands for a translator: adds to every voxel what the phase says."""

    def __init__(self, **change_hu: Any) -> None:
        self.change_hu = change_hu

    class metadata:
        phases = ("arterial", "venous")

    def translate(self, scan: Any, *, phase: Any) -> Any:
        class Result:
            volume = scan.with_hu(scan.hu + np.float32(self.change_hu[phase]))

        return Result


@pytest.fixture
def scan() -> Any:
    hu = np.full((10, 40, 40), 40, np.float32)
    affine = np.diag([*SPACING[::-1], 1.0])
    affine[:3, 3] = (-30.0, -50.0, 100.0)
    return Volume(hu=hu, affine=affine)


def test_a_placed_sphere_holds_the_voxels_within_its_radius(scan: Any, tmp_path: Path) -> None:
    text = "- {name: arch, structure: aorta, centre_mm: [10, -10, 115], radius_mm: 4.5}\n"
    (tmp_path / "regions.yaml").write_text(text, encoding="utf-8")
    (region,) = placed_regions(tmp_path / "regions.yaml", scan)
    z, y, x = np.indices(scan.shape)
    away = np.sqrt((x * 2 - 30 - 10) ** 2 + (y * 2 - 50 + 10) ** 2 + (z * 3 + 100 - 115) ** 2)
    assert np.array_equal(region.voxels, away <= 4.5)


def test_organs_are_held_against_their_phases_ranges_and_muscle_against_its_change(scan: Any, tmp_path: Path) -> None:
    (tmp_path / "regions.yaml").write_text(
        "- {name: arch, structure: aorta, centre_mm: [10, -10, 115], radius_mm: 6}\n"
        "- {name: psoas, structure: psoas, centre_mm: [20, 0, 115], radius_mm: 6}\n"
        "- {name: stomach, structure: stomach, centre_mm: [0, 0, 115], radius_mm: 6}\n",
        encoding="utf-8",
    )
    found = examine(Steps(arterial=200, venous=10), scan, placed_regions(tmp_path / "regions.yaml", scan))
    verdicts = {finding.name: (finding.verdict("arterial"), finding.verdict("venous")) for finding in found}
    assert verdicts == {"arch": (True, False), "psoas": (False, True), "stomach": (None, None)}
    text = table(found)
    assert "1 of 2 of what enhances and 1 of 2 of what must not are as expected" in text
    assert "| arch |" in text
    assert "**50**" in text


def test_organs_of_a_label_map_are_measured_off_their_outlines_and_unknown_names_left_out(tmp_path: Path) -> None:
    phantom = small_phantom(5)
    write_labels(phantom, tmp_path)
    names = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    (tmp_path / "labels.json").write_text(json.dumps({**names, "no such organ": names["spleen"]}), encoding="utf-8")
    scan = Volume(hu=phantom.hu("native"), affine=phantom.affine)
    regions = {region.name: region for region in labelled_regions(tmp_path / "labels.nii.gz", scan)}
    liver = phantom.labels == names["liver"]
    assert 0 < regions["liver"].voxels.sum() < liver.sum()
    assert not (regions["liver"].voxels & ~liver).any()
    assert "no_such_organ" not in regions


def test_fat_and_bone_are_found_by_their_hu(tmp_path: Path) -> None:
    phantom = small_phantom(5)
    scan = Volume(hu=phantom.hu("native"), affine=phantom.affine)
    found = {finding.name: finding for finding in examine(Steps(arterial=12, venous=30), scan, [])}
    assert found["fat, by HU"].native_hu == pytest.approx(-100, abs=15)
    assert (found["fat, by HU"].verdict("arterial"), found["dense bone, by HU"].verdict("arterial")) == (False, True)
    assert found["dense bone, by HU"].native_hu > 300
    assert found["dense bone, by HU"].verdict("venous") is False


def test_ranges_say_what_they_ask() -> None:
    assert str(EXPECTED["aorta"]["arterial"]) == "180–420"
    assert (str(EXPECTED["kidney_left"]["venous"]), str(EXPECTED["psoas"]["venous"])) == ("110–260", "±15 change")
    assert (str(EXPECTED["pancreas"]["arterial"]), str(Range(low=100))) == ("+30 to +90 change", "≥ 100")
    assert 100 in Range(low=100)
    assert 99.9 not in Range(low=100)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: a, structure: aorta, centre_mm: [900, 0, 0], radius_mm: 4}\n", "holds 0 voxels"),
        ("- {name: a, structure: flux capacitor, centre_mm: [0, 0, 115], radius_mm: 4}\n", "not a list of regions"),
        ("name: a\n", "not a list of regions"),
        ("- {name: a, structure: aorta, centre_mm: [0, 0, 115], radius_mm: -4}\n", "not a list of regions"),
    ],
)
def test_regions_that_cannot_be_placed_are_refused(scan: Any, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "regions.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(TrainError, match=said):
        placed_regions(tmp_path / "regions.yaml", scan)


def test_labels_of_another_orientation_lie_on_the_scan(tmp_path: Path) -> None:
    values = np.zeros((10, 40, 40), np.uint8)
    values[:, 5:20, 8:30] = 1
    image = sitk.GetImageFromArray(values[:, ::-1, :].copy())
    image.SetSpacing(SPACING[::-1])
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
    image.SetOrigin((0.0, 39 * 2.0, 0.0))
    sitk.WriteImage(image, str(tmp_path / "labels.nii.gz"))
    (tmp_path / "labels.json").write_text('{"1": "liver"}', encoding="utf-8")
    scan = Volume(hu=np.zeros(values.shape, np.float32), affine=np.diag([*SPACING[::-1], 1.0]))
    (liver,) = labelled_regions(tmp_path / "labels.nii.gz", scan)
    assert np.array_equal(np.argwhere(liver.voxels).min(axis=0), (0, 6, 9))
    assert np.array_equal(np.argwhere(liver.voxels).max(axis=0), (9, 18, 28))


def test_what_is_wrong_on_one_side_is_not_averaged_away(tmp_path: Path) -> None:
    values = np.zeros((10, 40, 40), np.uint8)
    values[:, 5:20, 4:12], values[:, 5:20, 24:36] = 1, 2
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(SPACING[::-1])
    sitk.WriteImage(image, str(tmp_path / "labels.nii.gz"))
    (tmp_path / "labels.json").write_text('{"1": "iliac_vena_right", "2": "iliac_vena_left"}', encoding="utf-8")
    scan = Volume(hu=np.zeros(values.shape, np.float32), affine=np.diag([*SPACING[::-1], 1.0]))
    assert len(labelled_regions(tmp_path / "labels.nii.gz", scan)) == 2


def test_an_untouched_scan_passes_nothing_that_enhances_in_the_venous_phase() -> None:
    """Else a check would be no evidence: native HU lie below every range of HU, and no change is a rise."""
    native = {"myocardium": 40.0, "renal_vein": 40.0}
    for structure, phases in EXPECTED.items():
        venous = phases["venous"]
        if not venous.still and structure != "oesophagus":
            assert (0.0 if venous.change else native.get(structure, 56.0)) not in venous, structure


def test_a_dark_part_of_a_lumen_shows_although_its_mean_is_right_and_noise_does_not(scan: Any) -> None:
    rng = np.random.default_rng(0)
    noisy = scan.with_hu(scan.hu + rng.normal(0, 40, scan.shape).astype(np.float32))
    where = np.zeros(scan.shape, bool)
    where[:, 10:20, 10:20] = True

    class Dissected(Steps):
        def translate(self, scan: Any, *, phase: Any) -> Any:
            class Result:
                volume = scan.with_hu(scan.hu + np.float32(250))

            if phase == "arterial":
                Result.volume.hu[4, 10:12, 10:20] = scan.hu[4, 10:12, 10:20] + 60
            return Result

    region = Region(name="aorta", structure="aorta", voxels=where)
    finding = next(one for one in examine(Dissected(), noisy, [region]) if one.name == "aorta")
    assert finding.verdict("arterial") is True
    assert (finding.even("arterial"), finding.even("venous")) == (False, True)
    text = table([finding])
    assert "aorta, arterial: **0." in text
