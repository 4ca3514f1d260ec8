"""The one door to a model: a volume and a phase in, the synthetic volume on the same grid out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from s2ldm_core.answers import Limits, judge_answer
from s2ldm_core.body import body_box, body_mask
from s2ldm_core.errors import TranslationError
from s2ldm_core.intensity import gate, unit_change_to_hu, window_to_unit
from s2ldm_core.package import ModelPackage, PackageMetadata
from s2ldm_core.resample import from_spacing, to_spacing
from s2ldm_core.seconds import NAME, seconds_of
from s2ldm_core.systems import Condition, How, System
from s2ldm_core.tiling import TILE
from s2ldm_core.translation import Translation, training_statement
from s2ldm_core.volume import Volume, canonical

_CUDA = re.compile(r"cuda(:\d{1,2})?")

# The change comes back to the source's grid in pieces of so many voxels: a long series takes gigabytes as it is.
_SLAB_VOXELS = 2**24

Progress = Callable[[str, float], None]
Resampler = Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class TranslationResult:
    """What `Translator.translate` returns."""

    volume: Volume
    """HU on the source's grid, with its slice records: source HU + predicted change."""
    translation: Translation
    """How it was made; ``seconds`` of ``crop``, ``resample``, ``encode``, ``step 1`` …, ``decode``, ``add``."""


class Translator:
    """A model package, built and warm on a device."""

    def __init__(
        self, *, package: ModelPackage, system: System, device: torch.device, judge_answers: bool = True
    ) -> None:
        self.package = package
        self.device = device
        self._system = system
        self._judge_answers = judge_answers

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "auto",
        directories: Iterable[Path] = (),
        judge_answers: bool = True,
    ) -> Translator:
        """Load a package by name (bundled, or in ``directories``) or folder.

        ``judge_answers=False`` gives also answers unlike all that training had, for whoever measures them.

        Raises
        ------
        PackageError
            The package is missing, changed or invalid.
        TranslationError
            ``device_unavailable``: the device asked for is not there.
        """
        where = _device(device)
        package = ModelPackage.load(name_or_path, directories=directories)
        return cls(package=package, system=package.build(device=where), device=where, judge_answers=judge_answers)

    @property
    def metadata(self) -> PackageMetadata:
        return self.package.metadata

    @torch.inference_mode()
    def translate(
        self,
        volume: Volume,
        *,
        phase: str,
        values: Mapping[str, float] | None = None,
        seed: int = 0,
        steps: int | None = None,
        progress: Progress | None = None,
    ) -> TranslationResult:
        """Synthesise ``phase`` of a non-contrast ``volume`` (HU).

        The change is predicted at the model's spacing inside the body's box, brought back to the source's grid, gated by the source's
        HU (air, lung and dense bone keep their values exactly) and added. One step is deterministic (``seed`` has no effect);
        more steps sample from noise of ``seed``. ``values`` are what some systems can be asked for beside the phase, such as
        ``seconds`` after the start of the injection, which a ``phase`` such as ``35s`` asks for alone. The same input, package, seed
        and device give the same voxels.

        Raises
        ------
        TranslationError
            ``unknown_phase``, ``seconds_unknown``, ``unknown_value``, ``too_few_slices``, ``not_finite``; ``answer_out_of_distribution``
            where the package says what answers must lie within.
        """
        meta = self.metadata
        self._check(volume, phase, values or {}, steps)
        clock = Clock(progress)
        condition = self._condition(phase, values or {}).to(self.device)
        generator = torch.Generator().manual_seed(seed)

        def predict(unit: torch.Tensor, _: Resampler) -> torch.Tensor:
            return self._system.predict_change(
                unit.to(self.device, memory_format=torch.channels_last_3d),
                condition,
                How(steps=steps, generator=generator, tile=TILE, on_progress=clock.on_progress),
            )

        return TranslationResult(
            volume=add_change(volume, predict, metadata=meta, clock=clock, limits=self._limits(phase)),
            translation=Translation(
                phase=phase,
                model_name=meta.name,
                model_version=meta.version,
                weights_sha256=meta.weights_sha256,
                training_statement=training_statement(meta.training_data),
                seed=seed,
                steps=steps or self.default_steps,
                seconds=clock.seconds,
            ),
        )

    def _condition(self, phase: str, values: Mapping[str, float]) -> Condition:
        phases, seconds = self.metadata.phases, seconds_of(phase)
        if phase not in phases and seconds is not None:
            values = {**values, NAME: seconds}
        number = phases.index(phase) if phase in phases else self._system.phase_at(values)
        return Condition(
            phase=torch.tensor([number]), values={name: torch.tensor([float(value)]) for name, value in values.items()}
        )

    def _limits(self, phase: str) -> Limits | None:
        return (self.metadata.answers or {}).get(phase) if self._judge_answers else None

    @property
    def default_steps(self) -> int:
        return self._system.traits.steps

    def _check(self, volume: Volume, phase: str, values: Mapping[str, float], steps: int | None) -> None:
        meta = self.metadata
        heeded = self._system.traits.values
        if phase not in meta.phases and seconds_of(phase) is not None and NAME not in heeded:
            raise TranslationError(
                "seconds_unknown",
                f"The model {meta.name} cannot be asked for a time such as {phase}.",
                f"Ask for one of {', '.join(meta.phases)}, or use a model that was trained with seconds, such as one of the system ccdm.",
            )
        if phase not in meta.phases and seconds_of(phase) is None:
            raise TranslationError(
                "unknown_phase",
                f"The model {meta.name} does not know the phase {phase!r}.",
                f"Ask for one of {meta.offered}, or use another model.",
            )
        if unknown := sorted(set(values).difference(heeded)):
            raise TranslationError(
                "unknown_value",
                f"The model {meta.name} cannot be asked for {', '.join(unknown)}.",
                f"Ask for {', '.join(heeded)} beside the phase." if heeded else "Ask for a phase alone.",
            )
        if steps is not None and not 1 <= steps <= 1000:
            raise TranslationError(
                "bad_steps", f"Sampling takes 1 to 1000 steps, not {steps}.", "Set steps within that range."
            )
        if volume.shape[0] < meta.min_slices:
            raise TranslationError(
                "too_few_slices",
                f"The series has {volume.shape[0]} slices; the model {meta.name} needs at least {meta.min_slices}.",
                "Send the whole series.",
            )
        if not np.isfinite(volume.hu).all():
            raise TranslationError(
                "not_finite", "The source holds values that are not numbers.", "Check the source files."
            )


def add_change(
    volume: Volume,
    predict: Callable[[torch.Tensor, Resampler], torch.Tensor],
    *,
    metadata: PackageMetadata,
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> Volume:
    """``volume`` plus the change that ``predict`` gives on the model's grid.

    The model's grid is regular and stands straight on the slices, also where the source's does not (`Volume.offsets`).

    ``predict(unit, to_model)`` gets the body's box on the model's grid in window units ``(1, 1, D, H, W)``, and a function that brings any
    other HU array on the source's grid there too; it returns the change in window units, same shape. Within ``limits`` the change must
    lie on that grid.
    """
    clock = clock or Clock(None)
    window = metadata.window_hu
    with clock.measure("crop"):
        turned, undo = canonical(volume)
        box = body_box(turned.hu, turned.spacing_mm, padding=turned.padding)
        source = turned.hu[box]
        offsets = None if turned.offsets is None else turned.offsets.cropped(box)
    with clock.measure("resample"):
        model_hu, grid = to_spacing(source, turned.spacing_mm, metadata.spacing_mm, offsets=offsets)
        unit = window_to_unit(torch.from_numpy(model_hu), window_hu=window)[None, None]

    def to_model(hu: np.ndarray) -> torch.Tensor:
        other, _ = canonical(volume.with_hu(hu))
        there, _ = to_spacing(other.hu[box], turned.spacing_mm, metadata.spacing_mm, offsets=offsets)
        return window_to_unit(torch.from_numpy(there), window_hu=window)[None, None]

    change = predict(unit, to_model)
    with clock.measure("add"):
        change_hu = unit_change_to_hu(change[0, 0].float().cpu(), window_hu=window)
        body = body_mask(model_hu, metadata.spacing_mm)
        if not body.any():  # body_box fell back to the whole array as well
            body[:] = True
        change_hu *= _soft_edged(body)
        if not bool(torch.isfinite(change_hu).all()):
            raise TranslationError(
                "not_finite",
                "The model's answer holds values that are not numbers.",
                "Check the source series for damaged slices; if it is sound, report the model package.",
            )
    if limits:
        with clock.measure("check"):
            problem = judge_answer(
                model_hu,
                change_hu.numpy() * gate(model_hu, window_hu=window),
                body=body,
                spacing_mm=metadata.spacing_mm,
                limits=limits,
            )
            if problem is not None:
                raise TranslationError(problem.code, problem.sentence, problem.remedy)
    with clock.measure("add"):
        result = turned.hu.copy()
        changed = result[box]
        for start in range(0, len(source), slab := max(1, _SLAB_VOXELS // source[0].size)):
            part = slice(start, min(start + slab, len(source)))
            back = from_spacing(change_hu.numpy(), grid.part(part.start, part.stop), method="linear")
            changed[part] += back * gate(source[part], window_hu=window)
        return volume.with_hu(np.ascontiguousarray(undo.array(result)))


def _soft_edged(body: np.ndarray) -> torch.Tensor:
    """Weight ``(D, H, W)``: 1 in the body, 0 on table and blankets, with a soft edge of a few millimetres."""
    mask = torch.from_numpy(body)[None, None].float()
    mask = F.max_pool3d(mask, (1, 5, 5), stride=1, padding=(0, 2, 2))
    return F.avg_pool3d(mask, (1, 5, 5), stride=1, padding=(0, 2, 2), count_include_pad=False)[0, 0]


class Clock:
    """Wall seconds per step; network steps report themselves through ``on_progress``."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._last = time.perf_counter()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        self._last = time.perf_counter()
        yield
        self.on_progress(name, 1.0)

    def on_progress(self, name: str, fraction: float) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
        if self._progress is not None:
            self._progress(name, fraction)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not _CUDA.fullmatch(name):
        raise TranslationError(
            "device_unavailable", f"There is no device called {name!r}.", "Use auto, cpu, cuda or cuda:N."
        )
    device = torch.device(name)
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        raise TranslationError(
            "device_unavailable",
            f"device is {name}, but PyTorch finds {torch.cuda.device_count()} CUDA GPUs.",
            "Use auto or cpu, or install a CUDA build of PyTorch and the driver.",
        )
    return device
