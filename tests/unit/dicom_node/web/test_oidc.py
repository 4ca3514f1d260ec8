"""Logging in with a provider: the whole way, against one on this machine."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.errors import NodeError
from dicom_node.people.accounts import Accounts
from dicom_node.people.roles import Role
from dicom_node.web.app import create_app
from tests.oidc_provider import CLIENT, SECRET, Provider
from tests.unit.dicom_node.web.test_access import HASH, PASSWORD

HERE = "http://node:8104"
ANNA = {"preferred_username": "anna", "groups": ["staff", "ct-admins", 7]}
HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def keys() -> tuple[RSAKey, RSAKey]:
    """The provider's, and somebody else's."""
    first, second = (RSAKey.generate_key(2048, {"kid": name}, auto_kid=False) for name in ("first", "second"))
    return first, second


@pytest.fixture
def provider(keys: tuple[RSAKey, RSAKey]) -> Iterator[Provider]:
    with Provider(keys[0], claims=dict(ANNA)) as running:
        yield running


@dataclass(frozen=True)
class Node:
    """A node with the provider; ``told``: the notes for log and audit trail."""

    app: Any
    catalog: Catalog
    provider: Provider

    def browser(self, *, host: str = HERE) -> TestClient:
        return TestClient(self.app, base_url=host, client=("10.0.0.9", 50000), follow_redirects=False, headers=HTML)

    def log_in(self, client: TestClient, wanted: str = "/series") -> Response:
        """Go to the provider, log in there, and come back."""
        begun = client.get("/login/oidc", params={"next": wanted})
        assert begun.status_code == 303, begun.text
        return client.get(self.provider.log_in(begun.headers["location"]))


def settings_of(folder: Path, issuer: str, **changes: Any) -> Settings:
    secret = folder / "secret"
    secret.write_text(SECRET + "\n", encoding="utf-8")
    oidc = {
        "issuer": issuer,
        "client_id": CLIENT,
        "client_secret_file": secret,
        "roles": {"administrator": ["ct-admins"], "operator": ["ct-staff"], "viewer": ["doctors"]},
    }
    return Settings(node={"data_dir": folder}, web={"oidc": oidc | changes})


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        yield catalog


def node_of(settings: Settings, catalog: Catalog, provider: Provider) -> Node:
    return Node(create_app(settings, catalog, readiness=list, metrics=lambda: b"m 1\n"), catalog, provider)


@pytest.fixture
def node(tmp_path: Path, catalog: Catalog, provider: Provider) -> Node:
    return node_of(settings_of(tmp_path, provider.issuer), catalog, provider)


def code(answer: Response) -> str:
    found = re.search(r'role="alert"><p><strong>(\w+)</strong>', answer.text)
    return found[1] if found else str(answer.status_code)


def test_whoever_the_provider_vouches_for_is_in_with_the_highest_role_and_goes_on_where_they_wanted(node: Node) -> None:
    client = node.browser()
    page = client.get("/series?query=1")
    assert page.headers["location"].startswith("/login?next=")
    offered = client.get(page.headers["location"]).text
    assert f"Log in with {urlsplit(node.provider.issuer).netloc}" in offered
    assert 'href="/login/oidc?next=/series%3Fquery%3D1"' in offered

    entered = node.log_in(client, "/series?query=1")

    assert (entered.status_code, entered.headers["cache-control"]) == (200, "no-store")
    assert '<meta http-equiv="refresh" content="0;url=/series?query=1">' in entered.text
    assert client.get("/users").status_code == 200
    (user,) = node.catalog.list_users()
    assert (user.name, user.role, user.subject) == ("sso.anna", Role.ADMINISTRATOR, f"{node.provider.issuer} 17")


def test_log_in_is_always_asked_for_and_needs_no_user_of_the_node(node: Node) -> None:
    client = TestClient(node.app, base_url="http://127.0.0.1:8104", client=("127.0.0.1", 1))

    assert client.get("/api/jobs").json()["problem"]["code"] == "login_required"


def test_cookie_of_a_log_in_that_has_begun_is_short_lax_out_of_reach_and_gone_afterwards(node: Node) -> None:
    for host, secure in ((HERE, False), ("https://node:8104", True)):
        client = node.browser(host=host)
        begun = client.get("/login/oidc")
        said = {part.strip().lower() for part in begun.headers["set-cookie"].split(";")}
        assert {"httponly", "samesite=lax", "path=/login/oidc", "max-age=600"} <= said
        assert ("secure" in said) is secure
        back = client.get(node.provider.log_in(begun.headers["location"]))
        session, pending = sorted(back.headers.get_list("set-cookie"), reverse=True)
        assert re.search(r's2ldm_oidc="".*Max-Age=0', session + pending)
        strict = next(one for one in (session, pending) if one.startswith("s2ldm_session="))
        assert "samesite=strict" in strict.lower()
        assert "httponly" in strict.lower()
        assert ("secure" in strict.lower()) is secure


def test_answer_of_a_provider_works_once_and_in_the_browser_that_began(node: Node) -> None:
    client, other = node.browser(), node.browser()
    begun = client.get("/login/oidc")
    back = node.provider.log_in(begun.headers["location"])
    other.get("/login/oidc")
    state = parse_qs(urlsplit(back).query)["state"][0]

    assert code(node.browser().get(back)) == "oidc_state", "no cookie"
    assert code(other.get(back)) == "oidc_state", "another log-in's"
    kept = client.cookies.get("s2ldm_oidc")
    assert client.get(back).status_code == 200
    assert code(client.get(back)) == "oidc_state", "the cookie is gone"
    client.cookies.set("s2ldm_oidc", kept, domain="node.local", path="/login/oidc")
    assert code(client.get(back)) == "oidc_refused", "and the code has been used"
    wrong = begun.headers["location"].replace(state, "x" * 43)
    client.get("/login/oidc")
    assert code(client.get(node.provider.log_in(wrong))) == "oidc_state"


@pytest.mark.parametrize("kept", ["", "x", "W10", "WzEsMiwzLDRd", base64.b64encode(b'["","","","/"]').decode()])
def test_cookie_that_the_node_did_not_make_is_none(node: Node, kept: str) -> None:
    client = node.browser()
    client.cookies.set("s2ldm_oidc", kept, domain="node.local", path="/login/oidc")

    assert code(client.get("/login/oidc/callback?code=x&state=")) == "oidc_state"


def unsigned(claims: dict[str, Any], _: Provider, __: RSAKey) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + "."


def with_public_key(claims: dict[str, Any], provider: Provider, _: RSAKey) -> str:
    return hmac_signed(claims, provider.key.as_pem(private=False))


def with_client_secret(claims: dict[str, Any], _: Provider, __: RSAKey) -> str:
    return hmac_signed(claims, SECRET.encode())


def hmac_signed(claims: dict[str, Any], secret: bytes) -> str:
    import hashlib
    import hmac

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
    ids=str,
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


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", ""])
def test_log_in_leads_to_this_node_only(node: Node, where: str) -> None:
    client = node.browser()
    begun = client.get("/login/oidc", params={"next": where})
    back = node.provider.log_in(begun.headers["location"])
    # A cookie may be anything.
    state = json.loads(base64.urlsafe_b64decode(client.cookies.get("s2ldm_oidc") + "=="))
    assert state[3] == "/"
    client.cookies.clear()
    forged = base64.urlsafe_b64encode(json.dumps([*state[:3], where]).encode()).decode().rstrip("=")
    client.cookies.set("s2ldm_oidc", forged, domain="node.local", path="/login/oidc")

    entered = client.get(back)

    assert entered.status_code == 200
    assert re.findall(r"url=([^\"]*)", entered.text) == ["/"]
    assert "evil" not in entered.text


def test_who_has_no_listed_group_is_refused_and_loses_what_they_had(node: Node) -> None:
    client = node.browser()
    node.log_in(client)
    node.provider.claims |= {"groups": ["staff"]}

    assert code(node.log_in(node.browser())) == "oidc_no_role"

    assert node.catalog.list_users() == []
    assert client.get("/users").status_code == 303


def test_another_role_ends_the_sessions_of_before_and_the_same_does_not(node: Node) -> None:
    first, second = node.browser(), node.browser()
    node.log_in(first)
    node.log_in(second)
    assert [one.get("/users").status_code for one in (first, second)] == [200, 200]
    node.provider.claims |= {"groups": "doctors"}

    third = node.browser()
    node.log_in(third)

    assert [one.get("/series").status_code for one in (first, second, third)] == [303, 303, 200]
    assert third.get("/users").status_code == 403


def test_nobody_becomes_a_user_of_the_node_or_somebody_else_by_name(node: Node, provider: Provider) -> None:
    node.catalog.add_user(name="anna", role=None, password_hash=HASH)
    node.catalog.add_user(
        name="sso.otto", role=Role.VIEWER, password_hash=HASH
    )  # from before names with it were kept free
    node.log_in(node.browser())
    provider.claims |= {"sub": "18"}
    assert code(node.log_in(node.browser())) == "oidc_name_taken", "of another person of the provider"
    provider.claims |= {"preferred_username": "OTTO"}
    assert code(node.log_in(node.browser())) == "oidc_name_taken", "of a user of the node"
    provider.claims |= {"preferred_username": "House\\Jürgen\n<b>"}
    assert node.log_in(node.browser()).status_code == 200
    provider.claims |= {"preferred_username": "../ "}
    assert code(node.log_in(node.browser())) == "oidc_name"

    found = {one.name: (one.role, one.subject) for one in node.catalog.list_users()}

    assert sorted(found) == ["anna", "sso.anna", "sso.house-jurgen-b", "sso.otto"]
    assert found["anna"][1] is None
    assert found["sso.otto"] == (Role.VIEWER, None)


def test_person_whose_name_changes_stays_one_user(node: Node) -> None:
    before = node.browser()
    node.log_in(before)
    node.provider.claims |= {"preferred_username": "anna.maria"}

    node.log_in(node.browser())

    assert [one.name for one in node.catalog.list_users()] == ["sso.anna.maria"]
    assert before.get("/series").status_code == 303


@pytest.mark.parametrize("password", ["", "x", PASSWORD])
def test_person_of_a_provider_has_no_password_of_the_node_and_gets_none(node: Node, password: str) -> None:
    client = node.browser()
    node.log_in(client)

    refused = client.post("/api/login", json={"name": "sso.anna", "password": password})
    assert refused.json()["problem"]["code"] == "login_failed"
    assert node.catalog.password_hash("sso.anna") is None, "what costs as much as a wrong name"
    own = client.post("/api/password", json={"password": password, "new": PASSWORD})
    assert own.json()["problem"]["code"] == "not_logged_in"
    assert "<input" not in client.get("/account").text
    for change in ({"password": PASSWORD}, {"role": "viewer"}):
        answer = client.patch("/api/users/sso.anna", json=change)
        assert answer.json()["problem"]["code"] == "user_from_provider"
    added = client.post("/api/users", json={"name": "Sso.eva", "password": PASSWORD})
    assert added.json()["problem"]["code"] == "user_name"


def test_administrators_of_a_provider_do_not_count_as_the_last_one_and_the_first_user_is_one(node: Node) -> None:
    client = node.browser()
    node.log_in(client)
    refused = client.post("/api/users", json={"name": "vera", "password": PASSWORD, "role": "viewer"})
    assert refused.json()["problem"]["code"] == "first_user"
    assert client.post("/api/users", json={"name": "vera", "password": PASSWORD}).json()["role"] == "administrator"
    assert client.delete("/api/users/vera").json()["problem"]["code"] == "last_administrator"

    assert client.delete("/api/users/sso.anna").status_code == 204
    assert client.get("/series").status_code == 303


def test_provider_that_is_left_takes_its_people_along(node: Node, tmp_path: Path) -> None:
    client = node.browser()
    node.log_in(client)
    key = client.cookies.get("s2ldm_session")

    def series(settings: Settings) -> Response:
        app = create_app(settings, node.catalog, readiness=list, metrics=lambda: b"")
        return TestClient(app, base_url="http://127.0.0.1", cookies={"s2ldm_session": key}).get("/api/jobs")

    assert series(settings_of(tmp_path, node.provider.issuer)).status_code == 200
    assert series(settings_of(tmp_path, "https://another.example")).status_code == 401
    assert series(Settings(node={"data_dir": tmp_path})).json()["problem"]["code"] == "no_users"


def test_provider_that_is_away_leaves_the_other_way_in(node: Node) -> None:
    node.catalog.add_user(name="otto", role=None, password_hash=HASH)
    node.provider.stop()
    client = node.browser()

    away = client.get("/login/oidc?next=/series")

    assert (away.status_code, code(away)) == (503, "oidc_unreachable")
    assert '<input type="hidden" name="next" value="/series">' in away.text
    form = {"name": "otto", "password": PASSWORD, "next": "/series"}
    assert client.post("/login", data=form).headers["location"] == "/series"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "oidc_unreachable"),
        (b"[" * 100_000, "oidc_unreachable"),
        (b'{"issuer": "' + b"x" * 2**18 + b'"}', "oidc_unreachable"),
        (b"[]", "oidc_misconfigured"),
    ],
    ids=["no JSON", "deep", "long", "list"],
)
def test_provider_that_answers_with_anything_is_a_problem_and_no_fault(node: Node, body: bytes, said: str) -> None:
    node.provider.body = body

    assert code(node.browser().get("/login/oidc")) == said


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://login.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
    ],
    ids=str,
)
def test_provider_that_is_another_or_sends_in_the_clear_is_not_worked_with(
    node: Node, metadata: dict[str, Any]
) -> None:
    node.provider.metadata = metadata

    assert code(node.browser().get("/login/oidc")) == "oidc_misconfigured"


def test_provider_is_asked_once_in_a_while(node: Node) -> None:
    for _ in range(3):
        node.browser().get("/login/oidc")

    assert node.provider.asked == ["/.well-known/openid-configuration", "/keys"]


def test_wrong_secret_is_refused_and_none_is_told(
    tmp_path: Path, catalog: Catalog, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path, provider.issuer)
    node = node_of(settings, catalog, provider)
    (tmp_path / "secret").write_text("another secret", encoding="utf-8")
    assert code(node.log_in(node.browser())) == "oidc_refused"
    (tmp_path / "secret").unlink()
    answer = node.log_in(node.browser())

    assert code(answer) == "oidc_misconfigured"
    assert str(tmp_path) not in answer.text
    assert "another secret" not in capsys.readouterr().out + settings.model_dump_json()


def test_many_who_come_back_are_held_up(node: Node) -> None:
    codes = [code(node.browser().get("/login/oidc/callback?code=x&state=y")) for _ in range(31)]

    assert codes == ["oidc_state"] * 30 + ["login_throttled"]


def test_who_came_and_who_was_refused_is_noted(node: Node, provider: Provider) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    accounts = Accounts(
        node.catalog, issuer=provider.issuer, tell=lambda event, values: told.append((event, dict(values)))
    )
    from dicom_node.people.oidc_person import Person

    def anna(role: Role | None) -> Person:
        return Person(name="sso.anna", subject=f"{provider.issuer} 17", role=role)

    for role in (Role.VIEWER, Role.OPERATOR):
        accounts.log_in_from_provider(anna(role), address="10.0.0.9")
    with pytest.raises(NodeError):
        accounts.log_in_from_provider(anna(None), address="10.0.0.9")

    assert [event for event, _ in told] == [
        *("user_added", "logged_in", "user_changed", "logged_in", "user_removed", "login_failed")
    ]
    assert told[-1][1] == {"user": "sso.anna", "address": "10.0.0.9"}


def test_node_without_a_provider_offers_none(tmp_path: Path, catalog: Catalog) -> None:
    app = create_app(Settings(node={"data_dir": tmp_path}), catalog, readiness=list, metrics=lambda: b"")
    client = TestClient(app, base_url="http://127.0.0.1", headers=HTML)

    assert "/login/oidc" not in client.get("/login").text
    for path in ("/login/oidc", "/login/oidc/callback?code=x&state=y"):
        answer = client.get(path)
        assert answer.status_code in (400, 404), path


WRONG = [
    {"issuer": "http://login.example"},
    {"issuer": "https://user:pass@login.example"},
    {"issuer": "https://login.example?x=1"},
    {"issuer": "login.example"},
    {"scope": "profile"},
    {"roles": {}},
    {"roles": {"king": ["x"]}},
    {"client_id": ""},
    {"client_secret": "x"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_provider_that_cannot_be_trusted_or_serves_nobody_is_no_configuration(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    settings_of(tmp_path, "https://login.example/realms/house")
    settings_of(tmp_path, "http://localhost:8080/realms/house")
    with pytest.raises(ValueError, match=r"web\.oidc"):
        settings_of(tmp_path, **{"issuer": "https://login.example"} | wrong)
