"""What a derived object needs of its source's header, so that it is asked before any work and again when it is written."""

import re
from collections.abc import Callable, Iterable

from pydicom.dataset import Dataset, FileMetaDataset

from s2ldm_core.io.header import PARSE_ERRORS, sop_class_uid, sop_instance_uid, text, texts

#: Without these a derived object cannot say whose and of which slice it is.
NEEDED_UIDS = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
NEEDED_DECIMALS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
#: Copied where they can be read, left out where they cannot: nothing hangs on them.
_OPTIONAL_DECIMALS = ("SliceThickness", "SliceLocation", "SpacingBetweenSlices", "KVP")
#: Every attribute that `incomplete` looks at.
SOURCE_KEYWORDS = (*NEEDED_UIDS, "FrameOfReferenceUID", *NEEDED_DECIMALS)

#: PS3.5 6.2 and 9.1. Components with leading zeros are not legal but kept as they are: archives hold them.
_UID = re.compile(r"[0-9.]{1,64}")
# UTC-12 to UTC+14 (PS3.3 C.12.1.1.8).
_TIMEZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")


def incomplete(header: Dataset) -> dict[str, str]:
    """What of a source header keeps a derived object from being written.

    Returns
    -------
    dict
        Keyword → ``missing``, ``longer than 64 characters`` or ``not readable``; empty when nothing does.
    """
    header = _copy(header)
    uids = {keyword: text(header, keyword) for keyword in NEEDED_UIDS}
    uids |= {"SOPInstanceUID": sop_instance_uid(header), "SOPClassUID": sop_class_uid(header)}
    found = {keyword: fault for keyword, uid in uids.items() if (fault := _uid_fault(uid))}
    if fault := _uid_fault(text(header, "FrameOfReferenceUID"), needed=False):
        found["FrameOfReferenceUID"] = fault
    for keyword, count in NEEDED_DECIMALS.items():
        values = texts(header, keyword)
        if not values and not _is_readable(header, keyword):
            found[keyword] = "not readable"
        elif not values:
            found[keyword] = "missing"
        elif len(values) != count or not all(map(_is_number, values)):
            found[keyword] = "not readable"
    return found


def mend(header: Dataset) -> None:
    """Make a source header fit to be copied from.

    SOP Class and Instance UID come from the file meta information where the data set has none; attributes that a
    derived object copies but does not need are taken out where they make no sense.
    """
    for keyword, uid in (("SOPClassUID", sop_class_uid), ("SOPInstanceUID", sop_instance_uid)):
        if not text(_copy(header), keyword):
            setattr(header, keyword, uid(header))
    for keyword in _OPTIONAL_DECIMALS:
        _leave_out(header, keyword, lambda value: all(map(_is_number, value)))
    _leave_out(header, "TimezoneOffsetFromUTC", lambda value: all(map(_TIMEZONE.fullmatch, value)))


def _leave_out(header: Dataset, keyword: str, makes_sense: Callable[[Iterable[str]], bool]) -> None:
    read = _copy(header)
    if keyword in header and not (_is_readable(read, keyword) and makes_sense(texts(read, keyword))):
        delattr(header, keyword)


def _copy(header: Dataset) -> Dataset:
    """Of the elements as they were read: what is looked at in the original loses the text that it was written as."""
    copied: Dataset = header[:]
    copied.file_meta = getattr(header, "file_meta", FileMetaDataset())
    return copied


def _is_readable(header: Dataset, keyword: str) -> bool:
    try:
        header.get(keyword)
    except PARSE_ERRORS:
        return False
    return True


def _uid_fault(uid: str, *, needed: bool = True) -> str:
    uid = uid.strip("\0 ")
    if not uid:
        return "missing" if needed else ""
    if len(uid) > 64:
        return "longer than 64 characters"
    return "" if _UID.fullmatch(uid) else "not readable"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
