"""What systems are evaluated on: held-out phantoms, or the cases of a store's split. One case is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from s2ldm_core.phantom import ORGANS, Phantom
from s2ldm_core.phantom.appearance import delay_seconds
from s2ldm_core.seconds import NAME
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.injection import kept
from train.phantoms import HELD_OUT, case_name
from train.store import Case, PairStore, Split

# Air, table, clothes: labels of the phantom that are no part of a patient.
_OUTSIDE = ("air", "table_shell", "table_foam", "clothing", "plastic")


def _everywhere(phase: str) -> None:
    return None


def _untold(phase: str) -> dict[str, float]:
    return {}


@dataclass(frozen=True, kw_only=True)
class EvaluationCase:
    """One study: its source and how to get the acquired volume of each phase, all on one grid in canonical (LPS) orientation."""

    name: str
    """Pseudonym; it is printed in reports."""
    patient: str
    """Cases of one patient are resampled together."""
    source: Volume
    phases: tuple[str, ...]
    target: Callable[[str], Volume]
    labels: np.ndarray | None
    """``(D, H, W)`` uint8."""
    organs: Mapping[str, int]
    """Organ → value in ``labels``; empty without labels."""
    valid: Callable[[str], np.ndarray | None] = _everywhere
    """Phase → where it was measured ``(D, H, W)`` bool, or ``None``: everywhere."""
    values: Callable[[str], Mapping[str, float]] = _untold
    """Phase → what is known of it beside the image, such as ``aorta_hu``; NaN where it is not."""


class Cases(Protocol):
    """Evaluation data: names known beforehand (for resuming), volumes made when asked for."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def phases_of(self, name: str) -> tuple[str, ...]: ...

    def describe(self) -> dict[str, Any]:
        """What a reader of the report must know about the data, JSON-ready; equal descriptions mean equal data."""

    def load(self, name: str) -> EvaluationCase: ...


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Phantoms that are never trained on, at a scanner's grid and with independent noise in every phase."""

    seeds: tuple[int, ...]
    matrix: tuple[int, int] = (512, 512)
    slices: int = 64
    spacing_mm: tuple[float, float, float] = (2.5, 0.78, 0.78)
    phases: tuple[str, ...] = ("arterial", "venous")
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Phases that are scanned at another time than is usual, in seconds after the start of the injection; a patient's own delay is
    added as to every phase."""

    @classmethod
    def first(
        cls,
        count: int,
        *,
        slices: int = 64,
        phases: tuple[str, ...] = ("arterial", "venous"),
        seconds: Mapping[str, float] | None = None,
    ) -> HeldOut:
        """The first ``count`` of the seeds that are kept for evaluation."""
        seeds = tuple(range(HELD_OUT, HELD_OUT + count))
        return cls(seeds=seeds, slices=slices, phases=phases, seconds=seconds or {})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(case_name(seed) for seed in self.seeds)

    def phases_of(self, name: str) -> tuple[str, ...]:
        return self.phases

    def describe(self) -> dict[str, Any]:
        return {
            "data": "held-out digital phantoms, independent noise in every phase",
            "held_out_seeds": list(self.seeds),
            "slices": self.slices,
            "matrix": list(self.matrix),
            "spacing_mm": list(self.spacing_mm),
            **({"seconds": dict(self.seconds)} if self.seconds else {}),
        }

    def phantom(self, seed: int) -> Phantom:
        return Phantom(seed=seed, matrix=self.matrix, slices=self.slices, spacing_mm=self.spacing_mm)

    def load(self, name: str) -> EvaluationCase:
        seed = self.seeds[self.names.index(name)]
        phantom = self.phantom(seed)
        source = Volume(hu=phantom.hu("native", noise_seed=2 * seed), affine=phantom.affine)

        def target(phase: str) -> Volume:
            # Noise of the phase itself: seeds that neither the source nor another phase uses.
            noise_seed = 2 * seed + 1 + 10_000_000 * (self.phases.index(phase) + 1)
            at = phase if phase not in self.seconds else self.seconds[phase] + delay_seconds(phantom.patient)
            return source.with_hu(phantom.hu(at, noise_seed=noise_seed))

        return EvaluationCase(
            name=name,
            patient=name,
            source=source,
            phases=self.phases,
            target=target,
            labels=phantom.labels,
            organs={organ: value for organ, value in ORGANS.items() if organ not in _OUTSIDE},
            values=lambda phase: {NAME: self.seconds[phase]} if phase in self.seconds else {},
        )


class StoreCases:
    """The cases of one split of a pair store, on the store's grid; of ``patients`` alone, where any are named.

    Where a store keeps a scan's noise apart (phantoms), source and target share that one realisation, as in training: scores are then of
    the predicted change alone and better than with independent noise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: Split | None = "test",
        phases: tuple[str, ...] = (),
        patients: tuple[str, ...] = (),
    ) -> None:
        self._store = PairStore(folder, split=split, only=patients)
        self._split = split
        self._phases = phases
        if not self.names:
            raise TrainError(
                "phases_missing",
                f"No case of {folder} has any of the phases {', '.join(phases)}.",
                "Evaluate models of the phases that the store holds.",
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in self._store.names if self.phases_of(name))

    def phases_of(self, name: str) -> tuple[str, ...]:
        known = [phase for phase in self._case(name).changes if "@" not in phase]
        return tuple(phase for phase in (self._phases or tuple(sorted(known))) if phase in known)

    def describe(self) -> dict[str, Any]:
        return {
            "data": f"{self._split or 'every'} split of a pair store",
            "cases": len(self.names),
            "patients": len({self._case(name).patient for name in self.names}),
            "spacing_mm": list(self._store.spacing_mm),
            "store_sha256": self._store.digest(),
            **({"injections_sha256": told} if (told := kept.digest(self._store.folder, self.names)) else {}),
        }

    def load(self, name: str) -> EvaluationCase:
        case = self._case(name)
        told = kept.KeptInjection.of(self._store.folder, name)
        native = case.source_hu()
        dz, dy, dx = case.spacing_mm
        source = Volume(hu=native, affine=np.diag([dx, dy, dz, 1.0]))
        return EvaluationCase(
            name=name,
            patient=case.patient,
            source=source,
            phases=self.phases_of(name),
            target=lambda phase: source.with_hu(native + np.asarray(case.changes[phase], dtype=np.float32)),
            labels=None if case.labels is None else np.asarray(case.labels),
            organs={} if case.labels is None else dict(case.organs),
            valid=lambda phase: None if phase not in case.valid else np.asarray(case.valid[phase]),
            values=lambda phase: case.values(phase) | told.values(phase),
        )

    def _case(self, name: str) -> Case:
        return self._store[self._store.names.index(name)]
