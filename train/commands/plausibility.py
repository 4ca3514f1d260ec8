"""``s2ldm-train plausibility``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from train.errors import TrainError


def plausibility(
    package: Annotated[str, typer.Argument(help="Model package: a folder, or the name of a bundled one.")],
    scan: Annotated[Path, typer.Argument(help="Native CT: folder with a DICOM series, NIfTI or MetaImage.")],
    labels: Annotated[Path | None, typer.Option(help="Label map of the scan, with labels.json beside it.")] = None,
    regions: Annotated[
        Path | None, typer.Option(help="YAML list of spheres: name, structure, centre_mm (LPS), radius_mm.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Markdown file for the table.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Translate a native CT and hold organs' mean HU against what they reach in patients; no contrast scan is needed.

    Example: s2ldm-train plausibility demo ct.nii.gz --labels segmentation/labels.nii.gz
    """
    from s2ldm_core import Translator, read_volume
    from s2ldm_core.volume import canonical
    from train.evaluation.plausibility import examine, labelled_regions, placed_regions, table

    if labels is None and regions is None:
        raise TrainError("no_regions", "Nothing says where the organs are.", "Give --labels, --regions or both.")
    volume = canonical(read_volume(scan))[0]
    wanted = [
        *([] if labels is None else labelled_regions(labels, volume)),
        *([] if regions is None else placed_regions(regions, volume)),
    ]
    if not wanted:
        raise TrainError(
            "no_regions",
            f"No label in {labels} names a known organ.",
            "Use TotalSegmentator's class names in labels.json.",
        )
    text = table(examine(Translator.load(package, device=device, refuse_answers=False), volume, wanted))
    typer.echo(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")
        Console(stderr=True).print(f"table: {output}", soft_wrap=True)
