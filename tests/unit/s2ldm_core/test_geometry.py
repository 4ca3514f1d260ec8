"""Which stacks of slices are volumes, judged from headers alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from s2ldm_core.errors import GeometryError
from s2ldm_core.geometry import GEOMETRY_KEYWORDS, series_geometry

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


def _headers(
    along: list[float], *, orientation: tuple[float, ...] = AXIAL, lean: tuple[float, float, float] = (0, 0, 0)
) -> list[Dataset]:
    """Headers of 16 x 12 images at these places along the normal; ``lean`` shifts per mm."""
    normal = np.cross(orientation[:3], orientation[3:])
    headers = []
    for place in along:
        header = Dataset()
        header.ImagePositionPatient = [f"{v:.4f}" for v in normal * place + np.array(lean) * place]
        header.ImageOrientationPatient = list(orientation)
        header.PixelSpacing = [0.8, 0.5]
        header.Rows, header.Columns = 16, 12
        header.FrameOfReferenceUID = "1.2.3"
        headers.append(header)
    return headers


def _code(headers: list[Dataset]) -> GeometryError:
    with pytest.raises(GeometryError) as caught:
        series_geometry(headers)
    return caught.value


def test_slices_are_ordered_along_the_normal() -> None:
    geometry = series_geometry(_headers([4.0, 0.0, 6.0, 2.0]))
    assert geometry.order == (1, 3, 0, 2)
    assert [position[2] for position in geometry.positions_mm] == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE, (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0)])
def test_the_affine_places_columns_rows_and_slices(orientation: tuple[float, ...]) -> None:
    """Known answer: PS3.3 equation C.7.6.2.1-1."""
    headers = _headers([0.0, 2.5, 5.0], orientation=orientation)
    geometry = series_geometry(headers)
    last = np.array([float(v) for v in headers[2].ImagePositionPatient])
    expected = last + np.array(orientation[:3]) * 0.5 * 3 + np.array(orientation[3:]) * 0.8 * 7
    assert geometry.affine @ [3, 7, 2, 1] == pytest.approx([*expected, 1.0])
    assert geometry.spacing_mm == pytest.approx((2.5, 0.8, 0.5))
    assert geometry.shape == (3, 16, 12)
    assert geometry.frame_of_reference_uid == "1.2.3"


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_regular() -> None:
    geometry = series_geometry(_headers([round(0.625 * k, 1) for k in range(40)]))
    assert geometry.spacing_mm[0] == pytest.approx(0.625, abs=0.002)


def test_oblique_positions_rounded_to_a_tenth_of_a_millimetre_are_not_tilted() -> None:
    headers = _headers([2.0 * k for k in range(4)], orientation=OBLIQUE)
    for header in headers:
        header.ImagePositionPatient = [f"{float(v):.1f}" for v in header.ImagePositionPatient]
    assert series_geometry(headers).spacing_mm[0] == pytest.approx(2.0, abs=0.05)


def test_a_change_of_increment_is_irregular_and_named() -> None:
    error = _code(_headers([0.0, 4.0, 8.0, 12.0, 19.0, 23.0]))
    assert error.code == "irregular_spacing"
    assert "7.00 mm between 12.00 and 19.00 mm" in error.sentence


def test_missing_slices_are_counted_in_the_remedy() -> None:
    error = _code(_headers([0.0, 2.0, 4.0, 10.0, 12.0, 14.0]))
    assert error.code == "irregular_spacing"
    assert "2 slices seem to be missing" in error.remedy


def test_a_slowly_growing_increment_is_irregular() -> None:
    along = np.cumsum(np.linspace(1.9, 2.1, 60)).tolist()
    assert _code(_headers(along)).code == "irregular_spacing"


def test_two_images_at_one_place_are_duplicates() -> None:
    error = _code(_headers([0.0, 2.0, 2.0, 4.0]))
    assert error.code == "duplicate_positions"
    assert "1 of 4 images" in error.sentence


def test_a_leaning_stack_is_a_gantry_tilt() -> None:
    error = _code(_headers([0.0, 2.0, 4.0], lean=(0.0, np.tan(np.radians(15)), 0.0)))
    assert error.code == "gantry_tilt"
    assert "15.0 degrees" in error.sentence


def test_one_slice_pushed_sideways_is_found() -> None:
    headers = _headers([0.0, 2.0, 4.0, 6.0, 8.0])
    headers[2].ImagePositionPatient = [5.0, 0.0, 4.0]
    assert _code(headers).code == "shifted_slices"


def test_a_turned_image_is_a_mixed_orientation() -> None:
    headers = _headers([0.0, 2.0, 4.0])
    headers[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    assert _code(headers).code == "mixed_orientation"


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("Rows", 32, "mixed_matrix"),
        ("PixelSpacing", [0.9, 0.9], "mixed_pixel_spacing"),
        ("FrameOfReferenceUID", "1.2.4", "mixed_frame_of_reference"),
        ("NumberOfFrames", 2, "multi_frame"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1", "multi_frame"),
        ("ImagePositionPatient", None, "geometry_missing"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1], "geometry_invalid"),
        ("PixelSpacing", None, "geometry_missing"),
    ],
)
def test_one_image_that_differs_is_refused(keyword: str, value: object, code: str) -> None:
    headers = _headers([0.0, 2.0, 4.0])
    setattr(headers[1], keyword, value)
    assert _code(headers).code == code


@pytest.mark.parametrize(
    ("keyword", "value"), [("PixelSpacing", [0, 0.5]), ("ImageOrientationPatient", [1, 0, 0, 0.7, 0.7, 0])]
)
def test_impossible_geometry_is_invalid(keyword: str, value: object) -> None:
    headers = _headers([0.0, 2.0, 4.0])
    for header in headers:
        setattr(header, keyword, value)
    assert _code(headers).code == "geometry_invalid"


def test_a_frame_of_reference_for_each_slice_says_nothing_and_the_positions_decide() -> None:
    headers = _headers([0.0, 2.0, 4.0])
    for number, header in enumerate(headers):
        header.FrameOfReferenceUID = f"1.2.{number}"

    geometry = series_geometry(headers)

    assert geometry.frame_of_reference_uid is None
    assert geometry.spacing_mm[0] == 2.0


def test_two_acquisitions_of_the_same_places_are_named_as_that_and_not_as_holes() -> None:
    error = _code(_headers([place for k in range(10) for place in (2.0 * k, 2.0 * k + 0.02)]))

    assert error.code == "duplicate_positions"
    assert "10 of 20 images lie within 0.02 mm of another" in error.sentence


def test_a_change_of_increment_is_named_with_both_spacings_and_its_place() -> None:
    error = _code(_headers([*(5.0 * k for k in range(8)), *(35.0 + 1.25 * k for k in range(1, 13))]))

    assert error.code == "irregular_spacing"
    assert "two spacings: 5.00 mm up to 35.00 mm" in error.sentence
    assert "1.25 mm from there on" in error.sentence
    assert "missing" not in f"{error.sentence} {error.remedy}"


def test_overlapping_slices_are_a_volume() -> None:
    assert series_geometry(_headers([1.25 * k for k in range(5)])).spacing_mm[0] == 1.25


def test_one_image_is_no_volume() -> None:
    assert _code(_headers([0.0])).code == "single_slice"


def test_no_image_is_no_volume() -> None:
    assert _code([]).code == "no_slices"


def test_text_that_is_no_number_is_invalid_not_a_crash() -> None:
    class Header:
        def __getattr__(self, keyword: str) -> object:
            if keyword == "ImagePositionPatient":
                return ["1.0", "2.0", "abc"]
            raise AttributeError(keyword)

    with pytest.raises(GeometryError, match="geometry_invalid"):
        series_geometry([Header(), Header()])


def test_every_error_says_what_to_do(make_ct_slice: Callable[..., Dataset]) -> None:
    error = _code([make_ct_slice(np.zeros((4, 4), dtype=np.int16), (0.0, 0.0, 0.0))])
    assert error.sentence.endswith(".")
    assert error.remedy


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("series/ncct-head-ge-tilt", "gantry_tilt"),
        ("odd/duplicate-position", "duplicate_positions"),
        ("odd/same-position-2x", "duplicate_positions"),
        ("odd/tiny-study-98892001/CT2N", "mixed_orientation"),
        ("odd/philips-phantom-nonaxial", "geometry_missing"),
    ],
)
def test_real_series_that_are_no_volume(real_data: Path, folder: str, code: str) -> None:
    assert _code(_read(real_data / folder)).code == code


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "spacing_mm", "shape"),
    [
        ("series/ncct-chest-siemens", (4.0, 0.759765625, 0.759765625), (19, 512, 512)),
        ("series/cect-body-siemens-j2k", (2.0, 0.9765625, 0.9765625), (20, 512, 512)),
        ("odd/nonsquare-oriented", (4.5, 3.5, 2.5), (3, 50, 100)),
    ],
)
def test_real_series_that_are_volumes(
    real_data: Path, folder: str, spacing_mm: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    geometry = series_geometry(_read(real_data / folder))
    assert geometry.spacing_mm == pytest.approx(spacing_mm, abs=1e-4)
    assert geometry.shape == shape


def _read(folder: Path) -> list[Dataset]:
    return [
        dcmread(path, stop_before_pixels=True, specific_tags=list(GEOMETRY_KEYWORDS))
        for path in sorted(folder.iterdir())
        if path.suffix != ".txt"
    ]


@pytest.mark.parametrize("value", [b"inf ", b"abc "])
def test_number_of_frames_that_is_no_number_is_refused(value: bytes) -> None:
    headers = []
    for number in range(3):
        header = Dataset()
        header.ImagePositionPatient, header.PixelSpacing = [0, 0, 2 * number], [1, 1]
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.Rows = header.Columns = 8
        headers.append(header)
    tag = Tag("NumberOfFrames")
    headers[1][tag] = RawDataElement(tag, "IS", len(value), value, 0, False, True)

    assert _code(headers).code == "geometry_invalid"
