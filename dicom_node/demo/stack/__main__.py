"""``python -m dicom_node.demo.stack [FOLDER]``: what ``make stack`` runs."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from pydicom import dcmread
from rich.console import Console

from dicom_node.demo.source import phantom_source
from dicom_node.demo.stack.ohif import fetch_ohif
from dicom_node.demo.stack.places import BUILD
from dicom_node.demo.stack.run import Stack, running_stack
from dicom_node.demo.stack.settings import Ports
from s2ldm_core.io.dicom import files_below
from s2ldm_core.io.series import group_by_series
from s2ldm_core.problem import ProblemError

_LOOK_SECONDS = 1.0


def main(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="DICOM files to store in the archive. Default: a phantom.", exists=True, show_default=False
        ),
    ] = None,
) -> None:
    """Start archive, node and viewer, store a series in the archive, and say what becomes of it until Ctrl-C."""
    console = Console(soft_wrap=True, highlight=False)
    # SIGTERM ends it as Ctrl-C does, also while it starts: whatever was started is stopped. A shell may have SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        console.print("Starting Orthanc, the node (it loads its model) and nginx …")
        with running_stack(fetch_ohif(BUILD), ports=Ports.usual(), logs=BUILD / "stack") as stack:
            _addresses(stack, console)
            _store(folder, stack, console)
            _follow(stack, console)
    except KeyboardInterrupt:
        console.print(f"Stopped. Logs are in {BUILD / 'stack'}; everything else is gone.")
    except ProblemError as error:
        console.print(f"{error.sentence}\n{error.remedy}", markup=False)
        sys.exit(1)


def _addresses(stack: Stack, console: Console) -> None:
    ports = stack.ports
    console.print(f"Viewer    {stack.viewer}  (OHIF; nobody has to log in)")
    console.print(
        f"Archive   {stack.archive}/app/explorer.html  (Orthanc; DICOM ORTHANC on port {ports.archive_dicom})"
    )
    console.print(f"Node      {stack.node}  (console; DICOM CECT_ART and CECT_VEN on port {ports.node_dicom})")
    console.print("All on 127.0.0.1 only, and gone when this ends: Ctrl-C.")


def _store(folder: Path | None, stack: Stack, console: Console) -> None:
    """C-STORE to the archive alone: what goes on to the node is the archive's rule."""
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            paths = list(phantom_source(Path(scratch)).paths)
        else:
            other: list[Path] = []
            groups = group_by_series(
                files_below(folder), keep=lambda path, _: path, unusable=lambda path, _: other.append(path)
            )
            paths = [path for group in groups.values() for path in group.files]
            if other:
                console.print(f"{len(other)} files of {folder} are no DICOM and stay out.")
        console.print(
            f"Stored {stack.store(paths)} of {len(paths)} images in Orthanc. It sends on what is whole for 10 s."
        )
        for study in sorted(
            {str(dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID) for path in paths}
        ):
            console.print(f"See it    {stack.study(study)}")


def _follow(stack: Stack, console: Console) -> None:
    """Say each change of a job's state, for ever."""
    said: dict[int, str] = {}
    while True:
        stack.check()
        for job in sorted(stack.jobs(), key=lambda one: int(one["id"])):
            number, state = int(job["id"]), str(job["state"])
            if said.get(number) != state:
                said[number] = state
                reason = (job.get("reason") or {}).get("sentence", "")
                console.print(f"Job {number} on {job['route']}: {state}  {reason}".rstrip(), markup=False)
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    typer.run(main)
