"""Who may do what over HTTP."""

import pytest
from httpx import Response
from starlette.requests import Request

from dicom_node.config import WebSettings
from dicom_node.people.accounts import Accounts
from dicom_node.web.doors import Doors
from tests.unit.dicom_node.web.conftest import Console

CHANGE = "/api/jobs/1/cancel"


def code(answer: Response) -> str:
    return answer.json()["problem"]["code"] if answer.status_code >= 400 else str(answer.status_code)


def test_change_from_the_nodes_own_page_is_made(console: Console) -> None:
    page = console.from_elsewhere(**{"origin": "http://127.0.0.1:8104", "sec-fetch-site": "same-origin"})

    assert page.post(CHANGE).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
    ],
)
def test_change_that_another_sites_page_asks_for_is_refused(sight: Console, headers: dict[str, str]) -> None:
    assert code(sight.from_elsewhere(**headers).post(CHANGE)) == "cross_origin"


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host"])
def test_proxy_on_this_machine_is_not_this_machine(sight: Console, header: str) -> None:
    through = sight.from_elsewhere(**{header: "127.0.0.1"})

    assert code(through.post(CHANGE)) == "only_from_here"
    assert code(through.get("/api/config")) == "only_from_here"


@pytest.mark.parametrize(
    "host", ["http://evil.example", "http://127.0.0.1.evil.example:8104", "http://localhost.evil:8104"]
)
def test_name_that_is_not_this_machines_is_refused(sight: Console, host: str) -> None:
    assert code(sight.from_elsewhere(host=host).get("/api/jobs")) == "wrong_host"


@pytest.mark.parametrize("host", ["http://localhost:8104", "http://[::1]:8104"])
def test_names_of_this_machine_are_taken(sight: Console, host: str) -> None:
    assert sight.from_elsewhere(host=host).get("/api/jobs").status_code == 200


def test_nobody_is_here_where_the_node_listens_to_all(sight: Console) -> None:
    request = Request({"type": "http", "headers": [], "client": ("127.0.0.1", 50000)})
    accounts = Accounts(sight.catalog)

    assert Doors(WebSettings(host="127.0.0.1"), accounts).from_here(request)
    assert not Doors(WebSettings(host="0.0.0.0"), accounts).from_here(request)  # noqa: S104 (what must not be taken for this machine)


def test_body_without_end_is_cut_off(sight: Console) -> None:
    answer = sight.client.put("/api/config", content=(b"x" * 65536 for _ in range(1000)))

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/", "/api/jobs", "/api/jobs/99", "/static/console.js", "/nowhere"])
def test_every_answer_forbids_what_it_does_not_need(sight: Console, path: str) -> None:
    headers = sight.client.get(path).headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/routes/..%2f..%2fetc%2fpasswd"]
)
def test_path_leads_out_of_nothing(sight: Console, path: str) -> None:
    assert sight.client.get(path).status_code in (404, 400)
