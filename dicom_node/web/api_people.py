"""Logging in and out, users and tokens under ``/api``."""

from fastapi import APIRouter, Request, Response

from dicom_node.catalog import TokenRow, UserRow
from dicom_node.people.accounts import SESSION_TIME, Accounts
from dicom_node.web.answers import LogIn, NewToken, NewUser, OwnPassword, TokenAnswer, UserChange
from dicom_node.web.asking import Asking, Who
from dicom_node.web.doors import SESSION_COOKIE, client_address
from dicom_node.web.types import problems


def session_router(accounts: Accounts) -> APIRouter:
    """Logging in and out."""
    router = APIRouter(prefix="/api", tags=["people"])

    @router.post("/login", summary="Log in: the answer sets a cookie", responses=problems(401, 403, 422, 429))
    def log_in(request: Request, response: Response, given: LogIn) -> UserRow:
        return enter(accounts, request, response, given.name, given.password)

    @router.post("/logout", summary="Log out", status_code=204, responses=problems(403))
    def log_out(request: Request, response: Response) -> None:
        leave(accounts, request, response)

    @router.post(
        "/password",
        summary="Choose another password for oneself, and log in again",
        status_code=204,
        responses=problems(401, 403, 422, 429),
    )
    def own_password(request: Request, identity: Asking, given: OwnPassword) -> None:
        accounts.change_own_password(identity, given.password, given.new, address=client_address(request))

    return router


def people_router(accounts: Accounts) -> APIRouter:
    """Users and tokens."""
    router = APIRouter(prefix="/api", tags=["people"], responses=problems(401, 403, 404, 409, 422))

    @router.get("/users", summary="Users")
    def users() -> list[UserRow]:
        return accounts.users()

    @router.post("/users", summary="Add a user", status_code=201)
    def add(new: NewUser, who: Who) -> UserRow:
        return accounts.add(new.name, new.password, role=new.role, who=who)

    @router.patch("/users/{name}", summary="Give a user another role or password, and end the user's sessions")
    def change(name: str, values: UserChange, who: Who) -> UserRow:
        return accounts.change(name, role=values.role, password=values.password, who=who)

    @router.delete("/users/{name}", summary="Remove a user, and the tokens that the user made", status_code=204)
    def remove(name: str, who: Who) -> None:
        accounts.remove(name, who=who)

    @router.get("/tokens", summary="Programs' tokens")
    def tokens() -> list[TokenRow]:
        return accounts.tokens()

    @router.post("/tokens", summary="Make a token; the answer is the only one that shows it", status_code=201)
    def create(new: NewToken, who: Who) -> TokenAnswer:
        key, row = accounts.create_token(new.name, role=new.role, days=new.days, who=who)
        return TokenAnswer(**dict(row), token=key)

    @router.delete("/tokens/{name}", summary="Have a token valid no more", status_code=204)
    def revoke(name: str, who: Who) -> None:
        accounts.revoke_token(name, who=who)

    return router


def enter(accounts: Accounts, request: Request, response: Response, name: str, password: str) -> UserRow:
    """Open a session of its own for whoever logs in, whatever cookie came with the request; errors as `Accounts.log_in`."""
    key, user = accounts.log_in(name, password, address=client_address(request))
    give_session(accounts, request, response, key)
    return user


def give_session(accounts: Accounts, request: Request, response: Response, key: str) -> None:
    """Have the browser keep a session's key, and end the session that it had before."""
    _end(accounts, request)
    response.set_cookie(
        SESSION_COOKIE,
        key,
        max_age=int(SESSION_TIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def leave(accounts: Accounts, request: Request, response: Response) -> None:
    """End the session that a request belongs to, and have the browser forget it."""
    _end(accounts, request)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


def _end(accounts: Accounts, request: Request) -> None:
    if (key := request.cookies.get(SESSION_COOKIE)) is not None:
        accounts.log_out(key, address=client_address(request))
