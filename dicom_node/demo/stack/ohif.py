"""OHIF's prebuilt viewer from npm: one pinned version, checked, unpacked below ``build/``."""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from dicom_node.errors import NodeError

OHIF_VERSION = "3.13.2"
#: SHA-512 of the package as the registry states it (``npm view @ohif/app dist.integrity``).
_SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
_DOWNLOAD_SECONDS = 300
_PREFIX = "package/dist/"


class ViewerError(NodeError):
    """The viewer is not there and cannot be had."""


def fetched_ohif(build: Path) -> Path | None:
    """The folder of the pinned version below ``build``, with its ``index.html``; None until `fetch_ohif` got it."""
    folder = build / f"ohif-{OHIF_VERSION}"
    return folder if (folder / "index.html").is_file() else None


def fetch_ohif(build: Path) -> Path:
    """Download the pinned version with npm, unless it is there, and return its folder.

    Raises
    ------
    ViewerError
        ``viewer_no_npm``, ``viewer_download`` or ``viewer_checksum``.
    """
    found = fetched_ohif(build)
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise ViewerError("viewer_no_npm", "OHIF comes from npm, which is not installed.", "apt-get install npm")
    build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as scratch:
        package = _download(npm, Path(scratch))
        content = Path(scratch) / "dist"
        _unpack(package, content)
        folder = build / f"ohif-{OHIF_VERSION}"
        shutil.rmtree(folder, ignore_errors=True)
        content.rename(folder)
    return folder


def _download(npm: str, folder: Path) -> Path:
    command = [npm, "pack", f"@ohif/app@{OHIF_VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        # Nothing of the package is run: npm pack only downloads.
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS)  # noqa: S603
    except (subprocess.SubprocessError, OSError) as error:
        raise ViewerError(
            "viewer_download", f"npm cannot download @ohif/app {OHIF_VERSION}.", "Look for a network and a registry."
        ) from error
    package = next(folder.glob("*.tgz"))
    if base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() != _SHA512:
        raise ViewerError(
            "viewer_checksum",
            f"The package @ohif/app {OHIF_VERSION} is not the one that was tested.",
            "Ask the registry's keeper, and do not use it.",
        )
    return package


def _unpack(package: Path, folder: Path) -> None:
    """The ``dist/`` of a package without its source maps, a third of it."""
    with tarfile.open(package) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(_PREFIX) and not member.name.endswith(".map"):
                member.name = member.name.removeprefix(_PREFIX)
                archive.extract(member, folder, filter="data")


def main() -> int:
    """``python -m dicom_node.demo.stack.ohif``: get it; 1 with the reason where that cannot be."""
    from dicom_node.demo.stack.places import BUILD

    try:
        print(f"OHIF {OHIF_VERSION}: {fetch_ohif(BUILD)}")  # noqa: T201
    except ViewerError as error:
        print(f"{error.sentence} {error.remedy}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
