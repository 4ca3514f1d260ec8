"""Logging in and out over HTTP, users and tokens."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.unit.dicom_node.web.conftest import HERE, Console
from tests.unit.dicom_node.web.test_access import PASSWORD, browser, code, people

__all__ = ["people"]

LOGIN = {"name": "anna", "password": PASSWORD}


def test_cookie_is_for_this_node_alone_and_out_of_a_scripts_reach(people: Console) -> None:
    plain = browser(people).post("/api/login", json=LOGIN)
    secure = browser(people, host="https://127.0.0.1:8104").post("/api/login", json=LOGIN)

    assert len(plain.headers.get_list("set-cookie")) == 1
    said = {part.strip().lower() for part in plain.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= said
    assert "secure" not in said
    assert "secure" in secure.headers["set-cookie"].lower()
    assert plain.json() == {**plain.json(), "name": "anna", "role": "administrator"}
    assert "password" not in plain.text


def test_session_is_a_new_one_at_each_log_in_and_ends_by_logging_out(people: Console) -> None:
    client = browser(people)
    client.cookies.set("s2ldm_session", "set-by-somebody-else")
    client.post("/login", data=LOGIN)
    first = client.cookies.get("s2ldm_session", domain="127.0.0.1")
    client.post("/login", data=LOGIN)
    second = client.cookies.get("s2ldm_session", domain="127.0.0.1")
    assert len({first, second, "set-by-somebody-else"}) == 3

    def answer(key: str) -> int:
        other = TestClient(people.client.app, base_url=HERE, cookies={"s2ldm_session": key})
        return other.get("/api/jobs").status_code

    assert [answer(key) for key in ("set-by-somebody-else", first, second)] == [401, 401, 200]
    kept = TestClient(people.client.app, base_url=HERE, cookies={"s2ldm_session": second}, follow_redirects=False)
    assert kept.post("/logout").headers["location"] == "/login"
    assert answer(second) == 401


@pytest.mark.parametrize(("path", "status"), [("/series", 200), ("/parts/today", 401)])
def test_page_that_renews_itself_keeps_nobody_logged_in(people: Console, path: str, status: int) -> None:
    client, start = browser(people, "vera"), people.catalog.now()
    people.catalog.now = lambda: start + timedelta(minutes=25)
    assert client.get(path).status_code == 200

    people.catalog.now = lambda: start + timedelta(minutes=40)

    assert client.get("/api/jobs").status_code == status


def test_many_wrong_passwords_shut_the_door_to_that_address_and_name_for_a_while(people: Console) -> None:
    client = browser(people)
    codes = [code(client.post("/api/login", json={**LOGIN, "password": "wrong"})) for _ in range(6)]

    assert codes == ["login_failed"] * 5 + ["login_throttled"]
    shut = client.post("/api/login", json=LOGIN)
    assert (shut.status_code, shut.headers["retry-after"]) == (429, "300")
    assert browser(people, address="10.0.0.8").post("/api/login", json=LOGIN).status_code == 200
    assert client.post("/api/login", json={**LOGIN, "name": "otto"}).status_code == 200


def test_refused_log_in_says_the_same_of_a_wrong_password_and_of_a_wrong_name(people: Console) -> None:
    answers = [
        browser(people).post("/login", data={"name": name, "password": "x"}, headers={"accept": "text/html"})
        for name in ("anna", "nobody")
    ]
    assert [one.status_code for one in answers] == [401, 401]
    assert answers[0].text == answers[1].text.replace("nobody", "anna")


def test_another_sites_page_can_neither_log_in_nor_out_nor_change(people: Console) -> None:
    client = browser(people, "anna")

    for path in ("/login", "/logout", "/users/act", "/api/login", "/jobs/act"):
        refused = client.post(path, data=LOGIN, headers={"origin": "http://evil.example"})
        assert code(refused) == "cross_origin", path
    assert client.get("/api/users").status_code == 200


def test_log_in_leads_to_this_node_only(people: Console) -> None:
    client = browser(people)

    def leads(where: str) -> str:
        return client.post("/login", data={**LOGIN, "next": where}).headers["location"]

    for where in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", ""):
        assert leads(where) == "/", where
    assert leads("/series?query=1") == "/series?query=1"


def test_token_works_without_a_cookie_and_is_shown_once(people: Console) -> None:
    anna = browser(people, "anna")
    token = anna.post("/api/tokens", json={"name": "board", "role": "operator"}).json()["token"]
    program = browser(people)
    program.headers["authorization"] = f"Bearer {token}"

    assert program.post(f"/api/jobs/{people.job}/cancel").status_code == 200
    assert people.catalog.get_job(people.job).details["by_hand"][0]["who"] == "token board"
    assert code(program.get("/api/users")) == "role_too_small"
    assert token not in anna.get("/users").text + anna.get("/api/tokens").text

    assert anna.delete("/api/tokens/board").status_code == 204
    assert code(program.get("/api/jobs")) == "token_refused"
    anna.headers["authorization"] = f"Bearer {token}"
    assert code(anna.get("/api/jobs")) == "token_refused", "a wrong token is not made good by a cookie"


def test_users_are_added_changed_and_removed_on_the_page(people: Console) -> None:
    anna = browser(people, "anna")
    act = {"do": "add", "name": "Eva", "role": "viewer", "password": PASSWORD}
    assert anna.post("/users/act", data={**act, "password": "short"}).status_code == 422
    assert anna.post("/users/act", data=act).status_code == 303
    eva = browser(people, "eva")
    assert eva.get("/api/jobs").status_code == 200

    assert anna.post("/users/act", data={"do": "role", "name": "eva", "role": "operator"}).status_code == 303
    assert eva.get("/api/jobs").status_code == 401
    assert browser(people, "eva").post(f"/api/jobs/{people.job}/cancel").status_code == 200
    page = anna.post(
        "/tokens/act", data={"do": "create", "name": "<b>", "role": "viewer"}, headers={"accept": "text/html"}
    )
    assert page.status_code == 422
    assert anna.post("/users/act", data={"do": "remove", "name": "anna"}).status_code == 409
    assert anna.post("/users/act", data={"do": "remove", "name": "eva"}).status_code == 303
    assert [one["name"] for one in anna.get("/api/users").json()] == ["anna", "otto", "vera"]


def test_everybody_changes_their_own_password_with_the_present_one(people: Console) -> None:
    client = browser(people, "vera")
    change = {"password": PASSWORD, "new": "four other words now"}
    assert code(client.post("/api/password", json={**change, "password": "wrong"})) == "login_failed"
    assert client.post("/account", data={**change, "new": "short"}).status_code == 422
    assert client.get("/api/jobs").status_code == 200

    assert client.post("/account", data=change).headers["location"] == "/login"

    assert client.get("/api/jobs").status_code == 401
    assert browser(people).post("/api/login", json={"name": "vera", "password": change["new"]}).status_code == 200
    assert code(people.client.post("/api/login", json={"name": "vera", "password": PASSWORD})) == "login_failed"


WRONG: list[tuple[str, str, dict[str, object] | None, int]] = [
    ("PATCH", "/api/users/nobody", {"role": "viewer"}, 404),
    ("DELETE", "/api/users/nobody", None, 404),
    ("DELETE", "/api/tokens/nobody", None, 404),
    ("POST", "/api/users", {"name": "anna", "password": PASSWORD}, 409),
    ("POST", "/api/users", {"name": "eva", "password": PASSWORD, "role": "king"}, 422),
    ("POST", "/api/tokens", {"name": "board", "days": 1e300}, 422),
    ("POST", "/api/login", {"name": "x" * 10_000, "password": "x"}, 422),
]


def test_wrong_request_about_people_is_a_4xx(people: Console) -> None:
    client = browser(people, "anna")

    for method, path, body, status in WRONG:
        assert client.request(method, path, json=body).status_code == status, (path, body)


def test_nothing_that_was_seen_is_kept_by_the_browser(people: Console) -> None:
    client = browser(people, "vera")

    assert client.get("/series").headers["cache-control"] == "no-store"
    assert "no-store" not in client.get("/static/console.css").headers.get("cache-control", "")
