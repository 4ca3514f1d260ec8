"""One case from its series: read, register, check, crop, store."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from s2ldm_core.body import body_box, body_mask
from s2ldm_core.errors import S2LDMError
from s2ldm_core.files import replace_text
from s2ldm_core.resample import resample
from s2ldm_core.volume import Volume
from train.errors import TrainError
from train.prepare.images import cropped
from train.prepare.labels import BREATHING_ORGANS, LabelMap, read_labels
from train.prepare.layouts import Candidate
from train.prepare.maps import MapFile
from train.prepare.options import PrepareOptions
from train.prepare.pairing import Pairing, Rejection
from train.prepare.phase import seconds_after_injection
from train.prepare.pictures import picture
from train.prepare.quality import Quality, boundary_error_mm, edge_correlation, enhanced_blood, fit, refusal
from train.prepare.registration import Registration, register
from train.prepare.scan import aligned_by_name, read_scan
from train.prepare.warping import warp
from train.prepare.words import Phase
from train.store import Split, has_case, write_case

REJECTED: Final = "rejected.json"
MADE_BY: Final = "s2ldm-train prepare"
PICTURES: Final = "pictures"
# A scan with a smaller field of view cuts skin and arms off; what is missing there is taken as unchanged.
_SLICE_COVERED: Final = 0.9
_MIN_SLICES: Final = 8
_SMALLEST_ORGAN_MM3: Final = 20_000.0


@dataclass(frozen=True, kw_only=True)
class CaseTask:
    """What a worker needs to make one case."""

    name: str
    patient: str
    split: Split
    pairing: Pairing
    studies: Path
    output: Path
    options: PrepareOptions


@dataclass(frozen=True, kw_only=True)
class _Registered:
    hu: np.ndarray
    covered: np.ndarray
    registration: Registration
    quality: Quality
    labels: LabelMap | None
    """Of its own."""


def is_done(task: CaseTask) -> bool:
    """Whether a case is complete, or was rejected for good, and from the same series: a table may have been corrected since."""
    output, name, sources = task.output, task.name, task.pairing.sources
    record = _rejected_record(output, name)
    if not has_case(output, name):
        return bool(record.get("nothing_left")) and record.get("sources", sources) == sources
    try:
        about = json.loads((output / name / "case.json").read_text(encoding="utf-8"))["about"]
    except (ValueError, KeyError, TypeError):  # damaged: the manifest says so by name
        return True
    tried = record.get("sources", about.get("sources"))
    return bool(tried == sources)


def rejections_of(output: Path, name: str) -> list[Rejection]:
    """What was rejected while making a case."""
    return [Rejection(**one) for one in _rejected_record(output, name).get("series", [])]


def _rejected_record(output: Path, name: str) -> dict[str, Any]:
    path = output / name / REJECTED
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record


def make_case(task: CaseTask) -> bool:
    """Make one case; says whether there is one. Series that cannot be used are written to the case's ``rejected.json``."""
    rejections: list[Rejection] = []
    pairing, options = task.pairing, task.options
    (task.output / task.name / "case.json").unlink(missing_ok=True)  # of other series: no case until it is made again
    try:
        scan = read_scan(pairing.native.series, root=task.studies)
        native = _on_model_grid(scan, options)
        stack = replace(
            scan, hu=scan.hu[:, :1, :1].copy(), padding=None
        )  # slices' names and places outlive their voxels
        del scan
        labels = _labels(pairing.native.labels)
    except (S2LDMError, TrainError) as error:
        rejections = [_rejected(one, phase, error.code, error.sentence) for phase, one in _everyone(pairing).items()]
        _write_rejections(task, rejections, nothing_left=True)
        return False
    accepted: dict[Phase, _Registered] = {}
    for phase, candidate in pairing.contrasts.items():
        try:
            one = _register(task, native, stack, phase, candidate, labels)
        except (S2LDMError, TrainError) as error:
            rejections.append(_rejected(candidate, phase, error.code, error.sentence))
            continue
        refused = refusal(one.quality)
        if refused is None:
            accepted[phase] = one
        else:
            rejections.append(_rejected(candidate, phase, refused.code, refused.sentence))
    run = _common_slices(native, [one.covered for one in accepted.values()])
    if accepted and run.stop - run.start < _MIN_SLICES:
        reason = f"the phases have {run.stop - run.start} slices in common"
        rejections += [_rejected(pairing.contrasts[phase], phase, "no_common_slices", reason) for phase in accepted]
        accepted = {}
    if not accepted:
        codes = ", ".join(sorted({one.code for one in rejections}))
        reason = f"no contrast series can be paired with it: {codes}"
        rejections.append(_rejected(pairing.native, "native", "no_pair_left", reason))
    _write_rejections(task, rejections, nothing_left=not accepted)
    if accepted:
        _store(task, native, accepted, labels, run)
    return bool(accepted)


def _on_model_grid(volume: Volume, options: PrepareOptions) -> Volume:
    resampled, _ = resample(volume, options.spacing_mm, method="cubic")
    bounded = resampled.with_hu(np.clip(resampled.hu, volume.hu.min(), volume.hu.max()))  # cubic kernels overshoot
    return cropped(bounded, body_box(bounded.hu, bounded.spacing_mm))


def _labels(found: MapFile | None) -> LabelMap | None:
    return None if found is None else read_labels(found).by_tissue()


def _register(
    task: CaseTask, native: Volume, stack: Volume, phase: Phase, candidate: Candidate, labels: LabelMap | None
) -> _Registered:
    options = task.options
    contrast = read_scan(candidate.series, root=task.studies)
    theirs = None if candidate.labels == task.pairing.native.labels else _labels(candidate.labels)
    if candidate.by_name:
        contrast = aligned_by_name(contrast, stack)
    registration = register(native, contrast, method=options.registration, seed=options.seed)
    before, seen_before = warp(contrast, native, registration.start)
    after, covered = warp(contrast, native, registration.transform)
    both = covered & seen_before  # compared where both can be: what leaves the field of view is no gain
    lying, seen = (before, both) if options.registration == "none" else warp(contrast, native, registration.linear)
    quality = Quality(
        before=fit(native.hu, before, spacing_mm=native.spacing_mm, where=both),
        after=fit(native.hu, after, spacing_mm=native.spacing_mm, where=both),
        folding=registration.folding,
        largest_mm=registration.largest_mm,
        edges=edge_correlation(native.hu, lying, spacing_mm=native.spacing_mm, where=seen),
        blood=enhanced_blood(native.hu, after, spacing_mm=native.spacing_mm, where=covered),
        covered=float(_slices_covered(native, covered).mean()),
        boundary_mm=_boundaries(native, labels, theirs, registration, both),
    )
    picture(
        task.output / PICTURES / f"{task.name}-{phase}.png",
        native=native.hu,
        before=before,
        after=after,
        spacing_mm=native.spacing_mm,
        window_hu=options.window_hu,
        title=f"{task.name} {phase}: fat {quality.before.fat_hu:.0f} to {quality.after.fat_hu:.0f} HU, "
        f"mutual information {quality.before.mutual_information:.2f} to {quality.after.mutual_information:.2f}",
    )
    return _Registered(hu=after, covered=covered, registration=registration, quality=quality, labels=theirs)


def _boundaries(
    native: Volume,
    labels: LabelMap | None,
    theirs: LabelMap | None,
    registration: Registration,
    seen: np.ndarray,
) -> dict[str, tuple[float, float]]:
    """Distance of organs' outlines before and after registration, where the contrast scan has labels of its own (``theirs``).

    An organ of which the scans show hardly anything has no outline to speak of and is left out.
    """
    if labels is None or theirs is None:
        return {}
    found: dict[str, tuple[float, float]] = {}
    for organ, names in BREATHING_ORGANS.items():
        ids, other = ([one.organs[name] for name in names if name in one.organs] for one in (labels, theirs))
        if not ids or not other:
            continue
        early, late = (theirs.organ(other, native, move) for move in (registration.start, registration.transform))
        masks = [one & seen for one in (labels.organ(ids, native), early, late)]
        if min(mask.sum() for mask in masks) * np.prod(native.spacing_mm) < _SMALLEST_ORGAN_MM3:
            continue
        before, after = (boundary_error_mm(masks[0], mask, spacing_mm=native.spacing_mm) for mask in masks[1:])
        found[organ] = (before, after)
    return found


def _slices_covered(native: Volume, covered: np.ndarray) -> np.ndarray:
    """``(D,)`` bool: slices of whose body the contrast scan shows nearly all."""
    body = body_mask(native.hu, native.spacing_mm)
    share = (covered & body).sum(axis=(1, 2)) / np.maximum(1, body.sum(axis=(1, 2)))
    enough: np.ndarray = (share >= _SLICE_COVERED) & body.any(axis=(1, 2))
    return enough


def _common_slices(native: Volume, covered: list[np.ndarray]) -> slice:
    """The longest run of slices that every phase covers."""
    good = np.ones(native.shape[0], bool)
    for one in covered:
        good &= _slices_covered(native, one)
    edges = np.flatnonzero(np.diff(np.r_[False, good, False].astype(int)))
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    start, stop = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    return slice(int(start), int(stop))


def _store(
    task: CaseTask, native: Volume, accepted: Mapping[Phase, _Registered], labels: LabelMap | None, run: slice
) -> None:
    pairing = task.pairing
    organs, mapped = _organs(native, accepted, labels)
    write_case(
        task.output,
        task.name,
        spacing_mm=native.spacing_mm,
        native=native.hu[run],
        changes={phase: np.where(one.covered, one.hu - native.hu, 0.0)[run] for phase, one in accepted.items()},
        labels=None if mapped is None else mapped[run],
        organs=organs,
        valid={phase: one.covered[run] for phase, one in accepted.items() if not one.covered[run].all()},
        seconds={phase: seconds for phase in accepted if (seconds := _seconds(pairing.contrasts[phase])) is not None},
        patient=task.patient,
        split=task.split,
        fold=pairing.fold,
        about={
            "made_by": MADE_BY,
            "registration": task.options.registration,
            "sources": pairing.sources,
            "phases": {phase: asdict(verdict) for phase, verdict in pairing.verdicts.items()},
            "quality": {phase: one.quality.record() for phase, one in accepted.items()},
            "stages": {phase: _stages(one.registration) for phase, one in accepted.items()},
        },
    )


def _organs(
    native: Volume, accepted: Mapping[Phase, _Registered], labels: LabelMap | None
) -> tuple[Mapping[str, int] | None, np.ndarray | None]:
    """Organs and ``(D, H, W)`` labels of the native scan; without labels of its own, those of a contrast scan moved along with it."""
    if labels is not None:
        return labels.organs, labels.on(native)
    for one in accepted.values():
        if one.labels is not None:
            return one.labels.organs, one.labels.on(native, one.registration.transform)
    return None, None


def _seconds(candidate: Candidate) -> float | None:
    return seconds_after_injection(candidate.series.facts)


def _stages(registration: Registration) -> list[dict[str, object]]:
    """Without the seconds: the same data give the same ``case.json``."""
    return [
        {"name": stage.name, "metric": round(stage.metric, 6), "iterations": stage.iterations}
        for stage in registration.stages
    ]


def _everyone(pairing: Pairing) -> dict[str, Candidate]:
    return {"native": pairing.native} | {str(phase): one for phase, one in pairing.contrasts.items()}


def _rejected(candidate: Candidate, phase: str, code: str, reason: str) -> Rejection:
    return Rejection(place=candidate.series.name, phase=phase, code=code, reason=reason.rstrip("."))


def _write_rejections(task: CaseTask, rejections: list[Rejection], *, nothing_left: bool) -> None:
    """Before the case itself, so that a case never lacks what was rejected beside it."""
    path = task.output / task.name / REJECTED
    path.parent.mkdir(parents=True, exist_ok=True)
    if not rejections:
        path.unlink(missing_ok=True)
        return
    record = {
        "nothing_left": nothing_left,
        "sources": task.pairing.sources,
        "series": [asdict(one) for one in rejections],
    }
    replace_text(path, json.dumps(record, indent=1))
