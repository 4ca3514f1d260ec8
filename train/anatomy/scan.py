"""One made-up patient with a real patient's anatomy: painted, real native CT with simulated enhancement, or real contrast CT without it."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from s2ldm_core.phantom import ORGANS, PHASE_SECONDS, Patient, Scanner
from s2ldm_core.phantom.appearance import Texture, phase_seconds
from s2ldm_core.phantom.fields import Axes
from s2ldm_core.phantom.kinetics import Kinetics
from s2ldm_core.phantom.patient import stream
from s2ldm_core.phantom.tissues import BLOOD
from train.anatomy import image
from train.anatomy.canvas import MapCanvas
from train.anatomy.deformation import Deformation, sample_ct, sample_structures
from train.anatomy.errors import AnatomyError
from train.anatomy.findings import paint_findings, paint_surroundings
from train.anatomy.growth import grow_vessels
from train.anatomy.habitus import field_of_view, refit_fat
from train.anatomy.interiors import divide_organs
from train.anatomy.real import Dose, RealScan
from train.anatomy.simulated import enhanced_share
from train.anatomy.subject import Subject

Mode = Literal["painted", "simulated", "unenhanced"]
_SHARPNESS: Final = {"painted": 2.4, "simulated": 1.5, "unenhanced": 1.5}
# A voxel of a few millimetres and a smooth kernel: what the real CT's own resolution does to a change.
_CT_SIGMA_MM = 1.1
# Around the body, for what a thicker layer of fat, arms and couch take.
_ROOM_MM = 120.0


class AnatomyScan:
    """A subject's anatomy, deformed and scanned; deterministic in its arguments.

    Parameters
    ----------
    subject : whose anatomy.
    seed : which deformation, circulation, findings and scanner.
    mode : ``painted`` makes every HU from the tissue tables; ``simulated`` keeps the subject's own native CT with its noise and adds the
        enhancement and what grows inside organs; ``unenhanced`` keeps the subject's own contrast CT as the target and takes its enhancement
        out of it for the native image.
    spacing_mm, shape : the grid, (dz, dy, dx) and (D, H, W); fewer slices where the subject ends.
    strength : of the deformation, 1 in training.
    dose : of an ``unenhanced`` scan's target.

    Attributes
    ----------
    labels : (D, H, W) uint8, `s2ldm_core.phantom.ORGANS`.
    axes : world coordinates (z, y, x) of the grid's voxels in mm, about the subject's centre.

    Raises
    ------
    AnatomyError
        ``no_native_ct`` or ``no_contrast_ct`` when a mode is asked of a subject without the CT for it; ``phase_unknown`` or
        ``phase_not_scanned`` by `change_hu`.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        seed: int,
        mode: Mode,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5),
        strength: float = 1.0,
        dose: Dose = "scanned",
    ) -> None:
        if mode == "simulated" and subject.ct_hu is None:
            raise AnatomyError(
                "no_native_ct", f"{subject.name} has no native CT on the grid of its label map.", "Paint it instead."
            )
        if mode == "unenhanced" and subject.scan_phase is None:
            raise AnatomyError(
                "no_contrast_ct",
                f"{subject.name} has no contrast CT on the grid of its label map.",
                "Paint it instead.",
            )
        self.subject, self.seed, self.mode, self.spacing_mm = subject, seed, mode, spacing_mm
        rng = stream(seed, "anatomy view")
        patient = Patient.draw(seed)
        self.patient = replace(patient, arms_up=patient.arms_up or mode != "painted")
        self.scanner = Scanner.draw(seed)
        deformation = Deformation(seed, strength=strength)
        self.axes = axes = _axes(subject, deformation, rng, shape=shape, spacing_mm=spacing_mm)
        indices = deformation.indices(axes, subject)
        top, under, share = sample_structures(subject, indices, sharpness=_SHARPNESS[mode])
        self._canvas = MapCanvas(axes, top=top, under=under, share=share)
        self._table = image.native_table(self.patient, seed=seed)
        self._texture = Texture.of(axes, stream(seed, "anatomy texture"))
        self._kinetics = Kinetics(self.patient, seed=seed)
        if mode == "painted":
            refit_fat(self._canvas, self.patient, seed=seed)
        divide_organs(self._canvas, seed=seed)
        if mode == "painted":
            self._paint()
        elif mode == "simulated":
            assert subject.ct_hu is not None  # noqa: S101 - refused above
            self._simulate(sample_ct(subject.ct_hu, indices))
        else:
            self._real = RealScan(subject, self._canvas, indices, seed=seed, strength=strength, dose=dose)
            self._native = self._real.native_hu
        radius = subject.known_radius_mm
        if radius is not None:
            radius /= float(np.abs(deformation.matrix[1:, 1:]).max())
        self._field = field_of_view(self._canvas, seed=seed, known_radius_mm=radius)
        self.labels = self._canvas.top if self._field is None else np.where(self._field, self._canvas.top, np.uint8(0))

    def _paint(self) -> None:
        canvas = self._canvas
        grow_vessels(canvas, seed=self.seed, outside_organs=True)
        paint_findings(canvas, self.patient, seed=self.seed, implants=True)
        paint_surroundings(canvas, self.patient, seed=self.seed)
        self._native = image.native_hu(canvas, self._table, self._texture, self.patient)
        self.scanner.blur(self._native, spacing_mm=self.spacing_mm)
        np.maximum(self._native, -1024.0, out=self._native)

    def _simulate(self, ct_hu: np.ndarray) -> None:
        """What is added inside organs shifts the real image by the difference of the tissues' native HU, noise and all."""
        canvas = self._canvas
        self._table = _matched(self._table, canvas, ct_hu)
        before = image.plain_hu(canvas, self._table)
        grow_vessels(canvas, seed=self.seed, outside_organs=False)
        paint_findings(canvas, self.patient, seed=self.seed, implants=False)
        added = image.plain_hu(canvas, self._table)
        added -= before
        self._enhanced = enhanced_share(canvas, ct_hu, seed=self.seed)
        added *= self._enhanced > 0.3
        self._native = np.maximum(ct_hu + self._blurred(added), -1024.0)

    def _blurred(self, hu: np.ndarray) -> np.ndarray:
        if self.mode == "painted":
            return self.scanner.blur(hu, spacing_mm=self.spacing_mm)
        return gaussian_filter(hu, [_CT_SIGMA_MM / step for step in self.spacing_mm], mode="nearest", truncate=3.0)

    def native_hu(self) -> np.ndarray:
        """The native image (D, H, W) float32, HU: without noise when painted, with its own when simulated."""
        return self._within(self._native, -1024.0)

    def noise_hu(self) -> np.ndarray | None:
        """A scan's noise to add, (D, H, W) float32; None for some simulated scans, whose CT has enough of its own, and
        for unenhanced ones, whose target stays the real scan.
        """
        if self.mode == "unenhanced":
            return None
        if self.mode == "painted":
            return self._within(image.scanner_noise(self._canvas, self.scanner, seed=self.seed), 0.0)
        rng = stream(self.seed, "anatomy noise")
        if rng.random() < 0.4:
            return None
        faint = replace(self.scanner, noise_hu=float(rng.uniform(4.0, 14.0)), streak_hu=0.5)
        return self._within(image.scanner_noise(self._canvas, faint, seed=self.seed), 0.0)

    def change_hu(self, phase: str | float) -> np.ndarray:
        """CECT minus NCCT without noise, (D, H, W) float32, HU; phase: a name in `PHASE_SECONDS` or seconds after the injection's start."""
        if isinstance(phase, str) and phase not in PHASE_SECONDS:
            raise AnatomyError(
                "phase_unknown",
                f"There is no phase {phase!r}.",
                f"Choose one of {', '.join(PHASE_SECONDS)} or seconds.",
            )
        if self.mode == "unenhanced":
            if phase != self._real.phase:
                raise AnatomyError(
                    "phase_not_scanned",
                    f"The contrast CT of {self.subject.name} shows the {self._real.phase} phase, not {phase}.",
                    "Paint it instead: what was not scanned can only be made up.",
                )
            return self._within(self._real.gain_hu, 0.0)
        seconds = phase_seconds(self.patient, phase) if isinstance(phase, str) else float(phase)
        change = image.change_hu(self._canvas, self._kinetics, self._texture, seconds=seconds)
        if self.mode == "simulated":
            change *= self._enhanced
        return self._within(self._blurred(change), 0.0)

    @property
    def dose(self) -> float:
        """What a real scan's enhancement was multiplied with; 1 where there is none."""
        return self._real.dose if self.mode == "unenhanced" else 1.0

    def valid(self) -> np.ndarray | None:
        """(D, H, W) bool: where the change is to be believed; None: everywhere."""
        return self._real.valid if self.mode == "unenhanced" else None

    def _within(self, hu: np.ndarray, outside_hu: float) -> np.ndarray:
        return hu if self._field is None else np.where(self._field, hu, np.float32(outside_hu))

    def enhancement(self, organ: str, phase: str) -> float:
        """Mean enhancement (HU) of a tissue of this patient in a phase."""
        return self._kinetics.enhancement(organ, phase_seconds(self.patient, phase))


def _axes(
    subject: Subject,
    deformation: Deformation,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> Axes:
    """World axes around the body's centre: in z a random stretch of the subject clear of its cut ends, in plane body and couch."""
    extent = (subject.codes.shape[0] - 1) * subject.spacing_mm[0] / float(deformation.matrix[0, 0])
    slices = max(1, min(shape[0], int((extent - 6.0) / spacing_mm[0])))
    room = max(0.0, extent - 6.0 - slices * spacing_mm[0]) / 2
    middle = (float(rng.uniform(-room, room)), float(rng.normal(0, 4)), float(rng.normal(0, 4)))
    sides = [
        min(
            shape[axis],
            math.ceil((subject.extent_mm[axis] / float(deformation.matrix[axis, axis]) + _ROOM_MM) / spacing_mm[axis]),
        )
        for axis in (1, 2)
    ]
    counts = (slices, sides[0], sides[1])
    z, y, x = (m + (np.arange(n) - (n - 1) / 2) * step for m, n, step in zip(middle, counts, spacing_mm, strict=True))
    return z, y, x


def _matched(table: np.ndarray, canvas: MapCanvas, ct_hu: np.ndarray) -> np.ndarray:
    """The tissue table with what this CT itself shows of liver, spleen, kidney and blood."""
    out = table.copy()
    smooth = gaussian_filter(ct_hu, [1.5 / step for step in canvas.spacing_mm])
    for names in (
        ("liver",),
        ("spleen",),
        ("renal_cortex", "renal_medulla"),
        ("pancreas",),
        ("aorta", "ivc_suprarenal", "ivc_infrarenal"),
    ):
        mask = canvas.is_(*names) & (canvas.share > 230)
        if np.count_nonzero(mask) > 500:
            value = float(np.median(smooth[mask]))
            alike = BLOOD if names[0] == "aorta" else names
            out[[ORGANS[name] for name in alike]] = value
    return out


def organ_ids(labels: Iterable[np.ndarray]) -> dict[str, int]:
    """Names of the tissues that occur in label maps, with their values."""
    present = set().union(*(set(np.unique(array).tolist()) for array in labels))
    return {name: value for name, value in ORGANS.items() if value in present and value}
