"""``echo`` and ``send``: the node's peers, tried by hand."""

import re
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, item_progress, stderr
from dicom_node.config import Destination, Settings, load_settings
from dicom_node.errors import ConfigError, NodeError

_ADDRESS = re.compile(r"(?P<ae_title>[^@]{1,16})@(?P<host>.+):(?P<port>\d{1,5})")

DestinationArgument = Annotated[
    str, typer.Argument(metavar="DESTINATION", help="A name from the configuration, or AE_TITLE@HOST:PORT.")
]
CallingOption = Annotated[
    str | None, typer.Option("--calling", help="Own AE title. Default: node.ae_title.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: s2ldm-node echo pacs")(echo)
    app.command(epilog="Example: s2ldm-node send ncct-series/ CECT_ART@127.0.0.1:11112")(send)


def find_destination(name: str, settings: Settings) -> Destination:
    """A destination by name or by ``AE_TITLE@HOST:PORT``; raises `ConfigError` (``destination_unknown``)."""
    if name in settings.destinations:
        return settings.destinations[name]
    if match := _ADDRESS.fullmatch(name):
        try:
            return Destination(ae_title=match["ae_title"], host=match["host"], port=int(match["port"]))
        except ValueError as error:
            raise ConfigError("destination_unknown", f"{name} is no AE title, host and port.") from error
    raise ConfigError(
        "destination_unknown",
        f"There is no destination {name!r}.",
        f"Use AE_TITLE@HOST:PORT or one of: {', '.join(settings.destinations) or 'none configured'}.",
    )


def calling_ae(destination: Destination, settings: Settings, calling: str | None = None) -> str:
    """The AE title to call a destination with."""
    return calling or destination.calling_ae_title or settings.node.ae_title


def echo(destination: DestinationArgument, config: ConfigOption = None, calling: CallingOption = None) -> None:
    """Verify a destination with C-ECHO."""
    from dicom_node.deliver.scu import echo as c_echo

    settings = load_settings(config)
    peer = find_destination(destination, settings)
    c_echo(peer, calling_ae=calling_ae(peer, settings, calling))
    typer.echo(f"{peer.ae_title} at {peer.host}:{peer.port} answers")


def send(
    folder: Annotated[Path, typer.Argument(exists=True, help="Folder with DICOM files, or one file.")],
    destination: DestinationArgument,
    config: ConfigOption = None,
    calling: CallingOption = None,
) -> None:
    """Send a folder's DICOM files with C-STORE. Fails unless every one is accepted."""
    from dicom_node.catalog import Verdict
    from dicom_node.deliver.scu import send_files
    from dicom_node.deliver.status import status_sentence
    from dicom_node.series.headers import is_dicom

    settings = load_settings(config)
    peer = find_destination(destination, settings)
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    dicom = [path for path in files if is_dicom(path)]
    if not dicom:
        raise NodeError("no_dicom", f"There are no DICOM files in {folder}.", "Name a folder with DICOM files.")
    with item_progress("Sending", total=len(dicom)) as advance:
        answers = send_files(
            dicom, peer, calling_ae=calling_ae(peer, settings, calling), on_status=lambda _answer: advance()
        )
    accepted = sum(answer.verdict is Verdict.ACCEPTED for answer in answers)
    typer.echo(f"{accepted} of {len(dicom)} files accepted by {peer.ae_title}")
    if len(files) > len(dicom):
        typer.echo(f"{len(files) - len(dicom)} files are not DICOM and were passed over.")
    if accepted == len(dicom):
        return
    console = stderr()
    for answer in answers:
        if answer.verdict is not Verdict.ACCEPTED:
            why = status_sentence(answer.status) if answer.status is not None else answer.comment or "gave no answer"
            console.print(f"{answer.path.name}: {peer.ae_title} {why}", markup=False, highlight=False, soft_wrap=True)
    raise NodeError("not_all_accepted", f"{len(dicom) - accepted} of {len(dicom)} files were not accepted.")
