"""The second derived series: the uncertainty of the first, in every form, marked as what it is and kept apart from it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.derive.forms import FORM_NAMES
from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.mark import place_of
from dicom_node.derive.marks import Mark
from dicom_node.derive.series import DerivedSeries, write_derived_series
from dicom_node.derive.uncertainty import uncertainty_info
from dicom_node.errors import DeriveError
from dicom_node.translation import Uncertainty
from s2ldm_core.calibration import Calibration
from s2ldm_core.translation import Translation

Writer = Callable[..., list[Path]]

CALIBRATION = Calibration(
    channels=(4, 4),
    half_widths=(0.66, 1.3, 2.25),
    coverage={
        "arterial": {"aorta": (0.52, 0.81, 0.94), "liver": (0.48, 0.79, 0.96)},
        "venous": {"veins": (0.1, 0.2, 0.3)},
    },
    cases=12,
    weights_sha256="cd" * 32,
)
INFO = DerivationInfo(
    translation=Translation(
        phase="arterial",
        model_name="demo",
        model_version="1.0",
        weights_sha256="ab" * 32,
        training_statement="digital phantom only",
        seed=7,
        steps=2,
    ),
    route="CECT_ART",
    window_hu=(100.0, 700.0),
    created_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
)
SHAPE = (3, 96, 96)


@pytest.fixture
def hu() -> np.ndarray:
    """(3, 96, 96) HU: air, and a body that leaves only the lower right corner free."""
    hu = np.full(SHAPE, 40.0, dtype=np.float32)
    hu[:, 40:, 8:] = -1000.0
    return hu


@pytest.fixture
def spread_hu() -> np.ndarray:
    """(3, 96, 96) standard deviations, every row another, 0 in the upper left corner."""
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 97
    values[:, :40, :40] = 0
    return values.astype(np.float32) + 0.25


def written(
    writer: Writer, hu: np.ndarray, spread_hu: np.ndarray, folder: Path, info: DerivationInfo = INFO, **options: object
) -> DerivedSeries:
    told = options.pop("calibration", CALIBRATION)
    return write_derived_series(
        writer(hu * 0, SeriesNumber=3, WindowCenter=40, WindowWidth=400),
        hu,
        info=info,
        folder=folder,
        uncertainty=Uncertainty(hu=spread_hu, calibration=told),
        **options,
    )


def read(series: DerivedSeries) -> tuple[list[Dataset], list[Dataset]]:
    """The images of the synthetic series, and those of its uncertainty."""
    images: list[Dataset] = [dcmread(one.path) for one in series.instances]
    first = [one for one in images if one.SeriesInstanceUID == series.series_instance_uid]
    second = [one for one in images if one.SeriesInstanceUID == series.uncertainty_series_instance_uid]
    assert len(first) + len(second) == len(images)
    return first, second


@pytest.fixture
def both(write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path) -> tuple[Dataset, Dataset]:
    """The first image of each."""
    first, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out"))
    return first[0], second[0]


@pytest.mark.parametrize("output", FORM_NAMES)
def test_every_form_holds_the_standard_deviations_in_whole_hu(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path, output: str
) -> None:
    info = replace(INFO, output=output, mark=Mark.NONE)
    first, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out", info))
    for images, expected in ((first, hu), (second, np.rint(spread_hu))):
        found = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in images]
        np.testing.assert_array_equal(np.reshape(found, SHAPE), expected)
    assert {one.RescaleType for one in second} == {"HU"}
    assert {one.SOPClassUID for one in first} == {one.SOPClassUID for one in second}


def test_it_is_a_series_of_its_own_in_the_same_study_and_place(both: tuple[Dataset, Dataset]) -> None:
    first, second = both
    for same in ("StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient", "PixelSpacing", "InstanceNumber"):
        assert second[same].value == first[same].value, same
    for other in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert second[other].value != first[other].value, other
    assert second.SourceImageSequence == first.SourceImageSequence
    assert second.SeriesNumber == first.SeriesNumber + 1 == 3 + 1000 + 1


def test_its_tags_say_what_it_is(both: tuple[Dataset, Dataset]) -> None:
    first, second = both
    assert second.SeriesDescription == "SYNTHETIC UNCERTAINTY arterial (demo 1.0)"
    assert second.ImageType == [*first.ImageType, "UNCERTAINTY"]
    assert second.ImageComments.startswith("Uncertainty of a synthetic image, in HU; no attenuation.")
    assert second.WindowCenterWidthExplanation == "SYNTHETIC UNCERTAINTY ARTERIAL"
    assert second.SyntheticData == "YES"
    assert (second.WindowCenter, second.WindowWidth) == (50, 100)
    assert (first.WindowCenter, first.WindowWidth) == (100, 700), "the route's window is for attenuation"


def test_its_derivation_names_the_series_and_what_was_measured_of_this_phase(both: tuple[Dataset, Dataset]) -> None:
    first, second = both
    text = second.DerivationDescription
    assert text.startswith(
        "Calibrated standard deviation in HU of the error of the synthetic series "
        f"{first.SeriesInstanceUID} (arterial contrast phase), as predicted with it; no attenuation."
    )
    assert "Of the errors, 50, 80, 95 % shall lie within 0.66, 1.30, 2.25 standard deviations" in text
    assert "in 12 other cases the % of voxels were: aorta 52, 81, 94; liver 48, 79, 96." in text
    assert "veins" not in text
    assert first.DerivationDescription.startswith("Synthetic arterial contrast phase, predicted from non-contrast CT")


def test_of_a_time_that_nobody_measured_it_claims_no_calibration() -> None:
    between = replace(INFO, translation=replace(INFO.translation, phase="50s"))
    info = uncertainty_info(between, of_series="1.2.3", calibration=CALIBRATION)
    assert info.shown == (
        "Standard deviation, not calibrated, in HU of the error of the synthetic series 1.2.3 "
        "(image 50 s after injection), as predicted with it; no attenuation."
    )
    assert (
        info.measured
        == "How often errors lie within it was measured for arterial, venous at the usual contrast dose only."
    )


def test_of_another_contrast_dose_it_claims_none_either() -> None:
    less = replace(INFO, translation=replace(INFO.translation, contrast_dose=0.8))
    untold = CALIBRATION.model_copy(update={"coverage": {}})
    bare = uncertainty_info(less, of_series="1.2.3", calibration=untold)
    assert bare.shown.startswith("Standard deviation, not calibrated, in HU")
    assert bare.measured == "How often errors lie within it was measured at the usual contrast dose only."
    assert uncertainty_info(INFO, of_series="1.2.3", calibration=untold).shown.startswith(
        "Calibrated standard deviation"
    )
    info = uncertainty_info(less, of_series="1.2.3", calibration=CALIBRATION)
    assert info.shown.startswith("Standard deviation, not calibrated, in HU")
    assert (
        info.measured
        == "How often errors lie within it was measured for arterial, venous at the usual contrast dose only."
    )


def test_its_mark_reads_so_and_keeps_off_the_body_of_the_synthetic_image(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    """Where the body is the spread may be 0, and look like air."""
    _, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out"))
    assert uncertainty_info(INFO, of_series="1", calibration=CALIBRATION).mark_text == "SYNTHETIC UNCERTAINTY"
    for index, one in enumerate(second):
        box = place_of(one.DerivationDescription)
        assert box is not None
        assert (hu[index][box] == -1000).all()
        values = one.pixel_array + float(one.RescaleIntercept)
        assert set(np.unique(values[box])) == {-1024, 3071}
        outside = np.ones(SHAPE[1:], dtype=bool)
        outside[box] = False
        np.testing.assert_array_equal(values[outside], np.rint(spread_hu[index])[outside])


def test_where_the_mark_is_is_said_whatever_else_there_is_to_say(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    many = {f"a tissue of a long name, {number}": (0.5, 0.8, 0.95) for number in range(40)}
    told = CALIBRATION.model_copy(update={"coverage": {"arterial": many}})
    _, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out", calibration=told))
    assert 1000 < len(second[0].DerivationDescription) <= 1024, "the tissues are cut"
    assert place_of(second[0].DerivationDescription) is not None


def test_a_long_description_of_the_route_follows_the_words_and_is_cut(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    info = replace(INFO, series_description="late arterial " * 5)
    _, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out", info))
    assert second[0].SeriesDescription.startswith("SYNTHETIC UNCERTAINTY late arterial")
    assert len(second[0].SeriesDescription) <= 64


def test_one_that_replaces_another_says_so_and_names_that_one(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    info = replace(INFO, replaces=("2.25.1",), replaces_uncertainty=("2.25.2",))
    first, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out", info))
    assert second[0].SeriesDescription.endswith("(replaces earlier)")
    assert "Replaces the earlier derived series 2.25.2." in second[0].DerivationDescription
    assert "Replaces the earlier derived series 2.25.1." in first[0].DerivationDescription


def test_the_same_made_again_has_the_same_uids_and_another_network_gives_others(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    sources = write_ct_series(hu * 0)
    other = CALIBRATION.model_copy(update={"weights_sha256": "ef" * 32})
    once, again, another = (
        write_derived_series(
            sources, hu, info=INFO, folder=tmp_path / name, uncertainty=Uncertainty(hu=spread_hu, calibration=told)
        )
        for name, told in (("once", CALIBRATION), ("again", CALIBRATION), ("another", other))
    )
    assert [one.sop_instance_uid for one in once.instances] == [one.sop_instance_uid for one in again.instances]
    assert another.series_instance_uid == once.series_instance_uid
    assert another.uncertainty_series_instance_uid != once.uncertainty_series_instance_uid
    uids = {one.sop_instance_uid for series in (once, another) for one in series.instances}
    assert len(uids) == 3 * SHAPE[0]


def test_synthetic_series_is_the_same_with_and_without(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    sources = write_ct_series(hu * 0)
    alone = write_derived_series(sources, hu, info=INFO, folder=tmp_path / "alone")
    told = Uncertainty(hu=spread_hu, calibration=CALIBRATION)
    beside = write_derived_series(sources, hu, info=INFO, folder=tmp_path / "beside", uncertainty=told)
    assert alone.uncertainty_series_instance_uid is None
    assert [one.path.read_bytes() for one in alone.instances] == [
        one.path.read_bytes() for one in beside.instances if one.series_instance_uid == alone.series_instance_uid
    ]


def test_what_was_not_scanned_has_no_uncertainty(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    padding = np.zeros(SHAPE, dtype=bool)
    padding[:, 90:, :3] = True
    _, second = read(written(write_ct_series, hu, spread_hu, tmp_path / "out", padding=padding))
    for one in second:
        assert (one.pixel_array[90:, :3] == one.PixelPaddingValue).all()
        assert (one.pixel_array[:90] != one.PixelPaddingValue).all()


def test_an_uncertainty_of_another_shape_is_refused(
    write_ct_series: Writer, hu: np.ndarray, spread_hu: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(DeriveError, match=r"shape \(2, 96, 96\), the synthetic volume \(3, 96, 96\)") as caught:
        written(write_ct_series, hu, spread_hu[:2], tmp_path / "out")
    assert caught.value.code == "slices_do_not_fit"
