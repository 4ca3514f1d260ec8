"""Sections of a series are turned as radiologists see them, with lengths as in the patient, and drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_node.series.contact_sheet import MAX_SERIES, Pictured, draw_contact_sheet
from dicom_node.series.headers import read_headers
from dicom_node.series.planes import sections
from s2ldm_core.geometry import series_geometry

Writer = Callable[..., list[Path]]

#: Row and column direction (LPS) of each way to lay slices: the normal runs to the head, to the feet, back, and right.
WAYS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, prone and feet first": (1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
}
HEAD, RIGHT, FRONT = 800.0, 600.0, 400.0


def marked(orientation: tuple[float, ...], shape: tuple[int, int, int]) -> np.ndarray:
    """``shape`` (slices, rows, columns) of air, with HEAD on the head's side, RIGHT and FRONT in the middle of theirs."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    axes = np.stack([np.cross(row, column), column, row])  # where slice, row and column index run to
    hu = np.full(shape, -1000.0)
    for value, towards in ((HEAD, (0, 0, 1)), (RIGHT, (-1, 0, 0)), (FRONT, (0, -1, 0))):
        place = [
            size // 2 if way == 0 else (slice(size - 2, size) if way > 0 else slice(0, 2))
            for size, way in zip(shape, (axes @ np.array(towards)).round().astype(int), strict=True)
        ]
        around = tuple(one if isinstance(one, slice) else slice(one - 2, one + 3) for one in place)
        hu[around] = value
    return hu


@pytest.mark.parametrize("way", WAYS)
def test_head_is_at_the_top_and_the_right_at_the_left(write_ct_series: Writer, way: str) -> None:
    orientation = WAYS[way]
    paths = write_ct_series(marked(orientation, (16, 20, 24)), orientation=orientation, spacing_mm=(3.0, 2.0, 1.0))
    geometry = series_geometry(read_headers(paths).headers)
    ordered = [paths[index] for index in geometry.order]

    found = {one.name.split()[0]: one for one in sections([(path, None) for path in ordered], geometry, axial=1)}

    def side(name: str, value: float) -> tuple[float, float]:
        """Where a mark lies in a section, 0..1 from the top and from the left."""
        rows, columns = np.nonzero(found[name].hu == value)
        height, width = found[name].hu.shape
        return rows.mean() / (height - 1), columns.mean() / (width - 1)

    assert side("coronal", HEAD)[0] < 0.2
    assert side("coronal", RIGHT)[1] < 0.2
    assert side("sagittal", HEAD)[0] < 0.2
    assert side("sagittal", FRONT)[1] < 0.2
    assert side("axial", FRONT)[0] < 0.2
    assert side("axial", RIGHT)[1] < 0.2


def test_lengths_are_those_of_the_patient(write_ct_series: Writer) -> None:
    paths = write_ct_series(np.zeros((16, 300, 520)), spacing_mm=(3.0, 2.0, 1.0))
    geometry = series_geometry(read_headers(paths).headers)

    found = sections([(paths[index], None) for index in geometry.order], geometry, axial=2)

    assert [one.name for one in found] == ["axial 5 of 16", "axial 13 of 16", "coronal", "sagittal"]
    assert [one.size_mm for one in found] == [(600, 520), (600, 520), (48, 520), (48, 600)]
    assert found[0].hu.shape == (150, 173)  # every second row, every third column


def test_series_without_a_stack_and_without_pixels_are_drawn_as_far_as_they_can(
    write_ct_series: Writer, tmp_path: Path
) -> None:
    paths = write_ct_series(np.full((6, 16, 16), 200.0))
    broken = write_ct_series(np.full((4, 16, 16), 200.0), folder="broken")
    for one in broken:
        one.write_bytes(one.read_bytes()[:-200])
    series = [
        Pictured(files=files, heading=name, lines=[("CECT_ART: refuse", False)])
        for name, files in (("gap", [*paths[:2], *paths[3:]]), ("broken", broken), ("none", []))
    ]

    draw_contact_sheet(series * MAX_SERIES, tmp_path / "seen.png")

    with Image.open(tmp_path / "seen.png") as picture:
        assert picture.width == 1400
        pixels = np.asarray(picture)
    assert (pixels[..., 0] == round(360 / 400 * 255)).sum() > 5000  # 200 HU in the window
