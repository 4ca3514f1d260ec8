"""``web.oidc``: the OpenID Connect provider that people may log in with, and which role they then have."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from dicom_node.loopback import is_loopback
from dicom_node.people.roles import Role
from dicom_node.section import Section

_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*")  # RFC 6749, 3.3


def protected(address: str) -> str:
    """An address that nobody on the way can read or change; ``ValueError`` unless it is https, or of this machine."""
    parts = urlsplit(address)
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise ValueError("an address such as https://login.example/realms/house, without a user or password")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("the address must begin with https://, as who can change the answers can log in as anybody")
    return address


def _issuer(value: str) -> str:
    if "?" in value:
        raise ValueError("an issuer has no query")
    return protected(value)


def _scope(value: str) -> str:
    if not _SCOPE.fullmatch(value) or "openid" not in value.split(" "):
        raise ValueError("words between single spaces, one of them openid")
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


class OidcRoles(Section):
    """What the claim of roles holds for each role of the node."""

    administrator: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    viewer: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.administrator or self.operator or self.viewer):
            raise ValueError("name at least one group for a role: nobody else is let in")
        return self

    def highest(self, held: Collection[str]) -> Role | None:
        """The highest role that any of ``held`` gives; None if none does."""
        given = (role for role in reversed(Role) if set(getattr(self, role.value)) & set(held))
        return next(given, None)


class OidcSettings(Section):
    """A provider, and the node as its client. The secret lies in a file of its own, which the configuration only names."""

    issuer: Annotated[str, AfterValidator(_issuer)]
    client_id: str = Field(min_length=1, max_length=255)
    client_secret_file: Annotated[Path, AfterValidator(_absolute)] | None = None
    scope: Annotated[str, AfterValidator(_scope)] = "openid profile"
    name_claim: str = Field(default="preferred_username", min_length=1)
    roles_claim: str = Field(default="groups", min_length=1)
    roles: OidcRoles
    ca: Annotated[Path, AfterValidator(_absolute)] | None = None
    session_hours: float = Field(default=1.0, gt=0.0, le=12.0)

    @property
    def host(self) -> str:
        """The provider's name, as people know it."""
        return urlsplit(self.issuer).netloc
