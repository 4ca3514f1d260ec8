"""No tag says that contrast reached the blood."""

import re
from collections import Counter

from pydicom import Dataset

from dicom_node.series.candidate import Candidate
from dicom_node.series.headers import items
from dicom_node.series.rules.rule import Finding
from s2ldm_core.io.header import text
from s2ldm_core.problem import Problem

# What people and devices write into Contrast/Bolus Agent or Route when none was given.
_NO_CONTRAST = re.compile(
    r"""^(
        [-./?*\s0]+|N|NO|NON|NIL|NULL|NEG|NEGATIVE|NA|N/A|N\.A\.?|NAN|NEIN|OHNE|SANS|SENZA|SIN|SEM|ZONDER
        |UNKNOWN|UNDEFINED|UNSPECIFIED
        |0+([.,]0+)?\s*(ML|CC)
        |(STILL\s+)?(WATER|WASSER|H2O|EAU|ACQUA|AGUA)
        |({no}[\s_-]*{contrast}|NATIVE?|NONE|{contrast}[\s_:-]*{not_given}|UN-?ENHANCED|NON[\s_-]?ENHANCED|{not_given})
         ([\s,_-]*({given}|NATIVE?|{no}[\s_-]*{contrast}))?\.?
    )$""".format(
        no=r"(NO|NON|NOT|W/?O|WITHOUT|SANS|OHNE|SENZA|SIN|SEM|ZONDER|KEIN|KEINE)",
        contrast=(
            r"((PRODUIT\s+DE\s+)?(I\.?\s?V\.?[\s_-]*)?"
            r"(CONTRASTE?|CONTRASTO|KM(-?GABE)?|KONTRAST(MITTEL)?|PDC|MDC|BOLUS|AGENT|INJECTION|MEDIUM|MEDIA)"
            r"(\s+(AGENT|MEDIUM|MEDIA))?)"
        ),
        given=r"(GIVEN|APPLIED|ADMINISTERED|USED|INJECTED|GEGEBEN|VERABREICHT)",
        not_given=r"(NOT[\s_-]*(GIVEN|APPLIED|ADMINISTERED|USED|INJECTED))",
    ),
    re.VERBOSE,
)
# Contrast that never reaches the blood.
_ENTERAL = re.compile(r"\b(ORAL(LY)?|PO|P\.O\.?|RECTAL(LY)?|ENEMA|PER OS|ENTERIC)\b")
_INTRAVENOUS = re.compile(r"\b(IV|I\.V\.?|INTRAVENOUS(LY)?|INTRA-?ARTERIAL|IA|INJECT\w*|VEIN|VENOUS)\b")

_HINT = re.compile(
    r"(C\+|\bCE\b|\bCECT\b|\bCTA\b|\bANGIO|\bART(ERIAL)?\b|\bVEN(OUS)?\b|\bPORTAL\b|\bPV\b|\bDELAY|\bPOST\b|\bWITH\b"
    r"|\bW/ ?C|\bCONTRAST\b|\bENHANCED\b)"
)


class NotEnhancedByTags:
    """Refuses a series of which one image states contrast; what the descriptions hint at is only recorded."""

    def examine(self, series: Candidate) -> Finding:
        """See `dicom_node.series.rules.Rule`."""
        headers = series.slice_headers
        hint = next(filter(None, map(_description_hint, headers)), None)
        details = {"description_hint": hint} if hint else {}
        stated = [keyword for header in headers if (keyword := contrast_statement(header))]
        if not stated:
            return Finding(details=details)
        return Finding(
            problem=Problem(
                "enhanced",
                f"The series is contrast-enhanced already: {Counter(stated).most_common(1)[0][0]} says so in "
                f"{len(stated)} of {len(headers)} images.",
                "Send the non-contrast series of the study.",
            ),
            details=details,
        )


def contrast_statement(header: Dataset) -> str | None:
    """Which tag says that contrast reached the blood: its keyword, or None.

    A text such as NONE is no contrast; oral or rectal contrast alone is none in the blood either.
    """
    agent, route = text(header, "ContrastBolusAgent").upper(), text(header, "ContrastBolusRoute").upper()
    if route and not _NO_CONTRAST.match(route) and not _is_enteral(route):
        return "ContrastBolusRoute"
    if agent and not _NO_CONTRAST.match(agent) and not _is_enteral(agent) and not _is_enteral(route):
        return "ContrastBolusAgent"
    for item in items(header, "ContrastBolusAgentSequence"):
        routes = items(item, "ContrastBolusAdministrationRouteSequence")
        if not routes or any(not _is_enteral(text(one, "CodeMeaning").upper()) for one in routes):
            return "ContrastBolusAgentSequence"
    if not agent and not route:
        for keyword in ("ContrastBolusVolume", "ContrastBolusTotalDose"):
            if _positive(text(header, keyword)):
                return keyword
    return None


def _description_hint(header: Dataset) -> str | None:
    """A word in the descriptions by which enhancement is suspected; a hint for the record, never a decision."""
    for keyword in ("SeriesDescription", "ProtocolName"):
        value = text(header, keyword).upper()
        if found := _HINT.search(value):
            return f"{keyword}: {found.group(0).strip()}"
    return None


def _is_enteral(value: str) -> bool:
    return bool(_ENTERAL.search(value)) and not _INTRAVENOUS.search(value)


def _positive(value: str) -> bool:
    try:
        return float(value) > 0
    except ValueError:
        return False
