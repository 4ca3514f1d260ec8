"""Who never ends a request holds up nobody."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI, Request

from dicom_node.web import patience
from dicom_node.web.server import WebServer
from tests.peers import wait_until

WHOLE = b"GET /ask HTTP/1.1\r\nHost: node\r\n\r\n"


@contextmanager
def serving() -> Iterator[WebServer]:
    app = FastAPI()

    @app.get("/ask")
    def ask() -> str:
        return "answer"

    @app.post("/take")
    async def take(request: Request) -> int:
        return len(await request.body())

    @app.get("/much")
    def much() -> str:
        return "x" * 2**25

    server = WebServer(app, host="127.0.0.1", port=0)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setattr(patience.ImpatientProtocol, "head_seconds", 0.4)
    monkeypatch.setattr(patience.ImpatientProtocol, "span_seconds", 0.4)
    with serving() as server:
        yield server


@pytest.fixture
def port(server: WebServer) -> int:
    return server.port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def drip(connection: socket.socket, data: bytes) -> bool:
    """Send a byte at a time; True if the connection is closed before the end."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        return True
    return False


def test_a_head_that_never_ends_is_cut_however_it_drips(port: int) -> None:
    with connect(port) as connection:
        assert drip(connection, WHOLE[:-2] + b"X-Slow: " + 40 * b"x")


def test_a_body_that_drips_is_cut_and_a_whole_one_is_taken(port: int) -> None:
    head = b"POST /take HTTP/1.1\r\nHost: node\r\nContent-Length: 30\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(head + b"x")
        assert is_closed(connection)
    with connect(port) as connection:
        connection.sendall(head + 30 * b"x")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def connections(server: WebServer) -> int:
    return len(server._server.server_state.connections)


def test_an_answer_that_is_not_read_is_given_up(server: WebServer) -> None:
    with connect(server.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(WHOLE.replace(b"/ask", b"/much"))
        wait_until(lambda: connections(server), seconds=10, what="the connection")
        wait_until(lambda: not connections(server), seconds=10, what="its end")


def test_hundreds_of_half_sent_requests_leave_the_next_one_its_answer() -> None:
    with serving() as server:
        port = server.port
        half = [connect(port) for _ in range(200)]
        for connection in half:
            connection.sendall(WHOLE[:20])
        try:
            with connect(port) as connection:
                connection.sendall(WHOLE)
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            assert sum(is_closed(one) for one in half[:150]) == 150
        finally:
            for connection in half:
                connection.close()
