"""An association's socket: what comes in pieces is read whole, and nobody waits for ever."""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_node.streaming.transport import ReceivingSocket


class Line:
    """A connection: the peer's end, and ours as the upper layer sees it."""

    def __init__(self, *, timeout_seconds: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.peer = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        association = Association(AE(), "acceptor")
        association.network_timeout = timeout_seconds
        self.events = association.dul.event_queue
        self.reader = ReceivingSocket(association, client_socket=ours)
        self.events.queue.clear()
        self.ours = ours

    def arrive(self) -> None:
        """Wait until something is there."""
        assert select.select([self.ours], [], [], 10.0)[0]


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line(timeout_seconds=10.0)
    with closing(line.peer), closing(line.ours):
        yield line


def test_what_comes_in_pieces_is_read_whole(line: Line) -> None:
    content = os.urandom(300_000)
    sender = threading.Thread(
        target=lambda: [line.peer.sendall(content[at : at + 7001]) for at in range(0, 300_000, 7001)]
    )
    sender.start()
    assert bytes(line.reader.read(6)) == content[:6]
    assert bytes(line.reader.read(200_000)) == content[6:200_006]
    assert bytes(line.reader.read(99_994)) == content[200_006:]
    sender.join()


def test_more_than_the_buffer_holds_is_read_whole_and_so_is_what_follows(line: Line) -> None:
    content = os.urandom(1_500_000)
    sender = threading.Thread(target=line.peer.sendall, args=(content,))
    sender.start()
    assert bytes(line.reader.read(10)) == content[:10]
    assert bytes(line.reader.read(1_000_000)) == content[10:1_000_010]
    assert bytes(line.reader.read(499_990)) == content[1_000_010:]
    sender.join()


def test_the_end_of_the_stream_cuts_short(line: Line) -> None:
    line.peer.sendall(b"abc")
    line.peer.shutdown(socket.SHUT_WR)
    assert bytes(line.reader.read(6)) == b"abc"
    assert bytes(line.reader.read(6)) == b""


def test_reading_ahead_waits_for_nothing_and_tells_data_and_end_from_silence(line: Line) -> None:
    assert not line.reader.read_ahead()
    assert not line.reader.ready
    line.peer.sendall(b"abc")
    line.arrive()
    assert line.reader.read_ahead()
    assert line.reader.has_read_ahead
    assert bytes(line.reader.read(3)) == b"abc"
    line.peer.close()
    line.arrive()
    assert line.reader.read_ahead()
    assert not line.reader.has_read_ahead


def test_a_peer_that_falls_silent_in_the_middle_is_given_up() -> None:
    line = Line(timeout_seconds=0.05)
    with closing(line.peer), closing(line.ours):
        line.peer.sendall(b"abc")
        with pytest.raises(TimeoutError):
            line.reader.read(6)


def test_what_the_peer_takes_slowly_is_sent_whole(line: Line) -> None:
    content = os.urandom(4_000_000)
    sender = threading.Thread(target=line.reader.send, args=(content,))
    sender.start()
    received = bytearray()
    while len(received) < len(content):
        received += line.peer.recv(100_000)
    sender.join()
    assert received == content
    assert not line.events.queue


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    line = Line(timeout_seconds=0.05)
    with closing(line.peer), closing(line.ours):
        line.reader.send(bytes(8_000_000))
        assert list(line.events.queue) == ["Evt17"]


def test_a_connection_that_can_no_longer_be_sent_to_is_closed(line: Line) -> None:
    line.ours.shutdown(socket.SHUT_WR)
    line.reader.send(b"abc")
    assert list(line.events.queue) == ["Evt17"]
