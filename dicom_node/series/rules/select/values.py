"""Holding what the slices of a series state against what a route selects."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from dicom_node.series.candidate import Candidate
from dicom_node.series.rules.rule import Finding
from s2ldm_core.io.header import texts
from s2ldm_core.problem import Problem

Value = TypeVar("Value")

#: So many different values are told; what differs from slice to slice would fill a page.
_MOST_TOLD = 6
_LONGEST_TOLD = 64
_MISSING = "missing"


def matches(values: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether one of the values matches one of the patterns, and none matches one that begins with ``!``.

    Case and outer spaces make no difference. Patterns that exclude alone take everything else, also nothing at all.
    """
    held = [value.strip().upper() for value in values]
    excluded = [pattern[1:].strip().upper() for pattern in patterns if pattern.startswith("!")]
    wanted = [pattern.strip().upper() for pattern in patterns if not pattern.startswith("!")]
    if any(fnmatchcase(value, pattern) for value in held for pattern in excluded):
        return False
    return not wanted or any(fnmatchcase(value, pattern) for value in held for pattern in wanted)


def select_by_texts(
    series: Candidate, patterns: Sequence[str], *, criterion: str, keyword: str, title: str, free_text: bool = False
) -> Finding:
    """Ask every slice for an attribute whose values match ``routes.*.select``.

    Parameters
    ----------
    patterns
        Of the route; empty: whatever comes.
    criterion, keyword, title
        The key in the configuration, the attribute, and what sentences call it.
    free_text
        The attribute may name a patient (PS3.15 Table E.1-1 has it among those to clean): its values stay out of the
        job's record.
    """
    stated = [tuple(texts(header, keyword)) for header in series.slice_headers]
    return select_by(
        stated,
        lambda values: not patterns or matches(values, patterns),
        asked=bool(patterns),
        criterion=criterion,
        title=title,
        say="\\".join,
        free_text=free_text,
    )


def select_by(
    stated: Sequence[Value],
    takes: Callable[[Value], bool],
    *,
    asked: bool,
    criterion: str,
    title: str,
    say: Callable[[Value], str],
    free_text: bool = False,
) -> Finding:
    """Ask every slice; ``stated`` is what each of them has, ``say`` puts that into words (empty: missing)."""
    seen = census([say(value) or _MISSING for value in stated])
    if not asked:
        return Finding(seen={criterion: seen})
    details = {} if free_text else {f"select_{criterion}": seen}
    others = [say(value) or _MISSING for value in stated if not takes(value)]
    if not others:
        return Finding(seen={criterion: seen}, details=details)
    told = "another one" if free_text else listed(census(others))
    return Finding(
        problem=Problem(
            "not_selected",
            f"The route does not select {len(others)} of {len(stated)} images: their {title} is {told}.",
            f"Nothing to do if the route is not for such series; else change its select.{criterion} and retry the job.",
        ),
        seen={criterion: seen},
        details=details,
    )


def census(values: Sequence[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first, at most so many as are told."""
    counts = Counter(value[:_LONGEST_TOLD] for value in values).most_common()
    told = dict(counts[:_MOST_TOLD])
    if len(counts) > _MOST_TOLD:
        told["…"] = sum(number for _, number in counts[_MOST_TOLD:])
    return told


def listed(counts: Mapping[str, int]) -> str:
    """A census in words."""
    return ", ".join(f"{value} ({number})" for value, number in counts.items())


def within(value: float, limits: tuple[float | None, float | None]) -> bool:
    """Whether a length in mm is in a range, whose ends belong to it."""
    least, most = limits
    return (least is None or value >= least) and (most is None or value <= most)
