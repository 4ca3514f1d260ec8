"""The model card of a package: what it is for, what it was made of, what it can do and what it cannot."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from s2ldm_core.calibration import LEVELS
from s2ldm_core.package import PackageMetadata
from train.fit.ancestry import MEMBERS, STARTED_FROM
from train.fit.provenance import ANSWERED_BY

_NAMED_SEEDS = 3


def model_card(meta: PackageMetadata) -> str:
    """Markdown from the metadata alone, so that card and metadata cannot disagree."""
    low, high = meta.window_hu
    spacing = " × ".join(f"{value:g}" for value in meta.spacing_mm)
    parts = [
        f"# {meta.name} {meta.version}",
        f"System `{meta.system}`; from a non-contrast CT series to {_listed(meta.phases)}. The change is predicted at {spacing} mm "
        f"(slices, rows, columns) within [{low:g}, {high:g}] HU and added to the source on its grid; it needs {meta.min_slices} slices.",
        "## Intended use",
        meta.intended_use,
        "## Training data",
        _training_data(meta.training_data),
        "## Metrics",
        _metrics(meta.metrics),
        *_uncertainty(meta),
        *_times(meta),
        "## Limits",
        "\n".join(f"- {limit}" for limit in meta.limits) or "None recorded. That is not to say that there are none.",
        "## Files",
        f"`model.safetensors` {meta.weights_sha256}, `network.yaml` {meta.network_sha256} (SHA-256). "
        f"`s2ldm-node models verify FOLDER` compares all files with their checksums; a changed package is refused at every load.",
    ]
    return "\n\n".join(parts) + "\n"


def _uncertainty(meta: PackageMetadata) -> tuple[str, ...]:
    """How often the intervals held, where the package tells its uncertainty."""
    told = meta.calibration
    if told is None:
        return ()
    levels = [f"{level:.0%}" for level in LEVELS]
    widths = ", ".join(f"{width:.2f} ({level})" for width, level in zip(told.half_widths, levels, strict=True))
    rows = [
        (phase, tissue.replace("_", " "), *(f"{share:.2f}" for share in held))
        for phase, tissues in told.coverage.items()
        for tissue, held in sorted(tissues.items())
    ]
    return (
        "## Uncertainty",
        "`spread.safetensors` tells the standard deviation of the enhancement's error. Intervals of so many standard deviations to either "
        f"side are made to hold the truth: {widths}. On {told.cases} cases that neither network nor widths were fitted to they held it in "
        "these shares of the voxels, on the mean over cases:",
        _table(("phase", "tissue", *levels), rows),
        *(("Network and widths were fitted to: " + _training_data(told.training_data),) if told.training_data else ()),
    )


def _times(meta: PackageMetadata) -> tuple[str, ...]:
    """How it answers for times between its phases, where it does."""
    if meta.times is None:
        return ()
    rows = [
        (f"{seconds:g} s", *(f"{weights[number]:.2f}" for weights in meta.times.weights.values()))
        for number, seconds in enumerate(meta.times.seconds)
    ]
    return (
        "## Times between the phases",
        f"Asked for {meta.times.said} after the start of the injection it answers with a weighted sum of what it answers for its phases "
        "(weights below, linear between them, from the kinetics of the digital phantom). It was not trained on those times, and contrast "
        "that has not passed the lungs (superior vena cava, right heart, pulmonary arteries) is painted as in the arterial phase.",
        _table(("after the injection", *meta.times.weights), rows),
    )


def _training_data(data: Mapping[str, Any]) -> str:
    lines = []
    if data.get("source"):
        lines.append(f"{data['source']}.")
    sources = data.get("sources")
    if isinstance(sources, list) and sources:
        rows = [
            (str(item.get("source", "")), str(item.get("licence") or "not stated"), str(item.get("cases", "")))
            for item in sources
        ]
        lines.append(_table(("source", "licence", "cases"), rows))
    for teacher, taught_on in (data.get(ANSWERED_BY) or {}).items():
        lines.append(f"Targets are answers: {teacher}, which was trained on")
        lines.append(_table(("source", "licence"), [(one["source"], one["licence"]) for one in taught_on]))
    apart = ("source", "sources", "seeds", STARTED_FROM, MEMBERS, ANSWERED_BY)
    shown = {key: value for key, value in data.items() if key not in apart}
    if ancestors := _ancestors(data):
        shown["started from"] = ancestors
    seeds = data.get("seeds")
    if isinstance(seeds, list) and seeds:
        few = len(seeds) <= _NAMED_SEEDS
        shown["seeds"] = ", ".join(map(str, seeds)) if few else f"{len(seeds)}, from {min(seeds)} to {max(seeds)}"
    if shown:
        lines.append("\n".join(f"- {key.replace('_', ' ')}: {_text(value)}" for key, value in shown.items()))
    return "\n\n".join(lines) or "Not recorded."


def _ancestors(data: Mapping[str, Any]) -> str:
    """The packages whose weights these came from, latest first; what those were trained on is in the metadata."""
    named = []
    while isinstance(before := data.get(STARTED_FROM), Mapping):
        named.append(
            f"{before.get('name')} {before.get('version')} (weights {str(before.get('weights_sha256'))[:12]}…)"
        )
        data = before.get("training_data") or {}
    return ", which started from ".join(named)


def _metrics(metrics: Mapping[str, Any]) -> str:
    """A table a phase, metrics down and systems across, of ``{results: {phase: {system: {metric: number}}}}``; else the JSON itself."""
    results = metrics.get("results")
    if not metrics:
        return "None were recorded with this package."
    if not isinstance(results, Mapping):
        return f"```json\n{json.dumps(metrics, indent=1, ensure_ascii=False)}\n```"
    parts = []
    for phase, systems in results.items():
        if not isinstance(systems, Mapping):
            continue
        rows = {str(name): _flat(values) for name, values in systems.items() if isinstance(values, Mapping)}
        metrics_of = dict.fromkeys(metric for row in rows.values() for metric in row)
        body = [
            (metric.replace("_", " "), *(_text(row.get(metric, "–")) for row in rows.values())) for metric in metrics_of
        ]
        parts += [f"### {phase}", _table(("", *rows), body)]
    about = {key: value for key, value in metrics.items() if key != "results" and isinstance(value, str | int | float)}
    if about:
        parts.append("; ".join(f"{key.replace('_', ' ')}: {_text(value)}" for key, value in about.items()) + ".")
    return "\n\n".join(parts)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and intervals of one row; a nested mapping's keys get its name before them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {
                f"{key.removesuffix('_recovered')} {name}": item
                for name, item in value.items()
                if isinstance(item, int | float)
            }
        elif isinstance(value, int | float):
            flat[str(key)] = value
    return flat


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _listed(items: tuple[str, ...]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
