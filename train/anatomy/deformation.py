"""The random deformation between the made-up patient (world) and the subject's map, and sampling through it."""

import numpy as np
import torch
from scipy import ndimage

from s2ldm_core.phantom.fields import Axes, SplineField
from s2ldm_core.phantom.patient import stream
from train.anatomy.names import CODES
from train.anatomy.subject import Subject

_COARSE_MM, _FINE_MM = (5.5, 4.2, 4.2), (1.5, 1.4, 1.4)
_SMOOTH_MM = 1.3
# Smoothing takes from thin vessels what it gives to their surroundings.
_VESSEL_GAIN = 1.3
_THIN = (
    "visceral_artery",
    "mesenteric_artery",
    "mesenteric_vein",
    "renal_artery",
    "renal_vein",
    "hepatic_vein",
    "splenic_vein",
    "portal_vein",
    "supra_aortic_artery",
    "coronary_artery",
    "iliac_artery",
    "iliac_vein",
    "strand",
    "ureter",
    "adrenal",
    "superior_mesenteric_vein",
)
_BREATH_MM = 9.0


class Deformation:
    """subject = A (world) + d(world) + breathing; A scales, turns and shears about the body's centre. All (z, y, x) mm.

    strength 1 is the full spread of training data; 0 is the subject as it is.
    """

    def __init__(self, seed: int, *, strength: float = 1.0) -> None:
        rng = stream(seed, "anatomy deformation")
        common = rng.normal(0.0, 0.05)
        stretch = np.clip(common + rng.normal(0.0, (0.05, 0.06, 0.06)), -0.18, 0.2)
        turn = np.radians(np.clip(rng.normal(0.0, (4.0, 2.0, 2.0)), -9.0, 9.0))  # about z, y, x
        shear = rng.normal(0.0, 0.025, (3, 3)) * (1 - np.eye(3))
        cz, sz = np.cos(strength * turn[0]), np.sin(strength * turn[0])
        about_z = np.array([[1, 0, 0], [0, cz, -sz], [0, sz, cz]])
        tilt = strength * np.array([[0, turn[2], turn[1]], [-turn[2], 0, 0], [-turn[1], 0, 0]])
        self.matrix: np.ndarray = np.diag(np.exp(-strength * stretch)) @ (about_z + tilt + strength * shear)
        self._coarse = SplineField(rng, spacing_mm=(90.0, 75.0, 75.0), components=3)
        self._fine = SplineField(rng, spacing_mm=(34.0, 28.0, 28.0), components=3)
        vary = float(np.clip(rng.lognormal(-0.05, 0.3), 0.4, 1.45)) * strength
        self._amplitudes = (vary * np.array(_COARSE_MM), vary * np.array(_FINE_MM))
        self.breath_mm = float(np.clip(rng.normal(0.0, _BREATH_MM), -20.0, 20.0)) * strength

    def indices(self, axes: Axes, subject: Subject) -> np.ndarray:
        """Where the grid's voxels lie in the subject's array: (3, D, H, W) float32 indices; beyond its first and last slice those go on."""
        coarse, fine = self._coarse.grid(axes), self._fine.grid(axes)
        out = np.empty_like(coarse)
        lines = [np.asarray(axes[a], np.float32).reshape([-1 if b == a else 1 for b in range(3)]) for a in range(3)]
        for axis in range(3):
            out[axis] = coarse[axis] * np.float32(self._amplitudes[0][axis]) + fine[axis] * np.float32(
                self._amplitudes[1][axis]
            )
            for other in range(3):
                out[axis] += np.float32(self.matrix[axis, other]) * lines[other]
            out[axis] /= np.float32(subject.spacing_mm[axis])
            out[axis] += np.float32(subject.centre[axis])
        if self.breath_mm:
            out[0] += np.float32(self.breath_mm / subject.spacing_mm[0]) * sample_linear(subject.mobility, out)
        np.clip(out[0], 0, subject.codes.shape[0] - 1, out=out[0])
        return out


def sample_linear(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Trilinear samples of (D, H, W) float32 at indices (3, ...); zero outside."""
    size = np.array(array.shape, np.float32)
    grid = np.stack([indices[axis] * np.float32(2 / max(size[axis] - 1, 1)) - 1 for axis in (2, 1, 0)], axis=-1)
    source = torch.from_numpy(np.ascontiguousarray(array, np.float32))[None, None]
    found = torch.nn.functional.grid_sample(
        source,
        torch.from_numpy(grid).reshape(1, 1, 1, -1, 3),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )
    return found.numpy().reshape(indices.shape[1:])


def sample_structures(
    subject: Subject, indices: np.ndarray, *, sharpness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Structures on the new grid, with smooth borders however coarse the map: (top, under, share), uint8 each.

    Every structure's mask is smoothed, sampled, and the two strongest of a voxel share it: share (1/255, at least 128) of ``top``.
    ``sharpness`` narrows the border's ramp, which without is about 2.5 standard deviations of the smoothing.
    """
    shape = indices.shape[1:]
    first, second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    top, under = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    sigma = [max(0.55, _SMOOTH_MM / step) if step < 2.0 else 0.62 for step in subject.spacing_mm]
    thin = {CODES[name] for name in _THIN}
    boxes: list[tuple[slice, slice, slice] | None] = ndimage.find_objects(subject.codes.astype(np.int32) + 1)
    for value, box in enumerate(boxes):
        if box is None:
            continue
        near = tuple(
            slice(max(0, b.start - 3), min(n, b.stop + 3)) for b, n in zip(box, subject.codes.shape, strict=True)
        )
        soft = ndimage.gaussian_filter(
            (subject.codes[near] == value).astype(np.float32), sigma, truncate=3.0, mode="nearest"
        )
        target = _reach(indices, near)
        if target is None:
            continue
        start = np.array([b.start for b in near], np.float32).reshape(3, 1, 1, 1)
        here = sample_linear(soft, indices[(slice(None), *target)] - start)
        if value in thin:
            here *= np.float32(_VESSEL_GAIN)
        if value == 0:
            here[_outside(indices[(slice(None), *target)], subject.codes.shape)] = 1.0
        a, b, ta, tb = first[target], second[target], top[target], under[target]
        wins, comes = here > a, here > b
        np.copyto(tb, np.where(wins, ta, np.uint8(value)), where=comes)
        np.copyto(b, np.where(wins, a, here), where=comes)
        np.copyto(ta, np.uint8(value), where=wins)
        np.copyto(a, here, where=wins)
    share = first / np.maximum(first + second, 1e-6)
    share = np.clip((share - 0.5) * sharpness + 0.5, 0.5, 1.0)
    return top, under, np.round(share * 255.0).clip(128, 255).astype(np.uint8)


def _outside(indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    outside = np.zeros(indices.shape[1:], bool)
    for axis in (1, 2):
        outside |= (indices[axis] < 0) | (indices[axis] > shape[axis] - 1)
    return outside


def _reach(indices: np.ndarray, box: tuple[slice, ...]) -> tuple[slice, slice, slice] | None:
    """The part of the new grid, on a stride of four voxels and with a margin, whose indices fall into a box of the subject."""
    coarse = indices[:, ::4, ::4, ::4]
    inside = np.ones(coarse.shape[1:], bool)
    for axis in range(3):
        inside &= (coarse[axis] > box[axis].start - 4) & (coarse[axis] < box[axis].stop + 3)
    if not inside.any():
        return None
    found = []
    for axis in range(3):
        where = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        found.append(slice(max(0, 4 * int(where[0]) - 5), min(indices.shape[axis + 1], 4 * int(where[-1]) + 6)))
    return found[0], found[1], found[2]


def sample_ct(ct_hu: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Cubic samples of a CT (D, H, W) at indices (3, D', H', W'), slab by slab; air (-1024 HU) outside its rows and columns."""
    coefficients = ndimage.spline_filter(ct_hu, order=3, output=np.float32, mode="nearest")
    out: np.ndarray = np.empty(indices.shape[1:], np.float32)
    for start in range(0, out.shape[0], 16):
        part = indices[:, start : start + 16]
        out[start : start + 16] = ndimage.map_coordinates(coefficients, part, order=3, mode="nearest", prefilter=False)
        out[start : start + 16][_outside(part, ct_hu.shape)] = -1024.0
    return np.maximum(out, -1024.0, out=out)
