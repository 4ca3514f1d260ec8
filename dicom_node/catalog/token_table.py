"""Programs' tokens."""

from datetime import timedelta

from sqlalchemy import Connection, delete, insert, or_, select, update

from dicom_node.catalog.database import Database
from dicom_node.catalog.people_rows import TokenRow
from dicom_node.catalog.people_schema import tokens
from dicom_node.errors import CatalogError
from dicom_node.people.roles import Role

#: How exactly it is kept when a token was last used.
_USED = timedelta(minutes=1)


class TokenTable(Database):
    """The catalog's tokens."""

    def add_token(self, *, name: str, role: Role, digest: str, who: str, lasts: timedelta | None = None) -> TokenRow:
        """Keep a token; without ``lasts`` it is valid until it is removed. Raises `CatalogError` (``token_exists``)."""
        now = self.now()
        with self.write() as connection:
            if connection.scalar(select(tokens.c.id).where(tokens.c.name == name)) is not None:
                raise CatalogError(
                    "token_exists", f"There is a token {name} already.", "Revoke it, or choose another name."
                )
            connection.execute(
                insert(tokens).values(
                    name=name,
                    role=role,
                    digest=digest,
                    created_at=now,
                    created_by=who[:128],
                    expires_at=None if lasts is None else now + lasts,
                )
            )
            return TokenRow.model_validate(connection.execute(select(tokens).where(tokens.c.name == name)).one())

    def list_tokens(self) -> list[TokenRow]:
        """Tokens by name."""
        with self.read() as connection:
            return [TokenRow.model_validate(row) for row in connection.execute(select(tokens).order_by(tokens.c.name))]

    def token_of(self, digest: str) -> TokenRow | None:
        """The token with a digest; None if there is none, or it has run out."""
        now = self.now()
        valid = (tokens.c.digest == digest, or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
        with self.read() as connection:
            row = connection.execute(select(tokens).where(*valid)).one_or_none()
        if row is None:
            return None
        if row.last_used_at is None or row.last_used_at <= now - _USED:
            with self.write() as connection:
                connection.execute(update(tokens).where(*valid).values(last_used_at=now))
        return TokenRow.model_validate(row)

    def remove_token(self, name: str) -> None:
        """Have a token valid no more; raises `CatalogError` (``token_unknown``)."""
        with self.write() as connection:
            if not connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount:
                raise CatalogError("token_unknown", f"There is no token {name!r}.", "s2ldm-node tokens list names all.")


def end_tokens_of(connection: Connection, maker: str, *, above: Role | None = None) -> list[str]:
    """Have the tokens that somebody made, and those that were made with these, valid no more.

    ``above``: only those of a higher role. Returns their names.
    """
    made = connection.execute(select(tokens.c.name, tokens.c.role).where(tokens.c.created_by == maker)).all()
    ended = [name for name, role in made if above is None or not above.covers(Role(role))]
    connection.execute(delete(tokens).where(tokens.c.name.in_(ended)))
    return ended + [other for name in ended for other in end_tokens_of(connection, f"token {name}", above=above)]
