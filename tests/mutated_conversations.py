"""What a peer may say on a connection, PDU by PDU, and ways to say it wrong.

The sound conversations are C-STORE, C-ECHO, C-FIND, C-MOVE, C-GET, C-CANCEL and Storage Commitment as this project's own
tests send them; what is put among their PDUs comes from pynetdicom's tests, too.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from random import Random

from tests import wire
from tests.toolkit_corpus import Original

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
_IMPLICIT = "1.2.840.10008.1.2"
_ENCODED = ("encoded_pdu_items", "encoded_dimse_msg", "encoded_dimse_n_msg")
_LENGTHS = (0, 1, 2, 3, 5, 0x7FFF, 0xFFFF, 0x100000, 0x7FFFFFFF, 0xFFFFFFFF)
_COMMAND_FIELDS = (0x0001, 0x8001, 0x0010, 0x8010, 0x0020, 0x8020, 0x0021, 0x8021, 0x0030, 0x8030, 0x0100, 0x8100, 0x0110,
                   0x0120, 0x0130, 0x8130, 0x0140, 0x0150, 0x0FFF, 0xFFFF)  # fmt: skip
_UIDS = (b"", b"1", b"1..2", b"../../../../tmp/x", b"1.2." + b"3" * 60, b"1.2.\xff\xfe", b"9" * 301, b"\0" * 8)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What is sent on one connection: PDUs, or what stands for some.

    ``waits``: after its first PDU, the association request, nothing is sent before the peer has answered. ``pieces``: bytes
    of each write to the socket, None for whole PDUs. ``ways``: how it was made, and the seed.
    """

    kind: str
    ways: tuple[str, ...]
    seed: int
    pdus: tuple[bytes, ...]
    waits: bool = True
    pieces: int | None = None


@dataclass
class _Talk:
    """A conversation under way."""

    pdus: list[bytes]
    random: Random
    strangers: Sequence[bytes]
    waits: bool = True
    pieces: int | None = None
    done: list[str] = field(default_factory=list)

    def some(self, kind: int | None = None) -> int:
        """The number of one of its PDUs, of this kind where there is one."""
        found = [number for number, one in enumerate(self.pdus) if kind is None or one[:1] == bytes([kind])]
        return self.random.choice(found or range(len(self.pdus)))


def conversation(
    kind: str, original: Original, *, called_ae: str, seed: int, strangers: Sequence[bytes]
) -> Conversation:
    """A conversation of one of `KINDS`, about a data set, damaged in one to three ways as the seed has it."""
    random = Random(seed)  # noqa: S311
    talk = _Talk(list(KINDS[kind](original, called_ae)), random, strangers)
    for _ in range(random.choice((1, 1, 2, 3))):
        if talk.pdus:
            name = random.choice(sorted(WAYS))
            WAYS[name](talk)
            talk.pdus = [one for one in talk.pdus if one]
            talk.done.append(name)
    return Conversation(
        kind=kind, ways=tuple(talk.done), seed=seed, pdus=tuple(talk.pdus), waits=talk.waits, pieces=talk.pieces
    )


def strangers() -> list[bytes]:
    """Encoded PDUs and messages of pynetdicom's own tests; none where its tests are not installed."""
    found: list[bytes] = []
    for name in _ENCODED:
        try:
            module = import_module(f"pynetdicom.tests.{name}")
        except ImportError:
            continue
        for value in vars(module).values():
            found += [value] if isinstance(value, bytes) else []
            found += [one for one in value if isinstance(one, bytes)] if isinstance(value, list) else []
    return found


def _store(original: Original, called_ae: str) -> list[bytes]:
    command = wire.store_command(message_id=7, sop_class=original.sop_class, sop_instance=original.sop_instance)
    contexts = [(original.sop_class, original.syntax)]
    content = original.content[:60_000]
    return [
        wire.associate_rq(called_ae=called_ae, calling_ae="TALK", contexts=contexts),
        *wire.store_pdus(context_id=1, command=command, data_set=content, fragment=max(1, len(content) // 3)),
        wire.pdu(wire.RELEASE_RQ, bytes(4)),
    ]


def _request(sop_class: str, command_field: int) -> Callable[[Original, str], list[bytes]]:
    def make(original: Original, called_ae: str) -> list[bytes]:
        elements = {
            0x0002: sop_class.encode(),
            0x0100: struct.pack("<H", command_field),
            0x0110: struct.pack("<H", 3),
            0x0700: bytes(2),
            0x0800: struct.pack("<H", 0x0101 if command_field == wire.C_ECHO_RQ else 1),
        }
        if command_field == 0x0130:
            elements |= {0x0003: sop_class.encode(), 0x1001: COMMITMENT_INSTANCE.encode(), 0x1008: struct.pack("<H", 1)}
            del elements[0x0002], elements[0x0700]
        if command_field == 0x0021:
            elements[0x0600] = b"NOBODY"
        identifier = original.content[:20_000] if command_field != wire.C_ECHO_RQ else b""
        begin = wire.associate_rq(
            called_ae="S2LDM" if sop_class in (FIND, MOVE, GET) else called_ae,
            calling_ae="TALK",
            contexts=[(sop_class, _IMPLICIT), (original.sop_class, original.syntax)],
        )
        whole = [wire.data_pdu(1, [(wire.COMMAND | wire.LAST, wire.command_set(elements))])]
        whole += [wire.data_pdu(1, [(wire.LAST, identifier)])] if identifier else []
        cancel = wire.command_set({0x0100: struct.pack("<H", 0x0FFF), 0x0120: bytes(2), 0x0800: b"\x01\x01"})
        whole += [wire.data_pdu(1, [(wire.COMMAND | wire.LAST, cancel)])] if sop_class in (FIND, MOVE, GET) else []
        return [begin, *whole, wire.pdu(wire.RELEASE_RQ, bytes(4))]

    return make


def _flip(talk: _Talk) -> None:
    number = talk.some()
    content = bytearray(talk.pdus[number])
    for _ in range(talk.random.choice((1, 1, 4, 32))):
        content[talk.random.randrange(len(content))] ^= 1 << talk.random.randrange(8)
    talk.pdus[number] = bytes(content)


def _cut(talk: _Talk) -> None:
    """The end of the stream in the middle of a PDU."""
    number = talk.some()
    talk.pdus[number] = talk.pdus[number][: talk.random.randrange(len(talk.pdus[number]))]
    if talk.random.random() < 0.7:
        del talk.pdus[number + 1 :]


def _pdu_length(talk: _Talk) -> None:
    number = talk.some()
    one = talk.pdus[number]
    length = talk.random.choice((*_LENGTHS, max(0, len(one) - 6 + talk.random.choice((-3, -1, 1, 3)))))
    talk.pdus[number] = one[:2] + struct.pack(">L", length) + one[6:]


def _pdu_type(talk: _Talk) -> None:
    number = talk.some()
    talk.pdus[number] = bytes([talk.random.randrange(256)]) + talk.pdus[number][1:]


def _item_length(talk: _Talk) -> None:
    """Another length of a presentation data value, or somewhere in an association request, where items have theirs."""
    number = talk.some(talk.random.choice((wire.P_DATA_TF, wire.ASSOCIATE_RQ)))
    one = talk.pdus[number]
    if one[0] == wire.P_DATA_TF:
        talk.pdus[number] = one[:6] + struct.pack(">L", talk.random.choice(_LENGTHS)) + one[10:]
    elif len(one) > 80:
        at = talk.random.randrange(74, len(one) - 3)
        talk.pdus[number] = one[: at + 2] + struct.pack(">H", talk.random.choice(_LENGTHS) % 65536) + one[at + 4 :]


def _context(talk: _Talk) -> None:
    number = talk.some(wire.P_DATA_TF)
    one = talk.pdus[number]
    talk.pdus[number] = one[:10] + bytes([talk.random.randrange(256)]) + one[11:]


def _control(talk: _Talk) -> None:
    number = talk.some(wire.P_DATA_TF)
    one = talk.pdus[number]
    talk.pdus[number] = one[:11] + bytes([talk.random.choice((0, 1, 2, 3, 4, 255))]) + one[12:]


def _empty_values(talk: _Talk) -> None:
    """Fragments without content, or shorter than their header, or a PDU without any."""
    control = talk.random.choice((0, 1, 2, 3))
    empty = wire.data_pdu(1, [(control, b"")] * talk.random.choice((1, 2, 3000)))
    short = wire.pdu(wire.P_DATA_TF, struct.pack(">LB", 1, 1) * talk.random.choice((1, 200)))
    talk.pdus.insert(talk.random.randrange(1, len(talk.pdus) + 1), talk.random.choice((empty, short, wire.pdu(4, b""))))


def _fragments(talk: _Talk) -> None:
    """The same values in fragments of one or some bytes, in PDUs of their own or all in one."""
    number = talk.some(wire.P_DATA_TF)
    one = talk.pdus[number]
    if one[0] != wire.P_DATA_TF or len(one) < 13:
        return
    context_id, control, value = one[10], one[11], one[12:2012]
    size = talk.random.choice((1, 2, 7, 300))
    pieces = [value[start : start + size] for start in range(0, len(value), size)]
    controls = [control & wire.COMMAND] * (len(pieces) - 1) + [control]
    parts = list(zip(controls, pieces, strict=True))
    if talk.random.random() < 0.5:
        talk.pdus[number : number + 1] = [wire.data_pdu(context_id, parts)]
    else:
        talk.pdus[number : number + 1] = [wire.data_pdu(context_id, [part]) for part in parts]


def _repeat(talk: _Talk) -> None:
    number = talk.some()
    talk.pdus[number:number] = [talk.pdus[number]] * talk.random.choice((1, 2, 40))


def _drop(talk: _Talk) -> None:
    del talk.pdus[talk.some()]


def _swap(talk: _Talk) -> None:
    first, second = talk.some(), talk.some()
    talk.pdus[first], talk.pdus[second] = talk.pdus[second], talk.pdus[first]


def _state(talk: _Talk) -> None:
    """A PDU where the state machine has no place for it (PS3.8 9.2.3)."""
    kinds = (
        talk.pdus[0],
        wire.pdu(wire.ASSOCIATE_AC, talk.pdus[0][6:]),
        wire.pdu(wire.ASSOCIATE_RJ, b"\0\1\1\1"),
        wire.pdu(wire.RELEASE_RQ, bytes(4)),
        wire.pdu(wire.RELEASE_RP, bytes(4)),
        wire.pdu(wire.ABORT, bytes(4)),
        wire.pdu(wire.ABORT, b"\0\0\2\6"),
    )
    talk.pdus.insert(talk.random.randrange(len(talk.pdus) + 1), talk.random.choice(kinds))


def _stranger(talk: _Talk) -> None:
    where = talk.random.randrange(len(talk.pdus) + 1)
    talk.pdus.insert(where, talk.random.choice(talk.strangers or [talk.random.randbytes(100)]))


def _at_once(talk: _Talk) -> None:
    """Everything before the association is there, or in small pieces."""
    talk.waits = talk.random.random() < 0.5
    talk.pieces = talk.random.choice((None, 1, 5, 1000))


def _command(talk: _Talk) -> None:
    """Another value of an element of a command set: its field, its UIDs, whether a data set follows."""
    number = talk.some(wire.P_DATA_TF)
    one = talk.pdus[number]
    if one[0] != wire.P_DATA_TF or len(one) < 24 or not one[11] & wire.COMMAND:
        return
    elements = {0x0100: struct.pack("<H", talk.random.choice(_COMMAND_FIELDS))}
    changed = talk.random.choice((0x0100, 0x0002, 0x1000, 0x0800, 0x0110))
    if changed in (0x0002, 0x1000):
        elements = {changed: talk.random.choice(_UIDS)}
    elif changed != 0x0100:
        elements = {changed: talk.random.choice((b"", b"\1\1", b"\0\0", b"\xff\xff", b"\0" * 4))}
    talk.pdus[number] = wire.data_pdu(one[10], [(one[11], wire.replaced(one[12:], elements))])


def _garbage(talk: _Talk) -> None:
    talk.pdus.insert(talk.random.randrange(len(talk.pdus) + 1), talk.random.randbytes(talk.random.choice((1, 6, 500))))


#: What is talked about, by name; each takes a data set and an AE title and gives PDUs.
KINDS: dict[str, Callable[[Original, str], list[bytes]]] = {
    "C-STORE": _store,
    "C-ECHO": _request(VERIFICATION, wire.C_ECHO_RQ),
    "C-FIND": _request(FIND, 0x0020),
    "C-MOVE": _request(MOVE, 0x0021),
    "C-GET": _request(GET, 0x0010),
    "N-ACTION": _request(COMMITMENT, 0x0130),
}
#: How it is said wrong, by name; each changes a conversation under way.
WAYS: dict[str, Callable[[_Talk], None]] = {
    "bits flipped": _flip,
    "cut short": _cut,
    "PDU length changed": _pdu_length,
    "PDU type changed": _pdu_type,
    "item length changed": _item_length,
    "context changed": _context,
    "control header changed": _control,
    "empty values": _empty_values,
    "fragmented": _fragments,
    "repeated": _repeat,
    "left out": _drop,
    "swapped": _swap,
    "wrong state": _state,
    "a stranger's PDU": _stranger,
    "at once or in pieces": _at_once,
    "command changed": _command,
    "garbage": _garbage,
}
