"""Phases asked for as a time: ``35s`` is 35 seconds after the start of the injection."""

import re

NAME = "seconds"
"""The value of a condition that it becomes."""
FORM = r"[0-9]{1,4}(\.[0-9]{1,3})?s"
"""A regular expression of the whole text."""
_FORM = re.compile(FORM, re.ASCII)


def seconds_of(phase: str) -> float | None:
    """Seconds after the start of the injection that ``phase`` names; ``None`` where it is the name of a phase.

    Examples
    --------
    >>> seconds_of("35s"), seconds_of("arterial")
    (35.0, None)
    """
    return float(phase[:-1]) if _FORM.fullmatch(phase) else None
