"""Sending the trail to a syslog server: with octet counting over TLS (RFC 5425, PS3.15 A.6) or TCP (RFC 6587 3.4.1), or UDP (RFC 5426).

The files are the truth, and what has been sent of them is remembered: a server that is away gets everything later.
"""

import fcntl
import json
import os
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import days
from dicom_node.tls import ClientTls
from s2ldm_core.files import replace_text

_STATE = "sent.json"
_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.02
#: So long a server may take to end its side.
_END_SECONDS = 2.0
#: So long a server may take to refuse the node's certificate.
_VERDICT_SECONDS = 0.5
#: Messages of a connection; then it is noted that they were sent.
_AT_ONCE = 100
_MOST_A_RUN = 5000


class Syslog:
    """Sends what a trail has and a server has not; for use from one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / _STATE

    def send_new(self, settings: AuditSettings) -> int:
        """Send what is new; how many messages. A server is told everything of the day on which it is first named.

        Raises
        ------
        OSError
            It cannot be reached, or has not taken all; what it has may come again. `ssl.SSLError` among them.
        ConfigError
            ``tls_unusable``: with the files of ``audit.tls`` no TLS can be spoken.
        """
        sent = 0
        for name, offset, batch in self._unsent():
            with _connect(settings) as connection:
                _send(connection, batch, counted=settings.transport != "udp")
            self._note(name, offset)
            sent += len(batch)
            if sent >= _MOST_A_RUN:
                break
        return sent

    def _unsent(self) -> Iterator[tuple[str, int, list[bytes]]]:
        """Messages, with the file and the place in it up to which they reach."""
        present = days(self._folder)
        known = self._read()
        if known is None and present:
            known = (present[-1].name, 0)
        for path in present:
            if known is None or path.name < known[0]:
                continue
            offset = known[1] if path.name == known[0] else 0
            with path.open("rb") as file:
                file.seek(offset)
                batch: list[bytes] = []
                for line in file:
                    if not line.endswith(b"\n"):  # being written
                        break
                    offset += len(line)
                    if line.startswith(b"<"):
                        batch.append(line[:-1])
                    if len(batch) >= _AT_ONCE:
                        yield path.name, offset, batch
                        batch = []
                if batch:
                    yield path.name, offset, batch

    def _note(self, name: str, offset: int) -> None:
        replace_text(self._state, json.dumps({"file": name, "offset": offset}), mode=0o640)

    def _read(self) -> tuple[str, int] | None:
        try:
            found = json.loads(self._state.read_text(encoding="utf-8"))
            return str(found["file"]), int(found["offset"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _connect(settings: AuditSettings) -> socket.socket:
    host, port = settings.address
    if settings.transport != "udp":
        connection = socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS)
        return connection if settings.secured is None else _secure(connection, settings.secured, host=host)
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    connection = socket.socket(family, kind, protocol)
    connection.settimeout(_TIMEOUT_SECONDS)
    connection.connect(address)
    return connection


def _secure(connection: socket.socket, tls: ClientTls, *, host: str) -> ssl.SSLSocket:
    try:
        secured = tls.context().wrap_socket(connection, server_hostname=tls.server_name or host)
        connection = secured
        _hear_out(secured)
    except BaseException:
        connection.close()
        raise
    return secured


def _hear_out(connection: ssl.SSLSocket) -> None:
    """With TLS 1.3 a server says after the handshake whether it takes the node's certificate (RFC 8446 4.4.2.4): with an alert, or
    mostly a session ticket. What is sent before that runs into a connection that is reset."""
    select.select([connection], [], [], _VERDICT_SECONDS)
    connection.setblocking(False)
    with suppress(ssl.SSLWantReadError):
        connection.recv(1)
    connection.settimeout(_TIMEOUT_SECONDS)


def _send(connection: socket.socket, batch: list[bytes], *, counted: bool) -> None:
    if not counted:
        for message in batch:
            connection.send(message)
        return
    connection.sendall(b"".join(b"%d %b" % (len(message), message) for message in batch))
    if isinstance(connection, ssl.SSLSocket):
        # RFC 5425 4.4. One that closes without a word, or is slow, has to acknowledge all the same.
        connection.settimeout(_END_SECONDS)
        with suppress(TimeoutError, ssl.SSLEOFError):
            connection.unwrap()
    # Sent is not received: wait until the other machine has acknowledged every byte, and for its side's end. One that closes
    # with something unread resets the connection; one that leaves it open has acknowledged, and no more can be known.
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while _unacknowledged(connection):
        if time.monotonic() > deadline:
            raise TimeoutError("the syslog server does not take what is sent")
        time.sleep(_POLL_SECONDS)
    if isinstance(connection, ssl.SSLSocket):
        return
    connection.settimeout(_END_SECONDS)
    connection.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError):
        while connection.recv(4096):
            pass
    if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the other machine has not acknowledged (tcp(7), SIOCOUTQ)."""
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    return int(count)
