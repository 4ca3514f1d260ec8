"""Logging in and out, and the users and tokens themselves."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import structlog

from dicom_node.catalog import Catalog, TokenRow, UserRow
from dicom_node.errors import NodeError
from dicom_node.people.identity import Identity
from dicom_node.people.keys import digest_of, new_session_key, new_token
from dicom_node.people.oidc_person import PREFIX, Person
from dicom_node.people.passwords import Passwords
from dicom_node.people.roles import Role
from dicom_node.people.throttle import Throttle, neighbourhood

#: A log-in ends after so long, and after so long without a request.
SESSION_TIME = timedelta(hours=12)
IDLE_TIME = timedelta(minutes=30)
#: How long failed attempts count.
_FAILED_SECONDS = 300.0
#: Who changes users where a log-in with a provider does.
_PROVIDER = "web.oidc"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Accounts:
    """What the node knows of people and programs; used by commands, interface and pages alike. Thread-safe.

    ``issuer``: the provider whose people may come, too; None: there is none, and nobody is known who came with one before.
    ``provided_time``: how long a log-in with it lasts at most, until the provider is asked again.
    ``audited``: log who came and what was changed; a command's output is for whoever runs it. ``tell``: told the same, whoever
    asked.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        issuer: str | None = None,
        provided_time: timedelta = SESSION_TIME,
        audited: bool = True,
        tell: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        self._issuer = issuer
        self._provided_time = min(provided_time, SESSION_TIME)
        self._tell = tell
        self._catalog = catalog
        self._passwords = Passwords()
        # A person mistypes; a machine guesses. The last two are against one that guesses many names, or from many places.
        self._of_both = Throttle(most=5, seconds=_FAILED_SECONDS)
        self._of_address = Throttle(most=30, seconds=_FAILED_SECONDS)
        self._of_name = Throttle(most=50, seconds=_FAILED_SECONDS)
        self._log = structlog.get_logger(part="people") if audited else None

    def any_user(self, *, local: bool = False) -> bool:
        """Whether there is anybody to log in; ``local``: with a password, who needs no provider."""
        return self._catalog.has_users(local=local)

    def users(self) -> list[UserRow]:
        """Users by name."""
        return self._catalog.list_users()

    def add(self, name: str, password: str, *, role: Role | None = None, who: str) -> UserRow:
        """Add a user. Without ``role`` the first is an administrator and others are viewers.

        Raises
        ------
        NodeError
            ``user_name``; as `Passwords.hash`; ``user_exists``; ``first_user``: the first must be an administrator.
        """
        if (name := _name(name)).startswith(PREFIX):
            raise NodeError("user_name", f"Names with {PREFIX} are of people of a provider.", "Choose another name.")
        user = self._catalog.add_user(name=name, role=role, password_hash=self._passwords.hash(password))
        self._note("user_added", user=user.name, role=user.role, who=who)
        return user

    def change(self, name: str, *, role: Role | None = None, password: str | None = None, who: str) -> UserRow:
        """Give a user another role or password, and end the user's sessions, and with them tokens that may do more.

        Raises
        ------
        NodeError
            ``user_unknown``, ``user_from_provider``, ``last_administrator``, or as `Passwords.hash`.
        """
        hashed = None if password is None else self._passwords.hash(password)
        user, ended = self._catalog.change_user(name.lower(), role=role, password_hash=hashed)
        self._note("user_changed", user=user.name, role=user.role, new_password=hashed is not None, who=who)
        self._note_ended(ended, who=who)
        return user

    def remove(self, name: str, *, who: str) -> None:
        """Remove a user, end the user's sessions, and revoke the tokens that the user made.

        Raises
        ------
        NodeError
            ``user_unknown`` or ``last_administrator``.
        """
        ended = self._catalog.remove_user(name.lower())
        self._note("user_removed", user=name.lower(), who=who)
        self._note_ended(ended, who=who)

    def log_in(self, name: str, password: str, *, address: str) -> tuple[str, UserRow]:
        """Open a session.

        Returns
        -------
        tuple
            The session's key, for the browser alone, and the user.

        Raises
        ------
        NodeError
            ``login_failed``: which of the two is wrong is not said, and cannot be told by the time that it takes;
            ``login_throttled``.
        """
        name = name.lower()[:64]
        self._prove(name, password, address)
        return self._open(name, address)

    def count_attempt(self, address: str) -> None:
        """Count an attempt to log in with the provider; raises `NodeError` (``login_throttled``)."""
        if not self._of_address.enter(neighbourhood(address)):
            self._note("login_throttled", user="not a name", address=address)
            raise NodeError("login_throttled", "There were too many attempts to log in.", "Try again in five minutes.")

    def log_in_from_provider(self, person: Person, *, address: str) -> tuple[str, UserRow]:
        """Open a session for somebody whom the provider vouches for, in the role that they have there today.

        Returns
        -------
        tuple
            As of `log_in`.

        Raises
        ------
        NodeError
            ``oidc_no_role``: none, which ends what they had; ``oidc_name_taken``.
        """
        try:
            self._settle(person)
        except NodeError:
            self.note_refused(person.name, address=address)
            raise
        return self._open(person.name, address, lasts=self._provided_time)

    def note_refused(self, name: str, *, address: str) -> None:
        """Note that somebody was not let in with the provider."""
        self._note("login_failed", user=_loggable(name), address=address)

    def _settle(self, person: Person) -> None:
        if person.role is None:
            names, ended = self._catalog.remove_provider_user(person.subject)
            for name in names:
                self._note("user_removed", user=name, who=_PROVIDER)
            self._note_ended(ended, who=_PROVIDER)
            raise NodeError(
                "oidc_no_role",
                f"{person.name} has no role in this node.",
                "Ask an administrator: web.oidc.roles says which groups have one.",
            )
        before, ended = self._catalog.put_provider_user(name=person.name, role=person.role, subject=person.subject)
        if before is None:
            self._note("user_added", user=person.name, role=person.role, who=_PROVIDER)
        elif before.role is not person.role:
            self._note("user_changed", user=person.name, role=person.role, new_password=False, who=_PROVIDER)
        self._note_ended(ended, who=_PROVIDER)

    def _open(self, name: str, address: str, *, lasts: timedelta = SESSION_TIME) -> tuple[str, UserRow]:
        key = new_session_key()
        user = self._catalog.open_session(name, digest=digest_of(key), lasts=lasts, idle=IDLE_TIME)
        self._note("logged_in", user=name, address=address)
        return key, user

    def change_own_password(self, identity: Identity, password: str, new: str, *, address: str) -> None:
        """Have somebody who has logged in choose another password, which ends all of their sessions.

        Raises
        ------
        NodeError
            ``not_logged_in``: a token has no password; as `log_in` of the present one, and as `Passwords.hash`.
        """
        if not identity.has_password:
            raise NodeError(
                "not_logged_in",
                "Only somebody who has logged in with a password of the node has one.",
                "Log in at /login; a provider's password is changed there.",
            )
        self._prove(identity.who, password, address)
        self.change(identity.who, password=new, who=identity.who)

    def _prove(self, name: str, password: str, address: str) -> None:
        place = neighbourhood(address)
        both = f"{name} {place}"
        if not (self._of_both.enter(both) and self._of_address.enter(place) and self._of_name.enter(name)):
            self._note("login_throttled", user=_loggable(name), address=address)
            raise NodeError("login_throttled", "There were too many attempts to log in.", "Try again in five minutes.")
        if not self._passwords.fits(password, self._catalog.password_hash(name)):
            self._note("login_failed", user=_loggable(name), address=address)
            raise NodeError("login_failed", "The name or the password is wrong.", "Try again, or ask an administrator.")
        self._of_both.forget(both)

    def log_out(self, key: str, *, address: str) -> None:
        """End a session."""
        identity = self.of_session(key, active=False)
        self._catalog.close_session(digest_of(key))
        if identity is not None:
            self._note("logged_out", user=identity.who, address=address)

    def of_session(self, key: str, *, active: bool = True) -> Identity | None:
        """Who has a session; ``active``: what is asked for shows that somebody is there. None if it has ended."""
        user = self._catalog.session_user(digest_of(key), idle=IDLE_TIME, active=active)
        if user is None or not self._may_come(user):
            return None
        return Identity(who=user.name, role=user.role, logged_in=True, has_password=user.subject is None)

    def _may_come(self, user: UserRow) -> bool:
        """Whether a user has a password, or is of the provider that there is now."""
        return user.subject is None or (self._issuer is not None and user.subject.startswith(f"{self._issuer} "))

    def tokens(self) -> list[TokenRow]:
        """Programs' tokens by name."""
        return self._catalog.list_tokens()

    def create_token(self, name: str, *, role: Role, days: float | None = None, who: str) -> tuple[str, TokenRow]:
        """Make a token for a program.

        Returns
        -------
        tuple
            The token, which nobody can look up later, and what is kept of it.

        Raises
        ------
        NodeError
            ``user_name`` or ``token_exists``.
        """
        key = new_token()
        lasts = None if days is None else timedelta(days=days)
        row = self._catalog.add_token(name=_name(name), role=role, digest=digest_of(key), who=who, lasts=lasts)
        self._note("token_created", token=row.name, role=role, who=who)
        return key, row

    def revoke_token(self, name: str, *, who: str) -> None:
        """Have a token valid no more; raises `NodeError` (``token_unknown``)."""
        self._catalog.remove_token(name.lower())
        self._note("token_revoked", token=name.lower(), who=who)

    def of_token(self, key: str) -> Identity:
        """Whose token it is; raises `NodeError` (``token_refused``)."""
        row = self._catalog.token_of(digest_of(key))
        if row is None:
            raise NodeError(
                "token_refused", "The token is not known, or has run out.", "Make one: s2ldm-node tokens create NAME."
            )
        return Identity(who=f"token {row.name}", role=row.role)

    def _note_ended(self, tokens: Iterable[str], *, who: str) -> None:
        for name in tokens:
            self._note("token_revoked", token=name, who=who)

    def _note(self, event: str, **values: object) -> None:
        if self._log is not None:
            self._log.info(event, **values)
        if self._tell is not None:
            self._tell(event, values)


def _name(name: str) -> str:
    if not _NAME.fullmatch(name.lower()):
        raise NodeError(
            "user_name",
            "A name has 1 to 64 letters, digits and . _ @ - and begins with a letter or digit.",
            "Choose another name.",
        )
    return name.lower()


def _loggable(name: str) -> str:
    """What was given as a name may be anything, a password typed into the wrong field included."""
    return name if _NAME.fullmatch(name) else "not a name"
