"""The digital torso phantom: one made-up patient, the same anatomy at every second after the injection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from s2ldm_core.errors import PhantomError
from s2ldm_core.phantom import (
    abdomen,
    appearance,
    arteries,
    body,
    bowel,
    girdles,
    kidneys,
    muscles,
    outside,
    skeleton,
    thorax,
    veins,
)
from s2ldm_core.phantom.canvas import Canvas
from s2ldm_core.phantom.fields import Axes
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import Patient, stream
from s2ldm_core.phantom.scanner import Scanner
from s2ldm_core.phantom.tissues import BLOOD, MUSCLES, ORGANS, PHASE_SECONDS, TISSUES
from s2ldm_core.phantom.warp import Warp

if TYPE_CHECKING:
    from s2ldm_core.volume import Volume

REGIONS: Final = {
    "torso": (-330.0, 295.0),
    "chest": (0.0, 295.0),
    "abdomen": (-130.0, 105.0),
    "abdomen_pelvis": (-330.0, 105.0),
}
_SLAB_VOXELS: Final = 8_000_000


class Phantom:
    """A digital torso, deterministic in all its arguments.

    Parameters
    ----------
    seed : which patient. Anatomy, circulation and scanner follow from it, in physical space: another grid samples the same body.
    matrix : (rows, columns).
    slices : number of slices; slice 0 is the most inferior.
    spacing_mm : (dz, dy, dx); without it the field of view fits the body and dz is 3 mm.
    region : "torso", "chest", "abdomen", "abdomen_pelvis"; without it drawn from the seed.
    centre_mm : world (x, y, z) of the volume's centre; without it the region's, a little off-centre.
    scanner, patient : instead of those drawn from the seed.

    Raises
    ------
    PhantomError : a matrix, slice count, spacing, region or phase that cannot be made.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        matrix: tuple[int, int] = (256, 256),
        slices: int = 100,
        spacing_mm: tuple[float, float, float] | None = None,
        region: str | None = None,
        centre_mm: tuple[float, float, float] | None = None,
        scanner: Scanner | None = None,
        patient: Patient | None = None,
    ) -> None:
        if min(*matrix, slices) < 1 or max(matrix) > 2048 or slices > 4096:
            raise PhantomError(
                "phantom_size",
                f"A phantom of {slices} slices of {matrix[0]}x{matrix[1]} cannot be made.",
                "Ask for 1 to 2048 rows and columns.",
            )
        rng = stream(seed, "view")
        region = region or str(rng.choice(tuple(REGIONS), p=(0.25, 0.3, 0.25, 0.2)))
        if region not in REGIONS:
            raise PhantomError(
                "phantom_region", f"The phantom has no region {region!r}.", f"Choose one of {', '.join(REGIONS)}."
            )
        self.seed = seed
        self.region = region
        self.patient = patient or Patient.draw(seed)
        self.scanner = scanner or Scanner.draw(seed)
        self._body = body.Body.of(self.patient, seed=seed)
        self._warp = Warp(self.patient, seed=seed)
        self._contours = self._body.contours()
        self.spacing_mm = spacing_mm or self._fitting_spacing(matrix, slices)
        if min(self.spacing_mm) <= 0:
            raise PhantomError("phantom_spacing", "A phantom's spacing must be positive.", "Give (dz, dy, dx) in mm.")
        centre = centre_mm or self._centre(rng, slices)
        dz, dy, dx = self.spacing_mm
        z = centre[2] + (np.arange(slices) - 0.5 * (slices - 1)) * dz
        y = centre[1] + (np.arange(matrix[0]) - 0.5 * (matrix[0] - 1)) * dy
        x = centre[0] + (np.arange(matrix[1]) - 0.5 * (matrix[1] - 1)) * dx
        self._axes: Axes = (z, y, x)
        self.affine = np.array([[dx, 0, 0, x[0]], [0, dy, 0, y[0]], [0, 0, dz, z[0]], [0, 0, 0, 1]], float)
        self._kinetics = Kinetics(self.patient, seed=seed)
        self._native = self._native_hu()
        self.labels, self._under, self._share = self._render()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        return self.labels.shape

    def _fitting_spacing(self, matrix: tuple[int, int], slices: int) -> tuple[float, float, float]:
        width = 2.0 * float(np.percentile(self._contours["skin"][90:720, 0], 90)) * self._warp.scale[2] + 40.0
        step = float(np.clip(width, 320.0, 500.0)) / max(matrix)
        return 3.0, step, step

    def _centre(self, rng: np.random.Generator, slices: int) -> tuple[float, float, float]:
        low, high = (edge * self._warp.scale[0] for edge in REGIONS[self.region])
        length = slices * self.spacing_mm[0]
        room = max(0.0, (high - low) - length) / 2.0
        z = 0.5 * (low + high) + float(rng.uniform(-1, 1)) * room
        return float(rng.normal(0, 5)), float(rng.normal(6, 6)), z

    def _slabs(self) -> list[slice]:
        depth = len(self._axes[0])
        step = max(1, _SLAB_VOXELS // (len(self._axes[1]) * len(self._axes[2])))
        return [slice(k, min(k + step, depth)) for k in range(0, depth, step)]

    def _render(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shape = tuple(len(axis) for axis in self._axes)
        top, under, share = (np.empty(shape, np.uint8) for _ in range(3))
        for slab in self._slabs():
            canvas = Canvas((self._axes[0][slab], self._axes[1], self._axes[2]), self._warp, self._contours)
            paint(canvas, self._body, self._contours)
            top[slab], under[slab], share[slab] = canvas.top, canvas.under, canvas.share
        return top, under, share

    def _native_hu(self) -> np.ndarray:
        """Return native HU by label (256,), this patient's."""
        rng = stream(self.seed, "native")
        table = np.full(256, -1000.0, np.float32)
        for tissue in TISSUES.values():
            table[tissue.label] = tissue.native_hu + float(np.clip(rng.normal(), -2.2, 2.2)) * tissue.native_spread_hu
        for name in BLOOD:
            table[ORGANS[name]] = 10.0 + 78.0 * self.patient.haematocrit
        table[ORGANS["liver"]] = 60.0 + float(rng.normal(0, 4)) - 78.0 * self.patient.liver_fat
        table[ORGANS["vertebral_marrow"]] = float(np.clip(268.0 - 2.0 * self.patient.age + rng.normal(0, 25), 60, 290))
        # Cortex and medulla differ little without contrast; both follow the patient's hydration.
        table[ORGANS["renal_medulla"]] = table[ORGANS["renal_cortex"]] - 2.0 + float(rng.normal(0, 2))
        for name in MUSCLES:
            table[ORGANS[name]] -= 20.0 * self.patient.muscle_fat
        return table

    def seconds(self, phase: str | float) -> float | None:
        """Return the second after the start of the injection of a phase of this patient; None for native."""
        if isinstance(phase, str):
            if phase not in PHASE_SECONDS:
                raise PhantomError(
                    "phantom_phase",
                    f"The phantom has no phase {phase!r}.",
                    f"Choose one of {', '.join(PHASE_SECONDS)} or seconds.",
                )
            if phase == "native":
                return None
            return appearance.phase_seconds(self.patient, phase)
        return float(phase)

    def curve(self, organ: str, seconds: float) -> float:
        """Return the mean enhancement (HU) of a tissue at `seconds` after the start of the injection."""
        if organ not in TISSUES:
            raise PhantomError(
                "phantom_organ", f"The phantom has no tissue {organ!r}.", "The names are the keys of ORGANS."
            )
        return self._kinetics.enhancement(organ, seconds)

    def hu(self, phase: str | float = "native", *, noise_seed: int | None = None, breathing: float = 0.0) -> np.ndarray:
        """Return the image (D, H, W) float32, HU >= -1024.

        phase: a name in PHASE_SECONDS or seconds after the start of the injection.
        noise_seed: None gives the noise-free image at the scanner's resolution.
        breathing: millimetres by which diaphragm and upper abdomen stand lower (positive) or higher than in the other images.
        """
        seconds = self.seconds(phase)
        enhancement, mottle = np.zeros(256, np.float32), np.zeros(256, np.float32)
        if seconds is not None:
            enhancement, mottle = appearance.enhancement_tables(self._kinetics, seconds)
        out = np.empty(self.labels.shape, np.float32)
        for slab in self._slabs():
            out[slab] = self._ideal(slab, enhancement, mottle)
        if breathing:
            self._breathe(out, breathing)
        self.scanner.blur(out, spacing_mm=self.spacing_mm)
        if noise_seed is not None:
            out += appearance.scan_noise(self.scanner, self.labels, spacing_mm=self.spacing_mm, seed=noise_seed)
        return np.maximum(out, np.float32(-1024.0), out=out)

    def _ideal(self, slab: slice, enhancement: np.ndarray, mottle: np.ndarray) -> np.ndarray:
        axes = (self._axes[0][slab], self._axes[1], self._axes[2])
        texture = appearance.Texture.of(axes, stream(self.seed, "texture"))
        top, under = self.labels[slab], self._under[slab]
        mean = self._native + enhancement
        upper = mean[top]
        appearance.add_texture(upper, top, texture, self.patient)
        if mottle.any():
            upper += mottle[top] * texture.coarse
        return appearance.mixed(upper, mean[under], self._share[slab])

    def moved_labels(self, breathing: float) -> np.ndarray:
        """Return the organ labels (D, H, W) uint8 as they lie in `hu` with the same ``breathing``."""
        labels = self.labels.copy()
        self._breathe(labels, breathing)
        return labels

    def _breathe(self, image: np.ndarray, breathing: float) -> None:
        """Move the inside of the trunk along z: most at the diaphragm, not at apex, pelvis, spine or body wall.

        HU are interpolated linearly, labels (integers) taken from the nearest slice.
        """
        z = self._axes[0]
        level = np.clip(np.minimum((z + 230.0) / 200.0, (270.0 - z) / 190.0), 0.0, 1.0)
        bounds = self._contours["cavity"]
        y, x = self._axes[1][:, None], self._axes[2][None, :]
        angle = (np.arctan2(y, x) / (2 * np.pi) * bounds.shape[1]).astype(int) % bounds.shape[1]
        radius = np.hypot(y, x)
        source = image.copy()
        for k in range(image.shape[0]):
            row = int(np.clip(z[k] / self._warp.scale[0] + 420.0, 0, bounds.shape[0] - 1))
            depth = bounds[row][angle] - radius
            amount = (
                level[k]
                * np.clip(depth / 25.0, 0.0, 1.0)
                * np.clip((60.0 - y) / 50.0, 0.0, 1.0)
                * (breathing / self.spacing_mm[0])
            )
            at = np.clip(k + amount, 0, image.shape[0] - 1)
            low = np.minimum(at.astype(int), max(0, image.shape[0] - 2))
            high = np.minimum(low + 1, image.shape[0] - 1)
            rows, columns = np.indices(at.shape)
            t = (at - low).astype(np.float32)
            if np.issubdtype(image.dtype, np.integer):
                image[k] = source[np.where(t < 0.5, low, high), rows, columns]
            else:
                image[k] = source[low, rows, columns] * (1 - t) + source[high, rows, columns] * t

    def phases(
        self,
        names: tuple[str, ...] = ("native", "arterial", "venous"),
        *,
        noise_seed: int | None = None,
        breathing: float = 0.0,
    ) -> dict[str, np.ndarray]:
        """Return several phases of the same anatomy, each with its own noise; breathing moves the contrast phases only."""
        return {
            name: self.hu(
                name,
                noise_seed=None if noise_seed is None else noise_seed * 1009 + index,
                breathing=0.0 if name == "native" else breathing,
            )
            for index, name in enumerate(names)
        }

    def volume(self, phase: str | float = "native", *, noise_seed: int | None = None, breathing: float = 0.0) -> Volume:
        """Return a phase as a Volume."""
        from s2ldm_core.volume import Volume

        return Volume(hu=self.hu(phase, noise_seed=noise_seed, breathing=breathing), affine=self.affine.copy())


def paint(canvas: Canvas, trunk: body.Body, contours: dict[str, np.ndarray]) -> None:
    """Paint the whole patient, from the skin inwards and from soft to hard."""
    body.paint_layers(canvas, trunk)
    muscles.paint_muscles(canvas, trunk)
    thorax.paint_lungs(canvas, trunk)
    bowel.paint_bowel(canvas, trunk)
    abdomen.paint_stomach(canvas, trunk)
    abdomen.paint_pancreas(canvas, trunk)
    abdomen.paint_liver(canvas, trunk)
    abdomen.paint_spleen(canvas, trunk)
    kidneys.paint_kidneys(canvas, trunk)
    bowel.paint_pelvic_organs(canvas, trunk)
    thorax.paint_mediastinum(canvas, trunk)
    veins.paint_veins(canvas, trunk)
    arteries.paint_arteries(canvas, trunk)
    skeleton.paint_spine(canvas, trunk)
    skeleton.paint_ribs(canvas, trunk, contours)
    girdles.paint_shoulders(canvas, trunk)
    girdles.paint_pelvis(canvas, trunk)
    outside.paint_arms(canvas, trunk)
    outside.paint_couch(canvas, trunk, contours=contours)
    outside.paint_implants(canvas, trunk)
