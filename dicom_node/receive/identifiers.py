"""The four identifiers of an object, read from the beginning of its encoded data set."""

import re
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from dicom_node.errors import ReceiveError

#: How much of each data set is kept in memory while it streams to disk: enough for the identifiers of all but a few.
HEAD_BYTES = 64 * 1024
# How far we look on disk where private elements of several megabytes stand before the identifiers.
_SEARCH_BYTES = 16 * 1024 * 1024

_SOP_CLASS_UID = Tag(0x0008, 0x0016)
_SOP_INSTANCE_UID = Tag(0x0008, 0x0018)
_STUDY_INSTANCE_UID = Tag(0x0020, 0x000D)
_SERIES_INSTANCE_UID = Tag(0x0020, 0x000E)
_TAGS: tuple[BaseTag, ...] = (_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID)
# PS3.5 9.1; leading zeros in a component occur in real objects and harm nobody.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

_TAG, _SHORT, _LONG = struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<L")
# Value representations by the form of their length in explicit VR (PS3.5 7.1.2).
_LONG_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_SHORT_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_16)


@dataclass(frozen=True, kw_only=True)
class Identifiers:
    """What names an object, and the study and series that it belongs to.

    ``sop_class_uid`` and ``sop_instance_uid`` may be empty: de-identified files without them occur, and the C-STORE
    command names both (PS3.7 9.3.1.1).
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def is_uid(value: str) -> bool:
    """Whether `value` is a UID by form: digits and dots, at most 64 characters (PS3.5 9.1)."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None


def read_identifiers(head: bytes, *, transfer_syntax_uid: str, path: Path, offset: int) -> Identifiers:
    """Read the identifiers of an encoded data set.

    Parameters
    ----------
    head
        The first bytes of the data set, at most `HEAD_BYTES`.
    transfer_syntax_uid
        The transfer syntax of the presentation context that it came under.
    path, offset
        Where the whole data set stands, read only if `head` ends too early.

    Raises
    ------
    ReceiveError
        ``not_dicom`` if the bytes cannot be read as a data set in that transfer syntax or hold no identifier at all,
        ``identifier_missing`` if the study or series has no UID, ``identifier_invalid`` if one of the four is not a UID.
    """
    try:
        return _parse(head, transfer_syntax_uid)
    except ReceiveError:
        if len(head) < HEAD_BYTES:
            raise
    with path.open("rb") as file:
        file.seek(offset)
        return _parse(file.read(_SEARCH_BYTES), transfer_syntax_uid)


def _parse(encoded: bytes, transfer_syntax_uid: str) -> Identifiers:
    values = _scan(encoded, transfer_syntax_uid) or _read(encoded, transfer_syntax_uid)
    if not any(values.values()):
        raise _not_dicom(transfer_syntax_uid)
    for tag, value in values.items():
        if value or tag in (_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID):
            _check(tag, value)
    return Identifiers(
        sop_class_uid=values[_SOP_CLASS_UID],
        sop_instance_uid=values[_SOP_INSTANCE_UID],
        study_instance_uid=values[_STUDY_INSTANCE_UID],
        series_instance_uid=values[_SERIES_INSTANCE_UID],
    )


def _scan(encoded: bytes, transfer_syntax_uid: str) -> dict[BaseTag, str] | None:
    """The identifiers of a plain data set, five times faster than by `_read`; None if it is not that plain.

    Plain is little endian, not deflated, with elements in ascending order (PS3.5 7.1) and of defined length up to the
    Series Instance UID. Anything else, errors included, is left to pydicom.
    """
    if transfer_syntax_uid in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        return None
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    values = dict.fromkeys(_TAGS, "")
    offset, last, end = 0, -1, len(encoded)
    while offset + 12 <= end:
        group, number = _TAG.unpack_from(encoded, offset)
        tag = group << 16 | number
        if tag > _SERIES_INSTANCE_UID:
            return values
        vr = encoded[offset + 4 : offset + 6]
        if implicit or vr in _LONG_VRS:
            start = offset + (8 if implicit else 12)
            (length,) = _LONG.unpack_from(encoded, start - 4)
        elif vr in _SHORT_VRS:
            start = offset + 8
            (length,) = _SHORT.unpack_from(encoded, offset + 6)
        else:
            return None
        if tag <= last or start + length > end:
            return None
        if tag in values:
            values[BaseTag(tag)] = encoded[start : start + length].decode("ascii", "replace").strip(" \0")
        offset, last = start + length, tag
    return None


def _read(encoded: bytes, transfer_syntax_uid: str) -> dict[BaseTag, str]:
    try:
        if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            # A bound on the output too: a few KiB can inflate to gigabytes.
            encoded = zlib.decompressobj(-zlib.MAX_WBITS).decompress(encoded, _SEARCH_BYTES)
        dataset = read_dataset(
            BytesIO(encoded),
            is_implicit_VR=transfer_syntax_uid == ImplicitVRLittleEndian,
            is_little_endian=transfer_syntax_uid != ExplicitVRBigEndian,
            stop_when=_beyond_identifiers,
            specific_tags=list(_TAGS),
        )
        return {tag: str(dataset[tag].value).strip(" \0") if tag in dataset else "" for tag in _TAGS}
    except Exception as error:
        # Bytes that are no data set fail in any way; all mean the same.
        raise _not_dicom(transfer_syntax_uid) from error


def _not_dicom(transfer_syntax_uid: str) -> ReceiveError:
    return ReceiveError(
        "not_dicom",
        "The object could not be read as a DICOM data set in the transfer syntax agreed for it "
        f"({transfer_syntax_uid}); its bytes were kept in quarantine.",
        "Look at the file on the sending system; send the series again once it is repaired.",
    )


def _beyond_identifiers(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag > _SERIES_INSTANCE_UID


def _check(tag: BaseTag, value: str) -> None:
    if not value:
        raise ReceiveError(
            "identifier_missing",
            f"The object has no {_NAMES[tag]} {tag}, so it belongs to no series; its bytes were kept in quarantine.",
            "Check that the file is a complete DICOM image, and send the series again.",
        )
    if not is_uid(value):
        raise ReceiveError(
            "identifier_invalid",
            f"The object's {_NAMES[tag]} {tag} is not a DICOM UID; its bytes were kept in quarantine.",
            "Correct the UID on the sending system, and send the series again.",
        )


_NAMES: dict[BaseTag, str] = {
    _SOP_CLASS_UID: "SOP Class UID",
    _SOP_INSTANCE_UID: "SOP Instance UID",
    _STUDY_INSTANCE_UID: "Study Instance UID",
    _SERIES_INSTANCE_UID: "Series Instance UID",
}
