"""Commands that name no object: nothing may be answered 0x0000 that the rest of the node cannot work with."""

import struct
import threading
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.association import Association
from pynetdicom.dsutils import decode
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.series import CompletionStep
from tests.integration.test_receive import Receiver, associate, encoded, image, start

__all__ = ["start"]


def element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


def store_named(association: Association, sop_instance_uid: bytes, data_set: bytes) -> int:
    """C-STORE with a SOP Instance UID as it is given, which pynetdicom's own messages would not take; the status."""
    body = (
        element(0x0002, CTImageStorage.encode())
        + element(0x0100, struct.pack("<H", 1))
        + element(0x0110, struct.pack("<H", 7))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", 1))
        + element(0x1000, sop_instance_uid)
    )
    context = next(cx for cx in association.accepted_contexts if cx.abstract_syntax == CTImageStorage)
    association._reactor_checkpoint.clear()
    for control, value in ((3, element(0, struct.pack("<L", len(body))) + body), (2, data_set)):
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context.context_id, bytes([control]) + value))
        association.dul.send_pdu(primitive)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert response is not None
    status: int = response.Status
    return status


@pytest.mark.parametrize(
    "uid",
    [b"1.2.\xe9", b"", b"1" * 301, b"../..", b"1..2"],
    ids=["not ASCII", "empty", "long", "a path", "an empty component"],
)
def test_an_object_without_a_uid_is_kept_apart_and_never_a_success(start: Callable[..., Receiver], uid: bytes) -> None:
    receiver = start()
    nameless = encoded(image(SOPInstanceUID=""))
    with associate(receiver) as association:
        assert store_named(association, uid, nameless) == 0x0117
        assert association.send_c_store(image(1)).Status == 0x0000
    (row,) = receiver.catalog.list_quarantine()
    assert row.reason.code == "announced_uid_invalid"
    assert row.path is not None
    assert row.path.is_file()

    step = CompletionStep(receiver.settings, receiver.catalog, model_identity=lambda model: model)
    step.run_once()
    assert receiver.catalog.list_series()[0].instance_count == 1


@pytest.mark.parametrize("field", [0x0020, 0x0021, 0x0010, 0x0130], ids=["C-FIND", "C-MOVE", "C-GET", "N-ACTION"])
def test_what_is_not_offered_is_answered_at_once_and_the_association_goes_on(
    start: Callable[..., Receiver], field: int
) -> None:
    receiver = start()
    with associate(receiver) as association:
        answer = ask(association, field)
        assert answer == {"field": field | 0x8000, "status": 0x0211, "to": 7}
        assert association.send_c_store(image(1)).Status == 0x0000


def ask(association: Association, field: int) -> dict[str, int]:
    """A request with a data set that is none of C-STORE; what the answer's command set says."""
    body = (
        element(0x0002, CTImageStorage.encode())
        + element(0x0100, struct.pack("<H", field))
        + element(0x0110, struct.pack("<H", 7))
        + element(0x0800, struct.pack("<H", 1))
    )
    context = next(cx for cx in association.accepted_contexts if cx.abstract_syntax == CTImageStorage)
    association._reactor_checkpoint.clear()
    received: list[bytes] = []
    arrived = threading.Event()

    def take(primitive: P_DATA) -> None:
        received.extend(value for _, value in primitive.presentation_data_value_list)
        arrived.set()

    association.dimse.receive_primitive, before = take, association.dimse.receive_primitive
    try:
        for control, value in ((3, element(0, struct.pack("<L", len(body))) + body), (2, bytes(8))):
            primitive = P_DATA()
            primitive.presentation_data_value_list.append((context.context_id, bytes([control]) + value))
            association.dul.send_pdu(primitive)
        assert arrived.wait(10)
    finally:
        association.dimse.receive_primitive = before
        association._reactor_checkpoint.set()
    command = decode(BytesIO(received[0][1:]), True, True)
    return {"field": command.CommandField, "status": command.Status, "to": command.MessageIDBeingRespondedTo}
