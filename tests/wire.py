"""DICOM as bytes on a socket: PDUs and command sets written and read by hand, for what no toolkit would send.

Nothing here is shared with the node, so that its reading of a stream and ours can differ.
"""

import hashlib
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
#: PDU types (PS3.8 9.3).
ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
#: Message control header (PS3.8 E.2).
COMMAND, LAST = 1, 2
#: Command fields (PS3.7 E.1).
C_STORE_RQ, C_STORE_RSP, C_ECHO_RQ = 0x0001, 0x8001, 0x0030
_NO_DATA_SET = 0x0101
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_FRAGMENT_BYTES = 65_000

Context = tuple[str, str]


def data_element(group: int, number: int, vr: str, value: bytes) -> bytes:
    """An element in explicit VR, little endian, of a VR whose length has two bytes, or of OW (PS3.5 7.1.2)."""
    value += (b"\0" if vr in ("UI", "OW") else b" ") * (len(value) % 2)
    length = struct.pack("<2xL" if vr == "OW" else "<H", len(value))
    return struct.pack("<HH", group, number) + vr.encode() + length + value


def pdu(kind: int, value: bytes) -> bytes:
    """One PDU: type, length, value (PS3.8 9.3.1)."""
    return struct.pack(">BxL", kind, len(value)) + value


def data_pdu(context_id: int, fragments: Sequence[tuple[int, bytes]]) -> bytes:
    """A P-DATA-TF PDU of fragments, each with its message control header (PS3.8 9.3.5)."""
    return pdu(
        P_DATA_TF,
        b"".join(struct.pack(">LBB", len(value) + 2, context_id, control) + value for control, value in fragments),
    )


def associate_rq(*, called_ae: str, calling_ae: str, contexts: Sequence[Context]) -> bytes:
    """An A-ASSOCIATE-RQ PDU; the contexts, SOP class and transfer syntax, get the IDs 1, 3, 5 … (PS3.8 9.3.2)."""
    items = _item(0x10, _APPLICATION_CONTEXT.encode())
    for number, (sop_class, syntax) in enumerate(contexts):
        inside = _item(0x30, sop_class.encode()) + _item(0x40, syntax.encode())
        items += _item(0x20, struct.pack(">B3x", 2 * number + 1) + inside)
    items += _item(0x50, _item(0x51, struct.pack(">L", 0)) + _item(0x52, b"1.2.3.4"))
    head = struct.pack(">H2x16s16s32x", 1, called_ae.encode().ljust(16), calling_ae.encode().ljust(16))
    return pdu(ASSOCIATE_RQ, head + items)


def command_set(elements: dict[int, bytes]) -> bytes:
    """A command set of elements of group 0000, by number (PS3.7 6.3.1)."""
    body = b"".join(
        struct.pack("<HHL", 0, number, len(value) + len(value) % 2) + value + b"\0" * (len(value) % 2)
        for number, value in sorted(elements.items())
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def replaced(command: bytes, elements: dict[int, bytes]) -> bytes:
    """A command set with other values in some of its elements, as far as it can be read."""
    return command_set({number: value for number, value in (_elements(command) | elements).items() if number})


def store_command(*, message_id: int, sop_class: str, sop_instance: str | bytes) -> bytes:
    """A C-STORE-RQ (PS3.7 9.3.1.1)."""
    named = sop_instance if isinstance(sop_instance, bytes) else sop_instance.encode()
    return command_set(
        {
            0x0002: sop_class.encode(),
            0x0100: struct.pack("<H", C_STORE_RQ),
            0x0110: struct.pack("<H", message_id),
            0x0700: bytes(2),
            0x0800: bytes(2),
            0x1000: named,
        }
    )


def store_pdus(*, context_id: int, command: bytes, data_set: bytes, fragment: int = _FRAGMENT_BYTES) -> list[bytes]:
    """The P-DATA-TF PDUs of a C-STORE request."""
    pieces = [data_set[start : start + fragment] for start in range(0, len(data_set), fragment)] or [b""]
    controls = [0] * (len(pieces) - 1) + [LAST]
    return [
        data_pdu(context_id, [(COMMAND | LAST, command)]),
        *(data_pdu(context_id, [(control, piece)]) for control, piece in zip(controls, pieces, strict=True)),
    ]


@dataclass(frozen=True, kw_only=True)
class Message:
    """A whole DIMSE message found in a stream; ``digest``: SHA-256 of its data set, None if it has none."""

    context_id: int
    field: int
    message_id: int
    status: int | None
    digest: str | None


class Association:
    """A connection to a listener; closes at the end of its block without a word, unless it was released."""

    def __init__(self, port: int, *, seconds: float = 5.0) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        """Send bytes; raises OSError."""
        self._socket.sendall(content)

    def receive_pdu(self) -> tuple[int, bytes]:
        """The next PDU's type and value; ``(0, b"")`` at the end of the stream.

        Raises
        ------
        OSError
            TimeoutError where nothing came for so long as was said, ConnectionError where the connection broke.
        """
        while len(self._received) < 6 or len(self._received) < 6 + _length(self._received):
            more = self._socket.recv(65536)
            if not more:
                return 0, b""
            self._received += more
        end = 6 + _length(self._received)
        found = self._received[0], self._received[6:end]
        self._received = self._received[end:]
        return found

    def answer(self, *, seconds: float) -> tuple[int, bytes]:
        """The next PDU, if it comes within ``seconds``; ``(0, b"")`` if not."""
        before = self._socket.gettimeout()
        self._socket.settimeout(seconds)
        try:
            return self.receive_pdu()
        except TimeoutError:
            return 0, b""
        finally:
            self._socket.settimeout(before)

    def establish(self, *, called_ae: str, contexts: Sequence[Context], calling_ae: str = "WIRE") -> None:
        """Ask for the association and wait for it; raises ConnectionError if it is not given."""
        self.send(associate_rq(called_ae=called_ae, calling_ae=calling_ae, contexts=contexts))
        kind, _ = self.receive_pdu()
        if kind != ASSOCIATE_AC:
            raise ConnectionError(f"PDU type {kind} in answer to an association request")

    def store(
        self, *, message_id: int, context_id: int, sop_class: str, sop_instance: str | bytes, data_set: bytes
    ) -> int:
        """Send an object and return the status that answers it; raises OSError where nothing does."""
        command = store_command(message_id=message_id, sop_class=sop_class, sop_instance=sop_instance)
        self.send(b"".join(store_pdus(context_id=context_id, command=command, data_set=data_set)))
        kind, value = self.receive_pdu()
        answers = [one.status for one in messages([pdu(kind, value)]) if one.field == C_STORE_RSP]
        if kind != P_DATA_TF or not answers or answers[0] is None:
            raise ConnectionError(f"PDU type {kind} in answer to an object")
        return answers[0]

    def release(self) -> None:
        """Release, and wait for the answer."""
        self.send(pdu(RELEASE_RQ, bytes(4)))
        self.receive_pdu()

    def finish(self) -> list[bytes]:
        """Say that nothing more comes, and return what the peer says until it hangs up; raises TimeoutError if it does not."""
        said = []
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while (found := self.receive_pdu())[0]:
                said.append(pdu(*found))
        except ConnectionError:  # hung up on us, with something of ours unread
            pass
        return said


def split_pdus(stream: bytes) -> list[bytes]:
    """The whole PDUs that a stream begins with."""
    found, offset = [], 0
    while offset + 6 <= len(stream):
        end = offset + 6 + _length(stream[offset : offset + 6])
        if end > len(stream):
            break
        found.append(stream[offset:end])
        offset = end
    return found


def messages(pdus: Sequence[bytes]) -> Iterator[Message]:
    """The DIMSE messages in the P-DATA-TF PDUs of one direction, up to what cannot be read as such (PS3.8 annex E)."""
    command, begun, digest = b"", None, hashlib.sha256()
    for one in pdus:
        if one[0] != P_DATA_TF:
            continue
        for context_id, control, value in _fragments(one[6 : 6 + _length(one)]):
            if control & COMMAND:
                command += value
                if not control & LAST:
                    continue
                elements, command = _elements(command), b""
                field, message_id = _us(elements.get(0x0100)), _us(elements.get(0x0110) or elements.get(0x0120))
                status = _us(elements[0x0900]) if 0x0900 in elements else None
                begun = Message(context_id=context_id, field=field, message_id=message_id, status=status, digest=None)
                if _us(elements.get(0x0800)) == _NO_DATA_SET:
                    yield begun
                    begun = None
            elif begun is not None and context_id == begun.context_id:
                digest.update(value)
                if control & LAST:
                    yield Message(
                        context_id=context_id,
                        field=begun.field,
                        message_id=begun.message_id,
                        status=begun.status,
                        digest=digest.hexdigest(),
                    )
                    begun, digest = None, hashlib.sha256()
            else:
                return


def _fragments(value: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + 6 <= len(value):
        length, context_id, control = struct.unpack_from(">LBB", value, offset)
        if length < 2 or offset + 4 + length > len(value):
            return
        yield context_id, control, value[offset + 6 : offset + 4 + length]
        offset += 4 + length


def _elements(encoded: bytes) -> dict[int, bytes]:
    found, offset = {}, 0
    while offset + 8 <= len(encoded):
        _, number, length = struct.unpack_from("<HHL", encoded, offset)
        found[number] = encoded[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return found


def _us(value: bytes | None) -> int:
    return int.from_bytes(value[:2], "little") if value else -1


def _length(received: bytes) -> int:
    length: int = struct.unpack_from(">L", received, 2)[0]
    return length


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value
