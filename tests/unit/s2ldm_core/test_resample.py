"""Resampling: nothing shifts, ramps pass, coarse grids average, and the way back hits the source's voxels."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from s2ldm_core.resample import Method, from_spacing, grid_map, resample, to_spacing
from s2ldm_core.volume import Volume

SPACING = (2.0, 0.7, 0.7)
TARGETS = [(3.0, 1.5, 1.5), (0.7, 0.5, 0.9), (5.0, 3.1, 2.2), (2.0, 1.0, 0.7)]


def _ramp(shape: tuple[int, int, int], index: list[np.ndarray] | None = None) -> np.ndarray:
    z, y, x = index or [np.arange(size, dtype=float) for size in shape]
    return (3 * z[:, None, None] - 2 * y[None, :, None] + 5 * x[None, None, :]).astype(np.float32)


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_linear_ramp_passes_unchanged_inside(target: tuple[float, float, float], method: Method) -> None:
    values, grid = to_spacing(_ramp((40, 60, 70)), SPACING, target, method=method)
    expected = _ramp(grid.shape, [grid.source_index(axis) for axis in range(3)])
    reach = [2 * max(1.0, target[axis] / SPACING[axis]) + 1 for axis in range(3)]  # of the widest kernel
    inner = []
    for axis, size in enumerate((40, 60, 70)):
        index = grid.source_index(axis)
        inside = np.flatnonzero((index > reach[axis]) & (index < size - 1 - reach[axis]))
        inner.append(slice(inside[0], inside[-1] + 1))
    assert values[tuple(inner)] == pytest.approx(expected[tuple(inner)], abs=1e-3)


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_linear_ramp_returns_to_the_source_grid(target: tuple[float, float, float], method: Method) -> None:
    source = _ramp((40, 60, 70))
    values, grid = to_spacing(source, SPACING, target, method=method)
    back = from_spacing(values, grid, method=method)
    inner = (slice(14, -14), slice(20, -20), slice(20, -20))
    assert back.shape == source.shape
    assert back[inner] == pytest.approx(source[inner], abs=1e-2)


@pytest.mark.parametrize("target", TARGETS)
def test_a_blob_keeps_its_place_there_and_back(target: tuple[float, float, float]) -> None:
    place_mm = np.array([38.3, 21.7, 25.1])
    axes = [np.arange(size) * step for size, step in zip((40, 60, 70), SPACING, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    blob = np.exp(-(((z - place_mm[0]) / 8) ** 2) - ((y - place_mm[1]) / 6) ** 2 - ((x - place_mm[2]) / 6) ** 2)
    values, grid = to_spacing(blob.astype(np.float32), SPACING, target)
    back = from_spacing(values, grid)
    for array, coordinates in (
        (values, [grid.source_index(axis) * SPACING[axis] for axis in range(3)]),
        (back, axes),
    ):
        total = float(array.sum())
        for axis in range(3):
            profile = array.sum(axis=tuple(other for other in range(3) if other != axis))
            assert float(profile @ coordinates[axis]) / total == pytest.approx(place_mm[axis], abs=0.02)


def test_the_grids_share_their_centre() -> None:
    grid = grid_map((10, 11, 12), (1.0, 0.8, 0.7), (3.0, 1.5, 1.5))
    for axis, size in enumerate((10, 11, 12)):
        assert grid.source_index(axis).mean() == pytest.approx((size - 1) / 2)


def test_a_coarser_grid_covers_the_whole_source() -> None:
    grid = grid_map((10, 11, 12), (1.0, 0.8, 0.7), (3.0, 1.5, 1.5))
    assert all(
        n * s >= m * t - 1e-6
        for n, s, m, t in zip(grid.shape, grid.spacing_mm, (10, 11, 12), (1.0, 0.8, 0.7), strict=True)
    )


def test_going_coarser_averages_noise_instead_of_aliasing_it() -> None:
    noise = np.random.default_rng(1).normal(size=(24, 96, 96)).astype(np.float32)
    coarse, _ = to_spacing(noise, (1.0, 1.0, 1.0), (3.0, 3.0, 3.0))
    assert coarse[1:-1, 2:-2, 2:-2].std() < 0.3  # plain interpolation would leave about 1


def test_linear_never_overshoots() -> None:
    step = np.zeros((8, 40, 40), dtype=np.float32)
    step[:, 17:, :] = 1000.0
    values, grid = to_spacing(step, (3.0, 0.7, 0.7), (3.0, 1.5, 1.5))
    back = from_spacing(values, grid, method="linear")
    assert min(values.min(), back.min()) >= -1e-2
    assert max(values.max(), back.max()) <= 1000.01


def test_the_same_spacing_is_the_identity() -> None:
    source = np.random.default_rng(2).normal(size=(5, 6, 7)).astype(np.float32)
    values, grid = to_spacing(source, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert np.array_equal(values, source)
    assert not np.shares_memory(values, source)
    assert np.array_equal(from_spacing(values, grid), source)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 9), (2, 3, 1)])
def test_axes_of_one_voxel_stay_constant(shape: tuple[int, int, int]) -> None:
    values, grid = to_spacing(np.full(shape, 40.0, dtype=np.float32), (5.0, 0.7, 0.7), (3.0, 1.5, 1.5))
    back = from_spacing(values, grid)
    assert values == pytest.approx(40.0, abs=1e-4)
    assert back.shape == shape
    assert back == pytest.approx(40.0, abs=1e-4)


def test_a_tensor_gives_the_same_values_as_an_array() -> None:
    source = np.random.default_rng(3).normal(size=(9, 20, 21)).astype(np.float32)
    from_array, grid = to_spacing(source, SPACING, (3.0, 1.5, 1.5))
    from_tensor, _ = to_spacing(torch.from_numpy(source), SPACING, (3.0, 1.5, 1.5))
    assert isinstance(from_tensor, torch.Tensor)
    assert np.array_equal(from_tensor.numpy(), from_array)
    assert np.array_equal(from_spacing(from_tensor, grid).numpy(), from_spacing(from_array, grid))


def test_slabs_do_not_show() -> None:
    source = np.random.default_rng(4).normal(size=(40, 520, 512)).astype(np.float32)  # more than one slab
    values, _ = to_spacing(source, (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    part, _ = to_spacing(source[10:30], (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    assert values[7:13] == pytest.approx(part[2:8], abs=1e-4)


def test_a_resampled_volume_has_the_affine_of_its_grid() -> None:
    affine = np.array([[0.0, 0.7, 0, -50], [-0.7, 0, 0, 20], [0, 0, 2.0, 300], [0, 0, 0, 1]])
    volume = Volume(hu=_ramp((20, 30, 31)), affine=affine)
    other, grid = resample(volume, (3.0, 1.5, 1.5))
    centre_before = affine @ [*((np.array(volume.shape)[::-1] - 1) / 2), 1]
    centre_after = other.affine @ [*((np.array(other.shape)[::-1] - 1) / 2), 1]
    assert other.spacing_mm == pytest.approx((3.0, 1.5, 1.5))
    assert other.shape == grid.shape
    assert centre_after == pytest.approx(centre_before)


def test_an_array_of_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="the grid"):
        from_spacing(np.zeros((2, 2, 3), dtype=np.float32), grid_map((4, 4, 4), (1, 1, 1), (3, 3, 3)))


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (float("nan"), 1.0, 1.0), (-1.0, 1.0, 1.0)])
def test_a_spacing_that_is_no_length_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="spacings must be positive"):
        grid_map((4, 4, 4), spacing, (3, 3, 3))


def test_the_light_modules_load_neither_simpleitk_nor_pydicom() -> None:
    """Models and phantom run where only torch, numpy and scipy are."""
    program = (
        "import sys, s2ldm_core, s2ldm_core.volume, s2ldm_core.geometry, s2ldm_core.intensity, s2ldm_core.resample, "
        "s2ldm_core.body; sys.exit(bool({'SimpleITK', 'pydicom', 'monai'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_pieces_of_the_source_come_back_as_the_whole_does() -> None:
    rng = np.random.default_rng(5)
    values, grid = to_spacing(rng.normal(size=(11, 9, 8)).astype(np.float32), (2.0, 1.3, 0.7), (3.0, 1.5, 1.5))
    whole = from_spacing(values, grid)
    pieces = [from_spacing(values, grid.part(start, stop)) for start, stop in ((0, 4), (4, 5), (5, 11))]
    assert np.allclose(np.concatenate(pieces), whole, atol=1e-5)
