"""What the readers of a study said, beside its key."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from train.errors import TrainError
from train.evaluation.statistics import Comparison, Estimate, Paired, compare, estimate
from train.readers.statistics import (
    Agreement,
    Share,
    agreement,
    cohen_kappa,
    fleiss_kappa,
    light_kappa,
    roc_area,
    share,
)
from train.readers.study import ACQUIRED, Answer, Answers, Key, Shown, Study


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A reader's answer to an item, and what the item was."""

    reader: int
    item: str
    shown: Shown
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Two labels beside each other, of one reader or of all (``reader=None``)."""

    first: str
    second: str
    reader: int | None
    chosen: Share | None
    """Told apart (acquired beside a system: 0.5 is chance), or how often the first of two systems was chosen."""
    area: Share | None
    """Under the ROC curve of the grades: 0.5 no difference, above it the first one looks more real."""
    items: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """The whole study."""

    asked: dict[int, tuple[int, int]]
    """Reader → (answered, asked)."""
    judgements: tuple[Judgement, ...]
    realism: dict[str, Estimate]
    """Label → mean grade, t interval over patients."""
    tests: tuple[Comparison, ...]
    """Wilcoxon's signed-rank test of the grades of every two labels, over patients, Holm-corrected."""
    confidence: dict[str, float]
    """Mean, of right and of wrong choices."""
    agreement: dict[Literal["choice", "realism"], Agreement | None]

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def joined(study: Study, key: Key, answers: Iterable[Answers]) -> list[Reading]:
    """Every answer with what it is about.

    Raises
    ------
    TrainError
        ``answers_differ`` when they are of another study, or two files are of one reader; ``answers_missing``.
    """
    found: dict[int, Answers] = {}
    for one in answers:
        known = all(
            item in study.items and item in key.items and answer.fits(study) for item, answer in one.answers.items()
        )
        if not known or one.reader > len(study.readers) or one.reader in found:
            raise TrainError(
                "answers_differ",
                f"The answers of reader {one.reader} are of another study, or there twice.",
                "Name one file of each reader of this study.",
            )
        found[one.reader] = one
    if not any(one.answers for one in found.values()):
        raise TrainError(
            "answers_missing",
            "No reader has answered anything yet.",
            "Let them read: s2ldm-train reader-study serve FOLDER.",
        )
    return [
        Reading(reader=number, item=item, shown=key.items[item], answer=answer)
        for number, one in sorted(found.items())
        for item, answer in sorted(one.answers.items())
    ]


def results(study: Study, readings: Sequence[Reading]) -> Results:
    """The statistics of all ``readings``."""
    labels = _labels(readings)
    readers = sorted({one.reader for one in readings})
    judgements = [
        judged
        for first, second in combinations(labels, 2)
        for reader in (*readers, *((None,) if len(readers) > 1 else ()))
        if (judged := _judged(study, readings, first, second, reader)) is not None
    ]
    grades = {label: _grades(readings, label) for label in labels}
    return Results(
        asked={number: (sum(one.reader == number for one in readings), len(study.items)) for number in readers},
        judgements=tuple(judgements),
        realism={
            label: found
            for label, by_patient in grades.items()
            if (found := estimate(*_spread(by_patient))) is not None
        },
        tests=tuple(compare([_paired(grades, *two) for two in combinations(labels, 2)])),
        confidence=_confidence(readings),
        agreement={
            "choice": _agreement(readings, "choice"),
            "realism": _agreement(readings, "realism"),
        },
    )


def _labels(readings: Sequence[Reading]) -> list[str]:
    """`ACQUIRED` first."""
    return sorted(
        {label for one in readings for label in one.shown.labels}, key=lambda label: (label != ACQUIRED, label)
    )


def right(reading: Reading) -> bool | None:
    """Whether a choice is the true one; ``None`` where no acquired image is in question."""
    labels, choice = reading.shown.labels, reading.answer.choice
    if choice is None or (len(labels) == 2 and ACQUIRED not in labels):
        return None
    if len(labels) == 1:
        return (choice == "acquired") == (labels[0] == ACQUIRED)
    return labels[("left", "right").index(choice)] == ACQUIRED


def _judged(study: Study, readings: Sequence[Reading], first: str, second: str, reader: int | None) -> Judgement | None:
    own = [one for one in readings if reader in (None, one.reader)]
    if study.design == "pair":
        own = [one for one in own if set(one.shown.labels) == {first, second}]
    else:
        own = [one for one in own if one.shown.labels[0] in (first, second)]
    if not own:
        return None
    return Judgement(
        first=first,
        second=second,
        reader=reader,
        chosen=_chosen(own, first),
        area=_area(own, first, second),
        items=len(own),
    )


def _chosen(readings: Sequence[Reading], first: str) -> Share | None:
    """Of single images, both kinds of a patient weigh alike, however many of each there are."""
    by_patient: dict[str, dict[tuple[str, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in readings:
        labels, choice = one.shown.labels, one.answer.choice
        if choice is None or (len(labels) == 1 and first != ACQUIRED):
            continue
        hit = right(one) if len(labels) == 1 else labels[("left", "right").index(choice)] == first
        by_patient[one.shown.patient][labels if len(labels) == 1 else ()].append(float(bool(hit)))
    if not by_patient:
        return None
    means = [float(np.mean([np.mean(hits) for hits in kinds.values()])) for kinds in by_patient.values()]
    return share(float(np.mean(means)), len(means))


def _area(readings: Sequence[Reading], first: str, second: str) -> Share | None:
    """Mean over readers of each one's area."""
    areas, patients = [], []
    for reader in sorted({one.reader for one in readings}):
        own = [one for one in readings if one.reader == reader]
        higher, lower = (_grades(own, label) for label in (first, second))
        if higher and lower:
            areas.append(roc_area(_spread(higher)[0], _spread(lower)[0]))
            patients.append(min(len(higher), len(lower)))
    return share(float(np.mean(areas)), min(patients)) if areas else None


def _grades(readings: Sequence[Reading], label: str) -> dict[str, list[float]]:
    """Patient → grades of the images of ``label``."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in readings:
        for shown, grade in zip(one.shown.labels, one.answer.realism, strict=True):
            if shown == label:
                found[one.shown.patient].append(float(grade))
    return found


def _spread(by_patient: dict[str, list[float]]) -> tuple[list[float], list[str]]:
    """(values, the patient of each)."""
    return (
        [value for values in by_patient.values() for value in values],
        [patient for patient, values in by_patient.items() for _ in values],
    )


def _paired(grades: dict[str, dict[str, list[float]]], first: str, second: str) -> Paired:
    both = sorted(grades[first].keys() & grades[second].keys())
    means = [[float(np.mean(grades[label][patient])) for patient in both] for label in (first, second)]
    return Paired(
        metric="realism", first=first, second=second, first_values=means[0], second_values=means[1], patients=both
    )


def _confidence(readings: Sequence[Reading]) -> dict[str, float]:
    found: dict[str, list[int]] = defaultdict(list)
    for one in readings:
        if (hit := right(one)) is not None:
            found["right" if hit else "wrong"].append(one.answer.confidence)
    return {name: float(np.mean(values)) for name, values in sorted(found.items())}


def _agreement(readings: Sequence[Reading], what: Literal["choice", "realism"]) -> Agreement | None:
    """Over the items that every reader answered; Fleiss' kappa of choices, Light's of grades (Cohen's, of two readers)."""
    readers = sorted({one.reader for one in readings})
    by_item: dict[str, dict[int, Reading]] = defaultdict(dict)
    for one in readings:
        by_item[one.item][one.reader] = one
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for found in by_item.values():
        if len(found) < len(readers) or len(readers) < 2:
            continue
        said = [found[reader].answer for reader in readers]
        patient = found[readers[0]].shown.patient
        if what == "realism":
            rows[patient] += zip(*(answer.realism for answer in said), strict=True)
        elif said[0].choice is not None:
            rows[patient].append(tuple(answer.choice for answer in said))
    if what == "realism":
        return agreement(light_kappa, rows)
    return agreement(fleiss_kappa if len(readers) > 2 else _two, rows)


def _two(ratings: list[tuple[Any, ...]]) -> float | None:
    """Cohen's kappa of two readers' choices."""
    names = sorted({one for row in ratings for one in row})
    first, second = ([float(names.index(row[reader])) for row in ratings] for reader in (0, 1))
    return cohen_kappa(first, second)
