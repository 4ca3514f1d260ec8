"""C-STORE command sets (PS3.7 9.3.1, tables 9.3-1 and 9.3-2) and those like it, read and written without a detour over data sets.

Command sets are flat and always implicit VR little endian (PS3.7 6.3.1), and one of each kind goes with every image.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_AFFECTED_SOP_CLASS_UID = 0x0002
_REQUESTED_SOP_CLASS_UID = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_MOVE_DESTINATION = 0x0600
_PRIORITY = 0x0700
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_REQUESTED_SOP_INSTANCE_UID = 0x1001
_EVENT_TYPE_ID = 0x1002
_ACTION_TYPE_ID = 0x1008

_C_STORE_RQ = 0x0001
_C_GET_RQ = 0x0010
_C_FIND_RQ = 0x0020
_C_MOVE_RQ = 0x0021
_C_ECHO_RQ = 0x0030
_C_CANCEL_RQ = 0x0FFF
_N_EVENT_REPORT_RQ = 0x0100
_N_ACTION_RQ = 0x0130
# What is set in the field of the response to a request.
_RESPONSE = 0x8000
_NO_DATA_SET = 0x0101
_A_DATA_SET = 0x0001
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What must be known of any command set to go on.

    Attributes
    ----------
    field
        Which message it is (PS3.7 E.1); the UIDs are empty if they are not there.
    has_data_set
        Whether a data set follows.
    message_id
        Of a request its own, of a response that of the request.
    type_id
        Event Type ID of an N-EVENT-REPORT-RQ, Action Type ID of an N-ACTION-RQ (PS3.7 10.3.1, 10.3.4); else 0.
    status
        Of a response.
    move_destination
        Of a C-MOVE-RQ: the AE title that it is to go to (PS3.7 9.3.4.1).
    """

    field: int
    has_data_set: bool
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    type_id: int = 0
    status: int = 0
    move_destination: str = ""

    @property
    def is_store_request(self) -> bool:
        """Whether it is a C-STORE-RQ."""
        return self.field == _C_STORE_RQ

    @property
    def is_find_request(self) -> bool:
        """Whether it is a C-FIND-RQ."""
        return self.field == _C_FIND_RQ

    @property
    def is_get_request(self) -> bool:
        """Whether it is a C-GET-RQ."""
        return self.field == _C_GET_RQ

    @property
    def is_move_request(self) -> bool:
        """Whether it is a C-MOVE-RQ."""
        return self.field == _C_MOVE_RQ

    @property
    def is_cancel_request(self) -> bool:
        """Whether it is a C-CANCEL-RQ; its ``message_id`` is that of the request to cancel."""
        return self.field == _C_CANCEL_RQ

    @property
    def answers_store(self) -> bool:
        """Whether it is a C-STORE-RSP, to a sub-operation of C-GET."""
        return self.field == _C_STORE_RQ | _RESPONSE

    @property
    def is_action_request(self) -> bool:
        """Whether it is an N-ACTION-RQ."""
        return self.field == _N_ACTION_RQ

    @property
    def is_event_report(self) -> bool:
        """Whether it is an N-EVENT-REPORT-RQ."""
        return self.field == _N_EVENT_REPORT_RQ

    @property
    def answers_event_report(self) -> bool:
        """Whether it is an N-EVENT-REPORT-RSP."""
        return self.field == _N_EVENT_REPORT_RQ | _RESPONSE

    @property
    def is_other_request(self) -> bool:
        """Whether it is a request for anything but C-STORE and C-ECHO; a C-CANCEL-RQ is answered by no message."""
        return not self.field & _RESPONSE and self.field not in (_C_STORE_RQ, _C_ECHO_RQ, _C_CANCEL_RQ)


def decode_command(encoded: bytes) -> Command:
    """Decode a command set; raises ValueError if it is none."""
    try:
        elements = dict(_elements(encoded))
        return Command(
            field=_us(elements[_COMMAND_FIELD]),
            has_data_set=_us(elements[_COMMAND_DATA_SET_TYPE]) != _NO_DATA_SET,
            message_id=_us(_first(elements, _MESSAGE_ID, _MESSAGE_ID_BEING_RESPONDED_TO, default=bytes(2))),
            sop_class_uid=_uid(_first(elements, _AFFECTED_SOP_CLASS_UID, _REQUESTED_SOP_CLASS_UID)),
            sop_instance_uid=_uid(_first(elements, _AFFECTED_SOP_INSTANCE_UID, _REQUESTED_SOP_INSTANCE_UID)),
            type_id=_us(_first(elements, _EVENT_TYPE_ID, _ACTION_TYPE_ID, default=bytes(2))),
            status=_us(elements.get(_STATUS, bytes(2))),
            move_destination=_uid(elements.get(_MOVE_DESTINATION, b"")),
        )
    except (KeyError, struct.error) as error:
        raise ValueError("not a command set") from error


def encode_response(request: Command, *, status: int, comment: str = "") -> bytes:
    """Encode the response to `request`, without data set, as a C-STORE-RSP has it (PS3.7 table 9.3-2).

    `comment` is for a failure or a warning, at most 64 characters (VR LO).
    """
    body = b"".join(
        (
            _named(_AFFECTED_SOP_CLASS_UID, request.sop_class_uid),
            _element(_COMMAND_FIELD, struct.pack("<H", request.field | _RESPONSE)),
            _element(_MESSAGE_ID_BEING_RESPONDED_TO, struct.pack("<H", request.message_id)),
            _element(_COMMAND_DATA_SET_TYPE, struct.pack("<H", _NO_DATA_SET)),
            _element(_STATUS, struct.pack("<H", status)),
            _element(_ERROR_COMMENT, _even(comment[:64], b" ")) if comment else b"",
            _named(_AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid),
        )
    )
    return _element(0x0000, struct.pack("<L", len(body))) + body


def encode_store_request(*, message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Encode a C-STORE-RQ, of medium priority, as a sub-operation of C-GET (PS3.7 table 9.3-1)."""
    body = b"".join(
        (
            _named(_AFFECTED_SOP_CLASS_UID, sop_class_uid),
            _element(_COMMAND_FIELD, struct.pack("<H", _C_STORE_RQ)),
            _element(_MESSAGE_ID, struct.pack("<H", message_id)),
            _element(_PRIORITY, bytes(2)),
            _element(_COMMAND_DATA_SET_TYPE, struct.pack("<H", _A_DATA_SET)),
            _named(_AFFECTED_SOP_INSTANCE_UID, sop_instance_uid),
        )
    )
    return _element(0x0000, struct.pack("<L", len(body))) + body


def _elements(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(encoded):
        group, number, length = struct.unpack_from("<HHL", encoded, offset)
        offset += 8
        if group != 0x0000 or length > len(encoded) - offset:
            raise ValueError("not a command set")
        yield number, encoded[offset : offset + length]
        offset += length


def _first(elements: Mapping[int, bytes], *numbers: int, default: bytes = b"") -> bytes:
    return next((elements[number] for number in numbers if number in elements), default)


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0x0000, number, len(value)) + value


def _named(number: int, uid: str) -> bytes:
    # Both may be left out (PS3.7 table 9.3-2); what is no UID would be no message to the peer.
    return _element(number, _even(uid, b"\0")) if _UID.fullmatch(uid) else b""


def _us(value: bytes) -> int:
    number: int = struct.unpack("<H", value)[0]
    return number


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")


def _even(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    return value + padding if len(value) % 2 else value
