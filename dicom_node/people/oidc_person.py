"""Somebody whom a provider vouches for."""

import re
import unicodedata
from dataclasses import dataclass

from dicom_node.people.roles import Role

#: What the names of a provider's people begin with here, and no other user's.
PREFIX = "sso."
_MOST = 64 - len(PREFIX)
_FOREIGN = re.compile(r"[^a-z0-9._@-]+")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who it is.

    Attributes
    ----------
    name
        As the user is called here.
    subject
        Issuer, a space, and whom it calls so: this stays where a name changes, and is nobody else's.
    role
        None: the provider names no group that has one.
    """

    name: str
    subject: str
    role: Role | None


def name_here(name: str) -> str | None:
    """What somebody with a name at the provider is called here: `PREFIX` and what fits names of users; None if nothing is left.

    Two names may become one; `Person.subject` tells the people apart.
    """
    plain = unicodedata.normalize("NFKD", name)
    kept = "".join(one for one in plain if not unicodedata.combining(one)).lower()
    fitting = _FOREIGN.sub("-", kept)[:_MOST].strip("-._@")
    return PREFIX + fitting if fitting else None
