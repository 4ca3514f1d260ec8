"""Who may do what over HTTP.

The node knows no users. So changes, images and the configuration's text are for whoever sits at this machine: on a
loopback address, called by a name of this machine, not through a proxy. Elsewhere only states and reasons are shown.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.config import WebSettings
from dicom_node.errors import NodeError
from dicom_node.web.problems import problem_response

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_BODY_BYTES = 2**20
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: What a proxy adds: behind one, the peer's address says nothing about who asks.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
# Everything comes from the node itself, and nothing may be sent anywhere else.
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


class Doors:
    """Decides on requests."""

    def __init__(self, web: WebSettings) -> None:
        self._listens_here_only = _is_loopback(web.host)
        self._names = _OWN_NAMES | {web.host.lower()}

    def from_here(self, request: Request) -> bool:
        """Whether somebody at this machine asks."""
        client = "" if request.client is None else request.client.host
        through_proxy = any(name in request.headers for name in _FORWARDED)
        return self._listens_here_only and _is_loopback(client) and not through_proxy

    def only_from_here(self, request: Request) -> None:
        """For answers that are for whoever sits at this machine; raises `NodeError` (``only_from_here``)."""
        if not self.from_here(request):
            raise NodeError(
                "only_from_here",
                "This is answered on the node's own machine only: this version has no log-in.",
                "Use a browser there, or a tunnel (ssh -L), with web.host 127.0.0.1.",
            )

    def check(self, request: Request) -> None:
        """Let a request in, or raise `NodeError` (``wrong_host``, ``only_from_here``, ``cross_origin``)."""
        if self._listens_here_only and _name(request.headers.get("host", "")) not in self._names:
            # A name of somebody else that resolves to this machine: another site's script asks (DNS rebinding).
            raise NodeError(
                "wrong_host", "The request does not name this machine as its host.", "Use http://127.0.0.1."
            )
        if request.method in _SAFE:
            return
        self.only_from_here(request)
        if not _same_origin(request):
            raise NodeError("cross_origin", "Another site's page asked for this change.", "Use the node's own pages.")


class DoorKeeper:
    """Has every request checked, limits its body and completes the answer's headers (ASGI middleware)."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > _MOST_BODY_BYTES:
                raise HTTPException(413, "The request is too large.")
            return message

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in _HEADERS.items() if one[0] not in given)]
            await send(message)

        try:
            self._doors.check(Request(scope))
        except NodeError as error:
            await problem_response(error)(scope, receive, completed)
            return
        await self._app(scope, limited, completed)


def _same_origin(request: Request) -> bool:
    """Whether the node's own page asks, or no browser: what browsers say of themselves cannot be forged by a page."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(address: str) -> bool:
    if address.lower() == "localhost":
        return True
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
