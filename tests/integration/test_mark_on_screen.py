"""The visible mark as DCMTK's renderer shows it: legible at three windows, off the body, gone where it is not wanted.

On every real series and native volume. Where the mark goes when no place is free: ``unit/dicom_node/derive/test_mark.py``.
With ``S2LDM_SCREENS=FOLDER`` the pictures are kept there, to be looked at.
"""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from scipy.ndimage import distance_transform_edt

from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.lettering import letterings
from dicom_node.derive.mark import place_of
from dicom_node.derive.marks import Mark
from dicom_node.derive.series import write_derived_series
from s2ldm_core.body import body_mask
from s2ldm_core.io import read_volume
from s2ldm_core.translation import Translation

pytestmark = pytest.mark.real_data

#: Centre and width in HU.
WINDOWS = {"lung": (-600, 1500), "soft tissue": (40, 400), "bone": (500, 2000)}
SCANS = (
    "series/ncct-chest-siemens",
    "series/cect-chest-ge-lungkernel",
    "series/cect-body-siemens-j2k",
    "series/ncct-head-ge-tilt",
    "volumes/ts_example_ct_native.nii.gz",
    "volumes/ts_example_ct_sm_native.nii.gz",
)
#: Their field of view is cut to the body: no place is free in every slice.
NO_ROOM = ("volumes/ts_example_ct_native.nii.gz", "volumes/ts_example_ct_sm_native.nii.gz")
SPARE_MM = 4.0
#: At a lung window air is a dark grey.
DARK = 60
TEXT = "SYNTHETIC arterial"

Scan = tuple[np.ndarray, tuple[float, float, float]]
Writer = Callable[..., list[Path]]


@pytest.fixture(scope="module", params=SCANS)
def scan(request: pytest.FixtureRequest, real_data: Path) -> Scan:
    """``(D, H, W)`` HU, and ``(dz, dy, dx)`` in mm; slices are read one by one, as the tilted series is not a volume."""
    path = real_data / request.param
    if path.is_file():
        volume = read_volume(path)
        return volume.hu, volume.spacing_mm
    images = sorted(map(dcmread, path.iterdir()), key=lambda image: float(image.ImagePositionPatient[2]))
    hu = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in images])
    row, column = map(float, images[0].PixelSpacing)
    return hu.astype(np.float32), (float(images[0].SliceThickness), row, column)


def derived(scan: Scan, write_ct_series: Writer, folder: Path, *, mark: Mark) -> list[Path]:
    hu, spacing_mm = scan
    sources = write_ct_series(np.clip(hu, -32768 + 1024, 31000), spacing_mm=spacing_mm, PatientID="P")
    made = Translation(phase="arterial", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1)
    info = DerivationInfo(translation=made, route="R", mark=mark)
    return [one.path for one in write_derived_series(sources, hu, info=info, folder=folder).instances]


@pytest.mark.dcmtk
def test_the_mark_is_legible_at_every_window_and_off_the_body_or_says_that_it_is_not(
    scan: Scan, write_ct_series: Writer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    hu, spacing_mm = scan
    paths = derived(scan, write_ct_series, tmp_path / "out", mark=Mark.CORNER)
    first = dcmread(paths[0], stop_before_pixels=True)
    box = place_of(first.DerivationDescription)
    assert box is not None
    body = body_mask(hu, spacing_mm)
    hidden = re.search(r"MAY HIDE ANATOMY: .* \(up to (\d+) % of the mark\)", first.ImageComments)
    if request.node.callspec.params["scan"] in NO_ROOM:
        assert hidden is not None
        assert 100 * body[(slice(None), *box)].any(axis=0).mean() > 0
        assert 100 * body[(slice(None), *box)].mean() <= int(hidden[1])
    else:
        assert hidden is None
        for plane in body:
            if plane.any():
                away_mm = distance_transform_edt(~plane, sampling=spacing_mm[1:])
                assert away_mm[box].min() >= SPARE_MM - max(spacing_mm[1:])

    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    (letters,) = (one for one in letterings(TEXT, shape=hu.shape[1:]) if one.shape == shape)
    for name, (centre, width) in WINDOWS.items():
        for place in (0, len(paths) // 2):
            shown = rendered(paths[place], tmp_path / "screen.pgm", centre=centre, width=width)
            assert (shown[box][letters] == 255).all(), name
            assert (shown[box][~letters] <= DARK).all(), name
            keep(shown, f"{request.node.callspec.id}-{name}-{place}".replace("/", "-").replace(" ", "-"))


def test_without_a_mark_every_value_is_that_of_the_translation(
    scan: Scan, write_ct_series: Writer, tmp_path: Path
) -> None:
    paths = derived(scan, write_ct_series, tmp_path / "out", mark=Mark.NONE)
    for plane, path in zip(scan[0], paths, strict=True):
        image = dcmread(path)
        assert np.array_equal(image.pixel_array + float(image.RescaleIntercept), np.rint(plane))
        assert image.BurnedInAnnotation == "NO"


def rendered(path: Path, target: Path, *, centre: float, width: float) -> np.ndarray:
    """``(H, W)`` grey values 0 to 255 of one image at a window, as DCMTK draws it."""
    command = ["/usr/bin/dcm2pnm", "+Ww", str(centre), str(width), "+op", str(path), str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with Image.open(target) as picture:
        return np.asarray(picture.convert("L"))


def keep(shown: np.ndarray, name: str) -> None:
    if folder := os.environ.get("S2LDM_SCREENS"):
        Path(folder).mkdir(exist_ok=True)
        Image.fromarray(shown).save(Path(folder) / f"{name}.png")
