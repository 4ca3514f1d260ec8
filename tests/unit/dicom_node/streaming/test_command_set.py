"""C-STORE command sets and those like it, against pynetdicom's."""

from io import BytesIO

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
    N_ACTION_RQ,
    N_EVENT_REPORT_RSP,
)
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_MOVE, C_STORE, N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import decode, encode

from dicom_node.streaming.command_set import decode_command, encode_response, encode_store_request


def encoded_store_request(sop_instance_uid: str = "1.2.3.45") -> bytes:
    request = C_STORE()
    request.MessageID = 513
    request.AffectedSOPClassUID = CTImageStorage
    request.AffectedSOPInstanceUID = sop_instance_uid
    request.Priority = 0
    request.DataSet = BytesIO(b"data set")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    return encoded


@pytest.mark.parametrize("uid", ["1.2.3.45", "1.2.3.4"], ids=["even", "padded"])
def test_a_store_request_is_decoded(uid: str) -> None:
    command = decode_command(encoded_store_request(uid))
    assert command.is_store_request
    assert command.has_data_set
    assert command.message_id == 513
    assert (command.sop_class_uid, command.sop_instance_uid) == (CTImageStorage, uid)


def test_an_echo_request_is_no_store_request() -> None:
    echo = C_ECHO()
    echo.MessageID = 1
    echo.AffectedSOPClassUID = "1.2.840.10008.1.1"
    message = C_ECHO_RQ()
    message.primitive_to_message(echo)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    command = decode_command(encoded)
    assert not command.is_store_request
    assert not command.has_data_set


def test_a_request_for_storage_commitment_is_decoded() -> None:
    action = N_ACTION()
    action.MessageID, action.ActionTypeID = 3, 1
    action.RequestedSOPClassUID, action.RequestedSOPInstanceUID = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
    action.ActionInformation = BytesIO(b"data set")
    message = N_ACTION_RQ()
    message.primitive_to_message(action)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    command = decode_command(encoded)
    assert (command.is_action_request, command.is_event_report, command.is_other_request) == (True, False, True)
    assert (command.has_data_set, command.message_id, command.type_id) == (True, 3, 1)
    assert (command.sop_class_uid, command.sop_instance_uid) == ("1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1")
    answer = decode(BytesIO(encode_response(command, status=0x0112)), True, True)
    assert (answer.CommandField, answer.Status) == (0x8130, 0x0112)
    assert answer.AffectedSOPInstanceUID == "1.2.840.10008.1.20.1.1"


def test_the_answer_to_an_event_report_is_told_by_its_message_and_status() -> None:
    event = N_EVENT_REPORT()
    event.MessageIDBeingRespondedTo, event.Status = 77, 0x0213
    message = N_EVENT_REPORT_RSP()
    message.primitive_to_message(event)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    command = decode_command(encoded)
    assert command.answers_event_report
    assert not command.is_other_request
    assert (command.message_id, command.status) == (77, 0x0213)


def test_a_move_its_cancel_and_the_answer_to_a_sub_operation_are_told_apart() -> None:
    move = C_MOVE()
    move.MessageID, move.AffectedSOPClassUID, move.Priority = 5, "1.2.840.10008.5.1.4.1.2.2.2", 2
    move.MoveDestination, move.Identifier = "ARCHIVE", BytesIO(b"keys")
    cancel = C_CANCEL()
    cancel.MessageIDBeingRespondedTo = 5
    stored = C_STORE()
    stored.MessageIDBeingRespondedTo, stored.Status = 9, 0xB007
    decoded = []
    for primitive, message in ((move, C_MOVE_RQ()), (cancel, C_CANCEL_RQ()), (stored, C_STORE_RSP())):
        message.primitive_to_message(primitive)
        encoded = encode(message.command_set, True, True)
        assert encoded is not None
        decoded.append(decode_command(encoded))
    told = [
        (one.is_move_request, one.is_cancel_request, one.answers_store, one.is_other_request, one.message_id)
        for one in decoded
    ]
    assert told == [
        (True, False, False, True, 5),
        (False, True, False, False, 5),
        (False, False, True, False, 9),
    ]
    assert (decoded[0].move_destination, decoded[0].is_get_request) == ("ARCHIVE", False)
    assert decoded[2].status == 0xB007


def test_a_store_request_of_ours_is_what_a_peer_reads() -> None:
    encoded = encode_store_request(message_id=7, sop_class_uid=CTImageStorage, sop_instance_uid="1.2.3.4")
    request = decode(BytesIO(encoded), True, True)
    assert request.CommandGroupLength == len(encoded) - 12
    assert (request.CommandField, request.MessageID, request.Priority) == (0x0001, 7, 0)
    assert request.CommandDataSetType != 0x0101
    assert (request.AffectedSOPClassUID, request.AffectedSOPInstanceUID) == (CTImageStorage, "1.2.3.4")


@pytest.mark.parametrize("encoded", [b"", b"\x00" * 7, b"\x08\x00\x16\x00\x02\x00\x00\x001.", b"\0\0\0\1\xff\0\0\0x"])
def test_what_is_no_command_set_is_refused(encoded: bytes) -> None:
    with pytest.raises(ValueError, match="not a command set"):
        decode_command(encoded)


def test_a_response_reads_back_as_the_standard_has_it() -> None:
    request = decode_command(encoded_store_request("1.2.3.4"))
    encoded = encode_response(request, status=0xA700, comment="x" * 100)
    response = decode(BytesIO(encoded), True, True)
    assert response.CommandGroupLength == len(encoded) - 12
    assert response.CommandField == 0x8001
    assert response.MessageIDBeingRespondedTo == 513
    assert response.CommandDataSetType == 0x0101
    assert response.Status == 0xA700
    assert response.ErrorComment == "x" * 64
    assert response.AffectedSOPClassUID == CTImageStorage
    assert response.AffectedSOPInstanceUID == "1.2.3.4"


def test_success_carries_no_comment() -> None:
    request = decode_command(encoded_store_request())
    response = decode(BytesIO(encode_response(request, status=0x0000)), True, True)
    assert "ErrorComment" not in response
