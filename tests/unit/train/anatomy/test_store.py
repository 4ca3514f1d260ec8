"""Pair stores made from folders of label maps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_anatomy import label_map, native_ct, write_image, write_masks, write_subject
from train.anatomy import case_name, find_subjects, make_anatomy_store, read_subject, sources
from train.errors import TrainError
from train.phantoms import PhantomGrid
from train.store import PairStore

GRID = PhantomGrid(spacing_mm=(8.0, 6.0, 6.0), matrix=(40, 56), slices=(6, 8))


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("anatomy")
    write_subject(folder / "one")
    write_masks(folder / "two")
    return folder


def test_both_layouts_are_found_and_read_alike(anatomy: Any) -> None:
    found = {files.name: read_subject(files) for files in find_subjects(anatomy)}
    assert set(found) == {"one", "two"}
    np.testing.assert_array_equal(found["one"].codes, found["two"].codes)
    assert found["one"].ct_hu is not None
    assert found["one"].licence == "CC BY 4.0, made up"


def test_a_ct_elsewhere_in_the_tree_is_found_by_its_grid(tmp_path: Path) -> None:
    write_subject(tmp_path / "maps" / "one", with_ct=False)
    write_image(native_ct(label_map()).astype(np.int16), tmp_path / "volumes" / "scan.nii.gz")
    write_image(np.zeros((3, 4, 5), np.int16), tmp_path / "volumes" / "another.nii.gz")
    (files,) = find_subjects(tmp_path / "maps")
    assert files.ct is not None
    assert files.ct.name == "scan.nii.gz"


def test_the_licence_comes_from_the_data_sets_readme(tmp_path: Path) -> None:
    write_subject(tmp_path / "one", with_ct=False)
    (tmp_path / "one" / "licence.txt").unlink()
    (tmp_path / "README.md").write_text(
        "# Maps\n## one\nOrigin somewhere @ 1, CC BY 4.0. Nice.\n## two\nOther licence.\n", encoding="utf-8"
    )
    assert find_subjects(tmp_path)[0].licence == "Origin somewhere @ 1, CC BY 4.0."


def test_a_store_names_mode_and_source_and_is_continued(anatomy: Any, tmp_path: Path) -> None:
    make = {"anatomy": anatomy, "phases": ("arterial", "venous"), "grid": GRID}
    assert sorted(make_anatomy_store(tmp_path, seeds=range(3), **make)) == [case_name(seed) for seed in range(3)]
    assert list(make_anatomy_store(tmp_path, seeds=range(3), **make)) == []
    case = PairStore(tmp_path)[0]
    assert case.spacing_mm == GRID.spacing_mm
    assert case.labels.shape == case.native.shape == case.changes["venous"].shape
    assert case.organs["liver"] in np.unique(case.labels)
    assert sum(sum(source["cases"].values()) for source in sources(tmp_path)) == 3
    about = json.loads((tmp_path / case_name(0) / "case.json").read_text())["about"]
    assert about["anatomy"] in {"one", "two"}
    assert about["seed"] == 0


def test_only_painted_pairs_when_so_asked(anatomy: Any, tmp_path: Path) -> None:
    list(
        make_anatomy_store(
            tmp_path, anatomy=anatomy, seeds=range(2), phases=("venous",), grid=GRID, modes="painted", subjects=("one",)
        )
    )
    (source,) = sources(tmp_path)
    assert source == {"anatomy": "one", "licence": "CC BY 4.0, made up", "cases": {"painted": 2}}


def test_an_unknown_subject_and_an_empty_folder_are_refused(anatomy: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="nobody") as unknown:
        make_anatomy_store(tmp_path, anatomy=anatomy, seeds=[0], phases=("venous",), subjects=("nobody",))
    assert unknown.value.code == "subject_unknown"
    with pytest.raises(TrainError) as empty:
        find_subjects(tmp_path)
    assert empty.value.code == "anatomy_missing"


def test_a_ct_on_another_grid_is_refused_by_name(tmp_path: Path) -> None:
    write_subject(tmp_path / "one")
    write_image(np.zeros((24, 56, 70), np.int16), tmp_path / "one" / "ct.nii.gz")
    with pytest.raises(TrainError, match=r"ct\.nii\.gz") as refusal:
        read_subject(find_subjects(tmp_path)[0])
    assert refusal.value.code == "anatomy_grid"
