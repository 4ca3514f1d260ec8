"""What each role may do, by page and by interface."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from httpx import Response

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.people.passwords import Passwords
from dicom_node.people.roles import Role
from dicom_node.web.access import ACCESS, Access
from dicom_node.web.app import create_app
from tests.unit.dicom_node.web.conftest import HERE, Console

PASSWORD = "four unrelated words"  # noqa: S105
HASH = Passwords().hash(PASSWORD)
#: What changes nothing of the node.
DOORS = {"/login", "/logout", "/api/login", "/api/logout", "/account", "/api/password"}
#: What an operator may do beside looking.
OPERATIONS = {
    "/jobs/act",
    "/api/jobs/{job}/retry",
    "/api/jobs/{job}/cancel",
    "/api/jobs/{job}/redeliver",
    "/api/routes/{title}/test",
    "/quarantine/{key}/release",
    "/api/quarantine/{key}/release",
    "/series/{series}/requeue",
    "/api/series/{series}/requeue",
    *(f"{prefix}/destinations/{{name}}/{act}" for prefix in ("", "/api") for act in ("check", "pause", "resume")),
}
USERS = {"vera": Role.VIEWER, "otto": Role.OPERATOR, "anna": Role.ADMINISTRATOR}


@pytest.fixture
def people(console: Console) -> Console:
    """The console once there are users."""
    for name, role in reversed(USERS.items()):
        console.catalog.add_user(name=name, role=role, password_hash=HASH)
    return console


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[TestClient]:
    """A node that listens to other machines and has no users."""
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        settings = Settings(node={"data_dir": tmp_path}, web={"host": "0.0.0.0"})  # noqa: S104
        app = create_app(settings, catalog, readiness=list, metrics=lambda: b"m 1\n")
        yield TestClient(app, base_url="http://node:8104", client=("10.0.0.9", 50000), follow_redirects=False)


def browser(console: Console, name: str | None = None, *, address: str = "10.0.0.9", host: str = HERE) -> TestClient:
    """Somebody's browser, logged in if there is a name."""
    client = TestClient(console.client.app, base_url=host, client=(address, 50000), follow_redirects=False)
    if name is not None:
        assert client.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303
    return client


def code(answer: Response) -> str:
    return answer.json()["problem"]["code"] if answer.status_code >= 400 else str(answer.status_code)


def addressed(path: str) -> str:
    return re.sub(r"{[^}]*}", "1", path)


def test_every_route_of_the_application_declares_what_it_needs_and_none_else(console: Console) -> None:
    there = set()
    for one in iter_route_contexts(console.client.app.routes):
        methods = set(one.methods or {"GET"}) - {"HEAD"}
        there |= {
            (method, one.path if method != "GET" or one.path != "/static" else "/static/{path:path}")
            for method in methods
        }

    assert len(there) > 50
    assert there == set(ACCESS)


@pytest.mark.parametrize("name", ["vera", "otto"])
def test_role_that_is_too_small_is_refused_every_change_by_page_and_interface(people: Console, name: str) -> None:
    client, held = browser(people, name), Access[USERS[name].name]
    too_much = [key for key, access in ACCESS.items() if access > held]
    before = people.path.read_text(), people.catalog.get_job(people.job), people.catalog.list_users()

    for accept in ("application/json", "text/html"):
        refused = {
            (method, path): client.request(method, addressed(path), headers={"accept": accept})
            for method, path in too_much
        }
        assert {key: answer.status_code for key, answer in refused.items()} == dict.fromkeys(too_much, 403)
        assert all("role_too_small" in answer.text for answer in refused.values())

    may_change = {path for method, path in set(ACCESS) - set(too_much) if method != "GET"}
    assert may_change == DOORS | (OPERATIONS if name == "otto" else set())
    assert (people.path.read_text(), people.catalog.get_job(people.job), people.catalog.list_users()) == before


def test_viewer_sees_pictures_and_no_button(people: Console) -> None:
    client = browser(people, "vera")

    page = client.get(f"/series/{people.series}").text
    assert 'data-of="source"' in page
    assert "/jobs/act" not in page
    assert client.get(f"/api/series/{people.series}/image.png").status_code == 200
    for path in ("/", "/series", "/routes", "/destinations", "/peers"):
        text = client.get(path).text
        assert re.findall(r'<form method="post" action="([^"]*)', text) == (
            ["/logout", "/jobs/act"] if path == "/series" else ["/logout"]
        )
        assert not re.search(r'name="do"|href="/(settings|users|routes/new)', text), path


def test_operator_cancels_and_pauses_and_is_named(people: Console) -> None:
    client = browser(people, "otto")

    assert client.post(f"/api/jobs/{people.job}/cancel").status_code == 200
    assert client.post("/jobs/act", data={"job": people.job, "do": "retry", "back": "/series"}).status_code == 303
    assert client.post("/destinations/pacs/pause").status_code == 303
    assert people.configuration.current.paused_destinations == {"pacs"}
    assert client.post("/api/destinations/pacs/resume").status_code == 200
    assert people.configuration.current.paused_destinations == frozenset()

    acts = people.catalog.get_job(people.job).details["by_hand"]
    assert [(one["did"], one["who"]) for one in acts] == [("cancel", "otto"), ("retry", "otto")]
    assert people.configuration.book.versions.last().who == "otto"
    told = client.get(f"/api/series/{people.series}/timeline").json()
    assert [one["facts"]["by"] for one in told if one["kind"] == "by-hand"] == ["otto", "otto"]


def test_administrator_may_everything_and_is_named_in_the_history(people: Console) -> None:
    client = browser(people, "anna")
    assert all(
        client.get(path).status_code == 200 for path in ("/settings", "/users", "/routes/CECT_ART", "/api/config")
    )

    client.put("/api/routes/CECT_ART", json={"phase": "venous"})

    assert client.get("/api/config/history").json()["items"][0]["who"] == "anna"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.9"])
def test_once_there_is_a_user_nobody_else_is_let_in(people: Console, address: str) -> None:
    client = browser(people, address=address)

    for (method, path), access in ACCESS.items():
        if access is not Access.OPEN:
            assert code(client.request(method, addressed(path))) == "login_required", path
    page = client.get("/series?query=1.2", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/series%3Fquery%3D1.2")
    part = client.get("/parts/today", headers={"accept": "text/html", "hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")
    assert [client.get(path).status_code for path in ("/healthz", "/metrics", "/login", "/static/console.css")] == [
        200
    ] * 4


def test_node_that_listens_elsewhere_without_users_says_what_to_do(closed: TestClient) -> None:
    for path in ("/", "/series", "/api/jobs", "/api/series/1/image.png"):
        assert code(closed.get(path)) == "no_users"
    page = closed.get("/", headers={"accept": "text/html"})
    assert page.status_code == 403
    assert "s2ldm-node users add NAME" in page.text
    assert [closed.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    assert code(closed.post("/api/users", json={"name": "me", "password": PASSWORD})) == "no_users"


def test_log_in_can_be_asked_for_at_this_machine_alone(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        settings = Settings(node={"data_dir": tmp_path}, web={"login": "always"})
        app = create_app(settings, catalog, readiness=list, metrics=lambda: b"")
        assert code(TestClient(app, base_url=HERE, client=("127.0.0.1", 1)).get("/api/jobs")) == "no_users"


def test_interface_describes_what_each_operation_needs(people: Console) -> None:
    paths = browser(people, "vera").get("/openapi.json").json()["paths"]

    assert paths["/api/jobs/{job}/retry"]["post"]["x-role"] == "operator"
    assert paths["/api/config"]["put"]["security"] == [{"token": []}, {"session": []}]
    assert "security" not in paths["/api/login"]["post"]
    assert "security" not in paths["/healthz"]["get"]
