"""Whether a CT series is a native one of chest or abdomen, by the tags of one of its images.

Needs nothing but Python, as it runs within the archive. The limits of tags are its limits: a scan with contrast that no
tag tells of is sent, one that names no part of the body in any tag is not. The node looks at every image and at the
pixels, and refuses with a reason what it cannot translate; it is better to send too much.
"""

import re
from collections.abc import Mapping
from typing import Any

#: Tags as Orthanc writes them with ``?short``.
SOP_CLASS, MODALITY, IMAGE_TYPE, SYNTHETIC_DATA = "0008,0016", "0008,0060", "0008,0008", "0008,001c"
AGENT, AGENT_SEQUENCE, BODY_PART = "0018,0010", "0018,0012", "0018,0015"
STUDY_DESCRIPTION, SERIES_DESCRIPTION, PROTOCOL = "0008,1030", "0008,103e", "0018,1030"

#: CT Image, Enhanced CT Image and Legacy Converted Enhanced CT Image Storage (PS3.4 B.5).
_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
_NOT_ACQUIRED = frozenset({"DERIVED", "LOCALIZER", "SECONDARY", "REFORMATTED", "MPR", "PROJECTION IMAGE", "MIP"})
_NO_AGENT = re.compile(r"(|[-./?*\s0]+|NO|NONE|NIL|NATIV\w*|N/?A|UNKNOWN|(NO|NON|WITHOUT|W/?O|OHNE|KEIN|SANS|SIN)\b.*)")
_TORSO = re.compile(
    r"(CHEST|THORA|TORA[CX]|LUNG|POUMON|POLMON|ABDOM|ADDOM|BAUCH|PELV|BECKEN|TORSO|TRUNK|LIVER|LEBER|HEPAT|KIDNEY|RENAL"
    r"|PANCREA|SPLEEN|AORTA|HEART|\bABD|\bTAP\b|\bCAP\b|\bKUB\b)"
)


def why_not(tags: Mapping[str, Any]) -> str | None:
    """Why a series is not one to send, from an image's tags by number; None when it is one.

    The answer holds no value of a tag, so that it can be logged.
    """
    if _text(tags, SOP_CLASS) not in _CT:
        return "no CT images"
    kind = _values(tags, IMAGE_TYPE)
    # What the node sends back says so twice, in whichever form.
    if _text(tags, SYNTHETIC_DATA) == "YES":
        return "synthetic"
    if _NOT_ACQUIRED & kind:
        return "not as acquired, by Image Type"
    if tags.get(AGENT_SEQUENCE) or not _NO_AGENT.fullmatch(_text(tags, AGENT)):
        return "with contrast, by Contrast/Bolus Agent"
    if not _is_torso(tags):
        return "neither chest nor abdomen, by Body Part Examined and descriptions"
    return None


def _is_torso(tags: Mapping[str, Any]) -> bool:
    """Body Part Examined decides where it is there; else any description."""
    part = _text(tags, BODY_PART)
    if part:
        return bool(_TORSO.search(part))
    return any(_TORSO.search(_text(tags, tag)) for tag in (SERIES_DESCRIPTION, PROTOCOL, STUDY_DESCRIPTION))


def _text(tags: Mapping[str, Any], tag: str) -> str:
    value = tags.get(tag)
    return value.strip(" \0").upper() if isinstance(value, str) else ""


def _values(tags: Mapping[str, Any], tag: str) -> set[str]:
    return {one.strip() for one in _text(tags, tag).split("\\")}
