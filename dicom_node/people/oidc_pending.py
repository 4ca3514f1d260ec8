"""A log-in with a provider that has begun and not come back yet."""

import re
import secrets
from dataclasses import dataclass

_RANDOM_BYTES = 32
_RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")  # so many bytes as text


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A log-in that has begun: what only the browser that began it has. Each is a random text, used once."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "Pending":
        """Another one."""
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        return cls(state=state, nonce=nonce, verifier=verifier)

    @property
    def whole(self) -> bool:
        """Whether it is what `new` makes."""
        return all(_RANDOM.fullmatch(one) for one in (self.state, self.nonce, self.verifier))
