"""What the answers of a web archive mean, and that nothing leaves for another address."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from dicom_node.config import parse_settings
from dicom_node.deliver.destinations.stow import StowSettings
from dicom_node.errors import RetriableDeliverError
from dicom_node.states import Verdict


class _Archive(ThreadingHTTPServer):
    """Answers every request with ``answer`` (status, headers, body) and keeps what came."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server: Any = self.server
        server.seen.append((self.path, dict(self.headers), body))
        status, headers, content = server.answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def archive() -> Iterator[_Archive]:
    server = _Archive()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def path(write_ct_series: Any) -> Path:
    (one,) = write_ct_series(np.zeros((1, 4, 4), dtype=np.float32))
    return Path(one)


def _destination(archive: _Archive, **keys: Any) -> Any:
    section = {"type": "stow", "url": f"http://127.0.0.1:{archive.server_port}/web/", **keys}
    settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"web": section}})
    return settings.destinations["web"].open(own_ae_title="S2LDM")


def _send(destination: Any, path: Path) -> Any:
    (answer,) = destination.send([path], on_answer=lambda _: None, should_stop=lambda: False)
    return answer


def _failed(uid: str, reason: int) -> bytes:
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


def test_the_very_bytes_go_out_as_one_part(archive: _Archive, path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("abc\n")
    destination = _destination(archive, auth={"type": "basic", "user": "me", "secret_file": str(secret)})
    assert _send(destination, path).verdict is Verdict.ACCEPTED
    ((where, headers, body),) = archive.seen
    assert where == "/web/studies"
    assert headers["Authorization"] == "Basic bWU6YWJj"
    assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    assert body == (
        b"--"
        + boundary
        + b"\r\nContent-Type: application/dicom\r\n\r\n"
        + path.read_bytes()
        + b"\r\n--"
        + boundary
        + b"--\r\n"
    )


@pytest.mark.parametrize(
    ("status", "reason", "expected", "said"),
    [
        (200, None, Verdict.ACCEPTED, ""),
        (202, 0x0111, Verdict.ACCEPTED, ""),
        (202, 0xA700, Verdict.RETRIABLE, "out of resources"),
        (409, 0xA900, Verdict.PERMANENT, "SOP class"),
        (409, 0xC000, Verdict.PERMANENT, "cannot understand"),
        (202, None, Verdict.RETRIABLE, "HTTP 202"),
        (400, None, Verdict.PERMANENT, "HTTP 400"),
        (413, None, Verdict.PERMANENT, "HTTP 413"),
        (503, None, Verdict.RETRIABLE, "HTTP 503"),
        (429, None, Verdict.RETRIABLE, "HTTP 429"),
    ],
)
def test_each_answer_is_judged_by_its_reason_then_by_its_status(
    archive: _Archive, path: Path, status: int, reason: int | None, expected: Verdict, said: str
) -> None:
    from pydicom import dcmread

    uid = str(dcmread(path).SOPInstanceUID)
    archive.answer = (status, {}, b"" if reason is None else _failed(uid, reason))
    answer = _send(_destination(archive), path)
    assert (answer.verdict, answer.status) == (expected, status)
    assert said in answer.comment


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"00081198": 4}', b"[" * 100_000, b"x" * (2 << 20)])
def test_an_answer_that_is_no_dicom_json_is_judged_by_its_status(archive: _Archive, path: Path, body: bytes) -> None:
    archive.answer = (200, {}, body)
    assert _send(_destination(archive), path).verdict is Verdict.ACCEPTED


def test_a_redirect_is_not_followed_with_object_and_secret(archive: _Archive, path: Path) -> None:
    archive.answer = (307, {"Location": "/elsewhere"}, b"")
    assert _send(_destination(archive), path).verdict is Verdict.PERMANENT
    assert [where for where, _, _ in archive.seen] == ["/web/studies"]


def test_who_may_not_store_waits_until_somebody_has_changed_that(archive: _Archive, path: Path, tmp_path: Path) -> None:
    archive.answer = (403, {}, b"")
    with pytest.raises(RetriableDeliverError) as refused:
        _send(_destination(archive), path)
    assert refused.value.code == "web_forbidden"
    with pytest.raises(RetriableDeliverError) as missing:
        _send(_destination(archive, auth={"type": "bearer", "secret_file": str(tmp_path / "none")}), path)
    assert missing.value.code == "secret_unreadable"


@pytest.mark.parametrize("url", ["ftp://a/b", "archive/dicom-web", "https://me:secret@archive/web", "http://a/b?c=d"])
def test_an_address_that_cannot_be_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        StowSettings(type="stow", url=url)
