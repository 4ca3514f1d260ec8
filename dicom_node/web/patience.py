"""How long the web server waits for whoever asks: a request half sent, or an answer not read, holds nothing for long.

uvicorn itself waits without end for the rest of a request, and for a reader.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom_node.streaming.waiting import WaitingRoom

#: A request's line and headers come within this time.
HEAD_SECONDS = 10.0
#: Within so long so many bytes of a body come, or of an answer are read; what is slower is no network of today.
SPAN_SECONDS = 30.0
LEAST_BYTES = 16 * 1024
#: Connections without a whole request, of one address and of all; beyond, the oldest are cut.
_PER_ADDRESS, _IN_ALL = 32, 128


class Crowd:
    """The connections of one server that have asked for nothing yet, or nothing more."""

    def __init__(self) -> None:
        self.room = WaitingRoom(per_address=_PER_ADDRESS, in_all=_IN_ALL)


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which gives up a peer that does not go on."""

    crowd: Crowd
    head_seconds, span_seconds, least_bytes = HEAD_SECONDS, SPAN_SECONDS, LEAST_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._waits_since: float | None = None
        self._came, self._unread, self._drained = 0, 0, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """A part of a request has come."""
        self._came += len(data)
        super().data_received(data)
        if self._waits_since is not None and self._asked:
            self._waits_since = None
            self.crowd.room.leave(self)
            self._look_in(self.span_seconds)

    def on_response_complete(self) -> None:
        """A request is answered; the next may come."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self._asked:
            self._wait()

    def resume_writing(self) -> None:
        """The peer has read what waited for it."""
        self._drained = True
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self.crowd.room.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close the connection, whatever is still to be sent (`dicom_node.streaming.waiting.Waiting`)."""
        self.transport.abort()

    @property
    def _asked(self) -> bool:
        """Whether a request's head has come whole, and its answer is not at its end."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._waits_since = time.monotonic()
        self._look_in(self.head_seconds)
        self.crowd.room.enter(self, self.client[0] if self.client else "")

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._came, self._drained = 0, False
        self._unread = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Give the peer up if it is at its turn and has done too little since the last look."""
        unread = self.transport.get_write_buffer_size()
        if unread:  # of an answer that uvicorn has done with, too, and of a connection that it has closed
            stuck = self._unread > 0 and not self._drained and self._unread - unread < self.least_bytes
        elif self._waits_since is not None:
            stuck = True
        else:
            stuck = self.cycle.more_body and not self.flow.read_paused and self._came < self.least_bytes
        if stuck:
            self.cut()
        else:
            self._look_in(self.span_seconds)


def impatient() -> type[ImpatientProtocol]:
    """The protocol for one server, whose connections count together."""
    return type("ImpatientProtocol", (ImpatientProtocol,), {"crowd": Crowd()})
