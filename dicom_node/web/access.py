"""What every route of the application needs: the one place where that is said.

A route that does not stand here is for administrators alone, and a test fails.
"""

from enum import IntEnum
from typing import Any

from starlette.routing import compile_path

from dicom_node.people.identity import Identity
from dicom_node.people.roles import Role


class Access(IntEnum):
    """Who may ask.

    ``OPEN``: anybody. ``STATES``: every role, and while the node asks nobody to log in also a stranger, as there is
    neither a picture nor a secret in it. The others are the roles.
    """

    OPEN = 0
    STATES = 1
    VIEWER = 2
    OPERATOR = 3
    ADMINISTRATOR = 4

    def allows(self, identity: Identity) -> bool:
        """Whether somebody has what is needed."""
        held = Access.STATES if identity.role is None else Access[identity.role.name]
        return held >= self

    @property
    def role(self) -> Role:
        """The least role that has it."""
        return Role(self.name.lower()) if self > Access.STATES else Role.VIEWER


#: By method and path; HEAD needs what GET needs.
ACCESS: dict[tuple[str, str], Access] = {
    # For supervision, as ever.
    ("GET", "/healthz"): Access.OPEN,
    ("GET", "/readyz"): Access.OPEN,
    ("GET", "/metrics"): Access.OPEN,
    ("GET", "/static/{path:path}"): Access.OPEN,
    ("GET", "/login"): Access.OPEN,
    ("GET", "/login/oidc"): Access.OPEN,
    ("GET", "/login/oidc/callback"): Access.OPEN,
    # States, reasons and UIDs.
    ("GET", "/"): Access.STATES,
    ("GET", "/parts/today"): Access.STATES,
    ("GET", "/series"): Access.STATES,
    ("GET", "/series/{series}"): Access.STATES,
    ("GET", "/docs"): Access.STATES,
    ("GET", "/quarantine"): Access.STATES,
    ("GET", "/openapi.json"): Access.STATES,
    ("GET", "/api/jobs"): Access.STATES,
    ("GET", "/api/jobs/{job_id}"): Access.STATES,
    ("GET", "/api/deliveries"): Access.STATES,
    ("GET", "/api/deliveries/{delivery_id}"): Access.STATES,
    ("GET", "/api/routes"): Access.STATES,
    ("GET", "/api/routes/{title}"): Access.STATES,
    ("GET", "/api/quarantine"): Access.STATES,
    ("GET", "/api/rejected-peers"): Access.STATES,
    ("GET", "/api/series"): Access.STATES,
    ("GET", "/api/series/{series}"): Access.STATES,
    ("GET", "/api/series/{series}/timeline"): Access.STATES,
    # Pictures of patients, and what others may not know of the house.
    ("GET", "/api/series/{series}/volume"): Access.VIEWER,
    ("GET", "/api/series/{series}/image.png"): Access.VIEWER,
    ("GET", "/routes"): Access.VIEWER,
    ("GET", "/destinations"): Access.VIEWER,
    ("GET", "/peers"): Access.VIEWER,
    ("GET", "/models"): Access.VIEWER,
    ("GET", "/account"): Access.VIEWER,
    ("GET", "/api/models"): Access.VIEWER,
    # What may hold secrets, and what is only there to be changed.
    ("GET", "/routes/new"): Access.ADMINISTRATOR,
    ("GET", "/routes/{name}"): Access.ADMINISTRATOR,
    ("GET", "/destinations/new"): Access.ADMINISTRATOR,
    ("GET", "/destinations/{name}"): Access.ADMINISTRATOR,
    ("GET", "/settings"): Access.ADMINISTRATOR,
    ("GET", "/users"): Access.ADMINISTRATOR,
    ("GET", "/api/config"): Access.ADMINISTRATOR,
    ("GET", "/api/config/history"): Access.ADMINISTRATOR,
    ("GET", "/api/destinations"): Access.ADMINISTRATOR,
    ("GET", "/api/destinations/{name}"): Access.ADMINISTRATOR,
    ("GET", "/api/users"): Access.ADMINISTRATOR,
    ("GET", "/api/tokens"): Access.ADMINISTRATOR,
    ("POST", "/login"): Access.OPEN,
    ("POST", "/logout"): Access.OPEN,
    ("POST", "/api/login"): Access.OPEN,
    ("POST", "/api/logout"): Access.OPEN,
    # One's own password.
    ("POST", "/account"): Access.VIEWER,
    ("POST", "/api/password"): Access.VIEWER,
    # What goes on with series.
    ("POST", "/jobs/act"): Access.OPERATOR,
    ("POST", "/api/jobs/{job}/retry"): Access.OPERATOR,
    ("POST", "/api/jobs/{job}/cancel"): Access.OPERATOR,
    ("POST", "/api/jobs/{job}/redeliver"): Access.OPERATOR,
    ("POST", "/destinations/{name}/check"): Access.OPERATOR,
    ("POST", "/destinations/{name}/pause"): Access.OPERATOR,
    ("POST", "/destinations/{name}/resume"): Access.OPERATOR,
    ("POST", "/api/destinations/{name}/check"): Access.OPERATOR,
    ("POST", "/api/destinations/{name}/pause"): Access.OPERATOR,
    ("POST", "/api/destinations/{name}/resume"): Access.OPERATOR,
    ("POST", "/api/routes/{title}/test"): Access.OPERATOR,
    ("POST", "/quarantine/{key}/release"): Access.OPERATOR,
    ("POST", "/api/quarantine/{key}/release"): Access.OPERATOR,
    ("POST", "/series/{series}/requeue"): Access.OPERATOR,
    ("POST", "/api/series/{series}/requeue"): Access.OPERATOR,
    # Configuration and users.
    ("POST", "/routes/new"): Access.ADMINISTRATOR,
    ("POST", "/routes/{name}"): Access.ADMINISTRATOR,
    ("POST", "/destinations/new"): Access.ADMINISTRATOR,
    ("POST", "/destinations/{name}"): Access.ADMINISTRATOR,
    ("POST", "/peers/allow"): Access.ADMINISTRATOR,
    ("POST", "/settings"): Access.ADMINISTRATOR,
    ("POST", "/settings/rollback/{version}"): Access.ADMINISTRATOR,
    ("POST", "/users/act"): Access.ADMINISTRATOR,
    ("POST", "/tokens/act"): Access.ADMINISTRATOR,
    ("PUT", "/api/config"): Access.ADMINISTRATOR,
    ("POST", "/api/config/rollback/{version}"): Access.ADMINISTRATOR,
    ("PUT", "/api/routes/{title}"): Access.ADMINISTRATOR,
    ("DELETE", "/api/routes/{title}"): Access.ADMINISTRATOR,
    ("PUT", "/api/destinations/{name}"): Access.ADMINISTRATOR,
    ("DELETE", "/api/destinations/{name}"): Access.ADMINISTRATOR,
    ("POST", "/models/{key}/remove"): Access.ADMINISTRATOR,
    ("POST", "/api/models"): Access.ADMINISTRATOR,
    ("DELETE", "/api/models/{key}"): Access.ADMINISTRATOR,
    ("POST", "/api/users"): Access.ADMINISTRATOR,
    ("PATCH", "/api/users/{name}"): Access.ADMINISTRATOR,
    ("DELETE", "/api/users/{name}"): Access.ADMINISTRATOR,
    ("POST", "/api/tokens"): Access.ADMINISTRATOR,
    ("DELETE", "/api/tokens/{name}"): Access.ADMINISTRATOR,
}


_FIXED = {key: access for key, access in ACCESS.items() if "{" not in key[1]}
_WITH_NAMES = [(method, compile_path(path)[0], access) for (method, path), access in ACCESS.items() if "{" in path]


def needed(method: str, path: str) -> Access:
    """What a request needs. What stands nowhere is for administrators; it may be a path that there is not."""
    method, path = "GET" if method == "HEAD" else method, path.rstrip("/") or "/"
    if (method, path) in _FIXED:
        return _FIXED[method, path]
    fitting = (access for known, pattern, access in _WITH_NAMES if known == method and pattern.match(path))
    return next(fitting, Access.ADMINISTRATOR)


def describe(schema: dict[str, Any]) -> None:
    """Add to an OpenAPI schema how one says who one is, and what each operation needs."""
    schema.setdefault("components", {})["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "From s2ldm-node tokens create"},
        "session": {"type": "apiKey", "in": "cookie", "name": "s2ldm_session", "description": "From /api/login"},
    }
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            access = needed(method.upper(), path)
            if access is not Access.OPEN:
                operation["security"] = [{"token": []}, {"session": []}]
                operation["x-role"] = access.role.value
