"""Packages from elsewhere: good ones are put in their place, and of bad ones nothing is left."""

import json
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s2ldm_core.errors import PackageError
from s2ldm_core.package import PackageMetadata, sha256_of
from s2ldm_core.package_archive import install_package, licences_of
from tests.tiny_model import write_tiny_package

NAMES = ("metadata.json", "network.yaml", "model.safetensors", "README.md")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_package(tmp_path_factory.mktemp("tiny"))
    (folder / "LICENSES").mkdir()
    (folder / "LICENSES" / "CC-BY-4.0.txt").write_text("the text")
    return folder


@pytest.fixture
def package(tiny: Path, tmp_path: Path) -> Path:
    """One to be changed."""
    return Path(shutil.copytree(tiny, tmp_path / "tiny"))


def zipped(package: Path, *, prefix: str = "") -> Path:
    path = package.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(package.rglob("*")):
            if one.is_file():
                archive.write(one, prefix + one.relative_to(package).as_posix())
    return path


def signed(package: Path, **changes: Any) -> None:
    """Write metadata that fit the files as they are, as somebody who makes a bad package would."""
    known = json.loads((package / "metadata.json").read_text()) | {
        "weights_sha256": sha256_of(package / "model.safetensors"),
        "network_sha256": sha256_of(package / "network.yaml"),
        "metadata_sha256": None,
        **changes,
    }
    whole = PackageMetadata.model_validate(known)
    known["metadata_sha256"] = whole.digest()
    (package / "metadata.json").write_text(json.dumps(known))


@pytest.mark.parametrize("prefix", ["", "tiny/"])
def test_package_is_put_under_its_name_and_version(tiny: Path, package: Path, tmp_path: Path, prefix: str) -> None:
    added = install_package(zipped(package, prefix=prefix), tmp_path / "models")

    assert added.path == tmp_path / "models" / "tiny-0.0.1"
    assert licences_of(added) == ("CC-BY-4.0.txt",)
    assert sha256_of(added.path / "model.safetensors") == sha256_of(tiny / "model.safetensors")
    assert [one.name for one in (tmp_path / "models").iterdir()] == ["tiny-0.0.1"]


def test_folder_is_taken_too_and_only_once(package: Path, tmp_path: Path) -> None:
    install_package(package, tmp_path / "models")

    with pytest.raises(PackageError) as raised:
        install_package(zipped(package), tmp_path / "models")
    assert raised.value.code == "package_exists"


def _symlink(archive: zipfile.ZipFile) -> None:
    link = zipfile.ZipInfo("README.md")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, "/etc/passwd")


def _many(archive: zipfile.ZipFile) -> None:
    for number in range(100):
        archive.writestr(f"LICENSES/{number}", "x")


def _long_names(archive: zipfile.ZipFile) -> None:
    for number in range(5):
        archive.writestr(f"LICENSES/{number}" + "x" * 30_000, "x")


HOSTILE: dict[str, tuple[str, Callable[[zipfile.ZipFile], object]]] = {
    "out of the folder": ("archive_entry", lambda zip: zip.writestr("../evil", "x")),
    "out of a folder within": ("archive_entry", lambda zip: zip.writestr("LICENSES/../../evil", "x")),
    "absolute": ("archive_entry", lambda zip: zip.writestr("/tmp/evil", "x")),
    "deeper": ("archive_entry", lambda zip: zip.writestr("LICENSES/a/b", "x")),
    "hidden": ("archive_entry", lambda zip: zip.writestr("LICENSES/.profile", "x")),
    "a pickle": ("archive_entry", lambda zip: zip.writestr("model.pt", pickle.dumps({}))),
    "code": ("archive_entry", lambda zip: zip.writestr("setup.py", "x")),
    "a link": ("archive_entry", _symlink),
    "packed otherwise": ("archive_entry", lambda zip: zip.writestr("LICENSES/a", "x", zipfile.ZIP_LZMA)),
    "too many": ("archive_invalid", _many),
    "twice": ("archive_invalid", lambda zip: [zip.writestr(one, "x") for one in ("LICENSES/A", "LICENSES/a")]),
    "a bomb": ("archive_too_large", lambda zip: zip.writestr("LICENSES/a", bytes(2**21))),
    "a long list": ("archive_invalid", _long_names),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused_and_leaves_nothing(package: Path, tmp_path: Path, name: str) -> None:
    code, add = HOSTILE[name]
    path = zipped(package)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        add(archive)

    with pytest.raises(PackageError) as raised:
        install_package(path, tmp_path / "models")

    assert raised.value.code == code
    assert list((tmp_path / "models").iterdir()) == []
    assert not list(tmp_path.rglob("evil"))


def test_file_that_says_it_is_smaller_than_it_is_is_counted(package: Path, tmp_path: Path) -> None:
    (package / "README.md").write_bytes(bytes(2**20 + 1))
    path = zipped(package)
    claimed = path.read_bytes().replace((2**20 + 1).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(claimed)

    with pytest.raises(PackageError) as raised:
        install_package(path, tmp_path / "models")
    assert raised.value.code in ("archive_invalid", "archive_too_large")
    assert list((tmp_path / "models").iterdir()) == []


def _pickled(package: Path) -> None:
    (package / "model.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}))
    signed(package)


def _aliased(package: Path) -> None:
    text = (package / "network.yaml").read_text()
    (package / "network.yaml").write_text(text + "more: &a [1]\nstill: [*a, *a]\n")
    signed(package)


def _changed(package: Path) -> None:
    weights = bytearray((package / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (package / "model.safetensors").write_bytes(weights)


SPOILT: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights that are a pickle": ("package_invalid", _pickled),
    "a network that refers to itself": ("package_invalid", _aliased),
    "a version that is a path": ("package_invalid", lambda package: signed(package, version="../../evil")),
    "weights of another": ("package_changed", _changed),
    "no network": ("package_invalid", lambda package: (package / "network.yaml").unlink()),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_package_is_refused_and_leaves_nothing(package: Path, tmp_path: Path, name: str) -> None:
    code, spoil = SPOILT[name]
    spoil(package)

    with pytest.raises(PackageError) as raised:
        install_package(zipped(package), tmp_path / "models")

    assert raised.value.code == code
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("keep", [0, 10, -10, -2000])
def test_what_is_no_whole_zip_file_is_refused(package: Path, tmp_path: Path, keep: int) -> None:
    path = zipped(package)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(PackageError) as raised:
        install_package(path, tmp_path / "models")
    assert raised.value.code == "archive_invalid"
