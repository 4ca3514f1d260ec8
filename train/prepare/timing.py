"""Delayed scans told from portal venous ones by when they were taken: to the image alone they look alike."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from train.prepare.layouts import Candidate
from train.prepare.phase import Verdict, clock_seconds

# The portal venous phase follows the arterial one after 30 to 50 s, the delayed one after two minutes and more.
_VENOUS_WITHIN_SECONDS: Final = 90.0
_LONGEST_SECONDS: Final = 3600.0


def by_time(judged: Iterable[tuple[Candidate, Verdict]]) -> list[tuple[Candidate, Verdict]]:
    """Verdicts in which a scan that only its image calls venous is delayed where it came long after the first enhanced one.

    Acquisition Time (0008,0032) is compared within a patient's study; series without one keep their verdict.
    """
    judged = list(judged)
    first: dict[tuple[str, str], float] = {}
    for one, verdict in judged:
        at = clock_seconds(one.series.facts.get("AcquisitionTime", ""))
        if at is not None and verdict.phase in ("arterial", "venous") and not one.series.fault:
            group = one.patient, one.study
            first[group] = min(at, first.get(group, at))
    return [(one, _later(one, verdict, first.get((one.patient, one.study)))) for one, verdict in judged]


def _later(one: Candidate, verdict: Verdict, first: float | None) -> Verdict:
    at = clock_seconds(one.series.facts.get("AcquisitionTime", ""))
    if first is None or at is None or verdict.phase != "venous" or not verdict.by_image:
        return verdict
    after = at - first
    if not _VENOUS_WITHIN_SECONDS < after < _LONGEST_SECONDS:
        return verdict
    return replace(
        verdict, phase="delayed", reason=f"{verdict.reason}, {after:.0f} s after the first enhanced scan of the study"
    )
