"""Whether two files hold the same image."""

import filecmp
from pathlib import Path

from s2ldm_core.io.bounded import read_within
from s2ldm_core.io.header import PARSE_ERRORS, lacks_preamble


def same_image(first: Path, second: Path) -> bool:
    """Whether two DICOM files hold the same data set; the file meta information, which each writer makes anew, may differ.

    What cannot be parsed is the same only byte for byte.
    """
    try:
        if filecmp.cmp(first, second, shallow=False):
            return True
        one, other = (read_within(path, force=bool(lacks_preamble(path))) for path in (first, second))
        return bool(one == other)
    except (OSError, *PARSE_ERRORS):
        return False
