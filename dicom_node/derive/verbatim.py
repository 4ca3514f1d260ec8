"""Copying attributes as the text they are: no decoding, no re-encoding, no float drift.

Text is carried over byte for byte together with the source's Specific Character Set, so that a name in a character set
which cannot be decoded here still arrives unchanged at the archive.
"""

import copy
import math
import re
from collections.abc import Iterable

import numpy as np
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import format_number_as_ds

#: VRs whose value is text in either byte order (PS3.5 6.2).
_TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_NUMBER_VRS = frozenset(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))
_DS_MAX_CHARACTERS = 16
_DECIMAL = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([Ee][+-]?\d+)? *")
_INTEGER = re.compile(r" *[+-]?\d{1,10} *")


def copy_verbatim(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy root attributes that have a value; text as its bytes, sequences and numbers by value.

    Decimals and integers go through `copy_decimals`. Other text is not judged: a name or an identifier that is too long
    or does not follow its character set is still the one that the archive knows.
    """
    for keyword in keywords:
        tag = _tag(keyword)
        if tag not in source:
            continue
        if dictionary_VR(tag) in ("DS", "IS"):
            copy_decimals(source, target, [keyword])
            continue
        raw = _raw_text(source, tag)
        if raw is not None:
            if raw.strip(b" \0"):
                target[tag] = _raw_element(tag, raw)
        elif _is_of_another_kind(source, tag):
            continue
        elif not source[tag].is_empty:
            target[tag] = copy.deepcopy(source[tag])


def copy_decimals(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy DS and IS attributes whose values are numbers: as the same text where that is legal, else rounded to fit.

    Text that is not a number (such as ``5,0``) stays behind: readers would each make another number of it. Numbers that
    the source holds as binary (FD in place of DS) become text.
    """
    for keyword in keywords:
        tag = _tag(keyword)
        if tag not in source:
            continue
        vr = dictionary_VR(tag)
        raw = _raw_text(source, tag)
        texts = _numbers(source, tag) if raw is None else raw.decode("ascii", "replace").rstrip("\0 ").split("\\")
        legal = [_legal_number(text, vr=vr) for text in texts]
        if not any(text.strip() for text in texts) or None in legal:
            continue
        value = "\\".join(map(str, legal)).encode("ascii")
        target[tag] = _raw_element(tag, raw if raw is not None and legal == texts else value)


def decimals_of(source: Dataset, keyword: str) -> list[float]:
    """The values of a DS attribute.

    Raises
    ------
    ValueError
        One of them is not a number.
    """
    return [float(text) for text in text_of(source, keyword).split("\\")]


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
    if raw is not None:
        return raw.decode("ascii", "replace").strip(" \0")
    if dictionary_VR(tag) in ("DS", "IS"):
        return "\\".join(_numbers(source, tag)).strip(" \0")
    if _is_of_another_kind(source, tag):
        return ""
    return str(source[tag].value or "").strip(" \0")


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
    if element.VR in _NUMBER_VRS or element.VR in ("AT", "SQ"):
        return None
    return element.value or b""


def _is_of_another_kind(source: Dataset, tag: BaseTag) -> bool:
    """Does the source hold binary numbers or a sequence where the dictionary has text, or the other way round?"""
    told, right = source.get_item(tag).VR, dictionary_VR(tag)
    if right in _TEXT_VRS:
        return told in _NUMBER_VRS or told in ("AT", "SQ")
    return told is not None and (told == "SQ") != (right == "SQ")


def _numbers(source: Dataset, tag: BaseTag) -> list[str]:
    """The values of a number held as binary, or decoded already, as text; none when it is no number at all."""
    element = source[tag]
    if element.VR not in (*_NUMBER_VRS, "DS", "IS") or element.is_empty:
        return []
    values = element.value if element.VM > 1 else [element.value]
    if element.VR == "FL":  # the shortest text of the same single precision number
        return [str(np.float32(value)) for value in values]
    return [getattr(value, "original_string", None) or str(value) for value in values]


def _legal_number(text: str, *, vr: str) -> str | None:
    """``text`` if it is legal for its VR (PS3.5 6.2), else the same number, rounded to fit; None if it is no number."""
    if vr == "IS":
        if _INTEGER.fullmatch(text):
            return text
        whole = re.fullmatch(r" *([+-]?\d{1,10})\.0* *", text)
        return whole[1] if whole else None
    if _DECIMAL.fullmatch(text) is None or not math.isfinite(float(text)):
        return None
    return text if len(text) <= _DS_MAX_CHARACTERS else format_number_as_ds(float(text))


def _raw_element(tag: BaseTag, value: bytes) -> RawDataElement:
    vr = dictionary_VR(tag)
    if len(value) % 2:  # even length, padded with a space, or NUL for UIDs (PS3.5 6.2)
        value += b"\0" if vr == "UI" else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)
