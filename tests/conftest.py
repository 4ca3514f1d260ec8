"""Fixtures that every test may use: the real data folder, and small CT series written on the spot."""

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.ct_series import ct_slice
from tests.paths import ROOT

CTSeriesWriter = Callable[..., list[Path]]

#: Where the files are that take long.
_LONG = ("tests/fault", "tests/integration", "tests/mutation", "tests/unit/train")
_PROGRAMS = {
    "orthanc": ("Orthanc",),
    "dcmtk": ("storescu", "storescp", "echoscu"),
    "dciodvfy": ("dciodvfy",),
}


def _real_data_folder() -> Path | None:
    """The folder of real CT data: ``S2LDM_REAL_DATA``, else ``../shared/data`` beside the checkout."""
    named = os.environ.get("S2LDM_REAL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if (folder / "MANIFEST.tsv").is_file() else None


def _missing(program: str) -> bool:
    return shutil.which(program, path=f"/usr/bin:/usr/sbin:/bin:{os.environ.get('PATH', '')}") is None


def _turn(item: pytest.Item) -> tuple[bool, int]:
    """When a file's tests come: long ones first, so that several workers end together; those that wait among those that compute."""
    file = item.path.relative_to(ROOT).as_posix()
    return not file.startswith(_LONG), zlib.crc32(file.encode())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files in their order, and skip, with the reason, what this machine cannot run."""
    items.sort(key=_turn)
    no_data = _real_data_folder() is None
    for item in items:
        if no_data and item.get_closest_marker("real_data"):
            item.add_marker(
                pytest.mark.skip(reason="no real CT data: neither S2LDM_REAL_DATA nor ../shared/data has MANIFEST.tsv")
            )
        for marker, programs in _PROGRAMS.items():
            if item.get_closest_marker(marker) and (absent := [name for name in programs if _missing(name)]):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(absent)} (see `make packages`)"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CT data; tests that use it also carry the marker ``real_data``."""
    folder = _real_data_folder()
    if folder is None:
        pytest.skip("no real CT data: neither S2LDM_REAL_DATA nor ../shared/data has MANIFEST.tsv")
    return folder


@pytest.fixture
def write_ct_series(tmp_path: Path) -> CTSeriesWriter:
    """``write(hu, folder="series", spacing_mm=…, orientation=…, origin=…, **attributes) -> list[Path]``.

    ``hu`` is ``(D, H, W)``; slice ``k`` lies ``k * dz`` along the normal. File names and Instance Numbers run against
    the positions, so that nothing can order by them unnoticed.
    """

    def write(
        hu: np.ndarray,
        *,
        folder: str = "series",
        spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0),
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
        **attributes: Any,
    ) -> list[Path]:
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        normal = np.cross(orientation[:3], orientation[3:])
        series_uid = generate_uid()
        paths: list[Path] = []
        for index, plane in enumerate(hu):
            position = np.array(origin) + normal * spacing_mm[0] * index
            dataset = ct_slice(
                np.rint(plane + 1024).astype(np.int16),
                (float(position[0]), float(position[1]), float(position[2])),
                orientation=orientation,
                pixel_spacing=(spacing_mm[1], spacing_mm[2]),
                series_uid=series_uid,
                **{"InstanceNumber": len(hu) - index, **attributes},
            )
            path = target / f"{len(hu) - index:03d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture
def make_ct_slice() -> Callable[..., Dataset]:
    """`ct_slice`: one CT image as a data set."""
    return ct_slice
