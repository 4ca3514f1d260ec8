"""Who is refused at the port for TLS, and by the node where it calls others: each is noted, and the next good peer is served."""

import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog.testing
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from dicom_node.catalog import Catalog
from dicom_node.config import Settings, parse_settings
from dicom_node.errors import RetriableDeliverError
from dicom_node.receive import Listener
from dicom_node.service.observe import Metrics
from tests import peers
from tests.certificates import Pem, make_dated, make_pems

SECONDS = 30.0
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class _Kept:
    """A context as pynetdicom uses it, which forgets a socket whose handshake failed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._sockets: list[ssl.SSLSocket] = []

    def wrap_socket(self, connection: socket.socket, **options: Any) -> ssl.SSLSocket:
        self._sockets.append(self._context.wrap_socket(connection, **options))
        return self._sockets[-1]

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()


class Door(NamedTuple):
    """A listener with a port for TLS, which asks for certificates."""

    settings: Settings
    catalog: Catalog
    metrics: Metrics
    pems: dict[str, Pem]

    @property
    def port(self) -> int:
        assert self.settings.node.tls.port is not None
        return self.settings.node.tls.port

    def refused(self) -> dict[str, int]:
        """How many were turned away, by reason, as the list of peers has it."""
        found: dict[str, int] = {}
        for row in self.catalog.rejected_peers():
            found[row.reason.code] = found.get(row.reason.code, 0) + row.count
        return found

    def counted(self, reason: str) -> float:
        """The same by the metrics."""
        value = self.metrics.registry.get_sample_value("s2ldm_rejected_associations_total", {"reason": reason})
        return value or 0.0

    def context(self, name: str | None = "peer") -> ssl.SSLContext:
        """A peer's, which shows the certificate of that name."""
        context = ssl.create_default_context(cafile=str(self.pems["ca"].certificate))
        if name is not None:
            context.load_cert_chain(self.pems[name].certificate, self.pems[name].key)
        return context

    def echo(self, context: ssl.SSLContext, *, called: str = "S2LDM", calling: str = "KNOWN") -> bool:
        """Whether C-ECHO over TLS is answered."""
        entity = AE(calling)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
        entity.add_requested_context(Verification)
        kept = _Kept(context)
        association = entity.associate(peers.HOST, self.port, ae_title=called, tls_args=(kept, peers.HOST))
        if not association.is_established:
            kept.close()
            return False
        answer = association.send_c_echo()
        association.release()
        return getattr(answer, "Status", None) == 0x0000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    pems = make_pems(folder)
    pems["expired"] = make_dated(folder, "expired", signed_by=pems["ca"], begins=NOW - 9 * DAY, ends=NOW - DAY)
    pems["early"] = make_dated(folder, "early", signed_by=pems["ca"], begins=NOW + DAY, ends=NOW + 9 * DAY)
    tls = {
        "port": peers.free_port(),
        "certificate": str(pems["node"].certificate),
        "key": str(pems["node"].key),
        "ca": str(pems["ca"].certificate),
        "peer_certificate": "required",
    }
    node = {"host": peers.HOST, "port": peers.free_port(), "data_dir": str(folder / "var"), "min_free_mib": 0}
    settings = parse_settings(
        {"node": {**node, "tls": tls, "acse_timeout_seconds": 4.0, "peers": [{"ae_title": "KNOWN"}]}}
    )
    with Catalog(settings.catalog_location) as catalog:
        metrics = Metrics(catalog, data_dir=settings.node.data_dir)
        listener = Listener(settings, catalog, observer=metrics)
        listener.start()
        yield Door(settings, catalog, metrics, pems)
        listener.stop(grace_seconds=0.5)


def _hang_up(connection: socket.socket) -> None:
    """Read until the other side has closed the connection, however it does."""
    connection.settimeout(SECONDS)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass


def _certificate(name: str | None) -> Callable[[Door], None]:
    def attempt(door: Door) -> None:
        assert not door.echo(door.context(name))

    return attempt


def _in_the_clear(door: Door) -> None:
    entity = AE("KNOWN")
    entity.acse_timeout = entity.network_timeout = SECONDS
    entity.add_requested_context(Verification)
    assert not entity.associate(peers.HOST, door.port, ae_title="S2LDM").is_established


def _http(door: Door) -> None:
    with socket.create_connection((peers.HOST, door.port), SECONDS) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        _hang_up(connection)


def _openssl(*options: str, says: bytes = b"") -> Callable[[Door], None]:
    """A client with options of its own, which cannot talk, or says something and is hung up."""

    def attempt(door: Door) -> None:
        own = ["-cert", str(door.pems["peer"].certificate), "-key", str(door.pems["peer"].key)]
        command = ["openssl", "s_client", "-connect", f"{peers.HOST}:{door.port}", *own, *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        assert process.stdout is not None
        heard = b""
        try:
            if says:
                while b"Extended master secret" not in heard:  # the session stands
                    line = process.stdout.readline()
                    assert line, heard.decode()
                    heard += line
                process.stdin.write(says)
                process.stdin.flush()
                heard += process.stdout.read()  # to its end, which is the failure
                assert b"no renegotiation" in heard
            assert process.wait(SECONDS) != 0
        finally:
            process.kill()
            process.communicate()

    return attempt


def _half_a_handshake(door: Door) -> None:
    """The beginning of a ClientHello (RFC 8446 4), then silence: cut when the timer for the request runs out (PS3.8 9.1.5)."""
    with socket.create_connection((peers.HOST, door.port), SECONDS) as connection:
        connection.sendall(struct.pack(">BHH", 0x16, 0x0301, 512) + b"\x01\x00\x01\xfc\x03\x03")
        _hang_up(connection)


def _distrust(door: Door) -> None:
    context = ssl.create_default_context(cafile=str(door.pems["stranger"].certificate))
    assert not door.echo(context)


WEAK = "ALL:@SECLEVEL=0"
REFUSED = {
    "no certificate": ("tls_certificate_missing", _certificate(None)),
    "certificate of another authority": ("tls_certificate_untrusted", _certificate("stranger")),
    "expired certificate": ("tls_certificate_expired", _certificate("expired")),
    "certificate of tomorrow": ("tls_certificate_not_yet_valid", _certificate("early")),
    "DICOM in the clear": ("tls_not_spoken", _in_the_clear),
    "HTTP": ("tls_not_spoken", _http),
    "TLS 1.0": ("tls_version_refused", _openssl("-tls1", "-cipher", WEAK)),
    "TLS 1.1": ("tls_version_refused", _openssl("-tls1_1", "-cipher", WEAK)),
    "without forward secrecy": ("tls_cipher_refused", _openssl("-tls1_2", "-cipher", "AES256-SHA256")),
    "without a certificate of the node": ("tls_cipher_refused", _openssl("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0")),
    "SHA-1": ("tls_cipher_refused", _openssl("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0")),
    "renegotiation": ("tls_failed", _openssl("-tls1_2", says=b"R\n")),
    "half a handshake": ("tls_unfinished", _half_a_handshake),
    "a peer that distrusts the node": ("tls_own_certificate_refused", _distrust),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_peer_is_refused_at_the_port_for_tls_and_noted_and_the_next_is_served(door: Door, how: str) -> None:
    reason, attempt = REFUSED[how]
    before, counted = door.refused(), door.counted(reason)
    with structlog.testing.capture_logs() as log:
        attempt(door)
        # The metrics are told last: list and log have it then.
        peers.wait_until(lambda: door.counted(reason) > counted, seconds=SECONDS, what="the peer to be noted")
    assert door.refused() == {**before, reason: before.get(reason, 0) + 1}
    assert [one for one in log if one["log_level"] != "info"] == [
        {
            "event": "handshake_failed",
            "log_level": "warning",
            "called_ae": "",
            "calling_ae": "",
            "peer": peers.HOST,
            "reason": reason,
        }
    ]
    assert door.counted(reason) == counted + 1
    assert door.echo(door.context())


@pytest.mark.parametrize(
    ("called", "calling", "reason"),
    [("NOBODY", "KNOWN", "called_ae_unknown"), ("S2LDM", "UNKNOWN", "peer_not_allowed")],
)
def test_a_good_certificate_opens_no_door_to_who_is_not_known_or_calls_nobody(
    door: Door, called: str, calling: str, reason: str
) -> None:
    counted = door.counted(reason)
    assert not door.echo(door.context(), called=called, calling=calling)
    peers.wait_until(lambda: door.counted(reason) > counted, seconds=SECONDS, what="the peer to be noted")
    assert door.counted(reason) == counted + 1
    (row,) = [one for one in door.catalog.rejected_peers() if one.reason.code == reason]
    assert (row.called_ae, row.calling_ae, row.peer) == (called, calling, peers.HOST)
    assert door.echo(door.context())


def test_who_says_nothing_or_leaves_after_the_handshake_is_not_listed(door: Door) -> None:
    """A load balancer's health check does so every few seconds."""
    before = door.refused()
    socket.create_connection((peers.HOST, door.port), SECONDS).close()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = door.context()
        context.maximum_version = version
        with socket.create_connection((peers.HOST, door.port), SECONDS) as connection:
            context.wrap_socket(connection, server_hostname=peers.HOST).close()
    with (
        socket.create_connection((peers.HOST, door.port), SECONDS) as connection,
        door.context().wrap_socket(connection, server_hostname=peers.HOST) as secured,
        suppress(ssl.SSLEOFError),
    ):  # the node closes without a word of its own
        secured.unwrap()
    with socket.create_connection((peers.HOST, door.port), SECONDS) as silent:
        _hang_up(silent)  # the last of them, so the others are over, too
    assert door.refused() == before


def test_a_renewed_certificate_is_shown_to_the_next_peer_and_a_broken_one_never(door: Door) -> None:
    """Peers go on all the time: a port that had to be opened again would turn them away."""
    own = door.settings.node.tls
    assert own.certificate is not None
    assert own.key is not None
    before = own.certificate.read_bytes(), own.key.read_bytes()
    renewed = make_dated(own.certificate.parent, "renewed", signed_by=door.pems["ca"], begins=NOW - DAY, ends=NOW + DAY)

    def shown() -> str:
        with (
            socket.create_connection((peers.HOST, door.port), SECONDS) as connection,
            door.context().wrap_socket(connection, server_hostname=peers.HOST) as secured,
        ):
            found = secured.getpeercert()
        assert found is not None
        return dict(part[0] for part in found["subject"])["commonName"]

    assert shown() == "node"
    try:
        with structlog.testing.capture_logs() as log:
            own.certificate.write_bytes(renewed.certificate.read_bytes()[:100])
            assert shown() == "node"
            assert shown() == "node"
            assert [one["event"] for one in log] == ["certificate_not_taken_up"], "said once"
            own.key.write_bytes(renewed.key.read_bytes())
            own.certificate.write_bytes(renewed.certificate.read_bytes())
            assert shown() == "renewed"
        assert door.echo(door.context())
    finally:
        own.certificate.write_bytes(before[0])
        own.key.write_bytes(before[1])
    assert shown() == "node"


@contextmanager
def _server(pems: dict[str, Pem], name: str) -> Iterator[int]:
    """OpenSSL's server with a certificate, as a destination: the node hangs up before it could be asked for DICOM."""
    port = peers.free_port()
    command = ["openssl", "s_server", "-accept", str(port), "-quiet"]
    command += ["-cert", str(pems[name].certificate), "-key", str(pems[name].key)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with socket.socket() as probe:
            peers.wait_until(
                lambda: probe.connect_ex((peers.HOST, port)) == 0, seconds=SECONDS, what="OpenSSL to listen"
            )
        yield port
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("name", "tls", "reason"),
    [
        ("expired", {}, "tls_certificate_expired"),
        ("early", {}, "tls_certificate_not_yet_valid"),
        ("stranger", {}, "tls_certificate_untrusted"),
        ("node", {"server_name": "archive.example"}, "tls_certificate_of_another"),
    ],
)
def test_a_destination_whose_certificate_is_not_its_own_gets_nothing_and_it_is_said_why(
    door: Door, name: str, tls: dict[str, Any], reason: str
) -> None:
    with _server(door.pems, name) as port:
        section = {"ae_title": "PACS", "host": peers.HOST, "port": port, "response_timeout_seconds": 5}
        section["tls"] = {"ca": str(door.pems["ca"].certificate), **tls}
        settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"pacs": section}})
        with pytest.raises(RetriableDeliverError) as refused:
            settings.destinations["pacs"].open(own_ae_title="S2LDM").check()
    assert refused.value.code == reason
    assert "PACS" in refused.value.sentence


def test_a_destination_in_the_clear_where_tls_is_wanted_gets_nothing(tmp_path: Path, door: Door) -> None:
    with peers.storescp(tmp_path / "scp") as scp:
        section = {**peers.destination(scp), "tls": {"ca": str(door.pems["ca"].certificate)}}
        settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"pacs": section}})
        with pytest.raises(RetriableDeliverError) as refused:
            settings.destinations["pacs"].open(own_ae_title="S2LDM").check()
    assert refused.value.code == "tls_unfinished"
