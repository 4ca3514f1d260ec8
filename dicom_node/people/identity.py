"""Who asks."""

from dataclasses import dataclass

from dicom_node.people.roles import Role


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whoever a request comes from.

    Attributes
    ----------
    who
        As the history and the jobs name them; empty for a stranger.
    role
        None for a stranger.
    logged_in
        Whether it was by a log-in, so that it can be ended.
    has_password
        Whether that was with a password of the node's own.
    """

    who: str = ""
    role: Role | None = None
    logged_in: bool = False
    has_password: bool = False


#: Nobody that is known.
STRANGER = Identity()
#: While the node has no users: whoever sits at its machine.
AT_THIS_MACHINE = Identity(who="console on this machine", role=Role.ADMINISTRATOR)
