"""Contrast phases in the words of descriptions, folders and tables.

Accents are taken off and capitals put on before anything is looked for, so that *Spätphase*, *SPATPHASE* and *spätphase* are one
word. What matches is taken out of the text, in the order of the list: *NON CONTRAST* is not also *CONTRAST*, *LATE ARTERIAL* not
also *LATE*.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal

Phase = Literal["native", "arterial", "venous", "delayed"]
PHASES: Final[tuple[Phase, ...]] = ("native", "arterial", "venous", "delayed")
Guess = Literal["native", "arterial", "venous", "delayed", "enhanced"]

_CON: Final = r"CON(?:T(?:RAST)?)?"
# Contrast medium as Germans, Spaniards, French, Italians, Portuguese, Dutch and Poles write it.
_AGENT: Final = r"(?:KM|KONTRAST\w*|CONTRAST\w*|CIV|MDC|M ?D ?C|PDC|INJECTION|KONTRASTU)"
_WORDS: Final[tuple[tuple[Guess, str], ...]] = (
    (
        "native",
        rf"NCCT|NECT|NATIV(?:E|A|O|NA|NI|NY|ES|AS|OS)?|NATIEF|NON ?(?:IV ?)?{_CON}|UNENHANCED|NON ?ENHANCED|PRE ?{_CON}|PLAIN|"
        rf"BASALE?|(?:W ?/ ?O|WO|WITHOUT)(?: IV)?(?: {_CON})?|(?:OHNE|VOR|SIN|SEM|SENZA|SANS|ZONDER|BEZ) (?:IV )?{_AGENT}|"
        r"SANS IV|O ?KM|KONTRASTSIZ|БЕЗ КОНТРАСТ\w*|НАТИВН\w*|平扫|非增强|未增强|单纯|単純",
    ),
    (
        "arterial",
        r"(?:(?:EARLY|LATE|FRUH|SPAT) ?)?ARTER\w*|(?:EARLY |LATE )?ART|HAP|CTA|(?:PULMONARY )?ANGIO\w*|CORTICO ?MEDULLARY|"
        r"АРТЕРИАЛЬН\w*|动脉[早晚]?期|動脈[早後]?[期相]",
    ),
    (
        "venous",
        r"PORTAL(?: ?VEN\w*)?|PORTO ?VEN\w*|VEN(?:OUS|OES|OS|EU[XS]|OZ)\w*|VEN|PVP|PV|NEPHROGRAPHIC|HEPATIC PHASE|"
        r"ПОРТАЛЬН\w*|ВЕНОЗН\w*|门静脉期|门脉期|静脉期|門脈[期相]|静脈[期相]",
    ),
    (
        "delayed",
        r"DELAY(?:ED)?|EQUILIB\w*|LATE|SPAT(?:E|PHASE|SCAN|AUFNAHME)?|SPAET(?:E|PHASE)?|TARDI\w*|EXCRETORY|UROGRAPHIC|"
        r"VERZOGERT\w*|DEL|(?<!\d)(?:[3-9]|1[0-5]) ?MIN|ОТСРОЧЕН\w*|延迟期|延时期?|平衡[期相]|排泄期",
    ),
    (
        "enhanced",
        rf"CECT|(?:W|WITH|MIT|NACH|AVEC|CON|COM|MET|POST)(?: IV)? (?:{_CON}|{_AGENT})|POST ?CON\w*|C\+|KM|ENHANCED|INJECTE\w*|增强",
    ),
)
_PATTERNS: Final = tuple((guess, re.compile(rf"(?<![A-ZА-Я])(?:{words})(?![A-ZА-Я])")) for guess, words in _WORDS)
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


def phase_in_words(text: str) -> Guess | None:
    """The one phase that a description names; ``None`` when it names none or several."""
    rest = re.sub(r"[_\-.,;:()\[\]]+", " ", _plain(text))
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


def phase_in_full_name(name: str) -> Phase | None:
    """The phase that a name spells out, or is the abbreviation of: the last letter of ``CASE_A`` may only be a count."""
    guess = phase_in_words(name)
    if guess is not None:
        return None if guess == "enhanced" else guess
    short = name.strip().upper()
    return SHORT_NAMES.get(short) if len(short) > 1 else None


def _plain(text: str) -> str:
    """Capitals without accents; Cyrillic and Chinese letters stay what they are."""
    apart = unicodedata.normalize("NFKD", text.upper())
    return unicodedata.normalize("NFC", "".join(one for one in apart if not unicodedata.combining(one)))
