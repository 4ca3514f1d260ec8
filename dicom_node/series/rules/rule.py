"""What every rule of selection offers, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dicom_node.series.candidate import Candidate
from s2ldm_core.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one rule says about a series.

    Attributes
    ----------
    problem
        Why the series is not translated; None: the rule has no objection.
    details
        What the rule saw, for the job's record: numbers and hints, never patient data. Recorded either way.
    seen
        What it saw, for people who have the files before them (``routes test``): never recorded, because free text may
        name a patient.
    """

    problem: Problem | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[str, Any] = field(default_factory=dict)


class Rule(Protocol):
    """One reason for which a series may be refused."""

    def examine(self, series: Candidate) -> Finding:
        """Look at the series' headers, and at its pixels only if nothing else will do; the rules before had no objection."""
