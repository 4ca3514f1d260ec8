"""Model packages that come from elsewhere, as a zip file or a folder: checked, unpacked and put in their place.

Nothing is taken but what a package may hold, under its own names; nothing is unpickled or run. An archive's own word about
its sizes counts for nothing: bytes are counted as they are unpacked.
"""

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml
from safetensors import SafetensorError, safe_open

from s2ldm_core.errors import PackageError
from s2ldm_core.files import sync_folder
from s2ldm_core.package import CARD, METADATA, NETWORK, SPREAD, WEIGHTS, ModelPackage

LICENSES = "LICENSES"
#: Most bytes of each file; with the weights', an archive needs no ZIP64.
MOST_BYTES = {METADATA: 2**24, NETWORK: 2**16, WEIGHTS: 2**31 - 2**26, CARD: 2**20, SPREAD: 2**24}
_MOST_LICENCE_BYTES = 2**20
_MOST_ENTRIES = 64
#: Most bytes of an archive: those of its weights, which hardly compress, and a little.
MOST_ARCHIVE_BYTES = 2**31 - 1
_MOST_DIRECTORY_BYTES = 2**16
_BLOCK = 2**20
_LICENCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")
_TEMPORARY = ".incoming-"
# APPNOTE 4.3.16, 4.3.15: where an archive's list of files ends, which a comment of at most 64 KiB may follow.
_END, _ZIP64_LOCATOR, _END_BYTES = b"PK\x05\x06", b"PK\x06\x07", 2**16 + 22


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A file to take: its name within the package, and how it is read."""

    name: str
    open: Callable[[], IO[bytes]]


def install_package(source: Path, folder: Path) -> ModelPackage:
    """Check the package in a zip file or folder and put it into ``folder``, under its name and version.

    Raises
    ------
    PackageError
        ``archive_invalid``, ``archive_entry``, ``archive_too_large``: it is no such archive; ``package_invalid``,
        ``package_changed``: its contents are no good; ``package_exists``; ``package_unwritable``. Nothing is left behind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _entries(source) as entries, tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder) as temporary:
            unpacked = Path(temporary) / "package"
            unpacked.mkdir(mode=0o755)
            for entry in entries:
                _take(entry, unpacked / entry.name)
            package = _checked(unpacked)
            place = folder / package_folder_name(package)
            if place.exists():
                raise PackageError(
                    "package_exists",
                    f"The package {place.name} is here already.",
                    "Remove it first, or give the new one another version.",
                )
            unpacked.rename(place)
            sync_folder(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise PackageError(
            "archive_invalid", f"The archive cannot be unpacked: {error}.", "Make the zip file again from the package."
        ) from error
    except OSError as error:
        raise PackageError(
            "package_unwritable",
            f"The package cannot be stored: {error.strerror or type(error).__name__}.",
            "Check the free space and permissions of data_dir.",
        ) from error
    return ModelPackage.load(place)


def package_folder_name(package: ModelPackage) -> str:
    """Where a package stands among others; raises `PackageError` (``package_invalid``) where its version is no name."""
    if not _VERSION.fullmatch(package.metadata.version):
        raise PackageError(
            "package_invalid",
            "The package's version has other characters than letters, digits and . + _ -.",
            "Make the package again with another version.",
        )
    return f"{package.metadata.name}-{package.metadata.version}"


def licences_of(package: ModelPackage) -> tuple[str, ...]:
    """The names of the licences whose texts go with a package."""
    try:
        return tuple(sorted(os.listdir(package.path / LICENSES)))
    except OSError:
        return ()


@contextmanager
def _entries(source: Path) -> Iterator[list[_Entry]]:
    with ExitStack() as stack:
        if source.is_dir():
            yield [
                _Entry(name=_allowed(path.relative_to(source).as_posix()), open=lambda path=path: path.open("rb"))  # type: ignore[misc]
                for path in sorted(source.rglob("*"))
                if not path.is_dir()
            ]
            return
        _check_directory(source)
        archive = stack.enter_context(zipfile.ZipFile(source))
        members = [one for one in archive.infolist() if not one.is_dir()]
        if not 0 < len(members) <= _MOST_ENTRIES:
            raise PackageError(
                "archive_invalid", f"The archive has {len(members)} files.", "Zip the package's folder, nothing else."
            )
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not member.flag_bits & 1
            if kind not in (0, stat.S_IFREG) or not plain:
                raise _not_allowed(member.filename)
        prefix = _common_folder([one.filename for one in members])
        names = [_allowed(one.filename.removeprefix(prefix)) for one in members]
        if len({name.lower() for name in names}) < len(names):
            raise PackageError("archive_invalid", "The archive has a file twice.", "Make the zip file again.")
        yield [
            _Entry(name=name, open=lambda member=member: archive.open(member))  # type: ignore[misc]
            for name, member in zip(names, members, strict=True)
        ]


def _check_directory(archive: Path) -> None:
    """Refuse an archive whose list of files is long, which `zipfile` would read into memory as a whole."""
    with archive.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
        tail = file.read()
    at = tail.find(_END)
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    zip64 = tail[max(0, at - 20) : max(0, at - 16)] == _ZIP64_LOCATOR
    if at < 0 or tail.count(_END) > 1 or zip64 or size > _MOST_DIRECTORY_BYTES:
        raise PackageError(
            "archive_invalid",
            "It is no zip file, or not one of a few files.",
            "Zip the package's folder, nothing else.",
        )


def _common_folder(names: list[str]) -> str:
    """The one folder that all files stand in, if they do, as where a folder was zipped."""
    heads = {name.partition("/")[0] for name in names}
    head = next(iter(heads))
    return f"{head}/" if len(heads) == 1 and all(name.startswith(f"{head}/") for name in names) else ""


def _allowed(name: str) -> str:
    folder, _, file = name.rpartition("/")
    if name in MOST_BYTES or (folder == LICENSES and _LICENCE_NAME.fullmatch(file)):
        return name
    raise _not_allowed(name)


def _not_allowed(name: str) -> PackageError:
    return PackageError(
        "archive_entry",
        f"The archive holds {name[:100]!r}, which no package has.",
        f"A package is {', '.join(MOST_BYTES)} and texts in {LICENSES}/, none of them a link or encrypted.",
    )


def _take(entry: _Entry, path: Path) -> None:
    """Copy a file, as long as it is no larger than such a file may be."""
    most = MOST_BYTES.get(entry.name, _MOST_LICENCE_BYTES)
    path.parent.mkdir(exist_ok=True)
    with entry.open() as source, path.open("xb") as target:
        while block := source.read(_BLOCK):
            if target.tell() + len(block) > most:
                raise PackageError(
                    "archive_too_large",
                    f"{entry.name} is larger than {most / 2**20:g} MiB.",
                    "A package's files are smaller.",
                )
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


def _checked(folder: Path) -> ModelPackage:
    """The unpacked package, if all of it is what its metadata say. Its network is not built: that needs PyTorch."""
    package = ModelPackage.load(folder)
    package.verify()
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as weights:
            empty = not list(weights.keys())
    except SafetensorError as error:
        raise PackageError(
            "package_invalid", f"{WEIGHTS} is not in the safetensors format: {error}.", "Make the package again."
        ) from error
    try:
        text = (folder / NETWORK).read_text(encoding="utf-8")
        # An alias makes a large document of a small file.
        aliased = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PackageError("package_invalid", f"{NETWORK} is no YAML.", "Make the package again.") from error
    if empty or aliased:
        raise PackageError(
            "package_invalid",
            f"{WEIGHTS} holds nothing." if empty else f"{NETWORK} refers to itself.",
            "Make the package again.",
        )
    return package


def clear_incoming(folder: Path) -> None:
    """Remove what was being unpacked when its process was killed."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)
