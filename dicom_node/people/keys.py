"""Random keys of sessions and of programs. Only their digests are kept, so that nobody reads a key out of the catalog."""

import hashlib
import secrets

_BYTES = 32
#: A program's key begins with this, so that it is recognised where it should not stand, in a repository or a log.
TOKEN_PREFIX = "s2ldm_"  # noqa: S105 (not a secret itself)


def new_session_key() -> str:
    """A key for a browser's cookie."""
    return secrets.token_urlsafe(_BYTES)


def new_token() -> str:
    """A key for a program."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(key: str) -> str:
    """What is kept of a key: its SHA-256 (hex). It needs no salt, as keys are random and long."""
    return hashlib.sha256(key.encode()).hexdigest()
