"""Logging in with the provider of ``web.oidc``: the way there, and the way back."""

import base64
import binascii
import json
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from dicom_node.errors import NodeError
from dicom_node.people.accounts import Accounts
from dicom_node.people.oidc_pending import Pending
from dicom_node.people.oidc_person import Person
from dicom_node.web.api_people import give_session
from dicom_node.web.doors import client_address
from dicom_node.web.pages import Pages, own_path
from dicom_node.web.pages_people import Next
from dicom_node.web.problems import status_of

if TYPE_CHECKING:
    from dicom_node.people.oidc import Oidc

#: What a browser keeps of a log-in that has begun, for so long; it holds nothing that another browser could use.
PENDING_COOKIE = "s2ldm_oidc"
_PENDING_SECONDS = 600
_WAY, _BACK = "/login/oidc", "/login/oidc/callback"
#: Browsers drop a cookie of more than 4096 bytes.
_MOST_PATH = 1000
_NOT_KEPT = {"cache-control": "no-store"}


def oidc_pages(pages: Pages, accounts: Accounts, oidc: "Oidc | None") -> APIRouter:
    """The way to the provider and back; without ``oidc`` there is none."""
    router = APIRouter(include_in_schema=False)

    def refuse(request: Request, error: NodeError, where: str) -> Response:
        status = status_of(error)
        return pages.show(request, "login.html", status=status, next=where, problem=error.problem, name="")

    @router.get(_WAY)
    def begin(request: Request, next: Next = "/") -> Response:
        where = own_path(next)
        try:
            address, pending = _there(oidc).begin(redirect_uri=_redirect_uri(request))
        except NodeError as error:
            return refuse(request, error, where)
        answer = RedirectResponse(address, 303, headers=_NOT_KEPT)
        answer.set_cookie(
            PENDING_COOKIE,
            _text(pending, where),
            max_age=_PENDING_SECONDS,
            path=_WAY,
            httponly=True,
            # The provider sends the browser back by a link of its own, with which a strict cookie does not come.
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.get(_BACK)
    def back(request: Request) -> Response:
        pending, where = _read(request.cookies.get(PENDING_COOKIE, ""))
        answer: Response
        try:
            accounts.count_attempt(client_address(request))
            person = _finished(request, pending)
            key, _ = accounts.log_in_from_provider(person, address=client_address(request))
        except NodeError as error:
            answer = refuse(request, error, where)
        else:
            # Not a redirect: with one that began at the provider the session's cookie, a strict one, would not come.
            answer = pages.show(request, "entered.html", next=where)
            give_session(accounts, request, answer, key)
        answer.delete_cookie(PENDING_COOKIE, path=_WAY, httponly=True, samesite="lax")
        answer.headers.update(_NOT_KEPT)
        return answer

    def _finished(request: Request, pending: Pending | None) -> Person:
        try:
            return _there(oidc).finish(pending, dict(request.query_params), redirect_uri=_redirect_uri(request))
        except NodeError:
            accounts.note_refused("", address=client_address(request))
            raise

    return router


def _there(oidc: "Oidc | None") -> "Oidc":
    if oidc is None:
        raise NodeError("oidc_off", "No provider is configured.", "Log in with a name and password of the node.")
    return oidc


def _redirect_uri(request: Request) -> str:
    """Where the provider sends the browser back to: the node, by the name that the browser calls it by."""
    return f"{request.url.scheme}://{request.url.netloc}{_BACK}"


def _text(pending: Pending, where: str) -> str:
    kept = where if len(where.encode()) <= _MOST_PATH else "/"
    values = json.dumps([pending.state, pending.nonce, pending.verifier, kept])
    return base64.urlsafe_b64encode(values.encode()).decode().rstrip("=")


def _read(text: str) -> tuple[Pending | None, str]:
    """What a browser kept, and where it wanted to go; a cookie may be anything."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None, "/"
    if not isinstance(values, list) or len(values) != 4 or not all(isinstance(one, str) for one in values):
        return None, "/"
    state, nonce, verifier, where = values
    return Pending(state=state, nonce=nonce, verifier=verifier), own_path(where)
