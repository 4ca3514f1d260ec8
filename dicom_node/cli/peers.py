"""``echo`` and ``send``: the node's peers, tried by hand."""

import re
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, item_progress, say, stderr
from dicom_node.config import Settings, load_settings
from dicom_node.deliver.destinations import Destination, DestinationSettings
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.errors import ConfigError, NodeError
from dicom_node.states import Verdict
from dicom_node.visible import visible

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


def find_destination(name: str, settings: Settings, calling: str | None) -> Destination:
    """A destination by name or by ``AE_TITLE@HOST:PORT``.

    Raises
    ------
    ConfigError
        ``destination_unknown``, or ``destination_not_called`` where ``calling`` is given but means nothing.
    """
    return _find_settings(name, settings, calling).open(own_ae_title=settings.node.ae_title)


def _find_settings(name: str, settings: Settings, calling: str | None) -> DestinationSettings:
    found = settings.destinations.get(name)
    if found is None and (match := _ADDRESS.fullmatch(name)):
        try:
            found = DicomSettings(ae_title=match["ae_title"], host=match["host"], port=int(match["port"]))
        except ValueError as error:
            raise ConfigError("destination_unknown", f"{name} is no AE title, host and port.") from error
    if found is None:
        raise ConfigError(
            "destination_unknown",
            f"There is no destination {name!r}.",
            f"Use AE_TITLE@HOST:PORT or one of: {', '.join(settings.destinations) or 'none configured'}.",
        )
    if calling is None:
        return found
    if not isinstance(found, DicomSettings):
        raise ConfigError("destination_not_called", f"{name} is no DICOM peer; --calling means nothing to it.")
    return found.model_copy(update={"calling_ae_title": calling})


def echo(destination: DestinationArgument, config: ConfigOption = None, calling: CallingOption = None) -> None:
    """Verify that a destination answers: a DICOM peer with C-ECHO."""
    say(find_destination(destination, load_settings(config), calling).check())


def send(
    folder: Annotated[Path, typer.Argument(exists=True, help="Folder with DICOM files, or one file.")],
    destination: DestinationArgument,
    config: ConfigOption = None,
    calling: CallingOption = None,
) -> None:
    """Send a folder's DICOM files. Fails unless every one is accepted."""
    from dicom_node.series.headers import is_dicom

    peer = find_destination(destination, load_settings(config), calling)
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    dicom = [path for path in files if is_dicom(path)]
    if not dicom:
        raise NodeError("no_dicom", f"There are no DICOM files in {folder}.", "Name a folder with DICOM files.")
    with item_progress("Sending", total=len(dicom)) as advance:
        answers = peer.send(dicom, on_answer=lambda _answer: advance(), should_stop=lambda: False)
    accepted = sum(answer.verdict is Verdict.ACCEPTED for answer in answers)
    say(f"{accepted} of {len(dicom)} files accepted by {peer.name}")
    if len(files) > len(dicom):
        say(f"{len(files) - len(dicom)} files are not DICOM and were passed over.")
    if accepted == len(dicom):
        return
    console = stderr()
    for answer in answers:
        if answer.verdict is not Verdict.ACCEPTED:
            console.print(
                visible(f"{answer.path.name}: {answer.comment}"), markup=False, highlight=False, soft_wrap=True
            )
    raise NodeError("not_all_accepted", f"{len(dicom) - accepted} of {len(dicom)} files were not accepted.")
