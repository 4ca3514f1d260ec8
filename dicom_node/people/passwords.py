"""Passwords, kept as argon2id hashes (RFC 9106)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dicom_node.errors import NodeError

LEAST_LENGTH = 12
#: Longer ones would only cost time.
MOST_LENGTH = 1024
#: A hash takes 64 MiB; so many are made side by side.
_AT_ONCE = 2
_WAIT_SECONDS = 10.0
# Of a password that nobody has: what an unknown user's is compared with, at the same cost, so that the answer takes as long.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$RdGUYUZ09AVrUYFcuhOiqw$JAB/L0XyMO7Oq/vZZz7wgzJTqGszoWJCKERV60lfRp4"


class Passwords:
    """Makes and compares hashes; safe from several threads, with bounded memory."""

    def __init__(self) -> None:
        # RFC 9106 section 4, the second recommended option; `_NOBODYS` is of the same cost.
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)
        self._room = threading.BoundedSemaphore(_AT_ONCE)

    def hash(self, password: str) -> str:
        """A password as it is kept.

        Raises
        ------
        NodeError
            ``password_too_short`` or ``password_too_long``.
        """
        if len(password) < LEAST_LENGTH:
            raise NodeError(
                "password_too_short",
                f"A password has at least {LEAST_LENGTH} characters.",
                "Four unrelated words are easy to remember and hard to guess.",
            )
        if len(password) > MOST_LENGTH:
            raise NodeError(
                "password_too_long", f"A password has at most {MOST_LENGTH} characters.", "Choose a shorter one."
            )
        with self._one_of_few():
            return self._hasher.hash(password)

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether a password is the one that is kept; None stands for a user that there is not, and takes as long."""
        with self._one_of_few():
            try:
                return self._hasher.verify(kept or _NOBODYS, password[:MOST_LENGTH]) and kept is not None
            except (VerificationError, InvalidHashError):
                return False

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        if not self._room.acquire(timeout=_WAIT_SECONDS):
            raise NodeError("login_throttled", "Too many people log in at this moment.", "Try again in a minute.")
        try:
            yield
        finally:
            self._room.release()
