"""Who may do what over HTTP.

While there are no users, whoever sits at the node's own machine may do everything: on a loopback address, called by a
name of this machine, not through a proxy. As soon as there is a user, or where the node listens to other machines or has
a provider (``web.oidc``), people log in and programs show a token; `dicom_node.web.access` says what each request needs.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from dicom_node.config import WebSettings
from dicom_node.errors import NodeError
from dicom_node.loopback import is_loopback
from dicom_node.people.accounts import Accounts
from dicom_node.people.identity import AT_THIS_MACHINE, STRANGER, Identity
from dicom_node.web.access import Access

SESSION_COOKIE = "s2ldm_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: What a proxy adds: behind one, the peer's address says nothing about who asks.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Doors:
    """Decides on requests."""

    def __init__(self, web: WebSettings, accounts: Accounts) -> None:
        self._accounts = accounts
        self._by_provider = web.oidc is not None
        self._always = web.login == "always" or self._by_provider
        self._listens_here_only = is_loopback(web.host)
        self._names = _OWN_NAMES | {web.host.lower()}
        # As last seen, for requests that must be answered while the catalog does not.
        self._asks = self._asks_now()

    def identify(self, request: Request, access: Access) -> Identity:
        """Say who asks, where that matters.

        Raises
        ------
        NodeError
            ``wrong_host``, ``token_refused``, ``login_required`` or ``no_users``.
        """
        if access is not Access.OPEN:
            self._asks = self._asks_now()
        if not self._asks and _name(request.headers.get("host", "")) not in self._names:
            # A name of somebody else that resolves to this machine: another site's script asks (DNS rebinding). Where
            # people log in, that site has no cookie of theirs.
            raise NodeError(
                "wrong_host", "The request does not name this machine as its host.", "Use http://127.0.0.1."
            )
        return STRANGER if access is Access.OPEN else self._identity(request)

    def admit(self, request: Request, access: Access, identity: Identity) -> None:
        """Let a request in; raises `NodeError` (``only_from_here``, ``role_too_small``, ``cross_origin``)."""
        if not access.allows(identity):
            raise _refusal(identity, access)
        if request.method not in SAFE and not _same_origin(request):
            raise NodeError("cross_origin", "Another site's page asked for this change.", "Use the node's own pages.")

    def from_here(self, request: Request) -> bool:
        """Whether somebody at this machine asks."""
        client = "" if request.client is None else request.client.host
        through_proxy = any(name in request.headers for name in _FORWARDED)
        return self._listens_here_only and is_loopback(client) and not through_proxy

    def _asks_now(self) -> bool:
        """Whether people log in."""
        return self._always or not self._listens_here_only or self._accounts.any_user()

    def _identity(self, request: Request) -> Identity:
        """Who asks; a token that is shown counts alone."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._accounts.of_token(key.strip())
        if not self._asks:
            return AT_THIS_MACHINE if self.from_here(request) else STRANGER
        # A page that renews itself is no sign that somebody is there.
        active = not request.url.path.startswith("/parts/")
        session = request.cookies.get(SESSION_COOKIE)
        known = None if session is None else self._accounts.of_session(session, active=active)
        if known is not None:
            return known
        if not self._by_provider and not self._accounts.any_user(local=True):
            raise NodeError(
                "no_users",
                "Nobody can log in yet: the node has no users.",
                "On the node's machine, as the node's user: s2ldm-node users add NAME. The first is an administrator.",
            )
        raise NodeError(
            "login_required", "This is for people who have logged in.", "Log in at /login, or send a token."
        )


def client_address(request: Request) -> str:
    """Where a request comes from."""
    return "" if request.client is None else request.client.host


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


def _refusal(identity: Identity, access: Access) -> NodeError:
    if identity.role is None:
        return NodeError(
            "only_from_here",
            "This is answered on the node's own machine only, as long as the node has no users.",
            "Use a browser there, or a tunnel (ssh -L); or add users there: s2ldm-node users add NAME.",
        )
    return NodeError(
        "role_too_small",
        f"This needs the role {access.role}; {identity.who} is {identity.role}.",
        "Ask an administrator.",
    )
