"""What one instance is: a slice of a volume, or something that has no place in one."""

import re

from pydicom import Dataset

from s2ldm_core.geometry import MULTI_FRAME_CT
from s2ldm_core.io.frames import frame_number
from s2ldm_core.io.header import sop_class_uid, text, texts

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
#: Secondary Capture and its multi-frame forms (PS3.3 A.8).
_SECONDARY_CAPTURE_PREFIX = "1.2.840.10008.5.1.4.1.1.7"

# Values of Image Type (PS3.3 C.7.6.1.1.2) behind the first two that name maps and projections: their numbers are not
# the HU of a slice. Reformats (MPR) are slices in HU and pass; so does plain DERIVED, which PACS write when they
# compress.
_MAPS = re.compile(
    r"PERFUSION|CBF|CBV|CBP|MTT|TTP|TMAX|PERMEABILITY|MIP|MINIP|MINMIP|AVIP|PROJECTION|VRT|VOLUME.?REND|SSD|SHADED|IODINE|"
    r"EFF.?Z|ZEFF|RHO|OVERLAY|FUSION|MATERIAL|SUBTRACT|DIFFERENCE|SCREEN|DOSE"
)
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"})


def kind_of(header: Dataset) -> str:
    """What an instance is: ``slice``, ``multi_frame``, or the reason code that says why it is neither.

    A frame of an enhanced multi-frame CT (`s2ldm_core.io.frames`) is judged as a slice is; ``multi_frame`` is one that
    does not say where its frames lie.
    """
    sop_class = sop_class_uid(header)
    if sop_class in MULTI_FRAME_CT:
        if frame_number(header) is None:
            return "multi_frame"
        if _is_localizer(header):
            return "localizer"
        return "slice" if _is_original_frame(header) else "derived_map"
    if sop_class.startswith(_SECONDARY_CAPTURE_PREFIX):
        return "secondary_capture"
    if sop_class != _CT_IMAGE:
        return "not_ct"
    if _is_localizer(header):
        return "localizer"
    return "derived_map" if _is_map(header) else "slice"


def _is_localizer(header: Dataset) -> bool:
    """Whether a CT image is a localizer (PS3.3 C.8.2.1.1.1)."""
    return any(value.upper() in _LOCALIZERS for value in texts(header, "ImageType"))


def _is_original_frame(header: Dataset) -> bool:
    """Whether a frame is of a volume as scanned: no map, projection or mixture (PS3.3 C.8.16.1, C.8.15.2.1.1)."""
    kind = [value.upper() for value in texts(header, "ImageType")]
    how = kind[3] if len(kind) > 3 else "NONE"
    volumetric = text(header, "VolumetricProperties").upper() or "VOLUME"
    return kind[:1] == ["ORIGINAL"] and how == "NONE" and volumetric == "VOLUME" and not _is_map(header)


def _is_map(header: Dataset) -> bool:
    """Whether a CT image is a projection or parameter map, whose numbers are not the HU of a slice."""
    values = [value.upper() for value in texts(header, "ImageType")]
    return any(_MAPS.search(value) for value in values[2:])
