"""Serving https, and behind a proxy."""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from pydantic import ValidationError

from dicom_node.config import WebSettings
from dicom_node.config.settings import WebTls
from dicom_node.errors import NodeError
from dicom_node.web.server import WebServer
from tests.unit.dicom_node.web.conftest import Console
from tests.unit.dicom_node.web.test_access import PASSWORD, people

__all__ = ["people"]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> WebTls:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "node.pem", folder / "node.key"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=node -addext"
    command = ["openssl", "req", *options.split(), "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return WebTls(certificate=certificate, key=key)


@contextmanager
def serving(console: Console, **how: object) -> Iterator[int]:
    server = WebServer(console.client.app, host="127.0.0.1", port=0, **how)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def log_in(connection: http.client.HTTPConnection, **headers: str) -> str:
    """The cookie."""
    body = json.dumps({"name": "anna", "password": PASSWORD})
    connection.request("POST", "/api/login", body, {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return answer.headers["set-cookie"].lower()


def test_certificate_is_shown_and_the_cookie_is_for_https_alone(people: Console, tls: WebTls) -> None:
    with serving(people, tls=tls) as port:
        trusting = ssl.create_default_context(cafile=str(tls.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=30)
        assert "secure" in log_in(connection)
        connection.close()
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        plain.request("GET", "/healthz")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        plain.close()


def test_certificate_that_is_none_is_said_at_the_start(people: Console, tls: WebTls) -> None:
    server = WebServer(people.client.app, host="127.0.0.1", port=0, tls=WebTls(certificate=tls.key, key=tls.key))
    with pytest.raises(NodeError) as raised:
        server.start()
    assert raised.value.code == "cannot_serve_tls"


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_proxy_says_who_asks_and_how(people: Console, trusted: bool) -> None:
    with serving(people, trusted_proxies=["127.0.0.0/8"] if trusted else []) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with structlog.testing.capture_logs() as logs:
            cookie = log_in(connection, **{"x-forwarded-for": "6.6.6.6, 10.1.1.1", "x-forwarded-proto": "https"})
        connection.close()

    assert ("secure" in cookie) is trusted
    (address,) = (line["address"] for line in logs if line["event"] == "logged_in")
    assert address == ("10.1.1.1" if trusted else "127.0.0.1")


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "*", "proxy.example", "10.0.0.1/8"])
def test_everybody_and_names_are_no_trusted_proxies(network: str) -> None:
    with pytest.raises(ValidationError):
        WebSettings(trusted_proxies=[network])
