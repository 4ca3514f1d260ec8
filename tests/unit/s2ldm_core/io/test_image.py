"""NIfTI and MetaImage: exact round trips and clear refusals."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from s2ldm_core.errors import VolumeError
from s2ldm_core.io import read_volume, write_volume
from s2ldm_core.volume import Volume

SUFFIXES = [".nii", ".nii.gz", ".mha", ".mhd"]


def _volume() -> Volume:
    """Oblique, left-handed, anisotropic, with HU that are no whole numbers."""
    turn = np.radians(16)
    direction = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = direction @ np.diag([-0.7, 0.8, 2.5])
    affine[:3, 3] = (12.25, -140.5, 731.125)
    hu = np.random.default_rng(0).normal(-200, 600, size=(4, 6, 5)).astype(np.float32)
    return Volume(hu=hu, affine=affine)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_and_place_come_back(tmp_path: Path, suffix: str) -> None:
    volume = _volume()
    write_volume(volume, tmp_path / f"volume{suffix}")
    back = read_volume(tmp_path / f"volume{suffix}")
    assert np.array_equal(back.hu, volume.hu)
    assert back.affine == pytest.approx(volume.affine, abs=1e-4)  # NIfTI keeps single precision


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_nothing_but_the_file_is_left_behind(tmp_path: Path, suffix: str) -> None:
    write_volume(_volume(), tmp_path / f"volume{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"volume{suffix}"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "volume.mha"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(VolumeError, match="file_unwritable"):
        write_volume(_volume(), target)
    assert [path.name for path in tmp_path.iterdir()] == ["volume.mha"]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="unknown_format"):
        write_volume(_volume(), tmp_path / "volume.png")


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[1, 2] = 0.3
    with pytest.raises(VolumeError, match="sheared_affine"):
        write_volume(Volume(hu=np.zeros((2, 2, 2)), affine=affine), tmp_path / "volume.nii")


def test_voxels_that_are_no_number_become_padding(tmp_path: Path) -> None:
    hu = np.full((3, 4, 5), -50.0, dtype=np.float32)
    hu[0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / "volume.mha"))
    volume = read_volume(tmp_path / "volume.mha")
    assert volume.padding is not None
    assert volume.padding[0].all()
    assert not volume.padding[1:].any()
    assert volume.hu[0].max() == -1024.0


def test_a_single_time_point_is_a_volume(tmp_path: Path) -> None:
    hu = np.full((3, 4, 5), -50, dtype=np.int16)
    image = sitk.JoinSeries([sitk.GetImageFromArray(hu)])
    sitk.WriteImage(image, str(tmp_path / "volume.mha"))
    assert read_volume(tmp_path / "volume.mha").shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("array", "vector", "code"),
    [
        (np.full((3, 4, 5), 40, dtype=np.uint8), False, "not_hu"),
        (np.full((3, 4, 5), 40, dtype=np.int16), False, "not_hu"),
        (np.full((3, 4, 5, 3), -40, dtype=np.int16), True, "not_hu"),
        (np.full((4, 5), -40, dtype=np.int16), False, "not_3d"),
        (np.full((1, 4, 5), -40, dtype=np.int16), False, "not_3d"),
    ],
)
def test_images_that_are_no_ct_volume_say_why(tmp_path: Path, array: np.ndarray, vector: bool, code: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(tmp_path / "image.mha"))
    with pytest.raises(VolumeError) as caught:
        read_volume(tmp_path / "image.mha")
    assert caught.value.code == code


def test_several_time_points_are_refused(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.full((3, 4, 5), -50, dtype=np.int16))
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(tmp_path / "volume.mha"))
    with pytest.raises(VolumeError, match="not_3d"):
        read_volume(tmp_path / "volume.mha")


def test_a_damaged_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "volume.nii.gz").write_bytes(b"\x1f\x8b not a gzip")
    with pytest.raises(VolumeError, match="file_unreadable"):
        read_volume(tmp_path / "volume.nii.gz")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "shape", "spacing"),
    [
        ("ts_example_ct_native", (112, 101, 122), 3.0),
        ("ts_example_ct_sm_native", (30, 101, 122), 3.0),
        ("ts_aorta_ct_cropped_arterial", (164, 126, 120), 1.5),
    ],
)
def test_real_volumes_are_read(real_data: Path, name: str, shape: tuple[int, int, int], spacing: float) -> None:
    volume = read_volume(real_data / "volumes" / f"{name}.nii.gz")
    assert volume.shape == shape
    assert volume.spacing_mm == pytest.approx((spacing,) * 3, abs=1e-3)
    assert volume.hu.min() < -900


@pytest.mark.real_data
def test_a_real_image_in_grey_levels_is_refused(real_data: Path) -> None:
    with pytest.raises(VolumeError, match="not_hu"):
        read_volume(real_data / "volumes" / "CT_pitch_oblique_uint8.nii.gz")
