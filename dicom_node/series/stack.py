"""Whether the slices received so far form a stack without a gap."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from dicom_node.series.headers import read_headers
from dicom_node.series.instances import kind_of
from s2ldm_core.errors import GeometryError
from s2ldm_core.geometry import series_geometry


class Stack(StrEnum):
    """What the positions of the slices say; a single slice, a tilted stack or several stacks say nothing."""

    REGULAR = "regular"
    GAP = "gap"
    UNKNOWN = "unknown"


def look_at_stack(paths: Sequence[Path]) -> Stack:
    """Read the headers of a series' files and judge the distances of its slices (PS3.3 C.7.6.2.1.1)."""
    slices = [header for header in read_headers(paths).headers if kind_of(header) == "slice"]
    try:
        series_geometry(slices)
    except GeometryError as error:
        return Stack.GAP if error.code == "irregular_spacing" else Stack.UNKNOWN
    return Stack.REGULAR
