"""The results of a reader study as tables and files."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from s2ldm_core.files import replace_text
from train.readers.results import Reading, Results, right
from train.readers.statistics import Agreement, Share


def write_report(folder: Path, found: Results, readings: Sequence[Reading]) -> None:
    """``report.md``, ``report.json`` and ``answers.csv``, one row an answer with what was shown."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "report.md", markdown(found))
    replace_text(folder / "report.json", json.dumps(found.plain(), indent=1))
    replace_text(folder / "answers.csv", _answers(readings))


def markdown(found: Results) -> str:
    """What the study says, in words and tables."""
    lines = ["# Reader study", ""]
    lines += [f"- reader {reader}: {n} of {of} items answered" for reader, (n, of) in found.asked.items()]
    lines += ["", "## Told apart", ""]
    lines += [
        "*Chosen*: beside acquired images, how often the reader told which is which (0.5 is chance); of two systems, how often the first "
        "was chosen. *AUC*: of the grades; above 0.5 the first looks more real. Intervals: 95 %, exact binomial with patients as trials.",
        "",
        "| first | second | reader | chosen | AUC | items | patients |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found.judgements:
        known = one.chosen or one.area
        patients = known.patients if known else 0
        reader = "all" if one.reader is None else one.reader
        lines.append(
            f"| {_cell(one.first)} | {_cell(one.second)} | {reader} | {_share(one.chosen)} | {_share(one.area)} "
            f"| {one.items} | {patients} |"
        )
    lines += [
        "",
        "## Realism (1 surely synthetic, 5 surely acquired)",
        "",
        "| image | mean | patients |",
        "|---|---|---|",
    ]
    for label, mean in found.realism.items():
        interval = "" if mean.low is None or mean.high is None else f" [{mean.low:.2f}, {mean.high:.2f}]"
        lines.append(f"| {_cell(label)} | {mean.value:.2f}{interval} | {mean.patients} |")
    lines += ["", "| first | second | median difference | p | p, Holm | patients |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {_cell(t.first)} | {_cell(t.second)} | {t.difference:+.2f} | {t.p:.3g} | {t.p_holm:.3g} | {t.patients} |"
        for t in found.tests
    ]
    lines += ["", "Wilcoxon signed-rank over patients; fewer than six patients cannot reach p < 0.05.", ""]
    for answer, value in found.confidence.items():
        lines.append(f"- mean confidence when {answer}: {value:.2f}")
    for what, kappa in found.agreement.items():
        lines.append(f"- agreement between readers, {what}: {_kappa(kappa)}")
    return "\n".join(lines) + "\n"


def _share(value: Share | None) -> str:
    return "–" if value is None else f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _kappa(found: Agreement | None) -> str:
    if found is None:
        return "not known"
    interval = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"κ = {found.value:.2f}{interval}, {found.items} ratings each"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _answers(readings: Sequence[Reading]) -> str:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(
        [
            "reader",
            "item",
            "case",
            "patient",
            "phase",
            "shown",
            "choice",
            "right",
            "realism",
            "confidence",
            "findings",
            "seconds",
        ]
    )
    for one in readings:
        shown, answer = one.shown, one.answer
        hit = right(one)
        table.writerow(
            [
                one.reader,
                one.item,
                shown.case,
                shown.patient,
                shown.phase,
                " / ".join(shown.labels),
                answer.choice or "",
                "" if hit is None else int(hit),
                " / ".join(map(str, answer.realism)),
                answer.confidence,
                # A spreadsheet would take such a text for a formula.
                f"'{answer.findings}" if answer.findings.startswith(("=", "+", "-", "@")) else answer.findings,
                round(answer.seconds, 1),
            ]
        )
    return out.getvalue()
