"""The answer of selection: translate the series or not, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from dicom_node.catalog import Subject
from dicom_node.series.rules.rule import Finding
from s2ldm_core.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a series is translated.

    Attributes
    ----------
    problem
        Why not; None: translate.
    findings
        Name and answer of every rule that was asked, in order; the last one objected if the series is refused.
    set_aside
        SOP Instance UIDs in an accepted series that are not part of the volume (localizers, dose reports).
    slices
        The files of an accepted series that are.
    details
        What was seen on the way, for the job's record: numbers and hints, never patient data.
    subject
        Whose the series is, None where no file of it can be read.
    """

    problem: Problem | None = None
    findings: tuple[tuple[str, Finding], ...] = ()
    set_aside: tuple[str, ...] = ()
    slices: tuple[Path, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    subject: Subject | None = None

    @property
    def accepted(self) -> bool:
        """Whether to translate."""
        return self.problem is None

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every rule that was asked, and what it saw, as plain values for the job's record."""
        return [
            {"rule": name, "objects": finding.problem is not None, "details": dict(finding.details)}
            for name, finding in self.findings
        ]

    @property
    def code(self) -> str:
        """The problem's code, or ``accepted``."""
        return "accepted" if self.problem is None else self.problem.code

    @property
    def reason(self) -> str:
        """The problem in words; empty for an accepted series."""
        return "" if self.problem is None else f"{self.problem.sentence} {self.problem.remedy}".rstrip()

    @classmethod
    def refuse(cls, code: str, sentence: str, remedy: str = "", *, details: Mapping[str, Any] | None = None) -> Self:
        """A refusal."""
        return cls(problem=Problem(code, sentence, remedy), details=details or {})
