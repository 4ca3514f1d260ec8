"""The frames of an enhanced multi-frame CT as headers of single slices (PS3.3 A.38, A.70, C.7.6.16)."""

from collections.abc import Iterator

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag, Tag

from s2ldm_core.geometry import MULTI_FRAME_CT
from s2ldm_core.io.header import PARSE_ERRORS, sop_class_uid, sop_instance_uid, text

#: Keywords that `frame_headers` looks at beside those that are wanted of a slice.
FRAME_KEYWORDS = ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")

#: Functional groups whose attributes are those of a single-frame CT image, or stand for them.
_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FrameAnatomySequence",
    "FrameContentSequence",
    "CTImageFrameTypeSequence",
    "CTReconstructionSequence",
    "CTXRayDetailsSequence",
)
_STANDS_FOR = {"FrameType": "ImageType", "FrameAcquisitionNumber": "AcquisitionNumber"}
_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def frame_headers(header: Dataset) -> list[Dataset]:
    """One header for each frame of an enhanced multi-frame CT, with the attributes that a single-frame slice has.

    Each says in Referenced Frame Number which frame it is (from 1), which is its Instance Number as well.

    Returns
    -------
    list of Dataset
        The header itself when it is no such image, or its functional groups are not those of slices.
    """
    if sop_class_uid(header) not in MULTI_FRAME_CT:
        return [header]
    try:
        count = int(text(header, "NumberOfFrames") or 0)
        (shared,) = header.SharedFunctionalGroupsSequence
        of_frames = header.PerFrameFunctionalGroupsSequence
        if count < 1 or len(of_frames) != count:
            return [header]
        root = _without(header, (*FRAME_KEYWORDS, "PixelData"))
        frames = [_frame(root, (shared, groups), number) for number, groups in enumerate(of_frames, start=1)]
    except PARSE_ERRORS:
        return [header]
    return frames if all(keyword in one for one in frames for keyword in _NEEDED) else [header]


def frame_number(header: Dataset) -> int | None:
    """Which frame a header of `frame_headers` is of, from 1; None for a single-frame image."""
    if sop_class_uid(header) not in MULTI_FRAME_CT or "ReferencedFrameNumber" not in header:
        return None
    return int(header.ReferencedFrameNumber)


def slice_uid(header: Dataset) -> str:
    """What names one slice: its SOP Instance UID, and the frame's number where it is one of several."""
    return name_slice(sop_instance_uid(header), frame_number(header))


def name_slice(uid: str, frame: int | None) -> str:
    """The same from its parts."""
    return uid if frame is None else f"{uid}#{frame}"


def _without(header: Dataset, keywords: tuple[str, ...]) -> Dataset:
    left_out = {Tag(keyword) for keyword in keywords}
    root = Dataset()
    root.file_meta = getattr(header, "file_meta", FileMetaDataset())
    for tag in header.keys() - left_out:
        root[tag] = header.get_item(tag)
    return root


def _frame(root: Dataset, groups: tuple[Dataset, Dataset], number: int) -> Dataset:
    frame = Dataset()
    for tag in list(root.keys()):
        frame[tag] = root.get_item(tag)
    frame.file_meta = root.file_meta
    for tag, element in _elements(groups):
        frame[tag] = element
    frame.ReferencedFrameNumber = number
    frame.InstanceNumber = number
    return frame


def _elements(groups: tuple[Dataset, Dataset]) -> Iterator[tuple[BaseTag, DataElement | RawDataElement]]:
    """The attributes of shared, then of the frame's own groups; raw, as the text that they were written as."""
    for group in groups:
        for keyword in _GROUPS:
            if keyword not in group or not group[keyword].value:
                continue
            item = group[keyword].value[0]
            for tag in list(item.keys()):
                yield tag, item.get_item(tag)
            for keyword_of, stands_for in _STANDS_FOR.items():
                if keyword_of in item:
                    yield (
                        Tag(stands_for),
                        DataElement(Tag(stands_for), dictionary_VR(stands_for), item[keyword_of].value),
                    )
