"""What a provider says is believed where it is the provider's, for this node, of now and of this log-in."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.oidc_provider import CLIENT, SECRET, Provider
from tests.unit.dicom_node.web.oidc_node import Node, catalog, code, keys, node, provider

__all__ = ["catalog", "keys", "node", "provider"]


def unsigned(claims: dict[str, Any], _: Provider, __: RSAKey) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + "."


def with_public_key(claims: dict[str, Any], provider: Provider, _: RSAKey) -> str:
    return hmac_signed(claims, provider.key.as_pem(private=False))


def with_client_secret(claims: dict[str, Any], _: Provider, __: RSAKey) -> str:
    return hmac_signed(claims, SECRET.encode())


def hmac_signed(claims: dict[str, Any], secret: bytes) -> str:
    parts = ({"alg": "HS256", "kid": "first"}, claims)
    text = ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
    made = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"


def with_another_key(claims: dict[str, Any], provider: Provider, other: RSAKey) -> str:
    return provider.signed(claims, other)


def with_unknown_key(claims: dict[str, Any], _: Provider, other: RSAKey) -> str:
    return jwt.encode({"alg": "RS256", "kid": "second"}, claims, other, algorithms=["RS256"])


@pytest.mark.parametrize(
    "forge",
    [unsigned, with_public_key, with_client_secret, with_another_key, with_unknown_key],
    ids=lambda f: f.__name__,
)
def test_token_that_the_provider_did_not_sign_is_refused(
    node: Node, keys: tuple[RSAKey, RSAKey], forge: Callable[..., str]
) -> None:
    node.provider.sign = lambda claims: forge(claims, node.provider, keys[1])

    assert code(node.log_in(node.browser())) == "oidc_token_refused"
    assert node.catalog.list_users() == []


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://another.example"},
        {"iss": None},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"iat": None},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
        {"sub": "x" * 256},
    ],
    ids=map(str, range(15)),  # by number: what holds a time is called otherwise in every process
)
def test_token_that_is_not_for_this_log_in_is_refused(node: Node, claims: dict[str, Any]) -> None:
    node.provider.claims |= claims

    answer = node.log_in(node.browser())

    assert (code(answer), answer.status_code) == ("oidc_token_refused", 403)
    assert node.catalog.list_users() == []


def test_several_audiences_are_good_where_the_node_is_the_one_it_was_made_for(node: Node) -> None:
    node.provider.claims |= {"aud": [CLIENT, "another"], "azp": CLIENT}

    assert node.log_in(node.browser()).status_code == 200


def test_new_key_of_the_provider_is_fetched(node: Node, keys: tuple[RSAKey, RSAKey]) -> None:
    assert node.log_in(node.browser()).status_code == 200
    node.provider.key = keys[1]

    assert node.log_in(node.browser()).status_code == 200
    assert node.provider.asked.count("/keys") == 2
