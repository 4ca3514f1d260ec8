"""Which contrast phase a series shows: from its words, its clock, and its Hounsfield units where those lie.

Words win over the clock, the clock over what merely says that contrast was given; Hounsfield units overrule all of them
where they contradict plainly. Contrast/Bolus Agent (PS3.3 C.7.6.4) is often empty although contrast was given, and its
absence proves nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from train.prepare.evidence import Evidence
from train.prepare.words import Guess, Phase, phase_in_full_name, phase_in_words

# Seconds after the start of the injection: arterial 20-50, portal venous 55-110 (spec: 35 and 72 in the middle).
_CLOCK: Final[tuple[tuple[float, float, Phase], ...]] = (
    (12.0, 50.0, "arterial"),
    (52.0, 115.0, "venous"),
    (130.0, 1200.0, "delayed"),
)
_ORAL: Final = re.compile(r"ORAL|RECTAL|PER OS")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The phase of a series, why, whether its tags said otherwise, and whether the image alone told it.

    ``phase`` is ``None`` when nobody can say.
    """

    phase: Phase | None
    reason: str
    contradicted: bool = False
    by_image: bool = False


def seconds_after_injection(facts: Mapping[str, str]) -> float | None:
    """Acquisition Time (0008,0032) minus Contrast/Bolus Start Time (0018,1042), seconds; ``None`` when unknown."""
    began, scanned = (
        clock_seconds(facts.get(keyword, "")) for keyword in ("ContrastBolusStartTime", "AcquisitionTime")
    )
    if began is None or scanned is None:
        return None
    after = (scanned - began) % 86_400.0
    return after if after < 3_600.0 else None


def clock_seconds(time: str) -> float | None:
    """A DICOM time (PS3.5 6.2, TM) as seconds of the day."""
    match = re.match(r"(\d{2})(\d{2})(\d{2}(?:\.\d+)?)$", time.replace(":", "").strip())
    return None if match is None else int(match[1]) * 3600.0 + int(match[2]) * 60.0 + float(match[3])


def guess_from_tags(facts: Mapping[str, str], *, names: tuple[str, ...] = ()) -> tuple[Guess | None, str]:
    """What a series' words and clock say, and which of them said it; ``names`` are its folders, innermost last."""
    described = phase_in_words(facts.get("SeriesDescription", ""))
    if described not in (None, "enhanced"):
        return described, "Series Description"
    seconds = seconds_after_injection(facts)
    if seconds is not None:
        for low, high, phase in _CLOCK:
            if low <= seconds <= high:
                return phase, f"scanned {seconds:.0f} s after the injection began"
    for name in reversed(names):
        named = phase_in_full_name(name)
        if named is not None:
            return named, "folder or file name"
    weaker: list[tuple[Guess, str]] = [] if described is None else [(described, "Series Description")]
    for keyword, title in (("ProtocolName", "Protocol Name"), ("StudyDescription", "Study Description")):
        guess = phase_in_words(facts.get(keyword, ""))
        if guess is not None:
            weaker.append((guess, title))
    if weaker:
        return weaker[0]
    agent, route = facts.get("ContrastBolusAgent", ""), facts.get("ContrastBolusRoute", "")
    oral_only = _ORAL.search(f"{agent} {route}".upper()) and "IV" not in route.upper()
    if (agent or route) and not oral_only:
        return "enhanced", "Contrast/Bolus module"
    return None, "nothing in the tags"


def judge(guess: Guess | None, said_by: str, evidence: Evidence | None) -> Verdict:
    """Weigh what the tags say against the image.

    Tags name the phase; the image decides between native and enhanced where the tags are silent or plainly wrong, and
    between arterial and venous where the tags only say that contrast was given or the image cannot be the other phase.
    """
    named: Phase | None = None if guess is None or guess == "enhanced" else guess
    if evidence is None or evidence.silent:
        return Verdict(phase=named, reason=said_by)
    seen = evidence.phase
    if not evidence.enhanced:
        if evidence.too_noisy and named is None:
            return Verdict(phase=None, reason=f"nothing can be seen in {evidence.noise_hu:.0f} HU of noise")
        if named == "native" or guess is None:
            return Verdict(phase="native", reason=said_by if named else evidence.words)
        if evidence.surely_native:
            return Verdict(
                phase="native", reason=f"{evidence.words}, although {said_by} says {guess}", contradicted=True
            )
        return Verdict(phase=named, reason=said_by)
    if named == "native":
        return Verdict(phase=seen, reason=f"{evidence.words}, although {said_by} says native", contradicted=True)
    if named is None:
        return Verdict(phase=seen, reason=evidence.words, by_image=True)
    if named == "delayed" or seen is None or seen == named or not evidence.plain:
        return Verdict(phase=named, reason=said_by)
    return Verdict(phase=seen, reason=f"{evidence.words}, although {said_by} says {named}", contradicted=True)


def check(said: Guess, said_by: str, evidence: Evidence | None) -> Verdict:
    """A phase that somebody wrote down for this very series, held against the image.

    It is not changed, for whoever wrote it knew more than tags do; but where the image is plainly another phase the series is left
    out, so that a slip of the pen teaches nothing.
    """
    phase: Phase | None = None if said == "enhanced" else said
    if evidence is None or evidence.silent:
        return Verdict(phase=phase, reason=said_by)
    seen = evidence.phase
    if phase == "native":
        wrong = evidence.enhanced and seen is not None and evidence.plain
    elif not evidence.enhanced:
        wrong = evidence.surely_native
    else:
        wrong = phase in ("arterial", "venous") and seen not in (None, phase) and evidence.plain
    if wrong:
        return Verdict(phase=None, reason=f"{said_by} says {said}, but it has {evidence.words}", contradicted=True)
    return Verdict(phase=phase, reason=said_by)
