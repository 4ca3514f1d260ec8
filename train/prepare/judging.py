"""The phase of every series of a tree, by what names and tags say and by its image."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TextIO

from s2ldm_core.errors import S2LDMError
from train.errors import TrainError
from train.prepare.evidence import Evidence, measure
from train.prepare.layouts import Candidate
from train.prepare.phase import Verdict, check, guess_from_tags, judge
from train.prepare.scan import evidence_slices
from train.prepare.series import Series
from train.processes import in_processes

_VERSION = 2
"""Of what is measured: older lines are measured again."""


class Listener(Protocol):
    """Hears how far a step is: ``total`` is unknown while files are being counted."""

    def __call__(self, step: str, done: int, total: int | None) -> None: ...


Look = Evidence | tuple[str, str]
"""What a series shows, or the code and the words of why it cannot be read."""


def judge_all(
    candidates: Sequence[Candidate], studies: Path, *, kept: Path | None, workers: int, listener: Listener
) -> list[tuple[Candidate, Verdict]]:
    """The phase of every candidate; one whose pixels cannot be read comes back with its ``fault``.

    Parameters
    ----------
    kept
        File of what was measured, read before and added to; ``None``: nothing is kept.
    """
    known = {} if kept is None else _known(kept)
    worth = {one.series.key: one.series for one in candidates if not one.series.fault and one.series.axial}
    unknown = [(studies, series) for key, series in worth.items() if key not in known]
    total = len(worth)
    with _opened(kept) as file:
        for count, ((_, series), look) in enumerate(
            in_processes(_look, unknown, workers), start=total - len(unknown) + 1
        ):
            known[series.key] = look
            if file is not None:
                file.write(json.dumps(_record(series.key, look)) + "\n")
                file.flush()
            listener("telling phases", count, total)
    return [_judged(one, known.get(one.series.key)) for one in candidates]


def _judged(one: Candidate, look: Look | None) -> tuple[Candidate, Verdict]:
    evidence = look if isinstance(look, Evidence) else None
    if isinstance(look, tuple):
        code, words = look
        one = replace(one, series=replace(one.series, code=code, fault=words.rstrip(".")))
    if one.binding and one.phase is not None:
        return one, check(one.phase, one.said_by, evidence)
    guess, said_by = (
        (one.phase, one.said_by) if one.phase else guess_from_tags(one.series.facts, names=one.series.parts)
    )
    return one, judge(guess, said_by, evidence)


def _look(work: tuple[Path, Series]) -> Look:
    studies, series = work
    try:
        return measure(evidence_slices(series, root=studies))
    except (S2LDMError, TrainError) as error:
        return error.code, error.sentence


@contextmanager
def _opened(kept: Path | None) -> Iterator[TextIO | None]:
    if kept is None:
        yield None
        return
    with kept.open("a", encoding="utf-8") as file:
        yield file


def _record(key: str, look: Look) -> dict[str, object]:
    """A fault is not kept: the next run may find the file mended."""
    return {"version": _VERSION, "series": key, "evidence": vars(look) if isinstance(look, Evidence) else None}


def _known(kept: Path) -> dict[str, Look]:
    known: dict[str, Look] = {}
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else ():
        try:
            held = json.loads(line)
            if held["version"] == _VERSION:
                known[held["series"]] = Evidence(**held["evidence"])
        except (
            ValueError,
            KeyError,
            TypeError,
        ):  # a killed run's last line, an older version or a fault: measured again
            continue
    return known
