"""The acceptor with a service of its own: what it is asked, and in which order."""

import ssl
import threading
from collections.abc import Iterator

import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_node.streaming import FULL, Acceptor, Answer, Command, Door, End, Enter, Refusal, Request, listen

SECONDS = 10.0
HOST = "127.0.0.1"


class Memory:
    """A service, its only session and that session's only sink, which remember what they are told."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.received = bytearray()
        self.answer: Answer | Exception = Answer(0x0000)
        self.refusal: Refusal | None = None
        self.ended = threading.Event()

    def admit(self, request: Request, *, enter: Enter) -> "Memory | Refusal":
        self.calls.append((request.called_ae, request.calling_ae, request.peer, request.stores))
        return self.refusal or enter("", object_to=lambda now: None if now.left else FULL) or self

    def not_secured(self, peer: str, *, error: ssl.SSLError | None, first_byte: int) -> None:
        raise AssertionError("nothing is encrypted here")

    def begin(self, command: Command, *, transfer_syntax_uid: str) -> "Memory":
        self.calls.append((command.sop_instance_uid, transfer_syntax_uid))
        return self

    def write(self, fragment: memoryview) -> None:
        self.received += fragment

    def finish(self) -> Answer:
        self.calls.append("finish")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def discard(self) -> None:
        self.calls.append("discard")

    def end(self, how: End) -> None:
        self.calls.append(how)
        self.ended.set()


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def port(memory: Memory) -> Iterator[int]:
    acceptor = Acceptor(AE("ACCEPTOR"), memory)
    listening = listen(HOST, 0)
    number: int = listening.getsockname()[1]
    acceptor.start(Door(listening))
    yield number
    acceptor.stop(grace_seconds=0.5)
    assert not acceptor.is_listening


def associate(port: int) -> Association:
    ae = AE("SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    return ae.associate(HOST, port, ae_title="CALLED")


def image() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.PixelData = bytes(200_000)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def test_an_object_goes_through_begin_write_finish(memory: Memory, port: int) -> None:
    association = associate(port)
    assert association.send_c_store(image()).Status == 0x0000
    association.release()
    assert memory.ended.wait(SECONDS)
    assert memory.calls == [
        ("CALLED", "SENDER", HOST, True),
        ("1.2.3", ExplicitVRLittleEndian),
        "finish",
        "released",
    ]
    assert bytes(memory.received).endswith(bytes(200_000))


def test_a_refusal_is_the_answer_and_ends_it(memory: Memory, port: int) -> None:
    memory.refusal = Refusal(result=0x01, source=0x01, reason=0x07)
    association = associate(port)
    assert association.is_rejected
    assert association.acceptor.primitive is not None
    assert association.acceptor.primitive.diagnostic == 0x07
    assert len(memory.calls) == 1


def test_status_and_comment_are_the_sinks(memory: Memory, port: int) -> None:
    memory.answer = Answer(0xA700, "disk full")
    association = associate(port)
    response = association.send_c_store(image())
    assert (response.Status, response.ErrorComment) == (0xA700, "disk full")
    association.release()


def test_a_sink_that_fails_is_a_processing_failure(memory: Memory, port: int) -> None:
    memory.answer = ZeroDivisionError()
    association = associate(port)
    assert association.send_c_store(image()).Status == 0x0110
    association.abort()
    assert memory.ended.wait(SECONDS)
    assert memory.calls[-1] == "aborted"
