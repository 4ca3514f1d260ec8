"""Rows about people and programs, without what proves who they are."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from dicom_node.people.roles import Role


class UserRow(BaseModel):
    """A person who may log in; ``subject``: with a provider (OpenID Connect), its issuer and whom it calls so, and without a password."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    role: Role
    created_at: datetime
    last_login_at: datetime | None
    subject: str | None = None


class TokenRow(BaseModel):
    """A program's token; without ``expires_at`` it is valid until it is revoked."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
