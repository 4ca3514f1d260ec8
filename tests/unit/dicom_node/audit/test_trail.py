"""The trail's files, and the syslog server that gets what they have."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_node.audit.events import accessed, application
from dicom_node.audit.messages import Study
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.syslog import Syslog
from dicom_node.audit.trail import AuditTrail, days
from dicom_node.tls import ClientTls
from tests.catalog_jobs import Clock
from tests.certificates import Pem, make_dated, make_pems
from tests.peers import wait_until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail(tmp_path: Path, clock: Clock) -> AuditTrail:
    return AuditTrail(tmp_path / "audit", node="S2LDM", now=clock)


def look(trail: AuditTrail, number: int) -> None:
    trail.record(accessed(f"user{number}", address="", study=Study(uid="1.2.3"), at=trail.now()))


def lines(trail: AuditTrail) -> list[bytes]:
    return [line for path in days(trail.folder) for line in path.read_bytes().splitlines()]


def users(messages: list[bytes]) -> list[str]:
    return [one.decode().partition('UserID="')[2].partition('"')[0] for one in messages]


def test_a_message_is_a_line_of_rfc_5424_in_the_day_s_private_file(trail: AuditTrail) -> None:
    trail.record(application("S2LDM", started=True, at=trail.now()))

    (path,) = days(trail.folder)
    (line,) = path.read_bytes().splitlines()
    head, mark, xml = line.partition(b"\xef\xbb\xbf")
    assert path.name == "2026-01-01.log"
    assert path.stat().st_mode & 0o777 == 0o640
    assert trail.folder.stat().st_mode & 0o777 == 0o750
    # RFC 5424 6: priority 10 * 8 + 5 and version, time, host, application, process, message ID (PS3.15 A.6), no data
    priority, at, _, name, process, kind, data, end = head.split(b" ")
    assert (priority, at, name, kind, data, end) == (
        b"<85>1",
        b"2026-01-01T12:00:00.000Z",
        b"s2ldm-node",
        b"DICOM+RFC3881",
        b"-",
        b"",
    )
    assert process.isdigit()
    assert mark
    assert xml.startswith(b"<?xml")


def test_a_line_that_was_cut_off_does_not_spoil_the_next(trail: AuditTrail) -> None:
    look(trail, 1)
    path = days(trail.folder)[0]
    path.write_bytes(path.read_bytes()[:-30])
    look(trail, 2)

    assert users(lines(trail)) == ["user1", "user2"]


def test_what_cannot_be_written_waits_and_is_written_in_order(trail: AuditTrail) -> None:
    trail.folder.write_text("in the way")
    look(trail, 1)
    with pytest.raises(OSError, match="exists"):
        trail.flush()
    trail.folder.unlink()
    look(trail, 2)

    assert users(lines(trail)) == ["user1", "user2"]


def test_files_of_days_that_are_over_go_after_their_time(trail: AuditTrail, clock: Clock) -> None:
    for number in range(3):
        look(trail, number)
        clock.advance(86400)

    assert trail.remove_before(clock() - timedelta(days=2)) == 1
    assert users(lines(trail)) == ["user1", "user2"]


def test_looks_of_one_person_at_one_series_within_an_hour_are_one(trail: AuditTrail, clock: Clock) -> None:
    asked = [("anna", 1), ("anna", 1), ("anna", 2), ("bert", 1)]

    assert [trail.is_first_look(*one) for one in asked] == [True, False, True, True]
    clock.advance(3601)
    assert trail.is_first_look("anna", 1)


class Server:
    """A syslog server that takes octet-counted messages over TCP (RFC 6587 3.4.1), or TLS (RFC 5425 4.3).

    ``refused``: why handshakes failed, as OpenSSL says it.
    """

    def __init__(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        self.messages: list[bytes] = []
        self.refused: list[str] = []
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self._take(connection)
                except (ssl.SSLError, ConnectionError) as error:
                    self.refused.append(str(getattr(error, "reason", error)))

    def _take(self, connection: socket.socket) -> None:
        secured = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
        with secured, secured.makefile("rb") as stream:
            while count := b"".join(iter(lambda: stream.read(1).strip(), b"")):
                self.messages.append(stream.read(int(count)))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def serving(port: int = 0, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(port, tls=tls)
    try:
        yield server
    finally:
        server.close()


def test_a_server_that_was_away_gets_everything_once_and_in_order(trail: AuditTrail, clock: Clock) -> None:
    with serving() as server:
        settings = AuditSettings(syslog=f"127.0.0.1:{server.port}")
        look(trail, 0)
        assert Syslog(trail.folder).send_new(settings) == 1
        wait_until(lambda: len(server.messages) == 1, seconds=10, what="the first message")
    for number in range(1, 4):
        clock.advance(86400)  # each in a file of its own
        look(trail, number)
    with pytest.raises(ConnectionRefusedError):
        Syslog(trail.folder).send_new(settings)
    with serving(server.port) as back:
        assert Syslog(trail.folder).send_new(settings) == 3
        assert Syslog(trail.folder).send_new(settings) == 0
        wait_until(lambda: len(back.messages) == 3, seconds=10, what="the others")

    assert server.messages + back.messages == lines(trail)


def test_a_server_that_hangs_up_without_reading_gets_it_again(trail: AuditTrail) -> None:
    look(trail, 0)
    with socket.create_server(("127.0.0.1", 0)) as door:

        def hang_up() -> None:
            connection, _ = door.accept()
            select.select([connection], [], [], 10)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OSError, match=r"reset|pipe|not connected"):
            Syslog(trail.folder).send_new(AuditSettings(syslog=f"127.0.0.1:{door.getsockname()[1]}"))
        thread.join()
    with serving() as server:
        assert Syslog(trail.folder).send_new(AuditSettings(syslog=f"127.0.0.1:{server.port}")) == 1


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pem]:
    folder = tmp_path_factory.mktemp("pem")
    made = make_pems(folder)
    now = datetime.now(UTC)
    ends = now - timedelta(days=1)
    made["expired"] = make_dated(folder, "expired", signed_by=made["ca"], begins=ends - timedelta(days=9), ends=ends)
    return made


def server_context(pems: dict[str, Pem], name: str = "node") -> ssl.SSLContext:
    """A server's, which asks for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pems["ca"].certificate))
    context.load_cert_chain(*pems[name])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def over_tls(port: int, pems: dict[str, Pem], own: str | None = "peer", **tls: object) -> AuditSettings:
    shown = {} if own is None else {"certificate": str(pems[own].certificate), "key": str(pems[own].key)}
    section = {"ca": str(pems["ca"].certificate), **shown, **tls}
    return AuditSettings.model_validate({"syslog": f"127.0.0.1:{port}", "transport": "tls", "tls": section})


def test_tls_carries_everything_once_and_in_order_and_is_encrypted(trail: AuditTrail, pems: dict[str, Pem]) -> None:
    """RFC 5425 with certificates of both sides; more than a batch, so more than one connection."""
    for number in range(150):
        look(trail, number)
    with serving(tls=server_context(pems)) as server:
        syslog, settings = Syslog(trail.folder), over_tls(server.port, pems)
        assert syslog.send_new(settings) == 150
        assert syslog.send_new(settings) == 0
        wait_until(lambda: len(server.messages) == 150, seconds=10, what="the messages")
    assert server.messages == lines(trail)
    assert server.refused == []


@pytest.mark.parametrize(
    ("server_name", "own", "tls", "reason"),
    [
        ("expired", "peer", {}, "CERTIFICATE_VERIFY_FAILED"),
        ("stranger", "peer", {}, "CERTIFICATE_VERIFY_FAILED"),
        ("node", "peer", {"server_name": "log.example"}, "CERTIFICATE_VERIFY_FAILED"),
        ("node", None, {}, "CERTIFICATE_REQUIRED"),
        ("node", "stranger", {}, "UNKNOWN_CA"),
        ("node", "expired", {}, "CERTIFICATE_EXPIRED"),
    ],
)
def test_where_either_certificate_is_wrong_nothing_counts_as_sent(
    trail: AuditTrail, pems: dict[str, Pem], server_name: str, own: str | None, tls: dict[str, object], reason: str
) -> None:
    """A server that refuses the node's certificate says so after the node has sent (RFC 8446 4.4.2.4)."""
    look(trail, 0)
    with serving(tls=server_context(pems, server_name)) as server:
        with pytest.raises(ssl.SSLError, match=reason):
            Syslog(trail.folder).send_new(over_tls(server.port, pems, own, **tls))
        wait_until(lambda: server.refused, seconds=10, what="the server to refuse")
        assert server.messages == []
    with serving(tls=server_context(pems)) as good:
        assert Syslog(trail.folder).send_new(over_tls(good.port, pems)) == 1


def test_a_syslog_server_in_the_clear_gets_nothing_over_tls(trail: AuditTrail, pems: dict[str, Pem]) -> None:
    look(trail, 0)
    with socket.create_server(("127.0.0.1", 0)) as door:
        heard: list[bytes] = []

        def answer() -> None:
            connection, _ = door.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(b"501 what?")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match=r"SSL|reset"):
            Syslog(trail.folder).send_new(over_tls(door.getsockname()[1], pems))
        thread.join()
    assert b"DICOM" not in heard[0]


def test_tls_is_set_only_where_it_is_spoken() -> None:
    with pytest.raises(ValidationError, match="transport: tls"):
        AuditSettings(syslog="log.example:601", tls=ClientTls())
    assert AuditSettings(syslog="log.example:6514", transport="tls").secured == ClientTls()


def test_udp_carries_a_message_a_datagram(trail: AuditTrail) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        look(trail, 1)
        settings = AuditSettings(syslog=f"127.0.0.1:{server.getsockname()[1]}", transport="udp")
        assert Syslog(trail.folder).send_new(settings) == 1
        assert [server.recv(65536)] == lines(trail)


@pytest.mark.parametrize("wrong", ["log.example", "log.example:", ":601", "log.example:99999", "log.example:x"])
def test_an_address_without_host_and_port_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="host:port"):
        AuditSettings(syslog=wrong)
