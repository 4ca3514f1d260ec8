"""Users and their sessions."""

from datetime import timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from dicom_node.catalog.database import Database
from dicom_node.catalog.people_rows import UserRow
from dicom_node.catalog.people_schema import sessions, users
from dicom_node.catalog.token_table import end_tokens_of
from dicom_node.errors import CatalogError
from dicom_node.people.roles import Role

#: How exactly it is kept when somebody was last there: not every request is worth a write.
_SEEN = timedelta(minutes=1)


class UserTable(Database):
    """The catalog's users."""

    def has_users(self, *, local: bool = False) -> bool:
        """Whether there is any; ``local``: any with a password, who needs no provider."""
        with self.read() as connection:
            return _any_user(connection, local=local)

    def list_users(self) -> list[UserRow]:
        """Users by name."""
        with self.read() as connection:
            return [UserRow.model_validate(row) for row in connection.execute(select(users).order_by(users.c.name))]

    def password_hash(self, name: str) -> str | None:
        """What is kept of a user's password; None if there is no such user, or the user has none."""
        mine = (users.c.name == name, users.c.subject.is_(None))
        with self.read() as connection:
            return connection.scalar(select(users.c.password_hash).where(*mine))

    def add_user(self, *, name: str, role: Role | None, password_hash: str) -> UserRow:
        """Add a user. Without ``role`` the first is an administrator and others are viewers.

        Raises
        ------
        CatalogError
            ``user_exists``, or ``first_user`` where the first would be no administrator.
        """
        with self.write() as connection:
            first = not _any_user(connection, local=True)
            if first and role not in (None, Role.ADMINISTRATOR):
                raise CatalogError(
                    "first_user",
                    "The first user must be an administrator: nobody else could add one.",
                    "Add an administrator first.",
                )
            if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
                raise CatalogError("user_exists", f"There is a user {name} already.", "Choose another name.")
            connection.execute(
                insert(users).values(
                    name=name,
                    role=role or (Role.ADMINISTRATOR if first else Role.VIEWER),
                    password_hash=password_hash,
                    created_at=self.now(),
                )
            )
            return _user(connection, name)

    def change_user(
        self, name: str, *, role: Role | None = None, password_hash: str | None = None
    ) -> tuple[UserRow, list[str]]:
        """Give a user another role or password, and end the user's sessions.

        Returns
        -------
        tuple
            The user, and which tokens that the user made are valid no more: those that may do more than the user.

        Raises
        ------
        CatalogError
            ``user_unknown``, ``user_from_provider``, or ``last_administrator``.
        """
        values = {"role": role, "password_hash": password_hash}
        with self.write() as connection:
            user = _user(connection, name)
            if user.subject is not None:
                raise CatalogError(
                    "user_from_provider",
                    f"{name} logs in with a provider, which says the role and knows the password.",
                    "Change it there, and what web.oidc.roles makes of it.",
                )
            if role not in (None, Role.ADMINISTRATOR):
                _keep_an_administrator(connection, user)
            changed = {key: value for key, value in values.items() if value is not None}
            if changed:
                connection.execute(update(users).where(users.c.name == name).values(**changed))
            _end_sessions(connection, name)
            return _user(connection, name), [] if role is None else end_tokens_of(connection, name, above=role)

    def remove_user(self, name: str) -> list[str]:
        """Remove a user with the user's sessions and the tokens that the user made; the names of these.

        Raises
        ------
        CatalogError
            ``user_unknown`` or ``last_administrator``.
        """
        with self.write() as connection:
            _keep_an_administrator(connection, _user(connection, name))
            _end_sessions(connection, name)
            connection.execute(delete(users).where(users.c.name == name))
            return end_tokens_of(connection, name)

    def put_provider_user(self, *, name: str, role: Role, subject: str) -> tuple[UserRow | None, list[str]]:
        """Add somebody who logs in with a provider, or give them another role, which ends their sessions.

        Returns
        -------
        tuple
            The user as it was before, None for a new one, and the tokens that are valid no more, as of `change_user`.

        Raises
        ------
        CatalogError
            ``oidc_name_taken``: somebody else has the name.
        """
        with self.write() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
            if row is not None and row.subject != subject:
                raise CatalogError(
                    "oidc_name_taken",
                    f"There is another user {name} already.",
                    f"An administrator may remove that user: s2ldm-node users remove {name}.",
                )
            _, ended = _remove_subject(connection, subject, but=name)
            if row is None:
                values = {"name": name, "role": role, "subject": subject, "password_hash": "", "created_at": self.now()}
                connection.execute(insert(users).values(**values))
                return None, ended
            before = UserRow.model_validate(row)
            if before.role is not role:
                connection.execute(update(users).where(users.c.name == name).values(role=role))
                _end_sessions(connection, name)
                ended += end_tokens_of(connection, name, above=role)
            return before, ended

    def remove_provider_user(self, subject: str) -> tuple[list[str], list[str]]:
        """Remove somebody whom the provider gives no role any more; the names they had, and those of their tokens."""
        with self.write() as connection:
            return _remove_subject(connection, subject)

    def open_session(self, name: str, *, digest: str, lasts: timedelta, idle: timedelta) -> UserRow:
        """Note that a user has logged in, and forget the sessions that have ended; raises `CatalogError` (``user_unknown``)."""
        now = self.now()
        with self.write() as connection:
            ended = (sessions.c.expires_at <= now) | (sessions.c.last_seen_at <= now - idle)
            connection.execute(delete(sessions).where(ended))
            _user(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(last_login_at=now))
            key = connection.scalar(select(users.c.id).where(users.c.name == name))
            connection.execute(
                insert(sessions).values(digest=digest, user_id=key, expires_at=now + lasts, last_seen_at=now)
            )
            return _user(connection, name)

    def session_user(self, digest: str, *, idle: timedelta, active: bool) -> UserRow | None:
        """The user of a session that has not ended; ``active``: the user is there, which starts ``idle`` anew."""
        now = self.now()
        valid = (
            sessions.c.digest == digest,
            sessions.c.expires_at > now,
            sessions.c.last_seen_at > now - idle,
        )
        query = select(users, sessions.c.last_seen_at).join(sessions, sessions.c.user_id == users.c.id).where(*valid)
        with self.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if active and row.last_seen_at <= now - _SEEN:
            with self.write() as connection:
                connection.execute(update(sessions).where(*valid).values(last_seen_at=now))
        return UserRow.model_validate(row)

    def close_session(self, digest: str) -> None:
        """End a session."""
        with self.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == digest))


def _any_user(connection: Connection, *, local: bool) -> bool:
    query = select(users.c.id).limit(1)
    return connection.scalar(query.where(users.c.subject.is_(None)) if local else query) is not None


def _user(connection: Connection, name: str) -> UserRow:
    row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    if row is None:
        raise CatalogError("user_unknown", f"There is no user {name!r}.", "s2ldm-node users list names all.")
    return UserRow.model_validate(row)


def _keep_an_administrator(connection: Connection, leaving: UserRow) -> None:
    # Those who need no provider, which may be away or give other roles tomorrow.
    local = (users.c.role == Role.ADMINISTRATOR, users.c.subject.is_(None))
    administrators = select(func.count()).select_from(users).where(*local)
    if leaving.subject is not None:
        return
    if leaving.role is Role.ADMINISTRATOR and connection.scalar(administrators) == 1:
        raise CatalogError(
            "last_administrator",
            f"{leaving.name} is the last administrator.",
            "Make somebody else an administrator first.",
        )


def _end_sessions(connection: Connection, name: str) -> None:
    theirs = select(users.c.id).where(users.c.name == name).scalar_subquery()
    connection.execute(delete(sessions).where(sessions.c.user_id == theirs))


def _remove_subject(connection: Connection, subject: str, *, but: str = "") -> tuple[list[str], list[str]]:
    theirs = (users.c.subject == subject, users.c.name != but)
    names = list(connection.scalars(select(users.c.name).where(*theirs)))
    ended: list[str] = []
    for name in names:
        _end_sessions(connection, name)
        ended += end_tokens_of(connection, name)
    connection.execute(delete(users).where(*theirs))
    return names, ended
