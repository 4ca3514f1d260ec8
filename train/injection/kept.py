"""What `s2ldm-train scan-times` told of a store's cases: ``injection.json`` beside the ``case.json`` of each.

A file of its own, so that the store stays the same for those who train on it: it is for evaluation alone.
"""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from s2ldm_core.contrast_dose import LEAST, MOST
from s2ldm_core.contrast_dose import NAME as CONTRAST_DOSE
from s2ldm_core.files import replace_text
from s2ldm_core.seconds import NAME

_FILE = "injection.json"


class KeptInjection(BaseModel):
    """Of one case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: dict[str, PositiveFloat] = {}
    """Phase → seconds after the start of the injection: those that no header told, or that were given in place of a header's."""
    contrast_dose: Annotated[float, Field(ge=LEAST, le=MOST)] | None = None
    """As a part of the usual; ``None``: not surely another."""

    def values(self, phase: str) -> dict[str, float]:
        """What systems may be told of ``phase``; without seconds where they were not told."""
        told = {NAME: self.seconds[phase]} if phase in self.seconds else {}
        return told | {CONTRAST_DOSE: math.nan if self.contrast_dose is None else self.contrast_dose}

    def write(self, folder: Path, case: str) -> None:
        """Beside the case's own record, in place of what was told before."""
        replace_text(folder / case / _FILE, self.model_dump_json(indent=1))

    @classmethod
    def of(cls, folder: Path, case: str) -> Self:
        """What was told of a case; nothing where nothing was."""
        path = folder / case / _FILE
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else cls()


def digest(folder: Path, cases: Iterable[str]) -> str:
    """SHA-256 of all that was told; empty where nothing was."""
    told = [(case, (folder / case / _FILE).read_bytes()) for case in cases if (folder / case / _FILE).is_file()]
    return hashlib.sha256(b"\0".join(case.encode() + b"\0" + text for case, text in told)).hexdigest() if told else ""
