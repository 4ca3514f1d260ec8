"""What is tried on every address of the console: markup by DICOM, another site's page, paths, hosts, somebody else's."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dicom_node.catalog import JobState, NewInstance, SeriesState, Subject
from dicom_node.web.access import ACCESS, Access
from s2ldm_core.problem import Problem
from tests.unit.dicom_node.web.conftest import HERE, Console
from tests.unit.dicom_node.web.test_access import PASSWORD, addressed, browser, code, people

__all__ = ["people"]

EVIL = "\"'><img src=x onerror=alert(1)>"
SHORT = "<img src=x on=1>"  # as long as an AE title
#: Addresses of pages that a log-in with a provider alone has.
ELSEWHERE = {"/login/oidc", "/login/oidc/callback"}
SHOWN = sorted({path for method, path in ACCESS if method == "GET"} - ELSEWHERE)
BROWSER = {"accept": "text/html"}


class Markup(HTMLParser):
    """Elements and attributes that no page of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img" and dict(attributes).get("src") == "x":
            self.found.append(tag)
        self.found += [name for name, _ in attributes if name.startswith("on")]


@pytest.fixture(scope="module")
def poisoned(sight: Console) -> Console:
    """The console, wherever text of others stands: sender, patient, headers that rules saw, what a peer said, history."""
    catalog = sight.catalog
    catalog.add_instance(
        NewInstance(
            series_instance_uid=EVIL,
            study_instance_uid=EVIL,
            sop_instance_uid=EVIL,
            sop_class_uid=EVIL,
            transfer_syntax_uid=EVIL,
            path=Path("/spool/1.dcm"),
            digest="d",
            size=1,
            route="CECT_ART",
            calling_ae=SHORT,
            peer=EVIL,
        )
    )
    (series,) = catalog.find_series(state=SeriesState.RECEIVING)
    evidence = {"released": EVIL, EVIL: [EVIL]}
    catalog.complete_series(
        series.key,
        signal="released",
        evidence=evidence,
        phase="arterial",
        model="demo",
        model_identity=EVIL,
        seen_at=series.last_received_at,
    )
    for key in (sight.series, series.key):
        catalog.set_subject(key, Subject(**dict.fromkeys(Subject.model_fields, EVIL)))
    claim = catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w")
    rules = [{"rule": EVIL, "objects": True, "details": {EVIL: EVIL, "kernel": [EVIL], "inner": {"a": EVIL}}}]
    catalog.refuse_job(claim, Problem("x", EVIL, EVIL), details={"seen": EVIL}, rules=rules)
    catalog.note_rejected_peer(calling_ae=SHORT, called_ae=SHORT, peer=EVIL, reason=Problem("x", EVIL, EVIL))
    delivery = catalog.claim_delivery(catalog.now())
    catalog.retry_delivery(delivery, at=catalog.now(), reason=Problem("x", EVIL, EVIL))
    text = sight.path.read_text() + f"# {EVIL}\n"
    sight.client.put("/api/config", json={"text": text, "comment": EVIL}).raise_for_status()
    return sight


def every_page(console: Console) -> Iterator[tuple[str, str]]:
    numbers = [row.key for row in console.catalog.find_series(limit=10)]
    for path in SHOWN:
        for number in numbers if "{" in path else [0]:
            filled = path
            for name in ("series", "job_id", "delivery_id", "job"):
                filled = filled.replace(f"{{{name}}}", str(number))
            yield path, addressed(filled)


def test_no_text_of_others_is_markup_on_any_page(poisoned: Console) -> None:
    told = 0
    for path, address in every_page(poisoned):
        answer = poisoned.client.get(address, headers=BROWSER)
        assert answer.status_code < 500, address
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        page = Markup()
        page.feed(answer.text)
        assert page.found == [], path
        told += answer.text.count("onerror=")
    assert told > 20, "what was sent is shown, as text"


def test_search_and_problem_pages_show_what_was_asked_as_text(poisoned: Console) -> None:
    asked = [
        ("/series", {"query": EVIL}),
        ("/series", {"route": SHORT}),
        ("/login", {"next": f"/{EVIL}"}),
        (f"/routes/{EVIL}", {}),
        (f"/destinations/{EVIL}", {}),
    ]
    for path, params in asked:
        page = Markup()
        page.feed(poisoned.client.get(path, params=params, headers=BROWSER).text)
        assert page.found == [], path
    for path, form in (("/jobs/act", {"job": "1", "do": EVIL}), ("/series/1/requeue", {"route": EVIL})):
        page = Markup()
        page.feed(poisoned.client.post(path, data=form, headers=BROWSER).text)
        assert page.found == [], path


def test_every_answer_forbids_frames_sniffing_and_what_it_does_not_need_and_is_kept_nowhere(poisoned: Console) -> None:
    for path, address in every_page(poisoned):
        answer = poisoned.client.get(address)
        headers = answer.headers
        assert headers["content-security-policy"].startswith("default-src 'none'"), address
        assert "frame-ancestors 'none'" in headers["content-security-policy"], address
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY"), address
        if ACCESS["GET", path] is not Access.OPEN:
            assert headers["cache-control"] == "no-store", address
        if path.startswith("/api/") and not path.endswith(".png"):
            assert headers["content-type"] == "application/json", address


def test_everything_that_is_not_for_strangers_is_refused_to_them(sight: Console) -> None:
    stranger = sight.from_elsewhere(address="10.0.0.9")
    held_back = [key for key, access in ACCESS.items() if access > Access.STATES]

    assert {(key, code(stranger.request(key[0], addressed(key[1])))) for key in held_back} == {
        (key, "only_from_here") for key in held_back
    }


def test_no_change_is_made_for_another_sites_page(sight: Console) -> None:
    page = sight.from_elsewhere(**{"sec-fetch-site": "cross-site", "origin": "http://evil.example"})
    changes = [key for key in ACCESS if key[0] != "GET"]

    assert {code(page.request(method, addressed(path))) for method, path in changes} == {"cross_origin"}
    assert len(changes) > 40


@pytest.mark.parametrize(
    "evil", ["..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fx", "%2fetc%2fpasswd", "..%5c..%5cx"]
)
def test_name_in_an_address_leads_nowhere(sight: Console, evil: str) -> None:
    def around() -> set[Path]:
        return {one for one in sight.path.parent.parent.rglob("*") if "catalog.sqlite" not in one.name}

    before = around()
    named = [key for key in ACCESS if "{" in key[1]]
    for method, path in named:
        filled = "/".join(evil if part.startswith("{") else part for part in path.split("/"))
        answer = sight.client.request(method, filled, json={"phase": "venous", "destinations": ["pacs"]})
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
        assert "root:" not in answer.text
    assert around() == before


def test_host_that_somebody_else_chose_stands_in_no_answer(people: Console) -> None:
    client = browser(people, host="http://evil.example")

    for address in ("/", "/series", "/login", "/api/jobs", "/nowhere", "/static"):
        answer = client.get(address, headers=BROWSER)
        assert "evil.example" not in answer.text + answer.headers.get("location", ""), address
    entered = client.post("/login", data={"name": "vera", "password": PASSWORD, "next": "/series"})
    assert entered.headers["location"] == "/series"
    assert "domain" not in entered.headers["set-cookie"].lower()


def test_nobody_changes_somebody_elses_password_by_naming_them(people: Console) -> None:
    vera = browser(people, "vera")
    change = {"password": PASSWORD, "new": "four other words now", "name": "anna", "who": "anna"}
    vera.post("/account", data=change)
    vera.post("/api/password", json=change)

    assert browser(people, "anna").get("/api/users").status_code == 200


def test_whoever_is_removed_or_may_less_is_out_at_once_with_the_tokens_they_made(people: Console) -> None:
    anna = browser(people, "anna")
    anna.post("/api/users", json={"name": "eva", "password": PASSWORD, "role": "administrator"})
    eva = browser(people, "eva")
    made = {
        name: eva.post("/api/tokens", json={"name": name, "role": role}).json()["token"]
        for name, role in (("board", "viewer"), ("robot", "administrator"))
    }
    robot, board = (_program(people, made[name]) for name in ("robot", "board"))
    child = _program(people, robot.post("/api/tokens", json={"name": "child", "role": "viewer"}).json()["token"])
    assert [one.get("/api/jobs").status_code for one in (eva, robot, board, child)] == [200] * 4

    anna.patch("/api/users/eva", json={"role": "viewer"})
    assert [one.get("/api/jobs").status_code for one in (eva, robot, board)] == [401, 401, 200]

    eva = browser(people, "eva")
    anna.delete("/api/users/eva")
    assert [one.get("/api/jobs").status_code for one in (eva, robot, board)] == [401] * 3
    assert code(board.get("/series")) == "token_refused"


def _program(console: Console, token: str) -> TestClient:
    return TestClient(console.client.app, base_url=HERE, headers={"authorization": f"Bearer {token}"})
