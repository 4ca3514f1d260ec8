"""The four identifiers of an object, read from the beginning of its encoded data set."""

import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path

from pydicom.datadict import dictionary_description
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from dicom_node.errors import ReceiveError

#: How much of each data set is kept in memory while it streams to disk: enough for the identifiers of all but a few.
HEAD_BYTES = 64 * 1024
# How far we look on disk where private elements of several megabytes stand before the identifiers.
_SEARCH_BYTES = 16 * 1024 * 1024
# More elements than any header has before the series is named. Each costs time, and a few KiB can inflate to millions.
_SEARCH_ELEMENTS = 20_000

_TAGS = {
    "sop_class_uid": Tag(0x0008, 0x0016),
    "sop_instance_uid": Tag(0x0008, 0x0018),
    "study_instance_uid": Tag(0x0020, 0x000D),
    "series_instance_uid": Tag(0x0020, 0x000E),
}
# PS3.5 9.1, with at most 64 characters; leading zeros in a component occur in real objects and harm nobody.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_VR = re.compile(rb"[A-Z]{2}")


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
    """Whether `value` is a UID (PS3.5 9.1), one whose components begin with zeros included."""
    return len(value) <= 64 and value.isascii() and _UID.fullmatch(value) is not None


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
    try:
        values = _read(encoded, transfer_syntax_uid)
    except Exception as error:
        # Bytes that are no data set fail in any way; all mean the same.
        raise _not_dicom(transfer_syntax_uid) from error
    for name, tag in _TAGS.items():
        value, description = values[name], f"{dictionary_description(tag)} {tag}"
        if not value and name in ("study_instance_uid", "series_instance_uid"):
            raise ReceiveError(
                "identifier_missing",
                f"The object has no {description}, so it belongs to no series; its bytes were kept in quarantine.",
                "Check that the file is a complete DICOM image, and send the series again.",
            )
        if value and not is_uid(value):
            raise ReceiveError(
                "identifier_invalid",
                f"The object's {description} is not a DICOM UID; its bytes were kept in quarantine.",
                "Correct the UID on the sending system, and send the series again.",
            )
    return Identifiers(**values)


def _read(encoded: bytes, transfer_syntax_uid: str) -> dict[str, str]:
    """The identifiers by name, empty where there is none.

    Elements are taken from pydicom as it finds them; a data set made of them would cost three times the time of a plain
    header.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        # A bound on the output too: a few KiB can inflate to gigabytes.
        encoded = zlib.decompressobj(-zlib.MAX_WBITS).decompress(encoded, _SEARCH_BYTES)
    elements = data_element_generator(
        BytesIO(encoded),
        # As the first element has it: some senders encode with the other form of VR than was agreed.
        is_implicit_VR=_VR.match(encoded, 4) is None,
        is_little_endian=transfer_syntax_uid != ExplicitVRBigEndian,
        stop_when=_end_of_search(),
        specific_tags=list(_TAGS.values()),
    )
    found: dict[BaseTag, bytes] = {}
    # Where the bytes end in the middle of an element, what stood before it counts.
    with suppress(EOFError):
        for element in elements:
            found[element.tag] = bytes(element.value or b"")
    if not found:
        raise ValueError("none of the identifiers is there, not even empty")
    return {name: found.get(tag, b"").decode("ascii", "replace").strip(" \0") for name, tag in _TAGS.items()}


def _end_of_search() -> Callable[[BaseTag, str | None, int], bool]:
    """Tells of each element in turn whether it lies behind the identifiers; raises ValueError for one too many."""
    seen = count()

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        if next(seen) >= _SEARCH_ELEMENTS:
            raise ValueError("more elements than a header has")
        return tag > _TAGS["series_instance_uid"]

    return stop


def _not_dicom(transfer_syntax_uid: str) -> ReceiveError:
    return ReceiveError(
        "not_dicom",
        "The object could not be read as a DICOM data set in the transfer syntax agreed for it "
        f"({transfer_syntax_uid}); its bytes were kept in quarantine.",
        "Look at the file on the sending system; send the series again once it is repaired.",
    )
