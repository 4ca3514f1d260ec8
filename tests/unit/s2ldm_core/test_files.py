"""Files that are either there in full or not at all."""

from pathlib import Path

import pytest

from s2ldm_core.files import atomic_file, atomic_path, replace_text


def test_block_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    replace_text(path, "before")

    def interrupted() -> None:
        with atomic_file(path) as file:
            file.write(b"half of wh")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()

    assert [one.name for one in tmp_path.iterdir()] == ["record.json"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("durable", [True, False])
def test_file_is_there_in_full_after_the_block_only(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "hu.npy"

    with atomic_file(path, durable=durable) as file:
        file.write(b"all of it")
        assert not path.exists()

    assert path.read_bytes() == b"all of it"


def test_private_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    replace_text(tmp_path / "ledger.json", "{}", mode=0o600)

    assert (tmp_path / "ledger.json").stat().st_mode & 0o777 == 0o600


def test_path_has_the_ending_that_the_writer_needs(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "scan.nii.gz", ending=".nii.gz") as partial:
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"voxels")

    assert [one.name for one in tmp_path.iterdir()] == ["scan.nii.gz"]
