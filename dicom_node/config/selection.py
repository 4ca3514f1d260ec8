"""``routes.*.select``: which of the series that are sent to a route it translates, and how that is written."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dicom_node.section import Section

_MOST_PATTERNS = 32

Orientation = Literal["axial", "coronal", "sagittal"]


def _several(value: Any) -> Any:
    """One value stands for a list of one; what YAML takes for a number is text all the same."""
    if value is None:
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in values)


def _pattern(value: str) -> str:
    if not value.removeprefix("!").strip():
        raise ValueError("a pattern must not be empty; null takes whatever comes")
    return value


def _range(value: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    least, most = value
    if least is None and most is None:
        raise ValueError("one of the two numbers must be given; null takes whatever comes")
    if least is not None and most is not None and least > most:
        raise ValueError(f"the first number must not be above the second, as {least:g} is above {most:g}")
    return value


#: Globs (``*``, ``?``, ``[abc]``), which match without backtracking; ``!`` in front excludes. Empty: whatever comes.
Patterns = Annotated[
    tuple[Annotated[str, Field(max_length=64), AfterValidator(_pattern)], ...],
    Field(max_length=_MOST_PATTERNS),
    BeforeValidator(_several),
]
Millimetres = Annotated[float, Field(ge=0, allow_inf_nan=False)]
#: Least and most, both included; null on one side: no limit there.
RangeMm = Annotated[tuple[Millimetres | None, Millimetres | None], AfterValidator(_range)]


class Select(Section):
    """What every slice of a series must have. Empty and null: whatever comes."""

    body_part: Patterns = ()
    description: Patterns = ()
    kernel: Patterns = ()
    slice_thickness_mm: RangeMm | None = None
    coverage_mm: RangeMm | None = None
    manufacturer: Patterns = ()
    orientation: Annotated[tuple[Orientation, ...], BeforeValidator(_several)] = ()
    image_type: Patterns = ()
