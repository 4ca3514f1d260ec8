"""The evaluation itself: every case, phase and system once, scored and recorded."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2ldm_core.volume import Volume
from train.evaluation.cases import Cases, EvaluationCase
from train.evaluation.records import OrganRecord, RecordFolder, ScanRecord, SystemRecord
from train.evaluation.scores import Reference, score
from train.evaluation.systems import Candidate
from train.evaluation.uncertainty import calibrate
from train.evaluation.viewer import (
    DEVIATION_GAIN,
    SOURCE_IMAGE,
    TARGET_IMAGE,
    Gallery,
    Layout,
    deviation_image,
    system_image,
)
from train.metrics import PAPER_WINDOW_HU, Window


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is evaluated on what; `run` does it, continuing where an earlier run of the same stopped."""

    cases: Cases
    systems: Sequence[Candidate]
    window_hu: Window = PAPER_WINDOW_HU
    viewer_cases: int = 2
    """Of how many cases (the first ones) pictures are kept for the viewer."""

    def settings(self) -> dict[str, Any]:
        """What makes two evaluations the same one."""
        return {
            "data": self.cases.describe(),
            "cases": list(self.cases.names),
            "systems": [[system.label, system.kind, system.identity] for system in self.systems],
            "window_hu": list(self.window_hu),
            "viewer_cases": self.viewer_cases,
        }

    def run(self, folder: Path, *, on_scan: Callable[[str, str], None] | None = None) -> list[ScanRecord]:
        """Score what ``folder`` does not hold yet; all records, in the order of cases and phases.

        ``on_scan(case, phase)`` is called after each scan.

        Raises
        ------
        TrainError
            ``evaluation_differs``, ``record_damaged``.
        TranslationError
            A system cannot translate a case.
        """
        kept = RecordFolder(folder, settings=self.settings())
        records: list[ScanRecord] = []
        for number, name in enumerate(self.cases.names):
            for record in self._case(name, kept, pictures=number < self.viewer_cases):
                records.append(record)
                if on_scan is not None:
                    on_scan(record.case, record.phase)
        return records

    def _case(self, name: str, kept: RecordFolder, *, pictures: bool) -> Iterator[ScanRecord]:
        known = [kept.load(name, phase) for phase in self.cases.phases_of(name)]
        if all(record is not None for record in known):
            yield from (record for record in known if record is not None)
            return
        case = self.cases.load(name)
        for phase, record in zip(case.phases, known, strict=True):
            if record is None:
                record = self._scan(
                    case, phase, case.target(phase), folder=kept.pictures(name, phase) if pictures else None
                )
                kept.save(record)
            yield record

    def _scan(self, case: EvaluationCase, phase: str, target: Volume, *, folder: Path | None) -> ScanRecord:
        reference = Reference.of(case, target, valid=case.valid(phase))
        gallery = None if folder is None else Gallery(folder, Layout.of(case.source))
        if gallery is not None:
            gallery.add(SOURCE_IMAGE, case.source.hu)
            gallery.add(TARGET_IMAGE, target.hu)
        systems: dict[str, SystemRecord] = {}
        for number, system in enumerate(self.systems):
            if system.phases and phase not in system.phases:
                continue
            began = time.perf_counter()
            answer = system.answer(case, target, phase)
            seconds = time.perf_counter() - began
            scores = score(answer.hu, reference, window_hu=self.window_hu)
            if gallery is not None and system.kind != "identity":
                gallery.add(system_image(number), answer.hu)
                if answer.deviation_hu is not None:
                    gallery.add(deviation_image(number), DEVIATION_GAIN * answer.deviation_hu)
            systems[system.label] = SystemRecord(
                values=scores.values,
                organ_hu=scores.organ_hu,
                power=None if scores.power is None else tuple(scores.power.power.tolist()),
                seconds=round(seconds, 3),
                calibration=None
                if answer.deviation_hu is None
                else calibrate(answer.deviation_hu, answer.hu - target.hu, where=reference.body),
                refusal=answer.refusal,
            )
        power = reference.power
        return ScanRecord(
            case=case.name,
            patient=case.patient,
            phase=phase,
            organs={
                organ: OrganRecord(
                    voxels=reference.organ_voxels[organ],
                    source_hu=reference.source_hu[organ],
                    target_hu=reference.target_hu[organ],
                )
                for organ in reference.organs
            },
            frequency_per_mm=None if power is None else tuple(power.frequency_per_mm.tolist()),
            power=None if power is None else tuple(power.power.tolist()),
            systems=systems,
            sheets=() if gallery is None else gallery.layout.sheets,
        )
