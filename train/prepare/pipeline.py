"""From a folder of studies to a store of registered pairs, resumable at every step."""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from train.errors import TrainError
from train.prepare.case import CaseTask, is_done, make_case, rejections_of
from train.prepare.datalists import read_datalist
from train.prepare.judging import Listener, judge_all
from train.prepare.layouts import DATASETS, Candidate, Layout, lay_out, recognise
from train.prepare.ledger import Ledger
from train.prepare.manifest import keep_options, write_manifest, write_rejected
from train.prepare.maps import NAMES, is_label_map, names_of
from train.prepare.options import PrepareOptions
from train.prepare.pairing import Pairing, Rejection, pair_up
from train.prepare.persons import one_person_each
from train.prepare.phase import Verdict
from train.prepare.search import find_series
from train.prepare.series import Series
from train.prepare.tables import read_table
from train.prepare.timing import by_time
from train.prepare.withdrawal import withdraw
from train.processes import in_processes
from train.store import Split, has_case, place_case

EVIDENCE: Final = "evidence.jsonl"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What one run came to.

    Attributes
    ----------
    layout
        The layout used, also when it was recognised.
    made
        How many cases this run made; the others were there already.
    manifest
        What ``manifest.yaml`` says.
    rejections
        Everything that went into no case.
    """

    layout: str
    made: int
    manifest: dict[str, Any]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a tree holds: the layout used, every series with its verdict, the pairs, and what is in none."""

    layout: str
    judged: list[tuple[Candidate, Verdict]]
    pairings: list[Pairing]
    rejections: list[Rejection]


def prepare(
    studies: Path,
    output: Path,
    *,
    options: PrepareOptions,
    table: Path | None = None,
    workers: int = 1,
    listener: Listener = lambda step, done, total: None,
) -> Prepared:
    """Make a pair store (see `train.store`) from the CT series below ``studies``.

    A run that was killed goes on where it stopped when it is called again with the same arguments. Only files below
    ``output`` are written.

    Parameters
    ----------
    table
        CSV of series, phases and patients (see `train.prepare.tables`) instead of a layout.
    workers
        Processes; each holds two scans at a time, about 1.5 GiB for 512 x 512 x 300.

    Raises
    ------
    TrainError
        ``studies_empty``, ``nothing_paired``, ``store_options``, ``store_shrinks``, ``store_unwritable``, ``ledger_unreadable``,
        ``split_straddled``, ``worker_died`` and those of the table.
    """
    if not studies.is_dir():
        raise TrainError("studies_missing", f"There is no folder {studies}.", "Give the folder that holds the studies.")
    try:
        return _prepare(studies, output, options=options, table=table, workers=workers, listener=listener)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise TrainError(
            "store_unwritable",
            f"The disk of {output} is full." if full else f"{error.filename or output}: {error.strerror}.",
            "Make room, or mend the rights, and run the same command again: what is complete is kept.",
        ) from error


def find_pairs(
    studies: Path,
    *,
    options: PrepareOptions,
    table: Path | None = None,
    evidence: Path | None = None,
    workers: int = 1,
    listener: Listener = lambda step, done, total: None,
) -> Found:
    """Series, phases and pairs of a tree, before anything is registered.

    Parameters
    ----------
    evidence
        File in which what the images showed is kept for the next run.

    Raises
    ------
    TrainError
        ``studies_empty``, ``split_straddled`` and those of the table.
    """
    series = _found(studies, listener)
    layout, candidates, rejections = _candidates(series, studies, options, table)
    if layout != "phantom":  # phantoms are no persons
        candidates = one_person_each(candidates)
    judged = by_time(judge_all(candidates, studies, kept=evidence, workers=workers, listener=listener))
    pairings, unpaired = pair_up(judged, phases=options.phases, derived=options.derived)
    return Found(layout=layout, judged=judged, pairings=pairings, rejections=[*rejections, *unpaired])


def _prepare(
    studies: Path, output: Path, *, options: PrepareOptions, table: Path | None, workers: int, listener: Listener
) -> Prepared:
    keep_options(output, options)
    found = find_pairs(
        studies, options=options, table=table, evidence=output / EVIDENCE, workers=workers, listener=listener
    )
    layout, pairings, rejections = found.layout, found.pairings, found.rejections
    ledger = Ledger.open(output)
    tasks = _tasks(pairings, ledger, studies, output, options, keep_names=layout == "phantom")
    rejections += withdraw(output, keep={task.name for task in tasks})
    missing = [task for task in tasks if not is_done(task)]
    done = len(tasks) - len(missing)
    listener("registering", done, len(tasks))
    made = 0
    for _, complete in in_processes(make_case, missing, workers):
        done, made = done + 1, made + int(complete)
        listener("registering", done, len(tasks))
    rejections += [one for task in tasks for one in rejections_of(output, task.name)]
    write_rejected(output, rejections)
    _settle_splits(tasks, ledger, output, options)
    if not any((output / task.name / "case.json").is_file() for task in tasks):
        raise TrainError(
            "nothing_paired",
            f"No pair of native and contrast series in {studies} can be used: {_most(rejections)}.",
            f"See {output / 'rejected.csv'}; --pairs names phases by hand, --layout how folders are laid out.",
        )
    manifest = write_manifest(
        output, names=(task.name for task in tasks), options=options, layout=layout, rejections=rejections
    )
    return Prepared(layout=layout, made=made, manifest=manifest, rejections=tuple(rejections))


def _found(studies: Path, listener: Listener) -> list[Series]:
    seen = 0

    def on_file() -> None:
        nonlocal seen
        seen += 1
        if seen % 50 == 0:
            listener("reading headers", seen, None)

    series = find_series(studies, on_file=on_file)
    listener("reading headers", seen, seen)
    if not series:
        raise TrainError(
            "studies_empty",
            f"There is no CT series below {studies}.",
            "Give a folder with DICOM, NIfTI or MetaImage files.",
        )
    return series


def _candidates(
    series: Sequence[Series], studies: Path, options: PrepareOptions, table: Path | None
) -> tuple[str, list[Candidate], list[Rejection]]:
    if table is not None:
        read = read_datalist if table.suffix.lower() == ".json" else read_table
        candidates, rejections = read(table, series, root=studies)
        return "table", candidates, rejections
    layout: Layout = recognise(series) if options.layout == "auto" else options.layout
    candidates = lay_out(series, layout=layout, root=studies)
    return layout, candidates, _unused_maps(series, candidates, studies) if layout in DATASETS else []


def _unused_maps(series: Sequence[Series], candidates: Sequence[Candidate], studies: Path) -> list[Rejection]:
    """A data set's label maps that are no scan's."""
    used = {one.labels.image for one in candidates if one.labels is not None}
    return [
        Rejection(place=one.name, phase="", code="labels_unused", reason=_why_unused(one, studies))
        for one in series
        if is_label_map(one) and one.files[0] not in used
    ]


def _why_unused(one: Series, studies: Path) -> str:
    if one.fault:
        return one.fault
    if names_of(one, studies) is None:
        return f"nothing names its labels: put {NAMES} with id: name beside it"
    return "no scan of its name has as many voxels each way, another label map comes first, or it is a mask of BIDS"


def _tasks(
    pairings: Sequence[Pairing],
    ledger: Ledger,
    studies: Path,
    output: Path,
    options: PrepareOptions,
    *,
    keep_names: bool,
) -> list[CaseTask]:
    ledger.enrol(
        ((one.person, one.study_key) for one in pairings),
        shares=options.shares,
        seed=options.seed,
        fixed=_fixed(pairings),
        keep_names=keep_names,
    )
    tasks = [
        CaseTask(
            name=ledger.case_name(one.person, one.study_key),
            patient=ledger.patients[one.person].name,
            split=ledger.patients[one.person].split,
            pairing=one,
            studies=studies,
            output=output,
            options=options,
        )
        for one in pairings
    ]
    return sorted(tasks, key=lambda task: task.name)


def _fixed(pairings: Sequence[Pairing]) -> dict[str, Split]:
    return {one.person: one.split for one in pairings if one.split is not None}


def _settle_splits(tasks: Sequence[CaseTask], ledger: Ledger, output: Path, options: PrepareOptions) -> None:
    """Split those who have a case, now that it is known who has; patients without one take nobody's place."""
    held = {task.name: task.pairing for task in tasks if has_case(output, task.name)}
    ledger.settle(
        {one.person for one in held.values()},
        shares=options.shares,
        seed=options.seed,
        fixed=_fixed([task.pairing for task in tasks]),
    )
    for name, one in held.items():
        place_case(output, name, split=ledger.patients[one.person].split, fold=one.fold)


def _most(rejections: Iterable[Rejection]) -> str:
    codes = [one.code for one in rejections]
    return ", ".join(
        f"{code} ({codes.count(code)})" for code in sorted(set(codes), key=lambda c: (-codes.count(c), c))[:4]
    )
