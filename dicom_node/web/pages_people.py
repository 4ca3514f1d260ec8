"""The console's pages about people: logging in and out, users and tokens."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from dicom_node.errors import NodeError
from dicom_node.people.accounts import Accounts
from dicom_node.people.passwords import LEAST_LENGTH
from dicom_node.people.roles import Role
from dicom_node.web.api_people import enter, leave
from dicom_node.web.asking import Asking, Who
from dicom_node.web.doors import client_address
from dicom_node.web.forms import one_of
from dicom_node.web.pages import Form, Pages, own_path, see
from dicom_node.web.problems import status_of
from s2ldm_core.problem import Problem

_MOST_DAYS = 3650.0
Next = Annotated[str, Query(max_length=2000)]


def people_pages(pages: Pages, accounts: Accounts) -> APIRouter:
    """Logging in and out, users and tokens."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def login(request: Request, next: Next = "/") -> HTMLResponse:
        return pages.show(request, "login.html", next=own_path(next), problem=None, name="")

    @router.post("/login")
    def log_in(request: Request, form: Form) -> Response:
        where, name = own_path(one_of(form, "next", "/")), one_of(form, "name").strip()
        answer = see(where)
        try:
            enter(accounts, request, answer, name, one_of(form, "password"))
        except NodeError as error:
            status = status_of(error)
            return pages.show(request, "login.html", status=status, next=where, problem=error.problem, name=name)
        return answer

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        answer = see("/login")
        leave(accounts, request, answer)
        return answer

    @router.get("/account")
    def account(request: Request) -> HTMLResponse:
        return pages.show(request, "account.html", problem=None, least=LEAST_LENGTH)

    @router.post("/account")
    def own_password(request: Request, form: Form, identity: Asking) -> Response:
        present, new = one_of(form, "password"), one_of(form, "new")
        try:
            accounts.change_own_password(identity, present, new, address=client_address(request))
        except NodeError as error:
            status = status_of(error)
            return pages.show(request, "account.html", status=status, problem=error.problem, least=LEAST_LENGTH)
        return see("/login")

    @router.get("/users")
    def users(request: Request) -> HTMLResponse:
        return _users(request)

    @router.post("/users/act")
    def act(request: Request, form: Form, who: Who) -> Response:
        do, name = one_of(form, "do"), one_of(form, "name").strip()
        try:
            if do == "add":
                accounts.add(name, one_of(form, "password"), role=_role(form), who=who)
            elif do == "role":
                accounts.change(name, role=_role(form), who=who)
            elif do == "password":
                accounts.change(name, password=one_of(form, "password"), who=who)
            elif do == "remove":
                accounts.remove(name, who=who)
            else:
                raise NodeError("wrong_request", "Choose what to do with the user.", "Go back and choose.")
        except NodeError as error:
            return _users(request, problem=error.problem, status=status_of(error))
        return see("/users")

    @router.post("/tokens/act")
    def act_token(request: Request, form: Form, who: Who) -> Response:
        do, name = one_of(form, "do"), one_of(form, "name").strip()
        try:
            if do == "create":
                token, _ = accounts.create_token(name, role=_role(form), days=_days(one_of(form, "days")), who=who)
                return _users(request, token=token)
            if do != "revoke":
                raise NodeError("wrong_request", "Choose what to do with the token.", "Go back and choose.")
            accounts.revoke_token(name, who=who)
        except NodeError as error:
            return _users(request, problem=error.problem, status=status_of(error))
        return see("/users")

    def _users(
        request: Request, *, problem: Problem | None = None, status: int = 200, token: str | None = None
    ) -> HTMLResponse:
        return pages.show(
            request,
            "users.html",
            status=status,
            users=accounts.users(),
            tokens=accounts.tokens(),
            roles=[role.value for role in Role],
            least=LEAST_LENGTH,
            problem=problem,
            token=token,
        )

    return router


def _role(form: dict[str, list[str]]) -> Role:
    try:
        return Role(one_of(form, "role"))
    except ValueError as error:
        raise NodeError("wrong_request", "Choose a role.", "Go back and choose.") from error


def _days(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= _MOST_DAYS:
        raise NodeError("wrong_request", f"A token lasts more than 0 and at most {_MOST_DAYS:.0f} days.", "Correct it.")
    return days
