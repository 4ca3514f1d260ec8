"""A provider that is away, answers with anything, is another one or none; and its section of the configuration."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.web.app import create_app
from tests.oidc_provider import Provider
from tests.unit.dicom_node.web.oidc_node import HTML, Node, catalog, code, keys, node, node_of, provider, settings_of
from tests.unit.dicom_node.web.test_access import HASH, PASSWORD

__all__ = ["catalog", "keys", "node", "provider"]


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
