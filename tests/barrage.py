"""Thousands of mutants sent to a running node, and what must hold meanwhile and afterwards."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from dicom_node.catalog import Catalog, JobState, SeriesState
from tests import node_processes, peers, wire
from tests.mutant_report import Report
from tests.mutated_conversations import KINDS, Conversation, conversation, strangers
from tests.mutated_objects import WAYS, Mutant, drawn
from tests.toolkit_corpus import SOUND, Original, corpus

ROUTE = "CECT_ART"
#: So long a sound object, or the end of a connection, may be waited for.
SECONDS = 5.0
#: The most memory of a process of the node.
MOST_KIB = 512 * 1024
_BATCH = 200
#: How often memory is looked at while nothing else is asked.
_NOTE_SECONDS = 2.0
#: Among the mutants of a batch, sound series of which every eighth slice is a mutant.
_SERIES_A_BATCH = 2
#: Places for files of the node, below its folder.
_PLACES = re.compile(
    r"node\.(log|yaml)|var/(incoming/[0-9a-f]{2}/[0-9a-f]{32}\.dcm|quarantine/[0-9a-f]{32}\.dcm|catalog\.sqlite(-\w+)?|node\.lock"
    r"|(audit|work|derived|configuration|config)/.*|[\w.-]+\.json)"
)
_LAST_STATES = {JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED}
#: Reasons that no object should be able to bring about.
FAULTS = {"select_fault", "completion_fault", "examiner_died", "examination_timeout", "examination_memory"}


class Barrage:
    """Sends mutants to a node and keeps a report."""

    def __init__(self, node: peers.Peer, *, seed: int, report: Report) -> None:
        self.report = report
        self._node = node
        self._seed = seed
        self._random = Random(seed)  # noqa: S311
        self._originals = corpus()
        self._by_name = {one.name: one for one in self._originals}
        self._sound = [one for one in self._originals if one.name.startswith(SOUND)]
        self._numbers = iter(range(1, 2**31))
        self._acknowledged: dict[str, object] = {}
        self._noted_at = 0.0
        self._begun_as = self._lasting()

    def objects(self, count: int) -> None:
        """Send mutated instances by sound C-STORE requests."""
        mutants = drawn(list(self._by_name), count=count, seed=self._seed)
        for number, start in enumerate(range(0, len(mutants), _BATCH)):
            batch = mutants[start : start + _BATCH]
            sent = [(mutant, *self._made(mutant, number)) for mutant in batch]
            sent += self._companions(number)
            self._random.shuffle(sent)
            self._send(sent)
            self.report.objects += len(batch)
            self._look_after()

    def conversations(self, count: int) -> None:
        """Say wrong what a peer may say."""
        foreign, kinds = strangers(), ["C-STORE"] * len(KINDS) + sorted(KINDS)
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            for number in numbers:
                kind, original = self._random.choice(kinds), self._random.choice(self._originals)
                self._talk(conversation(kind, original, called_ae=ROUTE, seed=self._seed + number, strangers=foreign))
            self.report.conversations += len(numbers)
            self._look_after()

    def examined(self, *, seconds: float) -> None:
        """Wait until every series has been looked at, and say what became of each."""
        begun = time.monotonic()
        with Catalog(self._node.folder / "var" / "catalog.sqlite") as catalog:

            def at_rest() -> bool:
                if time.monotonic() > self._noted_at + _NOTE_SECONDS:
                    self._note_memory()
                return not catalog.count_receiving() and not catalog.count_jobs().get(JobState.SELECTING)

            try:
                peers.wait_until(at_rest, seconds=seconds, what="every series to be looked at")
            except peers.PeerError as error:
                self._fail("selection", str(error))
            self.report.examining_seconds = time.monotonic() - begun
            series = list(_all(catalog.list_series))
            jobs = list(_all(catalog.list_jobs))
        told = {job.series_key for job in jobs}
        for one in series:
            if one.state is not SeriesState.COMPLETE or one.key not in told:
                self._fail("series without a job", f"{one.state} {one.reason and one.reason.code}", series=one.key)
        for job in jobs:
            if job.state in _LAST_STATES - {JobState.DONE} and job.reason is None:
                self._fail("no reason", str(job.state), job=job.id)
            if job.reason is not None and job.reason.code in FAULTS:
                self._fail("a fault of ours", f"{job.reason.code}: {job.reason.sentence}", job=job.id)
        self.report.outcomes = dict(
            Counter(
                "selected" if job.reason is None else f"{job.state}: {job.reason.code}" for job in jobs
            ).most_common()
        )
        self._look_after()

    def kept(self) -> None:
        """Look for what was acknowledged, and for files and names where none may be."""
        folder = self._node.folder
        held = {
            _digest(path) for place in ("incoming", "quarantine") for path in (folder / "var" / place).rglob("*.dcm")
        }
        for digest, what in self._acknowledged.items():
            if digest not in held:
                self._fail("acknowledged and not held", digest, of=repr(what))
        for path in folder.rglob("*"):
            if path.is_file() and not _PLACES.fullmatch(name := path.relative_to(folder).as_posix()):
                self._fail("a file out of its place", name)
        log = self._node.log.read_text(errors="replace")
        for patient in self._patients():
            if patient in log:
                self._fail("a patient's name in the log", patient)

    def _patients(self) -> set[str]:
        return {one.patient for one in self._originals if len(one.patient.strip("^ ")) > len("patient")}

    def _made(self, mutant: Mutant, batch: int) -> tuple[Original, bytes, str]:
        """What a mutant is made of, its bytes and its transfer syntax, which one in ten lies about."""
        number = next(self._numbers)
        original = self._by_name[mutant.original].renamed(number, batch)
        syntax = original.syntax
        if self._random.random() < 0.1:
            syntax = self._random.choice([one.syntax for one in self._originals])
        return original, mutant.bytes_of(original.content, original.syntax, self._originals), syntax

    def _companions(self, batch: int) -> list[tuple[Mutant | None, Original, bytes, str]]:
        """Sound series, in some of which a slice is a mutant."""
        found: list[tuple[Mutant | None, Original, bytes, str]] = []
        for number in range(_SERIES_A_BATCH):
            series = 1_000_000 + batch * _SERIES_A_BATCH + number
            hurt = self._random.choice([None, *range(len(self._sound))])
            for index, slice_ in enumerate(self._sound):
                one = slice_.renamed(next(self._numbers), series)
                if index == hurt:
                    way = self._random.choice(sorted(WAYS)), self._random.getrandbits(32)
                    mutant = Mutant(original=slice_.name, ways=(way,))
                    found.append((mutant, one, mutant.bytes_of(one.content, one.syntax, self._originals), one.syntax))
                    self.report.objects += 1
                else:
                    found.append((None, one, one.content, one.syntax))
                    self.report.companions += 1
        return found

    def _send(self, sent: Sequence[tuple[Mutant | None, Original, bytes, str]]) -> None:
        left = list(sent)
        while left:
            contexts = list(dict.fromkeys((one.sop_class, syntax) for _, one, _, syntax in left))[:128]
            now = [one for one in left if (one[1].sop_class, one[3]) in contexts]
            left = [one for one in left if (one[1].sop_class, one[3]) not in contexts]
            with wire.Association(self._node.port, seconds=SECONDS) as association:
                try:
                    association.establish(called_ae=ROUTE, contexts=contexts)
                except OSError as error:
                    self._fail("no association", type(error).__name__)
                    return
                while now:
                    mutant, original, content, syntax = now.pop()
                    try:
                        status = association.store(
                            message_id=len(now) + 1,
                            context_id=2 * contexts.index((original.sop_class, syntax)) + 1,
                            sop_class=original.sop_class,
                            sop_instance=original.sop_instance,
                            data_set=content,
                        )
                    except OSError as error:
                        self._fail("object not answered", type(error).__name__, mutant=repr(mutant), syntax=syntax)
                        left += now
                        break
                    self.report.statuses[f"0x{status:04X}"] += 1
                    if status == 0:
                        self._acknowledged[hashlib.sha256(content).hexdigest()] = mutant
                else:
                    association.release()

    def _talk(self, talk: Conversation) -> None:
        said, sent = [], b"".join(talk.pdus)
        with wire.Association(self._node.port, seconds=SECONDS) as association:
            try:
                if talk.waits and talk.pdus:
                    association.send(talk.pdus[0])
                    rest = sent[len(talk.pdus[0]) :]
                    kind, value = association.answer(seconds=0.2)
                    said += [wire.pdu(kind, value)] if kind else []
                else:
                    rest = sent
                size = talk.pieces or len(rest) or 1
                for start in range(0, min(len(rest), 500 * size), size):
                    association.send(rest[start : start + size])
                association.send(rest[500 * size :])
                said += association.finish()
                self.report.ends["closed"] += 1
            except TimeoutError:
                self._fail("connection not ended", f"after {SECONDS:g} s", talk=_told(talk))
                return
            except OSError as error:
                self.report.ends[type(error).__name__] += 1
        asked = [one for one in wire.messages(wire.split_pdus(sent)) if one.field == wire.C_STORE_RQ]
        answers = [one for one in wire.messages(said) if one.field == wire.C_STORE_RSP]
        for number, answer in enumerate(answers):
            self.report.statuses[f"0x{answer.status or 0:04X}"] += 1
            if answer.status == 0 and number >= len(asked):
                self._fail("acknowledged what was not sent", str(answer), talk=_told(talk))
            elif answer.status == 0 and (digest := asked[number].digest) is not None:
                self._acknowledged[digest] = _told(talk)

    def _look_after(self) -> None:
        """Whether the node is as well as before, and answers a sound object."""
        begun = time.monotonic()
        one = self._sound[0].renamed(next(self._numbers), 2_000_000 + next(self._numbers))
        try:
            with wire.Association(self._node.port, seconds=SECONDS) as association:
                association.establish(called_ae=ROUTE, contexts=[(one.sop_class, one.syntax)])
                status = association.store(
                    message_id=1,
                    context_id=1,
                    sop_class=one.sop_class,
                    sop_instance=one.sop_instance,
                    data_set=one.content,
                )
                association.release()
            if status != 0:
                self._fail("a sound object refused", f"0x{status:04X}")
            self._node.get("/healthz")
        except OSError as error:
            self._fail("a sound object not answered", type(error).__name__)
        taken = time.monotonic() - begun
        self.report.slowest_sound_seconds = max(self.report.slowest_sound_seconds, taken)
        if taken > SECONDS:
            self._fail("a sound object took long", f"{taken:.1f} s")
        if self._lasting() != self._begun_as:
            self._fail("another process", "the node or a listener was replaced")
            self._begun_as = self._lasting()
        self._note_memory()

    def _lasting(self) -> set[int]:
        running = node_processes.processes(self._node)
        return {pid for pid, kind in running.items() if kind in (node_processes.NODE, node_processes.LISTENER)}

    def _note_memory(self) -> None:
        self._noted_at = time.monotonic()
        for pid, kind in node_processes.processes(self._node).items():
            held = node_processes.memory_kib(pid, "VmHWM")
            if held > MOST_KIB >= self.report.most_kib.get(kind, 0):
                self._fail("too much memory", f"{kind}: {held // 1024} MiB")
            self.report.most_kib[kind] = max(held, self.report.most_kib.get(kind, 0))

    def _fail(self, kind: str, what: str, **more: object) -> None:
        self.report.failures.append({"kind": kind, "what": what, **more})


def _told(talk: Conversation) -> str:
    return f"{talk.kind}, seed {talk.seed}: {', '.join(talk.ways)}"


def _all(ask: Any) -> Iterator[Any]:
    start = 0
    while found := ask(limit=500, offset=start):
        yield from found
        start += len(found)


def _digest(path: Path) -> str:
    """SHA-256 of the data set in a received file, behind its file meta information (PS3.10 7.1)."""
    content = path.read_bytes()
    return hashlib.sha256(content[144 + int.from_bytes(content[140:144], "little") :]).hexdigest()
