"""Whether HU look enhanced: blood is told from bone by shape, not by brightness."""

from pathlib import Path

import numpy as np
import pytest

from dicom_node.series.enhancement import Enhancement, measure_enhancement
from s2ldm_core.io.pixels import read_slice

SPACING_MM = (3.0, 2.0, 2.0)


def torso(*discs: tuple[float, float, float, float], slices: int = 12, noise_hu: float = 12.0) -> np.ndarray:
    """A body of 320 x 220 mm at 45 HU in air, with discs (row mm, column mm, radius mm, HU) through all slices."""
    y, x = np.mgrid[-75:75, -90:90] * 2.0
    plane = np.full(y.shape, -1000.0)
    plane[(x / 160) ** 2 + (y / 110) ** 2 < 1] = 45.0
    for row, column, radius, hu in discs:
        plane[(y - row) ** 2 + (x - column) ** 2 < radius**2] = hu
    noise = np.random.default_rng(1).normal(0, noise_hu, (slices, *plane.shape))
    return (plane + np.where(plane > -900, noise, 0)).astype(np.float32)


def measured(*discs: tuple[float, float, float, float], **how: float) -> Enhancement:
    return measure_enhancement(torso(*discs, **how), SPACING_MM)


def test_native_torso_is_not_enhanced() -> None:
    found = measured()

    assert not found.enhanced
    assert found.volume_ml == 0


@pytest.mark.parametrize("blood_hu", [150.0, 250.0, 400.0])
def test_bright_aorta_is_enhanced(blood_hu: float) -> None:
    found = measured((20.0, 10.0, 13.0, blood_hu))

    assert found.enhanced
    assert found.mean_hu == pytest.approx(blood_hu, abs=10)


def test_marrow_within_a_cortex_is_not_enhanced() -> None:
    cortex, marrow = (60.0, 0.0, 24.0, 500.0), (60.0, 0.0, 19.0, 220.0)

    assert not measured(cortex, marrow).enhanced


def test_aorta_before_a_vertebra_is_enhanced() -> None:
    cortex, marrow, aorta = (60.0, 0.0, 24.0, 500.0), (60.0, 0.0, 19.0, 220.0), (18.0, -12.0, 13.0, 280.0)

    assert measured(cortex, marrow, aorta).enhanced


def test_unenhanced_blood_is_not_enhanced() -> None:
    assert not measured((20.0, 10.0, 13.0, 75.0)).enhanced


def test_bright_object_on_few_slices_is_not_enhanced() -> None:
    hu = torso()
    hu[:3] = torso((20.0, 10.0, 25.0, 300.0), slices=3)

    assert not measure_enhancement(hu, SPACING_MM).enhanced


def test_table_padding_is_not_enhanced() -> None:
    hu = torso()
    hu[:, -10:, 40:140] = 300.0

    assert not measure_enhancement(hu, SPACING_MM).enhanced


def test_noise_of_a_sharp_kernel_does_not_hide_an_aorta() -> None:
    assert measured((20.0, 10.0, 13.0, 350.0), noise_hu=25.0).enhanced


def test_air_alone_is_not_enhanced() -> None:
    assert not measure_enhancement(np.full((4, 20, 20), -1000.0, dtype=np.float32), SPACING_MM).enhanced


def _stack(real_data: Path, name: str) -> tuple[np.ndarray, tuple[float, float, float]]:
    hu = read_slice(real_data / name)[0]
    height, width = hu.shape[0] // 2, hu.shape[1] // 2
    coarse = np.maximum(hu, -1024).reshape(height, 2, width, 2).mean((1, 3))
    return np.repeat(coarse[None], 8, axis=0).astype(np.float32), (5.0, 1.5, 1.5)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "enhanced"),
    [
        ("pairs/nysbu-A056642/axial/ncct_19001229-053.dcm", False),
        ("pairs/nysbu-A072894/axial/ncct_19010103-40.dcm", False),
        ("controls/nysbu-A048383-ncct-ncct/19001231-30.dcm", False),
        ("controls/nysbu-A048383-ncct-ncct/19010410-30.dcm", False),
        ("labelled-slices/noncontrast/ID_0052_AGE_0072_CONTRAST_0_CT.dcm", False),
        ("labelled-slices/noncontrast/ID_0062_AGE_0067_CONTRAST_0_CT.dcm", False),
        ("labelled-slices/noncontrast/ID_0084_AGE_0067_CONTRAST_0_CT.dcm", False),
        ("labelled-slices/noncontrast/ID_0087_AGE_0044_CONTRAST_0_CT.dcm", False),
        ("pairs/nysbu-A056642/axial/cect_19010107-111.dcm", True),
        ("pairs/nysbu-A072894/axial/cect_19001203-066.dcm", True),
        ("controls/nysbu-A058062-cect-cect/19001231-084.dcm", True),
        ("controls/nysbu-A058062-cect-cect/19010108-078.dcm", True),
        ("labelled-slices/contrast/ID_0000_AGE_0060_CONTRAST_1_CT.dcm", True),
        ("labelled-slices/contrast/ID_0040_AGE_0069_CONTRAST_1_CT.dcm", True),
        ("labelled-slices/contrast/ID_0041_AGE_0045_CONTRAST_1_CT.dcm", True),
    ],
)
def test_real_slice_taken_for_a_stack(real_data: Path, name: str, enhanced: bool) -> None:
    assert measure_enhancement(*_stack(real_data, name)).enhanced is enhanced
