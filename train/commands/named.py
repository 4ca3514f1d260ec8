"""Options such as ``NAME=VALUE``."""

from pathlib import Path
from typing import Final

from train.errors import TrainError

LONGEST_SECONDS: Final = 600.0
"""After the start of the injection: a phase is scanned within ten minutes."""


def named_value(text: str) -> tuple[str, float | None]:
    """``NAME`` or ``NAME=VALUE``.

    Raises
    ------
    TrainError
        ``bad_value``.
    """
    name, given, value = text.partition("=")
    try:
        return name, float(value) if given else None
    except ValueError as error:
        raise TrainError("bad_value", f"{text!r} gives no number.", "Give it such as seconds=50.") from error


def named_seconds(text: str) -> tuple[str, float]:
    """``PHASE=SECONDS``.

    Raises
    ------
    TrainError
        ``bad_value``, ``bad_seconds``.
    """
    phase, value = named_value(text)
    if value is None or not 0.0 < value <= LONGEST_SECONDS:
        raise TrainError(
            "bad_seconds",
            f"{text!r} is no PHASE=SECONDS of 0 to {LONGEST_SECONDS:g} seconds after the start of the injection.",
            "Give it such as arterial=35.",
        )
    return phase, value


def labelled(item: str) -> tuple[str, str]:
    """``LABEL=FOLDER`` → (label, folder); without a label the folder's name."""
    label, _, folder = item.rpartition("=")
    return label or Path(folder).name, folder
