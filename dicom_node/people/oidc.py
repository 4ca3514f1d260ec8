"""Logging in with an OpenID Connect provider: authorization code flow with PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636)."""

import hmac
from typing import Any

import structlog
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from dicom_node.errors import NodeError
from dicom_node.people.oidc_pending import Pending
from dicom_node.people.oidc_person import Person, name_here
from dicom_node.people.oidc_settings import OidcSettings
from dicom_node.people.provider import Provider

#: Made with a key that the provider alone has: neither ``none``, nor a secret that the node has, too.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_LEEWAY_SECONDS = 60
_MOST_SUBJECT = 255  # OpenID Connect Core 1.0, 2


class Oidc:
    """Logs people in with the provider of the configuration."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._provider = Provider(settings)
        self._log = structlog.get_logger(part="people")

    def begin(self, *, redirect_uri: str) -> tuple[str, Pending]:
        """Where the browser goes, and what it keeps until it comes back; raises `NodeError` as `Provider.known`."""
        pending = Pending.new()
        address = self._provider.authorization_address(
            redirect_uri=redirect_uri, state=pending.state, nonce=pending.nonce, verifier=pending.verifier
        )
        return address, pending

    def finish(self, pending: Pending | None, answer: dict[str, str], *, redirect_uri: str) -> Person:
        """Say who came back.

        Parameters
        ----------
        pending
            What the browser kept; None: nothing.
        answer
            What the provider had the browser bring: ``state`` with ``code`` or ``error``, perhaps ``iss`` (RFC 9207).

        Raises
        ------
        NodeError
            ``oidc_state``, ``oidc_refused``, ``oidc_token_refused``, ``oidc_name``, or as `Provider.known`.
        """
        state = answer.get("state", "")
        if pending is None or not pending.whole or not hmac.compare_digest(state.encode(), pending.state.encode()):
            raise NodeError(
                "oidc_state",
                "This log-in was not begun in this browser within the last ten minutes.",
                "Log in again from the node's own page.",
            )
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise self._refused("another issuer answers")
        if "code" not in answer:
            raise NodeError(
                "oidc_refused",
                f"{self._settings.host} did not let anybody in.",
                "Log in again, or with a name and password of the node.",
            )
        tokens = self._provider.tokens(code=answer["code"], redirect_uri=redirect_uri, verifier=pending.verifier)
        return self._person(self._claims(tokens, pending.nonce))

    def _claims(self, tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of an ID token that is the provider's, for the node, of now and of this log-in."""
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise self._refused("there is no ID token")
        try:
            signed = self._signed(token)
            claims = CodeIDToken(
                signed.claims,
                signed.header,
                options={
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                params={
                    "nonce": nonce,
                    "client_id": self._settings.client_id,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._refused(str(error) if isinstance(error, JoseError) else type(error).__name__) from error
        return dict(claims)

    def _signed(self, token: str) -> jwt.Token:
        _, keys = self._provider.known()
        try:
            return jwt.decode(token, keys, algorithms=_ALGORITHMS)
        except InvalidKeyIdError:  # the provider may have a new key
            _, keys = self._provider.known(anew=True)
            return jwt.decode(token, keys, algorithms=_ALGORITHMS)

    def _person(self, claims: dict[str, Any]) -> Person:
        subject, named, held = (
            claims["sub"],
            claims.get(self._settings.name_claim),
            claims.get(self._settings.roles_claim),
        )
        if len(subject) > _MOST_SUBJECT or not subject.isprintable():
            raise self._refused("the subject is none")
        name = name_here(named) if isinstance(named, str) else None
        if name is None:
            raise NodeError(
                "oidc_name",
                f"{self._settings.host} does not say the name of whoever logged in.",
                "An administrator may name another claim: web.oidc.name_claim.",
            )
        groups = [held] if isinstance(held, str) else held if isinstance(held, list) else []
        role = self._settings.roles.highest([one for one in groups if isinstance(one, str)])
        return Person(name=name, subject=f"{self._settings.issuer} {subject}", role=role)

    def _refused(self, why: str) -> NodeError:
        self._log.warning("oidc_token_refused", host=self._settings.host, why=why[:200])
        return NodeError(
            "oidc_token_refused",
            f"What {self._settings.host} says of whoever logged in is not believed.",
            "Log in again; if that does not help, an administrator finds the reason in the node's log.",
        )
