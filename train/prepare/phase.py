"""Which contrast phase a series shows: from its words, its clock, and its Hounsfield units where those lie.

Words win over the clock, the clock over what merely says that contrast was given; Hounsfield units overrule all of them
where they contradict plainly. Contrast/Bolus Agent (PS3.3 C.7.6.4) is often empty although contrast was given, and its
absence proves nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from train.prepare.evidence import Evidence

Phase = Literal["native", "arterial", "venous", "delayed"]
PHASES: Final[tuple[Phase, ...]] = ("native", "arterial", "venous", "delayed")
Guess = Literal["native", "arterial", "venous", "delayed", "enhanced"]

# Looked for in this order in upper-case text whose separators are blanks; what matches is taken out of the text, so that
# NON CONTRAST is not also CONTRAST and LATE ARTERIAL not also LATE.
_CON: Final = r"CON(?:T(?:RAST)?)?"
_WORDS: Final[tuple[tuple[Guess, str], ...]] = (
    (
        "native",
        rf"NCCT|NECT|NATIVE?|NATIEF|NATIVNA|NON ?(?:IV ?)?{_CON}|UNENHANCED|NON ?ENHANCED|PRE ?{_CON}|PLAIN|BASAL|"
        rf"(?:W ?/ ?O|WO|WITHOUT)(?: IV)?(?: {_CON})?|SANS (?:IV|INJECTION)|SIN CONTRASTE|OHNE (?:KM|KONTRAST)|SENZA MDC",
    ),
    ("arterial", r"(?:EARLY |LATE )?ARTER\w*|(?:EARLY |LATE )?ART|HAP|CTA|(?:PULMONARY )?ANGIO\w*|CORTICO ?MEDULLARY"),
    (
        "venous",
        r"PORTAL(?: ?VEN\w*)?|PORTO ?VEN\w*|VEN(?:OUS|OES|ÖS|OSA|EUX|OSO)\w*|VEN|PVP|PV|NEPHROGRAPHIC|HEPATIC PHASE",
    ),
    ("delayed", r"DELAY(?:ED)?|EQUILIBRIUM|LATE|SPÄT|SPAET|TARDI\w*|EXCRETORY|UROGRAPHIC|DEL|5 ?MIN|10 ?MIN"),
    (
        "enhanced",
        rf"CECT|(?:W|WITH|MIT|AVEC|CON|POST)(?: IV)? (?:{_CON}|KM|KONTRAST|CONTRASTE|INJECTION|MDC)|POST ?CON\w*|C\+|KM|"
        r"ENHANCED",
    ),
)
_PATTERNS: Final = tuple((guess, re.compile(rf"(?<![A-ZÄÖÜ])(?:{words})(?![A-ZÄÖÜ])")) for guess, words in _WORDS)
#: Abbreviations that name a phase where they are a folder's or file's whole name or the last part of one.
SHORT_NAMES: Final[Mapping[str, Phase]] = {
    "N": "native",
    "NC": "native",
    "P": "native",
    "PRE": "native",
    "PLAIN": "native",
    "0": "native",
    "A": "arterial",
    "AP": "arterial",
    "ART": "arterial",
    "1": "arterial",
    "V": "venous",
    "PV": "venous",
    "PVP": "venous",
    "VP": "venous",
    "VEN": "venous",
    "2": "venous",
    "D": "delayed",
    "DP": "delayed",
    "DEL": "delayed",
    "EP": "delayed",
    "3": "delayed",
}
# Seconds after the start of the injection: arterial 20-50, portal venous 55-110 (spec: 35 and 72 in the middle).
_CLOCK: Final[tuple[tuple[float, float, Phase], ...]] = (
    (12.0, 50.0, "arterial"),
    (52.0, 115.0, "venous"),
    (130.0, 1200.0, "delayed"),
)
_ORAL: Final = re.compile(r"ORAL|RECTAL|PER OS")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The phase of a series, why, and whether its tags said otherwise; ``phase`` is ``None`` when nobody can say."""

    phase: Phase | None
    reason: str
    contradicted: bool = False


def phase_in_words(text: str) -> Guess | None:
    """The one phase that a description names; ``None`` when it names none or several."""
    rest = re.sub(r"[_\-.,;:()\[\]]+", " ", text.upper())
    rest = re.sub(r"\s+", " ", rest)
    named: list[Guess] = []
    for guess, pattern in _PATTERNS:
        rest, count = pattern.subn(" ", rest)
        if count:
            named.append(guess)
    if len(named) > 1 and "enhanced" in named and "native" not in named:
        named.remove("enhanced")
    return named[0] if len(named) == 1 else None


def phase_in_name(name: str) -> Phase | None:
    """The phase that a folder or file is named after: a word, a short name, or ``<anything>_<short name>[_scan]``."""
    guess = phase_in_words(name)
    if guess is not None:
        return None if guess == "enhanced" else guess
    tokens = [token for token in re.split(r"[\W_]+", name.upper()) if token]
    if tokens and tokens[-1] == "SCAN":  # WAW-TACE: <patient>_<0..3>_scan.nii.gz
        tokens = tokens[:-1]
        return SHORT_NAMES.get(tokens[-1]) if len(tokens) > 1 else None
    if tokens and not tokens[-1].isdigit():
        return SHORT_NAMES.get(tokens[-1])
    return None


def seconds_after_injection(facts: Mapping[str, str]) -> float | None:
    """Acquisition Time (0008,0032) minus Contrast/Bolus Start Time (0018,1042), seconds; ``None`` when unknown."""
    began, scanned = (_seconds(facts.get(keyword, "")) for keyword in ("ContrastBolusStartTime", "AcquisitionTime"))
    if began is None or scanned is None:
        return None
    after = (scanned - began) % 86_400.0
    return after if after < 3_600.0 else None


def _seconds(time: str) -> float | None:
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
        named = phase_in_name(name)
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
        return Verdict(phase=seen, reason=evidence.words)
    if named == "delayed" or seen is None or seen == named or not evidence.plain:
        return Verdict(phase=named, reason=said_by)
    return Verdict(phase=seen, reason=f"{evidence.words}, although {said_by} says {named}", contradicted=True)
