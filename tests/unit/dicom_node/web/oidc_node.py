"""A node with a provider on this machine, and what tests do with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from joserfc.jwk import RSAKey

from dicom_node.catalog import Catalog
from dicom_node.config import Settings
from dicom_node.web.app import create_app
from tests.oidc_provider import CLIENT, SECRET, Provider

HERE = "http://node:8104"
ANNA = {"preferred_username": "anna", "groups": ["staff", "doctors", "ct-admins", "ct-staff", 7]}
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
