"""Whether a series is for translation: every rule is asked, and every refusal explains itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicom_node.config import Route
from dicom_node.series.candidate import Candidate
from dicom_node.series.decision import Decision
from dicom_node.series.headers import read_headers, subject_of
from dicom_node.series.rules import RULES, Finding, Rule
from dicom_node.series.rules import __name__ as RULES_PACKAGE
from s2ldm_core.io.header import sop_instance_uid


def examine_series(
    paths: Sequence[Path], *, route: Route, min_slices: int, conflicts: int = 0, rules: Sequence[Rule] = RULES
) -> Decision:
    """Read a series' headers and ask the rules, in their order, until one objects.

    Parameters
    ----------
    paths
        All files of one series.
    route
        The route that it is for.
    min_slices
        Fewest slices that are translated.
    conflicts
        How many instances are not among ``paths`` because another one with their SOP Instance UID is.
    """
    series = Candidate(read=read_headers(paths), route=route, min_slices=min_slices, refused_conflicts=conflicts)
    subject = subject_of(series.read.headers)
    details: dict[str, Any] = {}
    findings: list[tuple[str, Finding]] = []
    for rule in rules:
        finding = rule.examine(series)
        findings.append((rule_name(rule), finding))
        details |= finding.details
        if finding.problem is not None:
            return Decision(problem=finding.problem, details=details, findings=tuple(findings), subject=subject)
    held = {
        sop_instance_uid(header) for header in series.slice_headers
    }  # one may hold frames that are slices, and others
    return Decision(
        set_aside=tuple(uid for _, header in series.set_aside if (uid := sop_instance_uid(header)) not in held),
        slices=tuple(path for path, _ in series.slices),
        details=details,
        findings=tuple(findings),
        subject=subject,
    )


def rule_name(rule: Rule) -> str:
    """What people call a rule: its file, with the folder where there is one, such as ``select.kernel``."""
    return type(rule).__module__.removeprefix(f"{RULES_PACKAGE}.")
