"""Which native series goes with which contrast series of one patient, and why the others do not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from train.prepare.layouts import Candidate
from train.prepare.phase import Phase, Verdict
from train.prepare.series import Series
from train.store import Split

# Less of the shorter scan in common is another region; less in mm holds no organ.
_MIN_OVERLAP: Final = 0.5
_MIN_OVERLAP_MM: Final = 30.0
_MAX_SLICE_MM: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A series or pair that goes into no case, and why.

    Attributes
    ----------
    place
        Where the user finds it: the folder or file below the root, as the user named it.
    code, reason
        Stable code in upper snake case, and words.
    """

    place: str
    phase: str
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """One case to be made: a native series and a contrast series per phase."""

    patient: str
    study: str
    native: Candidate
    contrasts: Mapping[Phase, Candidate]
    verdicts: Mapping[str, Verdict]
    """Phase (and ``native``) → why the series is that."""

    @property
    def split(self) -> Split | None:
        """The split that a table fixed."""
        return self.native.split


def pair_up(
    judged: Iterable[tuple[Candidate, Verdict]], *, phases: Sequence[Phase]
) -> tuple[list[Pairing], list[Rejection]]:
    """Make the cases that the series of each patient and study allow, in a fixed order."""
    groups: dict[tuple[str, str], list[tuple[Candidate, Verdict]]] = {}
    for candidate, verdict in judged:
        groups.setdefault((candidate.patient, candidate.study), []).append((candidate, verdict))
    pairings: list[Pairing] = []
    rejections: list[Rejection] = []
    for (patient, study), members in sorted(groups.items(), key=lambda item: item[0]):
        pairing, rejected = _pair_group(patient, study, members, phases)
        rejections += rejected
        if pairing is not None:
            pairings.append(pairing)
    return pairings, rejections


def _pair_group(
    patient: str, study: str, members: list[tuple[Candidate, Verdict]], phases: Sequence[Phase]
) -> tuple[Pairing | None, list[Rejection]]:
    rejections: list[Rejection] = []
    by_phase: dict[Phase, list[tuple[Candidate, Verdict]]] = {}
    for candidate, verdict in members:
        fault = _fault(candidate.series, verdict, phases)
        if fault is not None:
            rejections.append(fault)
        elif verdict.phase is not None:
            by_phase.setdefault(verdict.phase, []).append((candidate, verdict))
    natives = by_phase.pop("native", [])
    contrasts = [one for group in by_phase.values() for one, _ in group]
    if not natives or not contrasts:
        code, what = ("no_native", "native") if not natives else ("no_contrast", "contrast")
        for phase, group in (("native", natives), *by_phase.items()):
            rejections += [
                _reject(one.series, phase, code, f"the patient's study has no {what} series to pair it with")
                for one, _ in group
            ]
        return None, rejections
    native, verdict = min(natives, key=lambda item: _native_rank(item[0].series, [one.series for one in contrasts]))
    rejections += [
        _reject(
            one.series, "native", "not_chosen", "another native series of the study fits the contrast series better"
        )
        for one, _ in natives
        if one is not native
    ]
    chosen: dict[Phase, Candidate] = {}
    verdicts = {"native": verdict}
    for phase, group in sorted(by_phase.items()):
        fitting = [(one, why) for one, why in group if overlaps(native.series, one.series)]
        rejections += [
            _reject(one.series, phase, "no_overlap", "it shows another region than the native series")
            for one, _ in group
            if not overlaps(native.series, one.series)
        ]
        if not fitting:
            continue
        best, why = min(fitting, key=lambda item: _contrast_rank(item[0].series, native.series))
        chosen[phase], verdicts[phase] = best, why
        rejections += [
            _reject(one.series, phase, "not_chosen", f"another {phase} series of the study fits the native one better")
            for one, _ in fitting
            if one is not best
        ]
    if not chosen:
        rejections.append(_reject(native.series, "native", "no_contrast", "no contrast series shows the same region"))
        return None, rejections
    return Pairing(patient=patient, study=study, native=native, contrasts=chosen, verdicts=verdicts), rejections


def _fault(series: Series, verdict: Verdict, phases: Sequence[Phase]) -> Rejection | None:
    """Why a series cannot be part of any case."""
    if series.fault:
        return _reject(series, verdict.phase, "not_a_volume", series.fault)
    if series.shape is not None and not series.axial:
        return _reject(
            series, verdict.phase, "not_axial", "its slices are not axial, so it is a reformat of another series"
        )
    if series.spacing_mm is not None and series.spacing_mm[0] > _MAX_SLICE_MM:
        return _reject(series, verdict.phase, "slices_too_thick", f"its slices are {series.spacing_mm[0]:.1f} mm apart")
    if verdict.phase is None:
        why = verdict.reason or "neither tags nor image say it"
        return _reject(
            series,
            verdict.phase,
            "phase_unknown",
            f"its phase cannot be told: {why}",
        )
    if verdict.phase != "native" and verdict.phase not in phases:
        return _reject(
            series,
            verdict.phase,
            "phase_not_asked",
            f"it is {verdict.phase}, which was not asked for ({verdict.reason})",
        )
    return None


def overlaps(native: Series, contrast: Series) -> bool:
    """Whether both show the same stretch of the body, as far as their coordinates can be compared."""
    shared = overlap_mm(native, contrast)
    if shared is None:
        return True
    length = min(_length(native), _length(contrast))
    return shared >= min(_MIN_OVERLAP_MM, length) and shared >= _MIN_OVERLAP * length


def overlap_mm(one: Series, other: Series) -> float | None:
    """Common length along z; ``None`` when the series lie in different frames of reference or nowhere."""
    if one.corners_mm is None or other.corners_mm is None or one.frame_of_reference_uid != other.frame_of_reference_uid:
        return None
    low = max(one.corners_mm[0][2], other.corners_mm[0][2])
    high = min(one.corners_mm[1][2], other.corners_mm[1][2])
    return max(0.0, high - low)


def _length(series: Series) -> float:
    return 0.0 if series.corners_mm is None else series.corners_mm[1][2] - series.corners_mm[0][2]


def _native_rank(native: Series, contrasts: Sequence[Series]) -> tuple[float, float, str]:
    """Lower is better: overlap with all contrast series, then spacing like theirs, then place."""
    shared = sum(overlap_mm(native, one) or 0.0 for one in contrasts)
    return -shared, sum(_unlike(native, one) for one in contrasts), native.place


def _contrast_rank(contrast: Series, native: Series) -> tuple[float, float, str]:
    return -(overlap_mm(native, contrast) or 0.0), _unlike(native, contrast), contrast.place


def _unlike(one: Series, other: Series) -> float:
    """How differently two series were reconstructed: slice distance in mm, and 5 for another kernel."""
    kernels = (one.facts.get("ConvolutionKernel"), other.facts.get("ConvolutionKernel"))
    dz = abs(one.spacing_mm[0] - other.spacing_mm[0]) if one.spacing_mm and other.spacing_mm else 0.0
    return dz + (5.0 if None not in kernels and kernels[0] != kernels[1] else 0.0)


def _reject(series: Series, phase: str | None, code: str, reason: str) -> Rejection:
    return Rejection(place=series.place, phase=phase or "", code=code, reason=reason)
