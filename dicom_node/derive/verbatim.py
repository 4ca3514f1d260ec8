"""Copying attributes as the text they are: no decoding, no re-encoding, no float drift.

Text is carried over byte for byte together with the source's Specific Character Set, so that a name in a character set
which cannot be decoded here still arrives unchanged at the archive.
"""

import copy
from collections.abc import Iterable

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import DSfloat

#: VRs whose value is text in either byte order (PS3.5 6.2).
_TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_DS_MAX_BYTES = 16


def copy_verbatim(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy root attributes that have a value; text as its bytes, sequences and numbers by value."""
    for keyword in keywords:
        tag = _tag(keyword)
        if tag not in source:
            continue
        raw = _raw_text(source, tag)
        if raw is not None:
            if raw.strip(b" \0"):
                target[tag] = _raw_element(tag, raw)
        elif not source[tag].is_empty:
            target[tag] = copy.deepcopy(source[tag])


def copy_decimals(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy DS attributes, as the same text where the text is legal (16 bytes a value), else rounded to fit."""
    for keyword in keywords:
        tag = _tag(keyword)
        if tag not in source:
            continue
        raw = _raw_text(source, tag)
        if raw is not None and not raw.strip(b" \0"):
            continue
        if raw is not None and all(len(part) <= _DS_MAX_BYTES for part in raw.rstrip(b"\0 ").split(b"\\")):
            target[tag] = _raw_element(tag, raw)
            continue
        element = source[tag]
        values = list(element.value) if element.VM > 1 else [element.value]
        target[tag] = DataElement(tag, "DS", [DSfloat(float(value), auto_format=True) for value in values])


def set_empty_if_absent(target: Dataset, keywords: Iterable[str]) -> None:
    """Give type 2 attributes that are absent an empty value (PS3.5 7.4.3)."""
    for keyword in keywords:
        tag = _tag(keyword)
        if tag not in target:
            target[tag] = DataElement(tag, dictionary_VR(tag), None)


def keep_encoding(target: Dataset) -> None:
    """Declare that ``target`` already is what will be written, so that pydicom writes copied bytes as they are.

    pydicom decodes and re-encodes the text of a data set whose original encoding differs from the one written; that is
    lossy for text which does not follow its own character set.
    """
    element = target.get("SpecificCharacterSet")
    target.set_original_encoding(False, True, convert_encodings(element) if element else default_encoding)


def text_of(source: Dataset, keyword: str) -> str:
    """The value of a text attribute, ASCII only and stripped; empty when absent. Never raises for bad text."""
    tag = _tag(keyword)
    if tag not in source:
        return ""
    raw = _raw_text(source, tag)
    text = raw.decode("ascii", "replace") if raw is not None else str(source[tag].value or "")
    return text.strip(" \0")


def _tag(keyword: str) -> BaseTag:
    number = tag_for_keyword(keyword)
    if number is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return Tag(number)


def _raw_text(source: Dataset, tag: BaseTag) -> bytes | None:
    """The stored bytes of a text attribute; None when it is not text or has been decoded already."""
    element = source.get_item(tag)
    if not isinstance(element, RawDataElement) or dictionary_VR(tag) not in _TEXT_VRS:
        return None
    return element.value or b""


def _raw_element(tag: BaseTag, value: bytes) -> RawDataElement:
    vr = dictionary_VR(tag)
    if len(value) % 2:  # even length, padded with a space, or NUL for UIDs (PS3.5 6.2)
        value += b"\0" if vr == "UI" else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)
