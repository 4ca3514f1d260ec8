"""The file meta information of received objects (PS3.10 7.1)."""

from dataclasses import dataclass

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

# Long form of the length in explicit VR (PS3.5 7.1.2).
_LONG_VRS = frozenset({b"OB"})


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What the file meta information says of an object and of its way here (PS3.10 7.1)."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str


def file_meta(provenance: Provenance) -> bytes:
    """Preamble, prefix and file meta information (PS3.10 7.1), explicit VR little endian.

    Written here rather than by pydicom because the values come from the wire: they are written as they are, whatever
    their form, and the time is spent for each image.
    """
    elements = b"".join(
        _element(number, vr, value)
        for number, vr, value in (
            (0x0001, b"OB", b"\x00\x01"),
            (0x0002, b"UI", _text(provenance.sop_class_uid, 64)),
            (0x0003, b"UI", _text(provenance.sop_instance_uid, 64)),
            (0x0010, b"UI", _text(provenance.transfer_syntax_uid, 64)),
            (0x0012, b"UI", PYNETDICOM_IMPLEMENTATION_UID.encode("ascii")),
            (0x0013, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION.encode("ascii")),
            (0x0016, b"AE", _text(provenance.calling_ae, 16)),
            (0x0018, b"AE", _text(provenance.called_ae, 16)),
        )
    )
    group_length = _element(0x0000, b"UL", len(elements).to_bytes(4, "little"))
    return bytes(128) + b"DICM" + group_length + elements


def _text(value: str, length: int) -> bytes:
    return value.encode("ascii", "replace")[:length]


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if vr in (b"AE", b"SH") else b"\0"
    length = len(value).to_bytes(4 if vr in _LONG_VRS else 2, "little")
    reserved = b"\0\0" if vr in _LONG_VRS else b""
    return b"\x02\x00" + number.to_bytes(2, "little") + vr + reserved + length + value
