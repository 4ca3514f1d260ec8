"""Types of what requests hold, with limits that the catalog can take."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime

from dicom_node.web.answers import ProblemAnswer

#: What the catalog's numbers have room for.
_MOST = 2**63 - 1

Number = Annotated[int, Path(ge=1, le=_MOST)]
OptionalNumber = Annotated[int | None, Query(ge=1, le=_MOST)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in the answer")]
Offset = Annotated[int, Query(ge=0, le=_MOST, description="Items to leave out at the beginning")]
Comment = Annotated[str, Query(max_length=1000, description="Why, for the history")]


def _in_range(value: datetime) -> datetime:
    if not 1900 <= value.year <= 9000:
        raise ValueError("the year must be between 1900 and 9000")
    return value.astimezone(UTC)


Time = Annotated[AwareDatetime, AfterValidator(_in_range)]

_WORDS = {
    401: "Nobody has logged in, or not as they should",
    403: "Not for whoever asks",
    404: "There is no such thing",
    409: "It cannot be done as things stand",
    413: "The request is too large",
    422: "The request is wrong",
    429: "Too many attempts",
    507: "There is no room",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers with a problem that an operation may give, for OpenAPI."""
    return {status: {"model": ProblemAnswer, "description": _WORDS[status]} for status in statuses}
