"""The visible mark: legible, in one place of the whole series, off the body, and nothing else changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.config import Route, parse_settings
from dicom_node.derive.forms import FORM_NAMES
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.lettering import letterings
from dicom_node.derive.mark import PlacedMark, place_mark, place_of
from dicom_node.derive.marks import Mark
from dicom_node.derive.pixels import StoredScale
from dicom_node.derive.series import write_derived_series
from dicom_node.errors import ConfigError
from s2ldm_core.translation import Translation

Writer = Callable[..., list[Path]]
TEXT = "SYNTHETIC arterial"
SPACING = (5.0, 2.0, 2.0)
#: (lowest, highest) HU of the usual windows: lung, soft tissue, bone.
WINDOWS = ((-1350, 150), (-160, 240), (-500, 1500))


def info(mark: Mark = Mark.CORNER, output: str = "sc") -> DerivationInfo:
    made = Translation(phase="arterial", model_name="m", model_version="1", weights_sha256="0" * 64, seed=0, steps=1)
    return DerivationInfo(translation=made, route="R", mark=mark, output=output)


def torso(slices: int = 3, size: int = 128) -> np.ndarray:
    """``(D, H, W)`` int16: an ellipse of soft tissue with lungs in air, all values different enough to be noticed."""
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    hu = np.full((size, size), -1000)
    hu[(rows / 0.33) ** 2 + (columns / 0.45) ** 2 < 1] = 40
    hu[(rows / 0.2) ** 2 + ((np.abs(columns) - 0.2) / 0.12) ** 2 < 1] = -850
    noise = np.random.default_rng(0).integers(-15, 15, (slices, size, size))
    return (hu + noise).astype(np.int16)


def derive(sources: list[Path], hu: np.ndarray, folder: Path, told: DerivationInfo, **options: object) -> list[Dataset]:
    series = write_derived_series(sources, hu, info=told, folder=folder, **options)
    return [dcmread(one.path) for one in series.instances]


def stored(images: list[Dataset], shape: tuple[int, ...]) -> np.ndarray:
    return np.reshape([image.pixel_array for image in images], shape)


@pytest.mark.parametrize("form", FORM_NAMES)
def test_only_the_box_differs_from_an_unmarked_series(write_ct_series: Writer, tmp_path: Path, form: str) -> None:
    hu = torso()
    sources = write_ct_series(hu * 0, spacing_mm=SPACING)
    marked = derive(sources, hu, tmp_path / "marked", info(output=form))
    plain = derive(sources, hu, tmp_path / "plain", info(Mark.NONE, output=form))
    assert {one.BurnedInAnnotation for one in marked} == {"YES"}
    assert {one.BurnedInAnnotation for one in plain} == {"NO"}
    assert {place_of(one.DerivationDescription) for one in plain} == {None}
    assert len({one.DerivationDescription for one in marked}) == 1
    box = place_of(marked[0].DerivationDescription)
    assert box is not None
    found, pristine = stored(marked, hu.shape), stored(plain, hu.shape)
    assert np.array_equal(pristine + float(plain[0].RescaleIntercept), hu)
    assert marked[0].RescaleIntercept == plain[0].RescaleIntercept
    outside = np.ones(hu.shape, dtype=bool)
    outside[(slice(None), *box)] = False
    assert np.array_equal(found[outside], pristine[outside])
    assert all(np.array_equal(plane[box], found[0][box]) for plane in found)


def test_letters_are_white_and_their_box_black_at_every_usual_window(write_ct_series: Writer, tmp_path: Path) -> None:
    hu = torso()
    one = derive(write_ct_series(hu * 0, spacing_mm=SPACING), hu, tmp_path / "out", info())[0]
    box = place_of(one.DerivationDescription)
    assert box is not None
    values = one.pixel_array[box] + float(one.RescaleIntercept)
    letters = next(way for way in letterings(TEXT, shape=(128, 128)) if way.shape == values.shape)
    assert 0.05 < letters.mean() < 0.5
    for low, high in WINDOWS:
        assert values[letters].min() > high
        assert values[~letters].max() < max(low, -1000)


def test_the_one_corner_off_the_body_is_taken() -> None:
    hu = np.full((4, 128, 128), -1000, dtype=np.int16)
    for index, corner in enumerate(
        [(slice(0, 60), slice(0, 60)), (slice(0, 60), slice(68, 128)), (slice(68, 128),) * 2]
    ):
        hu[(index, *corner)] = 40  # each in one slice only
    mark = place_mark(TEXT, hu, SPACING)
    assert mark is not None
    assert (mark.box[0].stop, mark.column) == (128, 0)
    assert mark.body_share == 0
    assert mark.warning == ""


def test_an_edge_is_taken_where_every_corner_has_body() -> None:
    hu = np.full((2, 128, 128), -1000, dtype=np.int16)
    for rows in (slice(0, 40), slice(88, 128)):
        for columns in (slice(0, 24), slice(104, 128)):
            hu[:, rows, columns] = 40
    mark = place_mark(TEXT, hu, SPACING)
    assert mark is not None
    assert mark.warning == ""
    assert (hu[(slice(None), *mark.box)] == -1000).all()


def test_body_everywhere_is_said_where_readers_see_it(write_ct_series: Writer, tmp_path: Path) -> None:
    hu = np.full((3, 128, 128), 40, dtype=np.int16)
    hu[1:, 100:] = -1000
    one = derive(write_ct_series(hu * 0, spacing_mm=SPACING), hu, tmp_path / "out", info())[0]
    box = place_of(one.DerivationDescription)
    assert box is not None
    assert box[0].start >= 100  # where two slices of three are free
    for text in (one.DerivationDescription, one.ImageComments):
        assert "MAY HIDE ANATOMY" in text
    assert one.ImageComments.startswith("Synthetic image. Not acquired. Not for primary diagnosis.")


def test_lung_that_the_field_of_view_cuts_open_is_body() -> None:
    hu = np.full((3, 128, 128), -860, dtype=np.int16)
    hu[:, 40:90] = 40
    hu[:, 100:] = -1000
    mark = place_mark(TEXT, hu, SPACING)
    assert mark is not None
    assert mark.box[0].start >= 90


def test_a_table_is_avoided_though_it_is_no_body() -> None:
    hu = torso()
    hu[:, 2:4] = 200
    mark = place_mark(TEXT, hu, SPACING)
    assert mark is not None
    assert mark.row > 64


def test_padding_is_free_and_becomes_the_mark(write_ct_series: Writer, tmp_path: Path) -> None:
    """The source's padding is -1024 HU, as the box: its stored value must not say padding."""
    hu = np.full((2, 128, 128), 40, dtype=np.int16)
    padding = np.zeros(hu.shape, dtype=bool)
    padding[:, 90:, 60:] = True
    sources = write_ct_series(hu * 0, spacing_mm=SPACING, PixelPaddingValue=0)
    one = derive(sources, hu, tmp_path / "out", info(), padding=padding)[0]
    box = place_of(one.DerivationDescription)
    assert box is not None
    assert padding[0][box].all()
    assert "MAY HIDE" not in one.DerivationDescription
    is_padding = one.pixel_array == one.PixelPaddingValue
    assert not is_padding[box].any()
    padding[0][box] = False
    assert np.array_equal(is_padding, padding[0])


@pytest.mark.parametrize(("low", "high"), [(-1000, 64500), (-32000, 33000), (0, 65535), (-70000, -5000)])
def test_the_mark_is_legible_on_any_scale_that_16_bits_hold(
    write_ct_series: Writer, tmp_path: Path, low: int, high: int
) -> None:
    hu = torso().astype(np.int32)
    hu[:, 64, 60], hu[:, 64, 61] = low, high
    np.clip(hu, low, high, out=hu)
    sources = write_ct_series(torso() * 0, spacing_mm=SPACING)
    one = derive(sources, hu, tmp_path / "out", info())[0]
    box = place_of(one.DerivationDescription)
    assert box is not None
    assert np.ptp(one.pixel_array[box].astype(int)) == 4095
    assert one.pixel_array[64, 61] + float(one.RescaleIntercept) == high


def test_single_slice_of_64_by_64_is_marked(write_ct_series: Writer, tmp_path: Path) -> None:
    hu = torso(slices=1, size=64)
    (one,) = derive(write_ct_series(hu * 0, spacing_mm=(5.0, 6.0, 6.0)), hu, tmp_path / "out", info())
    assert one.BurnedInAnnotation == "YES"
    box = place_of(one.DerivationDescription)
    assert box is not None
    assert np.ptp(one.pixel_array[box].astype(int)) == 4095


def test_matrix_without_room_for_letters_stays_unmarked_and_says_so(write_ct_series: Writer, tmp_path: Path) -> None:
    hu = np.zeros((2, 10, 12), dtype=np.int16)
    one = derive(write_ct_series(hu), hu, tmp_path / "out", info())[0]
    assert one.BurnedInAnnotation == "NO"
    assert "No visible mark" in one.DerivationDescription


@pytest.mark.parametrize("size", [64, 128, 256, 512, 768, 1024])
def test_letters_are_a_24th_of_the_rows_and_at_least_10_pixels(size: int) -> None:
    first = letterings(TEXT, shape=(size, size))[0]
    lines = np.flatnonzero(first.any(axis=1))
    # Two lines with room between them; a capital is about 0.7 of its line.
    assert max(10, size / 24) * 1.4 < np.ptp(lines) + 1 < max(10, size / 24) * 2.6


def test_place_in_the_description_reads_back() -> None:
    mark = PlacedMark(letters=np.zeros((20, 50), dtype=bool), row=3, column=7, body_share=0.001)
    assert place_of(f"Synthetic. {mark.place} More.") == mark.box == (slice(3, 23), slice(7, 57))
    assert "up to 1 %" in mark.warning
    assert place_of("Nothing here.") is None


def test_drawing_is_exact() -> None:
    mark = PlacedMark(letters=np.array([[True, False]]), row=1, column=0, body_share=0)
    plane = np.full((2, 3), 7, dtype=np.uint16)
    mark.draw(plane, scale=StoredScale(intercept_hu=-2048, padding=None))
    assert plane.tolist() == [[7, 7, 7], [3071 + 2048, -1024 + 2048, 7]]


def test_a_time_says_of_which_phases_its_change_is_the_sum() -> None:
    told = info()
    assert "summed" not in told.derivation()
    summed = replace(told.translation, phase="50s", shares={"arterial": 0.731, "venous": 0.27})
    text = replace(told, translation=summed).derivation()
    assert "Enhancement summed of 0.731 times the arterial phase's and 0.27 times the venous phase's." in text


def test_another_contrast_dose_than_the_usual_is_said() -> None:
    told = info()
    assert "dose" not in told.derivation() + told.description
    less = replace(told, translation=replace(told.translation, phase="venous", contrast_dose=0.8))
    assert "Contrast dose 0.8 of the usual." in less.derivation()
    assert less.description.startswith("SYNTHETIC venous, contrast dose 0.8 (")
    assert "dose" not in replace(less, series_description="Ours").description


def test_long_training_statement_does_not_push_the_warning_out() -> None:
    told = info()
    told = replace(told, translation=replace(told.translation, training_statement="x" * 2000))
    text = told.derivation("Visible mark in rows 1-2, columns 3-4 of every slice.")
    assert len(text) == 1024
    assert place_of(text) == (slice(0, 2), slice(2, 4))


def test_route_marks_unless_told_not_to() -> None:
    assert Route(phase="venous").mark is Mark.CORNER
    assert parse_settings({"routes": {"A": {"phase": "venous", "mark": "none"}}}).routes["A"].mark is Mark.NONE
    with pytest.raises(ConfigError) as caught:
        parse_settings({"routes": {"A": {"phase": "venous", "mark": "center"}}})
    assert "'corner' or 'none'" in caught.value.sentence
