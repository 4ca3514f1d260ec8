"""A small OpenID Connect provider on this machine, which checks what a strict one checks."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "s2ldm", "client's secret: 40 % of it"


@dataclass
class Provider:
    """The provider; what it says can be changed.

    Attributes
    ----------
    claims
        Of whoever logs in, beside those of every ID token.
    sign
        Makes an ID token of its claims.
    asked
        Paths that were asked for.
    """

    key: RSAKey
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    body: bytes | None = None
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be away."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def issuer(self) -> str:
        """What it calls itself."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def log_in(self, address: str) -> str:
        """What a browser is told by the address that the node sent it to: where to go back to."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        asked = {name: one for name, (one,) in parse_qs(parts.query, strict_parsing=True).items()}
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?" + urlencode({"code": code, "state": asked["state"]})

    def _tokens(self, headers: dict[str, str], form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        known = base64.b64encode(f"{quote(CLIENT)}:{quote(SECRET, safe='')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if headers.get("authorization") not in (f"Basic {known}", f"Basic {plain}"):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge.decode().rstrip("=") != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "17", "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        claims = {name: one for name, one in (claims | self.claims).items() if one is not None}
        token = self.sign(claims) if self.sign else self.signed(claims)
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": token}

    def signed(self, claims: dict[str, Any], key: RSAKey | None = None) -> str:
        """An ID token; another key than the provider's may say that it is the provider's."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key or self.key, algorithms=["RS256"])

    def _answer(self, path: str) -> Mapping[str, object] | None:
        if path == "/.well-known/openid-configuration":
            known = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            return (
                {"issuer": self.issuer}
                | {name: f"{self.issuer}/{where}" for name, where in known.items()}
                | self.metadata
            )
        return dict(KeySet([self.key]).as_dict(private=False)) if path == "/keys" else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = provider._answer(self.path)
                self._send(404 if found is None else 200, found)

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: one for name, (one,) in parse_qs(text).items()}
                self._send(*provider._tokens({name.lower(): one for name, one in self.headers.items()}, form))

            def _send(self, status: int, values: object) -> None:
                provider.asked.append(self.path)
                body = json.dumps(values).encode() if provider.body is None else provider.body
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
