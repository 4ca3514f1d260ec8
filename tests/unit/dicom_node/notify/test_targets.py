"""Targets over the network: a web address and a mail server."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.config import parse_settings
from dicom_node.errors import ConfigError, NodeError
from dicom_node.notify import Notice, target_of

NOTICE = Notice(node="S2LDM", event="failed", summary="1 failed: disk_full", lines=("job 5: The disk is full.",))


@pytest.fixture
def hook() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_gets_json_that_a_chat_can_show(hook: Any) -> None:
    target = target_of({"type": "webhook", "url": f"http://127.0.0.1:{hook.server_port}/hook/secret"})
    target.tell(NOTICE)
    (seen,) = hook.seen
    assert seen["event"] == "failed"
    assert seen["text"] == "S2LDM: 1 failed: disk_full\njob 5: The disk is full."
    assert "secret" not in target.name
    hook.status = 500
    with pytest.raises(NodeError) as refused:
        target.tell(NOTICE)
    assert refused.value.code == "notice_not_sent"
    assert "secret" not in refused.value.sentence


def test_a_mail_goes_to_all_readers() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[str] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(text: str) -> None:
                stream.write(f"{text}\r\n".encode())
                stream.flush()

            say("220 here")
            while line := stream.readline().decode().strip():
                seen.append(line)
                if line.upper() == "DATA":
                    say("354 go on")
                    while (part := stream.readline().decode().rstrip("\r\n")) != ".":
                        seen.append(part)
                say("221 bye" if line.upper() == "QUIT" else "250 well")
                if line.upper() == "QUIT":
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    target = target_of(
        {
            "type": "mail",
            "host": "127.0.0.1",
            "port": listener.getsockname()[1],
            "encryption": "none",
            "sender": "node@here.example",
            "to": ["a@here.example", "b@here.example"],
        }
    )
    target.tell(NOTICE)
    thread.join(timeout=10)
    listener.close()
    assert "rcpt TO:<a@here.example>" in seen
    assert "rcpt TO:<b@here.example>" in seen
    assert "Subject: S2LDM: 1 failed: disk_full" in seen
    assert "job 5: The disk is full." in seen
    with pytest.raises(NodeError):
        target.tell(NOTICE)  # nobody listens any more


@pytest.mark.parametrize(
    "target",
    [{"type": "pigeon"}, {"type": "webhook"}, {"type": "webhook", "url": "http://me:secret@chat/x"}, {"url": "x"}],
)
def test_a_target_that_cannot_be_is_refused_with_the_configuration(target: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, ValidationError)):
        parse_settings({"notify": [target]})
