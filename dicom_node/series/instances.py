"""What one instance is: a slice of a volume, or something that has no place in one."""

import re

from pydicom import Dataset

from s2ldm_core.io.header import sop_class_uid, texts

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
#: Enhanced CT and Legacy Converted Enhanced CT (PS3.3 A.38, A.70).
_MULTI_FRAME_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
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
    """What an instance is: ``slice``, ``multi_frame``, or the reason code that says why it is neither."""
    sop_class = sop_class_uid(header)
    if sop_class in _MULTI_FRAME_CT:
        return "multi_frame"
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


def _is_map(header: Dataset) -> bool:
    """Whether a CT image is a projection or parameter map, whose numbers are not the HU of a slice."""
    values = [value.upper() for value in texts(header, "ImageType")]
    return any(_MAPS.search(value) for value in values[2:])
