"""The rules about single headers: what an instance is, and whether its tags say contrast."""

import re

from pydicom import Dataset

from dicom_node.series.headers import items, text, texts

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
#: Enhanced CT and Legacy Converted Enhanced CT (PS3.3 A.38, A.70).
MULTI_FRAME_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
#: Secondary Capture and its multi-frame forms (PS3.3 A.8).
SECONDARY_CAPTURE_PREFIX = "1.2.840.10008.5.1.4.1.1.7"

#: DCM 109100, CID 7005: the equipment made up the image.
_SYNTHESIZING_EQUIPMENT = ("109100", "DCM")

# Values of Image Type (PS3.3 C.7.6.1.1.2) behind the first two that name maps and projections: their numbers are not
# the HU of a slice. Reformats (MPR) are slices in HU and pass; so does plain DERIVED, which PACS write when they
# compress.
_MAPS = re.compile(
    r"PERFUSION|CBF|CBV|CBP|MTT|TTP|TMAX|PERMEABILITY|MIP|MINIP|MINMIP|AVIP|PROJECTION|VRT|VOLUME.?REND|SSD|SHADED|IODINE|"
    r"EFF.?Z|ZEFF|RHO|OVERLAY|FUSION|MATERIAL|SUBTRACT|DIFFERENCE|SCREEN|DOSE"
)
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"})

# What people and devices write into Contrast/Bolus Agent or Route when none was given.
_NO_CONTRAST = re.compile(
    r"""^(
        |[-./?*\s0]+|N|NO|NON|NONE|NIL|NULL|NEG|NEGATIVE|NA|N/A|N\.A\.?|NAN|NEIN|OHNE|SANS|SENZA|SIN|ZONDER|NATIVE?|NATIV
        |UNKNOWN|UNDEFINED|UNSPECIFIED
        |(NO|NON|W/?O|WITHOUT|WO|SANS|OHNE|SENZA|SIN)[\s_-]*(IV[\s_-]*)?(CONTRASTE?|CONTRASTO|KM|KONTRAST(MITTEL)?|PDC|BOLUS|AGENT|INJECTION)
        |NOT[\s_-]*(GIVEN|APPLIED|ADMINISTERED|USED)|UN-?ENHANCED|NON[\s_-]?ENHANCED
    )$""",
    re.VERBOSE,
)
# Contrast that never reaches the blood.
_ENTERAL = re.compile(r"\b(ORAL(LY)?|PO|P\.O\.?|RECTAL(LY)?|ENEMA|PER OS|ENTERIC)\b")
_INTRAVENOUS = re.compile(r"\b(IV|I\.V\.?|INTRAVENOUS(LY)?|INTRA-?ARTERIAL|IA|INJECT\w*|VEIN|VENOUS)\b")

_HINT = re.compile(
    r"(C\+|\bCE\b|\bCECT\b|\bCTA\b|\bANGIO|\bART(ERIAL)?\b|\bVEN(OUS)?\b|\bPORTAL\b|\bPV\b|\bDELAY|\bPOST\b|\bWITH\b"
    r"|\bW/ ?C|\bCONTRAST\b|\bENHANCED\b)"
)


def is_synthetic(header: Dataset) -> bool:
    """Whether an instance was synthesised, by this node or another one.

    By Synthetic Data (0008,001C) or a Contributing Equipment item with the purpose "Synthesizing Equipment"; never by
    description text, which anybody may write.
    """
    if text(header, "SyntheticData").upper() == "YES":
        return True
    for equipment in items(header, "ContributingEquipmentSequence"):
        for purpose in items(equipment, "PurposeOfReferenceCodeSequence"):
            if (text(purpose, "CodeValue"), text(purpose, "CodingSchemeDesignator")) == _SYNTHESIZING_EQUIPMENT:
                return True
    return False


def is_localizer(header: Dataset) -> bool:
    """Whether a CT image is a localizer (PS3.3 C.8.2.1.1.1)."""
    return any(value.upper() in _LOCALIZERS for value in texts(header, "ImageType"))


def is_map(header: Dataset) -> bool:
    """Whether a CT image is a projection or parameter map, whose numbers are not the HU of a slice."""
    values = [value.upper() for value in texts(header, "ImageType")]
    return any(_MAPS.search(value) for value in values[2:])


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


def description_hint(header: Dataset) -> str | None:
    """A word in the descriptions that smells of contrast; a hint for the record, never a decision."""
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
