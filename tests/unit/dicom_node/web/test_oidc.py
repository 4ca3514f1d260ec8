"""Logging in with a provider: the whole way there and back, and who people are then."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from dicom_node.config import Settings
from dicom_node.errors import NodeError
from dicom_node.people.accounts import Accounts
from dicom_node.people.oidc_person import Person
from dicom_node.people.roles import Role
from dicom_node.web.app import create_app
from tests.oidc_provider import Provider
from tests.unit.dicom_node.web.oidc_node import HERE, Node, catalog, code, keys, node, provider, settings_of
from tests.unit.dicom_node.web.test_access import HASH, PASSWORD

__all__ = ["catalog", "keys", "node", "provider"]


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


def test_who_came_and_who_was_refused_is_noted(node: Node, provider: Provider) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    accounts = Accounts(
        node.catalog, issuer=provider.issuer, tell=lambda event, values: told.append((event, dict(values)))
    )

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
