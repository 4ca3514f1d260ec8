"""Ways to damage the bytes of an encoded data set.

A mutant is a data set of the corpus and a list of ways, each with a seed, so that one that found a fault can be told in a
line, made again, and have ways left out until it finds it no more.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as from_seed
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from tests.toolkit_corpus import LARGEST, UNDEFINED, Element, Original, find_elements

_VRS = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OW", b"PN", b"SH",
        b"SL", b"SQ", b"SS", b"ST", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"US", b"UT", b"UV", b"zz", b"\0\0")  # fmt: skip
_LENGTHS = (0, 1, 3, 7, 0xFF, 0x7FFE, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFE, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_VALUES = (
    b"", b" ", b"\0\0", b"\xff\xff", b"\xff" * 8, b"nan ", b"inf ", b"-1", b"1e400 ", b"9" * 70, b"1\\2\\3\\4\\5\\6\\7 ",
    b"../../../../etc/x ", b"%n%s%x", b"\x1b$B\x1b(J", b"A" * 70_000, b"\\" * 4096,
)  # fmt: skip
#: What decides how much memory an image takes: Samples per Pixel, Number of Frames, Rows, Columns, Bits Allocated, Bits Stored.
_SIZES = ((0x28, 0x02), (0x28, 0x08), (0x28, 0x10), (0x28, 0x11), (0x28, 0x100), (0x28, 0x101))


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A data set of the corpus, by its name, with the ways it was damaged and the seed of each."""

    original: str
    ways: tuple[tuple[str, int], ...]

    def bytes_of(self, content: bytes, syntax: str, others: Sequence[Original]) -> bytes:
        """The damaged data set; ``others`` is what pieces may come from."""
        for name, seed in self.ways:
            damaging = Damage(content, syntax, others, Random(seed))  # noqa: S311
            content = WAYS[name](damaging)[:LARGEST]
        return content


@dataclass
class Damage:
    """What a way has to work with."""

    content: bytes
    syntax: str
    others: Sequence[Original]
    random: Random

    @property
    def order(self) -> str:
        return ">" if self.syntax == ExplicitVRBigEndian else "<"

    def element(self) -> Element:
        """One of the elements, or all bytes as one where none can be told."""
        found = find_elements(self.content, self.syntax)
        return self.random.choice(found) if found else Element(0, b"", 0, 0, len(self.content))

    def replaced(self, start: int, end: int, by: bytes) -> bytes:
        return self.content[:start] + by + self.content[end:]


def _flip(damage: Damage) -> bytes:
    content = bytearray(damage.content)
    for _ in range(damage.random.choice((1, 1, 4, 32))):
        if content:
            content[damage.random.randrange(len(content))] ^= 1 << damage.random.randrange(8)
    return bytes(content)


def _truncate(damage: Damage) -> bytes:
    return damage.content[: damage.random.randrange(len(damage.content) + 1)]


def _change_length(damage: Damage) -> bytes:
    one = damage.element()
    size = one.value_at - one.length_at
    length = damage.random.choice((*_LENGTHS, one.end - one.value_at + damage.random.choice((-2, -1, 1, 2))))
    return damage.replaced(one.length_at, one.value_at, (length % 2 ** (8 * size)).to_bytes(size, "little"))


def _repeat(damage: Damage) -> bytes:
    one = damage.element()
    piece = damage.content[one.start : one.end]
    where = damage.random.choice((one.end, len(damage.content), 0))
    count = damage.random.choice((1, 1, 2, 50, 5000))
    return damage.replaced(where, where, piece * max(1, min(count, LARGEST // 2 // max(1, len(piece)))))


def _leave_out(damage: Damage) -> bytes:
    one = damage.element()
    return damage.replaced(one.start, one.end, b"")


def _swap(damage: Damage) -> bytes:
    first, second = sorted((damage.element(), damage.element()), key=lambda one: one.start)
    if first.end > second.start:
        return damage.content
    content = damage.content
    middle = content[first.end : second.start]
    swapped = content[second.start : second.end] + middle + content[first.start : first.end]
    return damage.replaced(first.start, second.end, swapped)


def _change_vr(damage: Damage) -> bytes:
    one = damage.element()
    return damage.replaced(one.start + 4, one.start + 6, damage.random.choice(_VRS))


def _change_tag(damage: Damage) -> bytes:
    one = damage.element()
    return damage.replaced(one.start, one.start + 4, damage.random.randbytes(4))


def _change_value(damage: Damage) -> bytes:
    return _with_value(damage, damage.element(), damage.random.choice(_VALUES))


def _change_size(damage: Damage) -> bytes:
    """Another number where the size of the image is told."""
    wanted = {struct.pack(f"{damage.order}HH", *tag) for tag in _SIZES}
    found = [one for one in find_elements(damage.content, damage.syntax) if damage.content[one.start :][:4] in wanted]
    if not found:
        return _change_value(damage)
    number = damage.random.choice((0, 1, 2, 3, 7, 12, 32, 64, 4096, 20_000, 65_535))
    one = damage.random.choice(found)
    is_text = damage.content[one.start :][:4] == struct.pack(f"{damage.order}HH", 0x28, 0x08)
    value = str(number**2).ljust(10).encode() if is_text else struct.pack(f"{damage.order}H", number)
    return _with_value(damage, one, value)


def _with_value(damage: Damage, one: Element, value: bytes) -> bytes:
    size = one.value_at - one.length_at
    if size not in (2, 4) or len(value) >= 2 ** (8 * size):
        return damage.replaced(one.value_at, one.end, value)
    length = struct.pack(damage.order + ("H" if size == 2 else "L"), len(value))
    return damage.replaced(one.length_at, one.end, length + value)


def _nest(damage: Damage) -> bytes:
    """Sequences within sequences, of undefined length, some without their end (PS3.5 7.5)."""
    random, order = damage.random, damage.order
    depth = random.choice((1, 2, 30, 300, 3000, 20_000))
    tag = struct.pack(f"{order}HH", *random.choice(((0x08, 0x1140), (0x08, 0x1115), (0x09, 0x1001), (0x40, 0x0275))))
    length = struct.pack(f"{order}L", UNDEFINED)
    head = tag + (b"" if damage.syntax == ImplicitVRLittleEndian else b"SQ\0\0") + length
    item = struct.pack(f"{order}HH", 0xFFFE, 0xE000) + length
    ends = struct.pack(f"{order}HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    where = random.choice((damage.element().start, 0))
    return damage.replaced(where, where, (head + item) * depth + ends * random.choice((depth, 0, depth // 2)))


def _garbage(damage: Damage) -> bytes:
    where = damage.random.randrange(len(damage.content) + 1)
    return damage.replaced(where, where, damage.random.randbytes(damage.random.choice((1, 2, 17, 4096))))


def _splice(damage: Damage) -> bytes:
    """The end of another data set after the beginning of this one."""
    other = damage.random.choice(damage.others).content
    here, there = (damage.random.randrange(len(one) + 1) for one in (damage.content, other))
    return damage.content[:here] + other[there:]


@cache
def _deflated_zeros(inflated: int) -> bytes:
    packer, chunk = zlib.compressobj(9, wbits=-zlib.MAX_WBITS), bytes(2**16)
    return b"".join(packer.compress(chunk) for _ in range(inflated // len(chunk))) + packer.flush()


def _bomb(damage: Damage) -> bytes:
    """Deflated zeros, up to 256 MiB of them, alone or as a deflated stream behind the data set."""
    zeros = _deflated_zeros(damage.random.choice((2**16, 2**24, 2**28)))
    return damage.random.choice((zeros, damage.content + zeros))


#: By name; each takes what is to be damaged and gives other bytes.
WAYS: dict[str, Callable[[Damage], bytes]] = {
    "bits flipped": _flip,
    "cut short": _truncate,
    "length changed": _change_length,
    "element repeated": _repeat,
    "element left out": _leave_out,
    "elements swapped": _swap,
    "VR changed": _change_vr,
    "tag changed": _change_tag,
    "value changed": _change_value,
    "size changed": _change_size,
    "sequences nested": _nest,
    "garbage within": _garbage,
    "another's end": _splice,
    "deflated zeros": _bomb,
}


def drawn(names: Sequence[str], *, count: int, seed: int) -> list[Mutant]:
    """Mutants of data sets by these names, as Hypothesis draws them."""
    found: list[Mutant] = []
    ways = st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(0, 2**32 - 1)), min_size=1, max_size=4)

    @from_seed(seed)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(name=st.sampled_from(list(names)), chosen=ways)
    def take(name: str, chosen: list[tuple[str, int]]) -> None:
        found.append(Mutant(original=name, ways=tuple(chosen)))

    take()
    return found[:count]
