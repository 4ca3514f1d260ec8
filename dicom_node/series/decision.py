"""The answer of selection: translate the series or not, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from s2ldm_core.errors import S2LDMError


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a series is translated.

    Attributes
    ----------
    accepted
        True: translate.
    code, sentence, remedy
        Why not, for machines and for the administrator; ``accepted`` and empty texts otherwise.
    set_aside
        SOP Instance UIDs in an accepted series that are not part of the volume (localizers, dose reports).
    details
        What was seen on the way, for the job's record: numbers and hints, never patient data.
    """

    accepted: bool
    code: str = "accepted"
    sentence: str = ""
    remedy: str = ""
    set_aside: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def refuse(cls, code: str, sentence: str, remedy: str = "", *, details: Mapping[str, Any] | None = None) -> Self:
        """A refusal."""
        return cls(accepted=False, code=code, sentence=sentence, remedy=remedy, details=details or {})

    @classmethod
    def refuse_for(cls, error: S2LDMError, *, details: Mapping[str, Any] | None = None) -> Self:
        """A refusal for a reason that the core gave."""
        return cls.refuse(error.code.lower(), error.sentence, error.remedy, details=details)
