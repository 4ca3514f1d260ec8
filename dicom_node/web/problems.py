"""Errors as answers: the problem, with the HTTP status that belongs to it."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from dicom_node.errors import ConfigError
from s2ldm_core.problem import Problem, ProblemError

_STATUS = {
    "only_from_here": 403,
    "role_too_small": 403,
    "not_logged_in": 403,
    "no_users": 403,
    "login_required": 401,
    "login_failed": 401,
    "token_refused": 401,
    "oidc_off": 404,
    "oidc_state": 400,
    "oidc_refused": 403,
    "oidc_token_refused": 403,
    "oidc_name": 403,
    "oidc_no_role": 403,
    "oidc_unreachable": 503,
    "oidc_misconfigured": 503,
    "login_throttled": 429,
    "user_name": 422,
    "archive_invalid": 422,
    "archive_entry": 422,
    "archive_too_large": 413,
    "package_too_large": 413,
    "package_invalid": 422,
    "package_changed": 422,
    "package_no_space": 507,
    "package_unwritable": 507,
    "password_too_short": 422,
    "password_too_long": 422,
    "cross_origin": 403,
    "wrong_host": 400,
    "wrong_request": 422,
    "catalog_unusable": 503,
    "config_conflict": 409,
    "config_busy": 409,
    "config_read_only": 409,
    "config_history": 409,
    "config_not_from_a_file": 409,
    "phase_unknown": 422,
    "picture_index": 422,
    "picture_source_gone": 404,
    "picture_no_derived": 404,
}


def status_of(error: ProblemError) -> int:
    """The HTTP status of an error."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    if error.code.endswith("_unknown"):
        return 404
    return 422 if isinstance(error, ConfigError) else 409


#: Seconds until it makes sense to ask again.
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "300"}}


def looks_at_page(request: Request) -> bool:
    """Whether a browser shows somebody the answer."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api")


def answer_problems(
    app: FastAPI, *, page: Callable[[Request, Problem, int], Response]
) -> Callable[[Request, ProblemError], Response]:
    """Have an application answer every error with a problem: for browsers that look at a page, as a ``page``.

    Returns
    -------
    Callable
        What makes such an answer of an error.
    """

    def answer(request: Request, problem: Problem, status: int) -> Response:
        response = page(request, problem, status) if looks_at_page(request) else _answer(problem, status)
        response.headers.update(_HEADERS.get(status, {}))
        return response

    @app.exception_handler(ProblemError)
    def known(request: Request, error: ProblemError) -> Response:
        return answer(request, error.problem, status_of(error))

    @app.exception_handler(RequestValidationError)
    def wrong(request: Request, error: RequestValidationError) -> Response:
        # Without the values: they may be long, or not for a log.
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:10])
        return answer(request, Problem("wrong_request", f"The request is wrong: {said}.", "See /docs."), 422)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.BAD_REQUEST:  # the framework's, of a body that is no text
            return answer(
                request, Problem("wrong_request", f"The request is wrong: {error.detail}.", "See /docs."), 422
            )
        response = answer(request, _of_framework(error), error.status_code)
        response.headers.update(error.headers or {})
        return response

    return known


def _of_framework(error: HTTPException) -> Problem:
    """What the framework refuses before anything of ours is asked: an address or a method that there is not."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem(
            "address_unknown", "There is nothing at this address.", "Begin at /; what there is stands at /docs."
        )
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem("method_wrong", "This address is not asked in this way.", "See /docs for how it is.")
    name = HTTPStatus(error.status_code).phrase
    return Problem("http_error", f"{name}: {error.detail}" if error.detail != name else f"{name}.", "See /docs.")


def _answer(problem: Problem, status: int) -> JSONResponse:
    values = {"code": problem.code, "sentence": problem.sentence, "remedy": problem.remedy}
    return JSONResponse({"detail": problem.sentence, "problem": values}, status_code=status)
