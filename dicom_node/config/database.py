"""``node.database``: which catalog the node works with."""

from typing import Annotated

from pydantic import AfterValidator, PlainSerializer

from dicom_node.config.secret import without_passwords

_POSTGRESQL = "postgresql+psycopg://"
_KNOWN = ("sqlite://", _POSTGRESQL)


def _known(url: str) -> str:
    if not url.startswith(_KNOWN):
        raise ValueError(f"must be null, or begin with one of {', '.join(_KNOWN)}")
    if any(map(str.isspace, url)):
        raise ValueError("must have no spaces: write %20 for one")
    return url


#: What is shown of it holds no password.
DatabaseUrl = Annotated[
    str, AfterValidator(_known), PlainSerializer(without_passwords, return_type=str, when_used="json")
]


def is_shared(url: str | None) -> bool:
    """Whether several nodes may work with the catalog."""
    return url is not None and url.startswith(_POSTGRESQL)
