"""Running the demo."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dicom_node.config import Settings
from dicom_node.demo.check import Received, receive_series
from dicom_node.demo.destination import StorageDestination
from dicom_node.demo.figure import draw
from dicom_node.demo.node import DemoError, demo_settings, running_node, send_source, wait_for_jobs
from dicom_node.demo.source import DemoSource, folder_source, phantom_source
from dicom_node.phases import PHASES
from s2ldm_core.errors import VolumeError
from s2ldm_core.io.header import text
from s2ldm_core.io.series import group_by_series

_MARKER = ".s2ldm-demo"


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """Where everything lies, and what was checked."""

    source: Path
    derived: dict[str, Path]
    picture: Path
    log: Path
    received: tuple[Received, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for one in self.received for check in one.checks)


def run_demo(
    *,
    input: Path | None = None,
    output: Path = Path("demo"),
    model: str | None = None,
    series_uid: str | None = None,
    console: Console | None = None,
) -> DemoReport:
    """Start a node with the embedded defaults, send it a series over DICOM, and check what comes back.

    Nothing outside is needed: ports are free ones on 127.0.0.1, the node's state is temporary, and the destination is
    the demo's own. Everything started is stopped again, whatever happens.

    Parameters
    ----------
    input
        Folder with a DICOM CT series; ``None`` makes a digital phantom.
    output
        Folder for the received series, the picture and the node's log; a former demo's files in it are replaced.
    model
        Model package by name or folder, instead of the routes' own.
    series_uid
        Which series to take when ``input`` holds several.

    Raises
    ------
    NodeError, S2LDMError
        With the reason: the input cannot be used, the node refused it, or a check failed (``demo_check_failed``).
    """
    began = time.monotonic()
    console = console or Console()
    output = output.resolve()
    _prepare(output)
    with (
        Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
        ) as progress,
        tempfile.TemporaryDirectory(prefix="s2ldm-demo-") as scratch,
        StorageDestination(Path(scratch) / "received") as destination,
    ):
        settings = demo_settings(Path(scratch) / "data", destination=destination, model=model)
        task = progress.add_task("series to send", total=1, state="making" if input is None else "reading")
        source = phantom_source(output / "source") if input is None else folder_source(input, series_uid=series_uid)
        progress.update(task, completed=1, state=f"{source.title}, {len(source.paths)} slices")
        with running_node(settings, log=output / "node.log", progress=progress):
            send_source(source, settings, progress)
            models = wait_for_jobs(settings, progress=progress)
        received = tuple(_collect(destination, source, settings, output))
    picture = output / "demo.png"
    if all(one.checks[0].passed for one in received):
        draw(source, received, picture, model=models)
    report = DemoReport(
        source=output / "source" if input is None else input,
        derived={one.phase: output / one.phase for one in received},
        picture=picture,
        log=output / "node.log",
        received=received,
        seconds=time.monotonic() - began,
    )
    _print(report, source, console)
    if not report.passed:
        failed = [f"{one.phase}: {check.name}" for one in received for check in one.checks if not check.passed]
        raise DemoError(
            "demo_check_failed", f"The derived series are not as they should be ({'; '.join(failed)}).", "See node.log."
        )
    return report


def _collect(
    destination: StorageDestination, source: DemoSource, settings: Settings, output: Path
) -> Iterator[Received]:
    """Sort what the destination received by phase into ``output``, and check it."""
    found = group_by_series(
        destination.received(), keep=lambda path, _: path, unusable=_raise, keywords=("SeriesDescription",)
    )
    for route in settings.routes.values():
        series = [one for one in found.values() if route.phase in text(one.first, "SeriesDescription")]
        folder = output / route.phase
        folder.mkdir(exist_ok=True)
        paths = [Path(shutil.move(path, folder / path.name)) for one in series for path in one.files]
        yield receive_series(paths, source, phase=route.phase)


def _raise(_: Path, error: VolumeError) -> None:
    raise error


def _print(report: DemoReport, source: DemoSource, console: Console) -> None:
    table = Table(title="What came back", show_lines=False)
    for heading in ("phase", "check", "", "found"):
        table.add_column(heading)
    for one in report.received:
        for check in one.checks:
            table.add_row(one.phase, check.name, "[green]ok[/]" if check.passed else "[red]FAILED[/]", check.detail)
    console.print(table)
    masks = source.organ_masks()
    if masks:
        organs = Table(title="Mean HU by organ (the phantom knows the truth)")
        for heading in (
            "organ",
            "native",
            *(f"{one.phase}{part}" for one in report.received for part in ("", ", true")),
        ):
            organs.add_column(heading, justify="left" if heading == "organ" else "right")
        truths = {one.phase: source.truth_hu(one.phase) for one in report.received}
        for name, mask in masks.items():
            cells = [f"{source.volume.hu[mask].mean():.0f}"]
            for one in report.received:
                truth = truths[one.phase]
                cells += [f"{one.hu[mask].mean():.0f}", "" if truth is None else f"{truth[mask].mean():.0f}"]
            organs.add_row(name.replace("_", " "), *cells)
        console.print(organs)
    console.print(f"Source series    {report.source}", soft_wrap=True)
    for phase, folder in report.derived.items():
        console.print(f"Derived series   {folder}  ({phase})", soft_wrap=True)
    console.print(f"Picture          {report.picture}", soft_wrap=True)
    console.print(f"Node's log       {report.log}", soft_wrap=True)
    console.print(f"Took {report.seconds:.0f} s. Synthetic images: research only, not for diagnosis.")


def _prepare(output: Path) -> None:
    """Make the output folder, or empty it of a former demo's files; nothing else is ever removed."""
    marker = output / _MARKER
    if output.exists() and not marker.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DemoError("output_exists", f"{output} holds something else.", "Name another folder with --output.")
    output.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for name in ("source", *PHASES):
        for path in sorted((output / name).glob("*.dcm")):
            path.unlink()
    (output / "demo.png").unlink(missing_ok=True)
