"""Sorting files into series: what is met, what is passed over, and what ends the search."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from s2ldm_core.errors import VolumeError
from s2ldm_core.io.series import group_by_series

Writer = Callable[..., list[Path]]


@pytest.fixture
def files(write_ct_series: Writer) -> list[Path]:
    """Four slices of one series."""
    return write_ct_series(np.full((4, 16, 16), 40.0))


def rename(path: Path, uid: str) -> None:
    dataset = dcmread(path)
    dataset.SeriesInstanceUID = uid
    dataset.save_as(path)


def group(paths: list[Path]) -> tuple[dict[str, list[Path]], list[str]]:
    codes: list[str] = []
    found = group_by_series(
        paths,
        keep=lambda path, _: path,
        unusable=lambda _, error: codes.append(error.code),
        without_uid=lambda path: path.suffix,
    )
    return {uid: one.files for uid, one in found.items()}, codes


def test_files_are_sorted_by_series_instance_uid_in_their_order(files: list[Path]) -> None:
    rename(files[0], "1.2.3")
    rename(files[2], "1.2.3")

    found, _ = group(files)

    assert list(found.values()) == [[files[0], files[2]], [files[1], files[3]]]


def test_files_without_uid_go_under_the_callers_key(files: list[Path]) -> None:
    rename(files[1], "")

    found, _ = group(files)

    assert found[".dcm"] == [files[1]]


def test_files_that_are_not_dicom_or_damaged_are_told_apart(files: list[Path], tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("this is not DICOM, though it is long enough to be a header" * 3)

    found, codes = group([note, tmp_path / "absent.dcm", *files])

    assert codes == ["not_dicom", "file_unreadable"]
    assert [len(one) for one in found.values()] == [4]


def test_what_keep_does_not_want_makes_no_series(files: list[Path]) -> None:
    assert not group_by_series(files, keep=lambda _path, _header: None, unusable=lambda _path, _error: None)


def test_what_unusable_raises_ends_the_search(tmp_path: Path) -> None:
    def refuse(_: Path, error: VolumeError) -> None:
        raise error

    with pytest.raises(VolumeError, match="file_unreadable"):
        group_by_series([tmp_path / "absent.dcm"], keep=lambda path, _: path, unusable=refuse)
