"""The one door to a model: a volume and a phase in, the synthetic volume on the same grid out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from s2ldm_core import contrast_dose
from s2ldm_core.answers import limits_between
from s2ldm_core.change import Clock, Progress, Resampler, add_change
from s2ldm_core.errors import TranslationError
from s2ldm_core.memory import in_tiles_that_fit
from s2ldm_core.package import ModelPackage, PackageMetadata
from s2ldm_core.problem import Problem
from s2ldm_core.sampling import OWN, Kind, Sampling
from s2ldm_core.seconds import NAME, seconds_of
from s2ldm_core.spread import SpreadNetwork
from s2ldm_core.systems import Condition, How, System
from s2ldm_core.tiling import TILE, Triple, beyond_its_ends
from s2ldm_core.translation import Translation, training_statement
from s2ldm_core.volume import Volume

_T = TypeVar("_T")
_CUDA = re.compile(r"cuda(:\d{1,2})?")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far draws lie apart."""

    hu: np.ndarray
    """``(D, H, W)`` float32 on the source's grid: standard deviation of the draws, or of the answer's error as predicted; 0 where the
    source keeps its HU."""
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class TranslationResult:
    """What `Translator.translate` returns."""

    volume: Volume
    """HU on the source's grid, with its slice records: source HU + predicted change, the mean of the draws where there are several."""
    translation: Translation
    """How it was made; ``seconds`` of ``crop``, ``resample``, ``encode``, ``step 1`` …, ``decode``, ``add``."""
    spread: Spread | None = None
    """``None``: of one draw."""
    doubt: Problem | None = None
    """Why the answer is refused where answers are; an ensemble's is not judged."""


class _Part(NamedTuple):
    """One answer of those that are added up."""

    phase: str
    """As its model calls it, or a time that it is asked for."""
    weight: float
    condition: Condition


class Translator:
    """A model package, built and warm on a device."""

    def __init__(
        self,
        *,
        package: ModelPackage,
        system: System,
        device: torch.device,
        refuse_answers: bool = True,
        spread: SpreadNetwork | None = None,
    ) -> None:
        self.package = package
        self.device = device
        self._system = system
        self._spread = spread
        self._refuse_answers = refuse_answers

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "auto",
        directories: Iterable[Path] = (),
        refuse_answers: bool = True,
    ) -> Translator:
        """Load a package by name (bundled, or in ``directories``) or folder.

        ``refuse_answers=False`` gives also answers unlike all that training had, with their `TranslationResult.doubt`, for whoever measures
        them.

        Raises
        ------
        PackageError
            The package is missing, changed or invalid.
        TranslationError
            ``device_unavailable``: the device asked for is not there.
        """
        where = _device(device)
        package = ModelPackage.load(name_or_path, directories=directories)
        system, spread = package.build(device=where), package.build_spread(device=where)
        return cls(package=package, system=system, device=where, refuse_answers=refuse_answers, spread=spread)

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
        sampling: Sampling = OWN,
        progress: Progress | None = None,
    ) -> TranslationResult:
        """Synthesise ``phase`` of a non-contrast ``volume`` (HU).

        The change is predicted at the model's spacing inside the body's box, brought back to the source's grid, gated by the source's
        HU (air, lung and dense bone keep their values exactly) and added. One step is deterministic (``seed`` has no effect);
        more steps sample from noise of ``seed``, and several draws (``sampling``) have a spread as well. ``values`` are what is asked for
        beside the phase: of some systems ``seconds`` after the start of the injection, which a ``phase`` such as ``35s`` asks for alone (a
        package with ``times`` answers with a weighted sum of what it answers for its phases), of all of them a ``contrast_dose``, which
        multiplies the change (`s2ldm_core.contrast_dose`; to a hundredth). A value that is NaN is not known.

        The same input, package, seed and device give the same voxels; where memory does not suffice for the usual tiles, smaller ones give
        them to rounding, where the system tiles exactly.

        Raises
        ------
        TranslationError
            ``unknown_phase``, ``seconds_unknown``, ``seconds_beyond``, ``unknown_value``, ``contrast_dose_beyond``, ``too_few_slices``,
            ``not_finite``; those of `settled`; ``answer_out_of_distribution`` where the package says what answers must lie within.
        """
        meta, asked = self.metadata, dict(values or {})
        self._check(volume, phase, asked)
        settled = self.settled(sampling)
        clock = Clock(progress)
        dose = self._dose(asked)
        parts = self._parts(phase, asked)
        shares = {part.phase: part.weight for part in parts}
        counts = {one: share * dose for one, share in shares.items()}
        tile = TILE

        def predict(unit: torch.Tensor, _: Resampler) -> torch.Tensor:
            nonlocal tile
            # Where the tiles' size counts (norms, attention) more slices are no longer the same scan, and a bundle answers as in MONAI.
            unit, inside = beyond_its_ends(unit) if self._system.traits.tiling == "exact" else (unit, slice(None))
            there = unit.to(self.device, memory_format=torch.channels_last_3d)

            def answer_for(condition: Condition, how: How) -> torch.Tensor:
                change = self._system.answer(there, condition, settled, seed=seed, how=how)
                if settled.kind != "predicted" or self._spread is None:
                    return change
                with clock.measure("spread"):
                    spread = self._spread.predict(there, change, condition.phase, tile=how.tile)
                return torch.cat([change.float(), spread], dim=1)

            def answer(tile: Triple) -> torch.Tensor:
                each = []
                for number, part in enumerate(parts):
                    found = answer_for(part.condition, How(tile=tile, on_progress=clock.part(number, len(parts))))
                    count = counts[part.phase]
                    each.append(found if count == 1.0 else _weighted(found, count))
                return torch.stack(each).sum(dim=0) if len(each) > 1 else each[0]

            change, tile = in_tiles_that_fit(answer, smallest=self._system.traits.smallest_tile)
            return change[:, :, inside]

        found = add_change(
            volume,
            predict,
            metadata=meta,
            clock=clock,
            limits=limits_between(meta.answers or {}, counts),
        )
        if found.doubt is not None and self._refuse_answers:
            raise TranslationError(found.doubt.code, found.doubt.sentence, found.doubt.remedy)
        return TranslationResult(
            volume=found.volume,
            translation=Translation(
                phase=phase,
                model_name=meta.name,
                model_version=meta.version,
                weights_sha256=meta.weights_sha256,
                training_statement=training_statement(meta.training_data),
                seed=seed,
                steps=settled.steps or self.default_steps,
                shares={} if shares == {phase: 1.0} else {one: round(share, 3) for one, share in shares.items()},
                contrast_dose=dose,
                seconds=clock.seconds,
                device=str(self.device),
                tile=tile,
            ),
            spread=None if found.spread_hu is None else Spread(hu=found.spread_hu, kind=settled.kind or "noise"),
            doubt=found.doubt,
        )

    def _parts(self, phase: str, values: Mapping[str, float]) -> list[_Part]:
        """What the system is asked for, and how much each answer counts."""
        phases, times, seconds = self.metadata.phases, self.metadata.times, self._seconds(phase, values)
        if times is not None and NAME not in self._system.traits.values and seconds is not None:
            others = {name: value for name, value in values.items() if name != NAME}
            return [
                _Part(one, share, self._condition(phases.index(one), others))
                for one, share in times.at(seconds).items()
            ]
        if phase in phases:
            return [_Part(phase, 1.0, self._condition(phases.index(phase), values))]
        if seconds is not None:
            values = {**values, NAME: seconds}
        return [_Part(phase, 1.0, self._condition(self._system.phase_at(values), values))]

    def _dose(self, asked: dict[str, float]) -> float:
        """The contrast dose, which leaves ``asked``; 1 where it is not known, or a condition of the system itself."""
        if contrast_dose.NAME in self._system.traits.values:
            return 1.0
        return round(_known(asked.pop(contrast_dose.NAME, None), otherwise=1.0), contrast_dose.DIGITS)

    def _condition(self, number: int, values: Mapping[str, float]) -> Condition:
        told = {name: torch.tensor([float(value)]) for name, value in values.items()}
        return Condition(phase=torch.tensor([number]), values=told).to(self.device)

    def _seconds(self, phase: str, values: Mapping[str, float]) -> float | None:
        """The time that is asked for; ``None``: none, or nobody knows."""
        seconds = seconds_of(phase) if phase not in self.metadata.phases else values.get(NAME)
        return _known(seconds, otherwise=None)

    @property
    def default_steps(self) -> int:
        return self._system.traits.steps

    def settled(self, sampling: Sampling) -> Sampling:
        """``sampling`` with what it leaves to the system.

        Raises
        ------
        TranslationError
            ``bad_steps``, ``bad_samples``, ``cannot_sample``, ``one_step``, ``ensemble_of_one``, ``uncertainty_unknown``,
            ``uncertainty_of_draws`` where it does not fit the system or its package.
        """
        traits, name = self._system.traits, self.metadata.name
        settled = traits.settled(sampling)
        if settled.steps is not None and not 1 <= settled.steps <= 1000:
            raise TranslationError(
                "bad_steps", f"Sampling takes 1 to 1000 steps, not {settled.steps}.", "Set steps within that range."
            )
        if settled.samples < 1:
            raise TranslationError(
                "bad_samples", f"An answer has at least one sample, not {settled.samples}.", "Ask for one or more."
            )
        if settled.kind == "predicted":
            self._check_predicted(settled)
        if not sampling.drawn:
            return settled
        if settled.kind == "ensemble":
            raise TranslationError(
                "ensemble_of_one", f"The model {name} alone is no ensemble.", "Join it with others: PACKAGE+PACKAGE."
            )
        if not traits.samples or settled.kind != traits.draws:
            raise TranslationError(
                "cannot_sample",
                f"The model {name} has no {settled.kind} to draw samples from.",
                f"Ask for {traits.draws}." if traits.samples else "Join it with others (PACKAGE+PACKAGE) for a spread.",
            )
        if settled.steps == 1:
            raise TranslationError(
                "one_step", f"In one step the model {name} answers the same every time.", "Ask for two steps or more."
            )
        return settled

    def _check_predicted(self, settled: Sampling) -> None:
        name = self.metadata.name
        if self._spread is None:
            raise TranslationError(
                "uncertainty_unknown",
                f"The model {name} does not know the uncertainty of its answers.",
                "Use a package with a calibration (s2ldm-train spread makes one), or ask for none.",
            )
        if settled.samples > 1 or settled.steps not in (None, self.default_steps):
            raise TranslationError(
                "uncertainty_of_draws",
                f"What the model {name} knows of its uncertainty holds for its own answer, not for {settled.samples} samples "
                f"of {settled.steps or self.default_steps} steps.",
                "Leave samples and steps to the model, or ask for no uncertainty.",
            )

    def _check(self, volume: Volume, phase: str, values: Mapping[str, float]) -> None:
        meta, seconds = self.metadata, self._seconds(phase, values)
        heeded = meta.heeded
        if seconds_of(phase) is not None and phase not in meta.phases and NAME not in heeded:
            raise TranslationError(
                "seconds_unknown",
                f"The model {meta.name} cannot be asked for a time such as {phase}.",
                f"Ask for one of {', '.join(meta.phases)}, or use a model that knows times: one of the system ccdm, or one with times "
                "(s2ldm-train times).",
            )
        if (
            seconds is not None
            and NAME not in meta.values
            and meta.times is not None
            and not meta.times.covers(seconds)
        ):
            raise TranslationError(
                "seconds_beyond",
                f"The model {meta.name} answers for {meta.times.said} after the start of the injection, not for {seconds:g}s.",
                f"Ask for {meta.offered}, or use another model.",
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
                f"Ask for {', '.join(heeded)} beside the phase.",
            )
        dose = values.get(contrast_dose.NAME, 1.0)
        if not math.isnan(dose) and not contrast_dose.LEAST <= dose <= contrast_dose.MOST:
            raise TranslationError(
                "contrast_dose_beyond",
                f"A contrast dose of {dose:g} times the usual is none that is given.",
                f"Ask for {contrast_dose.LEAST:g} to {contrast_dose.MOST:g}, 1 being what is usual.",
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


def _known(value: float | None, *, otherwise: _T) -> float | _T:
    """``value``, or ``otherwise`` where it is none or NaN."""
    return otherwise if value is None or not math.isfinite(value) else value


def _weighted(part: torch.Tensor, weight: float) -> torch.Tensor:
    """An answer times ``weight``; its spread, where it has one, stays positive: the sum's is the largest that those of its parts allow."""
    change, *spread = part.float().split(1, dim=1)
    return torch.cat([weight * change, *(abs(weight) * one for one in spread)], dim=1)


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
