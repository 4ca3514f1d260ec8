"""What stands before every request: it is checked, its body limited, its answer completed, and a change logged."""

from collections.abc import Callable
from urllib.parse import quote

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.errors import NodeError
from dicom_node.people.identity import STRANGER, Identity
from dicom_node.web.access import Access, needed
from dicom_node.web.doors import SAFE, Doors
from dicom_node.web.problems import looks_at_page

_MOST_BODY_BYTES = 2**20
#: Of what is written to disk as it comes, which counts for itself.
_STREAMED = frozenset({("POST", "/api/models")})
# Everything comes from the node itself, and nothing may be sent anywhere else.
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
#: So that nothing of it is seen after logging out, on a machine that many use.
_NOT_KEPT = {b"cache-control": b"no-store"}


class DoorKeeper:
    """Has every request checked before the application sees it (ASGI middleware).

    Parameters
    ----------
    answer
        Makes an answer of an error.
    """

    def __init__(self, app: ASGIApp, doors: Doors, answer: Callable[[Request, NodeError], Response]) -> None:
        self._app = app
        self._doors = doors
        self._answer = answer
        self._log = structlog.get_logger(part="web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        access = needed(scope["method"], scope["path"])
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > _MOST_BODY_BYTES and (scope["method"], scope["path"]) not in _STREAMED:
                raise HTTPException(413, "The request is too large.")
            return message

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = _HEADERS if access is Access.OPEN else _HEADERS | _NOT_KEPT
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in added.items() if one[0] not in given)]
                self._note(request, message["status"])
            await send(message)

        request.state.identity = STRANGER
        try:
            await run_in_threadpool(self._let_in, request, access)
        except NodeError as error:
            answer = await run_in_threadpool(self._refuse, request, error)
            await answer(scope, receive, completed)
            return
        await self._app(scope, limited, completed)

    def _let_in(self, request: Request, access: Access) -> None:
        request.state.identity = self._doors.identify(request, access)
        self._doors.admit(request, access, request.state.identity)

    def _refuse(self, request: Request, error: NodeError) -> Response:
        if error.code != "login_required" or request.method not in SAFE:
            return self._answer(request, error)
        here = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="/")
        if "hx-request" in request.headers:  # a part of a page: the whole page goes
            answer = self._answer(request, error)
            answer.headers["HX-Redirect"] = "/login"
            return answer
        return RedirectResponse(f"/login?next={here}", 303) if looks_at_page(request) else self._answer(request, error)

    def _note(self, request: Request, status: int) -> None:
        """Who changed what: the log's part of an audit."""
        identity: Identity = request.state.identity
        if request.method not in SAFE and identity.role is not None:
            self._log.info(
                "change", who=identity.who, method=request.method, path=request.url.path[:200], status=status
            )
