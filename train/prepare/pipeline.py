"""From a folder of studies to a store of registered pairs, resumable at every step."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from s2ldm_core.errors import S2LDMError
from train.errors import TrainError
from train.prepare.case import CaseTask, is_done, make_case, rejections_of
from train.prepare.evidence import Evidence, measure
from train.prepare.layouts import Candidate, Layout, lay_out, recognise
from train.prepare.ledger import Ledger
from train.prepare.manifest import keep_options, write_manifest, write_rejected
from train.prepare.options import PrepareOptions
from train.prepare.pairing import Pairing, Rejection, pair_up
from train.prepare.phase import Verdict, guess_from_tags, judge
from train.prepare.scan import evidence_slices
from train.prepare.series import Series, find_series
from train.prepare.tables import read_table
from train.processes import in_processes

EVIDENCE: Final = "evidence.jsonl"


class Listener(Protocol):
    """Hears how far a step is: ``total`` is unknown while files are being counted."""

    def __call__(self, step: str, done: int, total: int | None) -> None: ...


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
        ``studies_empty``, ``nothing_paired``, ``store_options``, ``ledger_unreadable``, ``worker_died`` and those of the table.
    """
    if not studies.is_dir():
        raise TrainError("studies_missing", f"There is no folder {studies}.", "Give the folder that holds the studies.")
    keep_options(output, options)
    series = _found(studies, listener)
    layout, candidates, rejections = _candidates(series, studies, options, table)
    judged = _judged(candidates, studies, output, workers, listener)
    pairings, unpaired = pair_up(judged, phases=options.phases)
    rejections += unpaired
    tasks = _tasks(pairings, studies, output, options, keep_names=layout == "phantom")
    missing = [task for task in tasks if not is_done(output, task.name)]
    done = len(tasks) - len(missing)
    listener("registering", done, len(tasks))
    made = 0
    for _, complete in in_processes(make_case, missing, workers):
        done, made = done + 1, made + int(complete)
        listener("registering", done, len(tasks))
    rejections += [one for task in tasks for one in rejections_of(output, task.name)]
    write_rejected(output, rejections)
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
        candidates, rejections = read_table(table, series, root=studies)
        return "table", candidates, rejections
    layout: Layout = recognise(series) if options.layout == "auto" else options.layout
    return layout, lay_out(series, layout=layout, root=studies), []


def _judged(
    candidates: Sequence[Candidate], studies: Path, output: Path, workers: int, listener: Listener
) -> list[tuple[Candidate, Verdict]]:
    """The phase of every candidate, by tags and image; what was measured is kept beside the store."""
    known = _known_evidence(output)
    worth = {
        one.series.key: one.series for one in candidates if not (one.binding or one.series.fault) and one.series.axial
    }
    unknown = [(studies, series) for key, series in worth.items() if key not in known]
    total = len(worth)
    with (output / EVIDENCE).open("a", encoding="utf-8") as file:
        for count, ((_, series), evidence) in enumerate(
            in_processes(_measure, unknown, workers), start=total - len(unknown) + 1
        ):
            known[series.key] = evidence
            record = None if evidence is None else vars(evidence)
            file.write(json.dumps({"series": series.key, "evidence": record}) + "\n")
            file.flush()
            listener("telling phases", count, total)
    return [(one, _verdict(one, known.get(one.series.key))) for one in candidates]


def _verdict(one: Candidate, evidence: Evidence | None) -> Verdict:
    if one.binding:
        phase = None if one.phase == "enhanced" else one.phase
        return Verdict(phase=phase, reason=one.said_by)
    guess, said_by = (
        (one.phase, one.said_by) if one.phase else guess_from_tags(one.series.facts, names=one.series.parts)
    )
    return judge(guess, said_by, evidence)


def _measure(work: tuple[Path, Series]) -> Evidence | None:
    studies, series = work
    try:
        return measure(evidence_slices(series, root=studies))
    except (S2LDMError, TrainError):  # reading it for its case will say what is wrong
        return None


def _known_evidence(output: Path) -> dict[str, Evidence | None]:
    path = output / EVIDENCE
    known: dict[str, Evidence | None] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            held = json.loads(line)
            known[held["series"]] = None if held["evidence"] is None else Evidence(**held["evidence"])
        except (ValueError, KeyError, TypeError):  # the last line of a run that was killed: measured again
            continue
    return known


def _tasks(
    pairings: Sequence[Pairing], studies: Path, output: Path, options: PrepareOptions, *, keep_names: bool
) -> list[CaseTask]:
    ledger = Ledger.open(output)
    ledger.enrol(
        ((one.patient, one.study) for one in pairings),
        shares=options.shares,
        seed=options.seed,
        fixed={one.patient: one.split for one in pairings if one.split is not None},
        keep_names=keep_names,
    )
    tasks = [
        CaseTask(
            name=ledger.case_name(one.patient, one.study),
            patient=ledger.patients[one.patient].name,
            split=ledger.patients[one.patient].split,
            pairing=one,
            studies=studies,
            output=output,
            options=options,
        )
        for one in pairings
    ]
    return sorted(tasks, key=lambda task: task.name)


def _most(rejections: Iterable[Rejection]) -> str:
    codes = [one.code for one in rejections]
    return ", ".join(
        f"{code} ({codes.count(code)})" for code in sorted(set(codes), key=lambda c: (-codes.count(c), c))[:4]
    )
