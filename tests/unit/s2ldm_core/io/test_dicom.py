"""DICOM folders to volumes: order, HU, padding, odd files, and a reason for each refusal."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage

from s2ldm_core.errors import VolumeError
from s2ldm_core.io import read_volume
from s2ldm_core.io.pixels import read_slice

CTSeriesWriter = Callable[..., list[Path]]
SliceMaker = Callable[..., Dataset]

HU = np.random.default_rng(0).integers(-1000, 1500, size=(5, 12, 16)).astype(np.float32)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


def _code(source: object, **options: str) -> str:
    with pytest.raises(VolumeError) as caught:
        read_volume(source, **options)
    assert caught.value.sentence
    return caught.value.code


def _save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE, (-1, 0, 0, 0, 1, 0)])
def test_a_folder_gives_its_hu_in_order_of_position(
    write_ct_series: CTSeriesWriter, orientation: tuple[float, ...]
) -> None:
    paths = write_ct_series(HU, spacing_mm=(2.5, 0.8, 0.5), orientation=orientation)
    volume = read_volume(paths[0].parent)
    assert np.array_equal(volume.hu, HU)
    assert volume.spacing_mm == pytest.approx((2.5, 0.8, 0.5))
    assert [record.path for record in volume.slices] == paths
    assert [record.instance_number for record in volume.slices] == [5, 4, 3, 2, 1]


def test_each_slice_record_is_its_instance(write_ct_series: CTSeriesWriter) -> None:
    paths = write_ct_series(HU)
    volume = read_volume(paths)
    header = dcmread(paths[3])
    assert volume.slices[3].sop_instance_uid == header.SOPInstanceUID
    assert volume.slices[3].position_mm == pytest.approx(tuple(float(v) for v in header.ImagePositionPatient))
    assert volume.frame_of_reference_uid == header.FrameOfReferenceUID


def test_subfolders_are_searched_and_foreign_files_passed_over(write_ct_series: CTSeriesWriter) -> None:
    folder = write_ct_series(HU)[0].parent
    (folder / "nested").mkdir()
    shutil.move(folder / "001.dcm", folder / "nested" / "001.dcm")
    (folder / "report.txt").write_text("not an image")
    (folder / "empty").touch()
    assert read_volume(folder).shape == HU.shape


def test_links_out_of_the_folder_are_not_followed(write_ct_series: CTSeriesWriter) -> None:
    outside = write_ct_series(HU, folder="outside")[0]
    inside = write_ct_series(HU, folder="inside")[0].parent
    (inside / "link.dcm").symlink_to(outside)
    (inside / "folder").symlink_to(outside.parent)
    assert read_volume(inside).shape == HU.shape


def test_a_copy_of_an_instance_is_read_once(write_ct_series: CTSeriesWriter) -> None:
    folder = write_ct_series(HU)[0].parent
    shutil.copy(folder / "002.dcm", folder / "002 copy.dcm")
    assert read_volume(folder).shape == HU.shape


def test_several_series_need_a_choice(write_ct_series: CTSeriesWriter, tmp_path: Path) -> None:
    first = write_ct_series(HU, folder="both/a".replace("/", "-"))
    second = write_ct_series(HU + 1, folder="b")
    both = [*first, *second]
    assert _code(both) == "several_series"
    chosen = dcmread(second[0]).SeriesInstanceUID
    assert np.array_equal(read_volume(both, series_uid=chosen).hu, HU + 1)
    assert _code(both, series_uid="1.2.3") == "series_not_found"


def test_rescale_is_applied_slice_by_slice(make_ct_slice: SliceMaker, tmp_path: Path) -> None:
    for index, slope in enumerate((1.0, 2.0, 0.5)):
        stored = np.full((4, 4), 100, dtype=np.uint16)
        _save(
            make_ct_slice(stored, (0, 0, 2.0 * index), series_uid="1.2.3", RescaleSlope=slope, RescaleIntercept=-50),
            tmp_path / f"{index}.dcm",
        )
    assert read_volume(tmp_path).hu[:, 0, 0].tolist() == [50.0, 150.0, 0.0]


@pytest.mark.parametrize(("kind", "lowest"), [(np.int16, -2000), (np.uint16, 0)])
def test_signed_and_unsigned_pixels(make_ct_slice: SliceMaker, tmp_path: Path, kind: type, lowest: int) -> None:
    stored: np.ndarray = np.array([[lowest, 1000], [2000, 3000]], dtype=kind)
    path = _save(make_ct_slice(stored, (0, 0, 0)), tmp_path / "a.dcm")
    assert np.array_equal(read_slice(path)[0], stored.astype(np.float32) - 1024)


def test_padding_written_unsigned_for_signed_pixels_is_recognised(make_ct_slice: SliceMaker, tmp_path: Path) -> None:
    stored = np.array([[-2000, -2000], [0, 1000]], dtype=np.int16)
    dataset = make_ct_slice(stored, (0, 0, 0))
    dataset.add_new(0x00280120, "US", 63536)
    hu, padding = read_slice(_save(dataset, tmp_path / "a.dcm"))
    assert padding is not None
    assert padding.tolist() == [[True, True], [False, False]]
    assert hu[1].tolist() == [-1024.0, -24.0]
    assert hu[0].max() <= -1024


def test_a_padding_range_is_padding_throughout(make_ct_slice: SliceMaker, tmp_path: Path) -> None:
    stored = np.array([[-2000, -1990], [-1980, 1000]], dtype=np.int16)
    dataset = make_ct_slice(stored, (0, 0, 0), PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    _, padding = read_slice(_save(dataset, tmp_path / "a.dcm"))
    assert padding is not None
    assert padding.tolist() == [[True, True], [False, False]]


def test_padding_above_the_stored_bits_is_not_mistaken_for_bone(make_ct_slice: SliceMaker, tmp_path: Path) -> None:
    stored = np.array([[63536, 63536], [1064, 4000]], dtype=np.uint16)  # twelve bits stored; 63536 is -2000
    dataset = make_ct_slice(stored, (0, 0, 0), BitsStored=12, HighBit=11, PixelPaddingValue=63536)
    hu, padding = read_slice(_save(dataset, tmp_path / "a.dcm"))
    assert padding is not None
    assert padding.tolist() == [[True, True], [False, False]]
    assert hu.tolist() == [[-1024.0, -1024.0], [40.0, 2976.0]]


def test_a_padding_value_among_tissues_is_not_believed(make_ct_slice: SliceMaker, tmp_path: Path) -> None:
    stored = np.array([[0, 40], [0, -1000]], dtype=np.int16)
    dataset = make_ct_slice(stored, (0, 0, 0), RescaleIntercept=0, PixelPaddingValue=0)
    hu, padding = read_slice(_save(dataset, tmp_path / "a.dcm"))
    assert padding is None
    assert hu[0, 0] == 0.0


def test_bits_above_bits_stored_are_cleared(make_ct_slice: SliceMaker, tmp_path: Path) -> None:
    stored = np.array([[0x8000 | 1064, 1064]], dtype=np.uint16)  # an overlay plane in the highest bit
    dataset = make_ct_slice(stored, (0, 0, 0), BitsStored=12, HighBit=11)
    assert read_slice(_save(dataset, tmp_path / "a.dcm"))[0].tolist() == [[40.0, 40.0]]


def test_files_without_preamble_are_read(write_ct_series: CTSeriesWriter) -> None:
    paths = write_ct_series(HU)
    for path in paths:
        dataset = dcmread(path)
        dataset.preamble = None
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=True, little_endian=True)
    assert np.array_equal(read_volume(paths[0].parent).hu, HU)


@pytest.mark.parametrize(
    "attributes",
    [
        {"SpecificCharacterSet": "NOT_A_CHARSET"},
        {"FrameOfReferenceUID": None, "ImageType": None, "InstanceNumber": None},
        {"RescaleType": None},
        {"RescaleType": ""},
        {"RescaleType": "Houndsfield Unit"},
    ],
)
def test_headers_with_gaps_and_oddities_are_read(
    write_ct_series: CTSeriesWriter, attributes: dict[str, object]
) -> None:
    assert np.array_equal(read_volume(write_ct_series(HU, **attributes)[0].parent).hu, HU)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"RescaleType": "US"}, "not_hu"),
        ({"RescaleSlope": None}, "not_hu"),
        ({"RescaleSlope": 0}, "not_hu"),
        ({"SamplesPerPixel": 3}, "not_hu"),
        ({"Modality": "MR", "SOPClassUID": MRImageStorage}, "no_ct_files"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"PixelSpacing": None}, "geometry_missing"),
        ({"PixelData": b"\0\0"}, "pixels_unreadable"),
        ({"Rows": 65535, "Columns": 65535}, "volume_too_large"),
    ],
)
def test_a_series_that_cannot_be_used_says_why(
    write_ct_series: CTSeriesWriter, attributes: dict[str, object], code: str
) -> None:
    assert _code(write_ct_series(HU, **attributes)[0].parent) == code


def test_an_empty_folder_has_no_ct(tmp_path: Path) -> None:
    assert _code(tmp_path) == "no_ct_files"


def test_an_empty_list_has_no_ct() -> None:
    assert _code([]) == "no_ct_files"


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert _code(tmp_path / "nothing") == "file_not_found"


def test_a_listed_file_that_is_not_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    assert _code([tmp_path / "notes.txt"]) == "not_dicom"


def test_a_file_cut_short_says_so(write_ct_series: CTSeriesWriter) -> None:
    path = write_ct_series(HU)[2]
    path.write_bytes(path.read_bytes()[:-100])
    assert _code(path.parent) == "pixels_unreadable"


def test_damage_in_the_header_is_an_error_not_a_crash(tmp_path: Path, write_ct_series: CTSeriesWriter) -> None:
    """Random bytes after a good start: whatever the parser makes of it, the answer is a reason."""
    start = write_ct_series(HU)[0].read_bytes()[:400]
    rng = np.random.default_rng(1)
    for index in range(30):
        path = tmp_path / f"{index}.dcm"
        path.write_bytes(start[: 140 + 8 * index] + rng.bytes(600))
        with pytest.raises(VolumeError):
            read_volume(path)


def test_an_element_of_unknown_type_makes_the_file_unreadable(write_ct_series: CTSeriesWriter) -> None:
    path = write_ct_series(HU)[0]
    content = path.read_bytes()
    modality = b"\x08\x00\x60\x00CS"
    assert content.count(modality) == 1
    path.write_bytes(content.replace(modality, b"\x08\x00\x60\x00ES"))
    assert _code(path.parent) == "file_unreadable"


@pytest.mark.parametrize(("text", "code"), [(b"1..5", "geometry_invalid"), (b"1e99", "gantry_tilt")])
def test_an_impossible_position_is_a_reason_not_a_crash(
    write_ct_series: CTSeriesWriter, text: bytes, code: str
) -> None:
    path = write_ct_series(HU, origin=(1.25, 0.0, 0.0))[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.250000", text.ljust(8)))
    assert _code(path.parent) == code


@pytest.mark.real_data
def test_a_real_chest_lies_where_itk_puts_it(real_data: Path) -> None:
    folder = real_data / "series" / "ncct-chest-siemens"
    volume = read_volume(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(volume.hu, sitk.GetArrayFromImage(image))
    assert volume.affine[:3, 3] == pytest.approx(image.GetOrigin())
    assert volume.spacing_mm[::-1] == pytest.approx(image.GetSpacing())
    direction = volume.affine[:3, :3] / np.array(image.GetSpacing())
    assert direction == pytest.approx(np.array(image.GetDirection()).reshape(3, 3))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "shape", "lowest", "highest", "padded"),
    [
        ("series/ncct-chest-siemens", (19, 512, 512), -1024, 3071, False),
        ("series/cect-body-siemens-j2k", (20, 512, 512), -1024, 1839, False),
        ("series/cect-chest-ge-lungkernel", (7, 512, 512), -3024, 1819, True),
        ("odd/tiny-study-98892001/CT5N", (5, 16, 16), -888, 85, False),
    ],
)
def test_real_series_are_read(
    real_data: Path, folder: str, shape: tuple[int, int, int], lowest: float, highest: float, padded: bool
) -> None:
    volume = read_volume(real_data / folder)
    assert volume.shape == shape
    assert (volume.hu.min(), volume.hu.max()) == (lowest, highest)
    assert (volume.padding is not None) == padded


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("series/ncct-head-ge-tilt", "gantry_tilt"),
        ("odd/J2K_pixelrep_mismatch.dcm", "single_slice"),
        ("odd/duplicate-position", "duplicate_positions"),
        ("odd/enhanced", "several_series"),
        ("odd/enhanced/eCT_Supplemental.dcm", "not_hu"),
        ("odd/enhanced/23x38x3/mf.dcm", "not_hu"),
        ("odd/nonsquare-oriented", "not_hu"),
        ("odd/philips-phantom-nonaxial", "several_series"),
        ("odd/philips-phantom-nonaxial/examsummary_S4010_I40", "geometry_missing"),
        ("odd/philips-phantom-nonaxial/localizer_S1000_I10", "single_slice"),
        ("odd/same-position-2x", "duplicate_positions"),
        ("odd/tiny-study-98892001", "several_series"),
        ("odd/tiny-study-98892001/CT2N", "mixed_orientation"),
    ],
)
def test_real_files_that_are_no_volume_say_why(real_data: Path, path: str, code: str) -> None:
    assert _code(real_data / path) == code


@pytest.mark.real_data
def test_every_single_slice_decodes_to_the_stored_range_of_the_manifest(real_data: Path) -> None:
    """Header variety: odd DS texts, intercept 0, unsigned padding, decubitus, reformats."""
    rows = [line.split("\t") for line in (real_data / "MANIFEST.tsv").read_text().splitlines()[1:]]
    checked = 0
    for row in rows:
        folder = row[0].split("/")[0]
        if folder not in {"pairs", "controls", "labelled-slices"}:
            continue
        low, high = (float(value) for value in row[11].split(".."))
        hu, padding = read_slice(real_data / row[0])
        intercept = float(row[9])
        kept = hu if padding is None else hu[~padding]
        assert kept.min() >= low + intercept
        assert hu.max() == high + intercept
        assert hu.shape == (int(row[4]), int(row[5]))
        checked += 1
    assert checked >= 20


@pytest.mark.real_data
def test_every_lossless_transfer_syntax_gives_the_same_hu(real_data: Path) -> None:
    folder = real_data / "odd" / "transfer-syntaxes"
    reference, _ = read_slice(next(folder.glob("*LittleEndianExplicit*_1.2.840.10008.1.2.1.dcm")))
    assert (reference.min(), reference.max()) == (-3024, 1378)
    for syntax in ("2", "2.2", "2.1.99", "2.5", "2.4.57", "2.4.70", "2.4.80", "2.4.90"):
        (path,) = folder.glob(f"*_1.2.840.10008.1.{syntax}.dcm")
        assert np.array_equal(read_slice(path)[0], reference), path.name


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("ending", "off_by"), [("4.50", 40), ("4.51", 20), ("4.53", 20), ("4.55", 20), ("4.81", 5), ("4.91", 10)]
)
def test_lossy_transfer_syntaxes_come_near(real_data: Path, ending: str, off_by: float) -> None:
    folder = real_data / "odd" / "transfer-syntaxes"
    reference, _ = read_slice(next(folder.glob("*LittleEndianExplicit*_1.2.840.10008.1.2.1.dcm")))
    hu, _ = read_slice(next(folder.glob(f"*1.2.{ending}.dcm")))
    assert np.abs(hu - reference).mean() < off_by


@pytest.mark.real_data
def test_a_jpeg_2000_stream_that_contradicts_its_header_is_corrected(real_data: Path) -> None:
    hu, _ = read_slice(real_data / "odd" / "J2K_pixelrep_mismatch.dcm")
    assert (hu.min(), hu.max()) == (-2000, 1896)


@pytest.mark.parametrize("modality", ["", "OT", "MR"])
def test_the_sop_class_decides_what_a_ct_image_is(write_ct_series: CTSeriesWriter, modality: str) -> None:
    paths = write_ct_series(HU)
    _change(paths[0], Modality=modality)

    assert read_volume(paths).shape == HU.shape


def test_a_secondary_capture_beside_the_images_is_passed_over(write_ct_series: CTSeriesWriter) -> None:
    paths = write_ct_series(HU)
    report = dcmread(paths[0])
    report.SOPClassUID, report.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    report.save_as(paths[0].with_name("report.dcm"))

    assert read_volume(paths[0].parent).shape == HU.shape


def test_two_images_under_one_sop_instance_uid_are_refused(write_ct_series: CTSeriesWriter) -> None:
    paths = write_ct_series(HU)
    _change(paths[0], SOPInstanceUID=str(dcmread(paths[1]).SOPInstanceUID))

    assert _code(paths) == "conflicting_instances"


def test_the_same_image_twice_is_read_once_whoever_wrote_the_file(write_ct_series: CTSeriesWriter) -> None:
    paths = write_ct_series(HU)
    again = dcmread(paths[0])
    again.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    again.save_as(paths[0].with_name("again.dcm"))

    assert read_volume(paths[0].parent).shape == HU.shape


def _change(path: Path, **attributes: str) -> None:
    dataset = dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
