"""Calling web services: who the node says it is, and a client that goes where it is told and nowhere else."""

import base64
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from dicom_node.errors import NodeError
from dicom_node.section import Section

if TYPE_CHECKING:
    import httpx


class WebAuth(Section):
    """How the node says who it is. The secret lies in a file of its own, which the configuration only names."""

    type: Literal["basic", "bearer"]
    user: str | None = None
    secret_file: Path

    def header(self) -> str:
        """The ``Authorization`` header; `NodeError` (``secret_unreadable``) when there is no secret."""
        secret = read_secret(self.secret_file)
        if self.type == "bearer":
            return f"Bearer {secret}"
        return "Basic " + base64.b64encode(f"{self.user or ''}:{secret}".encode()).decode()


def read_secret(path: Path) -> str:
    """The first line of a secret file; `NodeError` (``secret_unreadable``)."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NodeError(
            "secret_unreadable",
            f"The secret file {path} cannot be read.",
            "Put it there, readable by the user that runs the node and by nobody else.",
        ) from error


def web_address(value: str) -> str:
    """An address of a service without a trailing slash; ``ValueError`` unless it is http(s) and holds no secret."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address such as https://archive/dicom-web")
    if parts.username or parts.password:
        raise ValueError("no user or password in the address; see auth")
    return value.rstrip("/")


def web_client(
    *, auth: WebAuth | None, ca: Path | None, connect_seconds: float, answer_seconds: float, accept: str
) -> "httpx.Client":
    """A client that follows no redirect and heeds no proxy of the environment: neither objects nor secrets go elsewhere.

    Raises
    ------
    NodeError
        ``secret_unreadable``, ``certificates_unreadable``.
    """
    import httpx

    headers = {"Accept": accept, **({"Authorization": auth.header()} if auth else {})}
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise NodeError(
            "certificates_unreadable",
            f"The certificates {ca} cannot be read.",
            "Name a PEM file in ca, or leave it out.",
        ) from error
    timeout = httpx.Timeout(answer_seconds, connect=connect_seconds)
    return httpx.Client(headers=headers, verify=context, timeout=timeout, follow_redirects=False, trust_env=False)
