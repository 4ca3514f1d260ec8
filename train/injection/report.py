"""What organs told of a store's cases, for people."""

from collections.abc import Mapping, Sequence

import numpy as np

from s2ldm_core import contrast_dose
from train.evaluation.tables import counted
from train.injection.estimate import WITHIN, Injection
from train.store import Case


def table(found: Sequence[tuple[Case, Injection]], *, known: Mapping[str, float]) -> str:
    """Markdown: every phase of every case; those ``known``, or by the case, as given."""
    rows = [
        f"| case | phase | seconds | {WITHIN:.0%} lie between | contrast dose | {WITHIN:.0%} lie between | organs |",
        "|" + "---|" * 7,
    ]
    for case, one in found:
        dose = f"{one.dose.median:.2f} | {one.dose.between[0]:.2f} to {one.dose.between[1]:.2f}"
        for phase, organs in one.organs.items():
            told = one.seconds.get(phase)
            if told is None:
                when = f"{known.get(phase, case.seconds.get(phase)):g} | given"
            else:
                when = f"{told.median:.0f} | {told.between[0]:.0f} to {told.between[1]:.0f}"
            rows.append(f"| {case.name} | {phase} | {when} | {dose} | {', '.join(organs)} |")
    return "\n".join(rows)


def medians(found: Sequence[tuple[Case, Injection]]) -> list[str]:
    """A line for each phase that was told, and one for the dose: the median of all patients', of each the median of his cases'."""
    patients: dict[str, dict[str, list[float]]] = {}
    for case, one in found:
        for what, told in (*one.seconds.items(), (contrast_dose.NAME, one.dose)):
            patients.setdefault(what, {}).setdefault(case.patient, []).append(told.median)

    def line(what: str, form: str, unit: str) -> str:
        each = [float(np.median(values)) for values in patients[what].values()]
        spread = "" if len(each) == 1 else f", {min(each):{form}} to {max(each):{form}}"
        return f"{what.replace('_', ' ')}: {np.median(each):{form}}{unit} ({counted(len(each), 'patient')}{spread})"

    phases = sorted(set(patients) - {contrast_dose.NAME})
    return [*(line(phase, ".0f", " s") for phase in phases), line(contrast_dose.NAME, ".2f", "")]
