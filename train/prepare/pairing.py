"""Which native series goes with which contrast series of one patient, and why the others do not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from train.prepare.choice import best_of, length_mm, overlap_mm, why_better
from train.prepare.layouts import Candidate
from train.prepare.phase import Verdict
from train.prepare.reconstruction import DERIVATIONS, Derivation, derivation
from train.prepare.series import Series
from train.prepare.words import Phase
from train.store import Split

# Less of the shorter scan in common is another region; less in mm holds no organ.
_MIN_OVERLAP: Final = 0.5
_MIN_OVERLAP_MM: Final = 30.0
_MAX_SLICE_MM: Final = 10.0
# Phases of one examination may fall on two days at midnight.
_MOST_DAYS: Final = 1


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
    def person(self) -> str:
        """Under which key splits and pseudonyms are kept: the patient, or the person whose names several patients are."""
        return self.native.person or self.patient

    @property
    def study_key(self) -> str:
        """The study among all of the person's."""
        return self.study if self.person == self.patient else f"{self.patient}\0{self.study}"

    @property
    def sources(self) -> dict[str, str]:
        """Phase (and ``native``) → pseudonym of its series."""
        return {"native": self.native.series.key} | {str(p): one.series.key for p, one in self.contrasts.items()}

    @property
    def split(self) -> Split | None:
        """The split that a table fixed."""
        return self.native.split

    @property
    def fold(self) -> int | None:
        """The fold of a cross-validation that a table fixed."""
        return self.native.fold


def pair_up(
    judged: Iterable[tuple[Candidate, Verdict]], *, phases: Sequence[Phase], derived: Sequence[Derivation] = ()
) -> tuple[list[Pairing], list[Rejection]]:
    """Make the cases that the series of each patient and study allow, in a fixed order.

    Parameters
    ----------
    derived
        Which images computed from a scan may be taken, where there is no original (see `train.prepare.reconstruction`).
    """
    groups: dict[tuple[str, str], list[tuple[Candidate, Verdict]]] = {}
    for candidate, verdict in judged:
        groups.setdefault((candidate.patient, candidate.study), []).append((candidate, verdict))
    pairings: list[Pairing] = []
    rejections: list[Rejection] = []
    for (patient, study), members in sorted(groups.items(), key=lambda item: item[0]):
        pairing, rejected = _pair_group(patient, study, members, phases, derived)
        rejections += rejected
        if pairing is not None:
            pairings.append(pairing)
    return pairings, rejections


def _pair_group(
    patient: str,
    study: str,
    members: list[tuple[Candidate, Verdict]],
    phases: Sequence[Phase],
    derived: Sequence[Derivation],
) -> tuple[Pairing | None, list[Rejection]]:
    rejections: list[Rejection] = []
    by_phase: dict[Phase, list[tuple[Candidate, Verdict]]] = {}
    for candidate, verdict in members:
        fault = _fault(candidate.series, verdict, phases, derived)
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
    partners = [one.series for one in contrasts]
    native = best_of([one for one, _ in natives], partners)
    verdict = next(why for one, why in natives if one is native)
    rejections += [
        _reject(one.series, "native", "not_chosen", why_better(native.series, one.series, partners))
        for one, _ in natives
        if one is not native
    ]
    chosen: dict[Phase, Candidate] = {}
    verdicts = {"native": verdict}
    for phase, group in sorted(by_phase.items()):
        days = {one.series.key: _days_apart(native.series, one.series) for one, _ in group if not one.binding}
        rejections += [
            _reject(
                one.series, phase, "days_apart", f"it was scanned {days[one.series.key]} days from the native series"
            )
            for one, _ in group
            if days.get(one.series.key, 0) > _MOST_DAYS
        ]
        group = [(one, why) for one, why in group if days.get(one.series.key, 0) <= _MOST_DAYS]
        fitting = [(one, why) for one, why in group if overlaps(native.series, one.series)]
        rejections += [
            _reject(one.series, phase, "no_overlap", "it shows another region than the native series")
            for one, _ in group
            if not overlaps(native.series, one.series)
        ]
        if not fitting:
            continue
        best = best_of([one for one, _ in fitting], [native.series])
        chosen[phase], verdicts[phase] = best, next(why for one, why in fitting if one is best)
        rejections += [
            _reject(one.series, phase, "not_chosen", why_better(best.series, one.series, [native.series]))
            for one, _ in fitting
            if one is not best
        ]
    if not chosen:
        rejections.append(_reject(native.series, "native", "no_contrast", "no contrast series shows the same region"))
        return None, rejections
    return Pairing(patient=patient, study=study, native=native, contrasts=chosen, verdicts=verdicts), rejections


def _fault(
    series: Series, verdict: Verdict, phases: Sequence[Phase], derived: Sequence[Derivation]
) -> Rejection | None:
    """Why a series cannot be part of any case."""
    if series.fault:
        return Rejection(place=series.name, phase=verdict.phase or "", code=series.code, reason=series.fault)
    computed = derivation(series.facts)
    if computed is not None and computed not in derived:
        return _reject(
            series,
            verdict.phase,
            "derived_image",
            f"it is {DERIVATIONS[computed]}, not an original scan; --derived {computed} takes such",
        )
    if series.shape is not None and not series.axial:
        return _reject(
            series, verdict.phase, "not_axial", "its slices are not axial, so it is a reformat of another series"
        )
    if series.spacing_mm is not None and series.spacing_mm[0] > _MAX_SLICE_MM:
        return _reject(series, verdict.phase, "slices_too_thick", f"its slices are {series.spacing_mm[0]:.1f} mm apart")
    if verdict.phase is None and verdict.contradicted:
        return _reject(series, None, "phase_contradicted", verdict.reason)
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
    length = min(length_mm(native), length_mm(contrast))
    return shared >= min(_MIN_OVERLAP_MM, length) and shared >= _MIN_OVERLAP * length


def _days_apart(one: Series, other: Series) -> int:
    """Days between two scans by their headers; 0 where one does not say (NIfTI has no date)."""
    days = [_day(series) for series in (one, other)]
    return 0 if None in days else abs((days[0] - days[1]).days)  # type: ignore[operator]


def _day(series: Series) -> date | None:
    """Acquisition Date (0008,0022), else Study Date (0008,0020)."""
    for keyword in ("AcquisitionDate", "StudyDate"):
        try:
            return date.fromisoformat(series.facts.get(keyword, "").replace(".", ""))
        except ValueError:  # absent, or no date
            continue
    return None


def _reject(series: Series, phase: str | None, code: str, reason: str) -> Rejection:
    return Rejection(place=series.name, phase=phase or "", code=code, reason=reason)
