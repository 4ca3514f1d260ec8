"""What the acceptor asks of its owner: a `Service` admits associations, its `Session` takes each object by a `Sink`.

An association's calls, in this order and from its own threads:

    session = service.admit(request, enter=…)            # or a Refusal, and nothing more
    sink = session.begin(command, transfer_syntax_uid=…)  # for each C-STORE request, or serve(…) for those of other services
    sink.write(fragment)                                 # as the fragments arrive
    status, comment = sink.finish()                      # or discard(), if the data set was cut off
    session.end("released")
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

from dicom_node.streaming.command_set import Command
from dicom_node.streaming.places import Occupancy
from dicom_node.streaming.retrieval import Retrieval

_Objection = TypeVar("_Objection")

#: How an association ended; ``lost`` is without release or abort.
End = Literal["released", "aborted", "lost"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a peer asks for: AE titles without padding, its IP address, and whether it proposes to store."""

    called_ae: str
    calling_ae: str
    peer: str
    stores: bool


class Refusal(NamedTuple):
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, kw_only=True)
class EventReport:
    """An N-EVENT-REPORT-RQ to send to the peer (PS3.7 10.3.1), with its data set as the context's transfer syntax has it.

    ``told`` is called once, with the status of the response, or None if the association ended without.
    """

    sop_class_uid: str
    sop_instance_uid: str
    event_type: int
    data_set: bytes
    told: Callable[[int | None], None]


class Answer(NamedTuple):
    """Status and error comment of a response; the comment is for a failure or a warning (PS3.7 9.3.1.2).

    ``matches`` are sent before it: of a C-FIND-RSP each, its status and its data set as the context's transfer syntax has it
    (PS3.4 C.4.1). ``then`` is sent after it, on the same association. ``retrieval`` takes its place: that tells what is
    answered, and when.
    """

    status: int
    comment: str = ""
    then: EventReport | None = None
    matches: Sequence[tuple[int, bytes]] = ()
    retrieval: Retrieval | None = None


class ExcessError(Exception):
    """More than any sender has to send: its association is aborted."""


class Sink(Protocol):
    """Where the data set of one request goes."""

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment, which is only valid during the call. Must not raise for what the disk does.

        Raises
        ------
        ExcessError
            Nothing more of it is to be taken, not even for an answer at its end.
        """

    def finish(self) -> Answer:
        """Keep the data set, which is complete, and say how it went."""

    def discard(self) -> None:
        """Forget the data set: it will never be complete."""


class Session(Protocol):
    """An association that was admitted."""

    def begin(self, command: Command, *, transfer_syntax_uid: str) -> Sink:
        """Where the data set that follows `command` goes."""

    def serve(self, command: Command, *, transfer_syntax_uid: str) -> Sink | None:
        """Where the data set of a request of Storage Commitment (N-ACTION, N-EVENT-REPORT), of a query (C-FIND) or of a retrieval
        (C-MOVE, C-GET) goes; None: not served."""

    def end(self, how: End) -> None:
        """The association is over; told once."""


#: Rejected for now by the service provider (presentation), local limit exceeded (PS3.8 table 9-21).
FULL = Refusal(result=0x02, source=0x03, reason=0x02)


class Enter(Protocol):
    """Takes one of the acceptor's places for an association."""

    def __call__(self, party: str, *, object_to: Callable[[Occupancy], _Objection | None]) -> _Objection | None:
        """Take it for a party, unless ``object_to`` objects to what is taken, as it must where none is left; what it says."""


class Service(Protocol):
    """Decides on associations."""

    def admit(self, request: Request, *, enter: Enter) -> Session | Refusal:
        """Let in or turn away; who is let in has to ``enter`` (else `FULL`), so that who is turned away takes no place."""

    def not_secured(self, peer: str, *, error: ssl.SSLError | None, first_byte: int) -> None:
        """A connection to a port for TLS ended before anything was asked for over it: what OpenSSL said of it, None if the peer fell
        silent or hung up, and the first byte that came."""
