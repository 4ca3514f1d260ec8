"""Asking an OpenID Connect provider: what it says of itself, its keys, and a person's tokens; limited in size and time."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Self

import httpx2
import structlog
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import AfterValidator, BaseModel, ValidationError, model_validator

from dicom_node.errors import NodeError
from dicom_node.people.oidc_settings import OidcSettings, protected
from dicom_node.web_client import read_secret

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_MOST_BYTES = 2**18
#: What a provider says of itself and its keys is believed for so long, and that it is away for so long.
_KNOWN_SECONDS = 300.0
_AWAY_SECONDS = 5.0

Address = Annotated[str, AfterValidator(protected)]


class ProviderMetadata(BaseModel):
    """What is used of a discovery document (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: Address
    token_endpoint: Address
    jwks_uri: Address
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        known = {"client_secret_basic", "client_secret_post", "none"}
        if not known & set(self.token_endpoint_auth_methods_supported):
            raise ValueError("the provider takes no secret of a client")
        return self

    @property
    def secret_goes(self) -> str:
        """Where the client's secret stands in a request."""
        first = "client_secret_basic"
        return first if first in self.token_endpoint_auth_methods_supported else "client_secret_post"


class Provider:
    """One provider; safe from several threads.

    Parameters
    ----------
    clock
        Gives seconds that only run forwards.
    """

    def __init__(self, settings: OidcSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: ProviderMetadata | None = None
        self._keys: KeySet | None = None
        self._until = 0.0
        self._away_until = 0.0
        self._log = structlog.get_logger(part="people")

    def known(self, *, anew: bool = False) -> tuple[ProviderMetadata, KeySet]:
        """What the provider says of itself, and its keys; ``anew``: whatever was known of them.

        Raises
        ------
        NodeError
            ``oidc_unreachable``, or ``oidc_misconfigured`` where it says what cannot be.
        """
        # Whoever comes while somebody asks waits, rather than asking again.
        if not self._lock.acquire(timeout=_CONNECT_SECONDS):
            raise self._away("others wait for its answer")
        try:
            now = self._clock()
            if self._metadata is not None and self._keys is not None and now < self._until and not anew:
                return self._metadata, self._keys
            if now < self._away_until:
                raise self._away("it did not answer a moment ago")
            try:
                metadata, keys = self._read()
            except NodeError:
                self._away_until = self._clock() + _AWAY_SECONDS
                raise
            self._metadata, self._keys, self._until = metadata, keys, self._clock() + _KNOWN_SECONDS
            return metadata, keys
        finally:
            self._lock.release()

    def authorization_address(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where a browser goes to log in; errors as in `known`."""
        metadata, _ = self.known()
        with self._client(redirect_uri=redirect_uri) as client:
            address, _ = client.create_authorization_url(
                metadata.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(address)

    def tokens(self, *, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """What the provider gives for a code.

        Raises
        ------
        NodeError
            As in `known`; ``oidc_refused``: it gives nothing.
        """
        metadata, _ = self.known()
        secret = self._secret()
        where = "none" if secret is None else metadata.secret_goes
        with (
            self._asked(),
            self._client(redirect_uri=redirect_uri, client_secret=secret, token_endpoint_auth_method=where) as client,
        ):
            try:
                return dict(
                    client.fetch_token(
                        metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
                    )
                )
            except OAuthError as error:
                self._log.warning("oidc_refused", error=str(error.error)[:100])
                raise NodeError(
                    "oidc_refused",
                    f"{self._settings.host} does not vouch for whoever logged in there.",
                    "Log in again; if that does not help, an administrator finds the reason in the node's log.",
                ) from error

    def _read(self) -> tuple[ProviderMetadata, KeySet]:
        issuer = self._settings.issuer
        with self._asked(), self._client() as client:
            said = _json(client, issuer.rstrip("/") + "/.well-known/openid-configuration")
            try:
                metadata = ProviderMetadata.model_validate(said)
            except ValidationError as error:
                why = "; ".join(".".join(map(str, one["loc"])) for one in error.errors()[:5])
                raise self._misconfigured(f"its discovery document lacks or misstates {why}") from error
            if metadata.issuer != issuer:
                raise self._misconfigured("it calls itself otherwise than web.oidc.issuer")
            try:
                keys = KeySet.import_key_set(_json(client, metadata.jwks_uri))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise self._misconfigured("its keys cannot be read") from error
        return metadata, keys

    def _client(self, **values: Any) -> OAuth2Client:
        """Follows no redirect and heeds no proxy of the environment, as `dicom_node.web_client.web_client`."""
        try:
            ca = self._settings.ca
            context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        except (OSError, ssl.SSLError) as error:
            raise self._misconfigured(f"the certificates of web.oidc.ca cannot be read ({error})") from error
        return OAuth2Client(
            client_id=self._settings.client_id,
            scope=self._settings.scope,
            code_challenge_method="S256",
            transport=_Limited(verify=context, trust_env=False),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity"},
            **values,
        )

    def _secret(self) -> str | None:
        if self._settings.client_secret_file is None:
            return None
        try:
            return read_secret(self._settings.client_secret_file)
        except NodeError as error:
            raise self._misconfigured(error.sentence) from error

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:  # the last two: no JSON
            raise self._away(type(error).__name__) from error

    def _away(self, why: str) -> NodeError:
        self._log.warning("oidc_unreachable", host=self._settings.host, why=why)
        return NodeError(
            "oidc_unreachable",
            f"{self._settings.host} does not answer as it should.",
            "Try again later, or log in with a name and password of the node.",
        )

    def _misconfigured(self, why: str) -> NodeError:
        # Of no use to a stranger, who may see the answer.
        self._log.error("oidc_misconfigured", host=self._settings.host, why=why)
        return NodeError(
            "oidc_misconfigured",
            f"The node cannot work with {self._settings.host} as things stand.",
            "An administrator finds the reason in the node's log; log in with a name and password of the node.",
        )


def _json(client: OAuth2Client, address: str) -> Any:
    answer = client.request("GET", address, withhold_token=True, headers={"Accept": "application/json"})
    if answer.status_code != 200:
        raise ValueError(f"HTTP {answer.status_code}")
    return answer.json()


class _Limited(httpx2.HTTPTransport):
    """Reads no more, and no longer, than an answer of a provider is worth."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask."""
        ends = time.monotonic() + _ANSWER_SECONDS
        answer = super().handle_request(request)
        body = bytearray()
        try:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise httpx2.DecodingError("an encoding that was not asked for", request=request)
            for part in answer.iter_raw():
                body += part
                if len(body) > _MOST_BYTES or time.monotonic() > ends:
                    raise httpx2.ReadError("an answer without end", request=request)
        finally:
            answer.close()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=bytes(body), request=request)
