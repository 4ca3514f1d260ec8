"""What somebody may do."""

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may.

    ``viewer``: see everything that is no secret, pictures included, and change nothing. ``operator``: retry, cancel and
    deliver jobs, pause and check destinations. ``administrator``: the configuration, models and users.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    @property
    def rank(self) -> int:
        """Higher may more."""
        return list(Role).index(self)

    def covers(self, other: "Role") -> bool:
        """Whether this role may do what ``other`` may."""
        return self.rank >= other.rank
