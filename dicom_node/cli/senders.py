"""``peers``: who may send, and who was turned away."""

from typing import Annotated

import typer

from dicom_node.cli.configuration import CommentOption, change
from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say, time_text
from dicom_node.config import load_settings
from dicom_node.config.peers import allowed

commands = typer.Typer(help="Peers: who may send.", no_args_is_help=True)


@commands.command("list", epilog="Example: s2ldm-node peers list")
def list_peers(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the peers that may send, and those that were turned away."""
    settings = load_settings(config)
    with open_catalog(config) as catalog:
        turned_away = catalog.rejected_peers()
    if as_json:
        print_json(
            {
                "peers": [one.model_dump(mode="json") for one in settings.node.peers],
                "turned_away": [one.model_dump(mode="json") for one in turned_away],
            }
        )
        return
    if settings.node.peers:
        print_table(("MAY SEND", "HOST"), ((one.ae_title, one.host or "any") for one in settings.node.peers))
    else:
        say("Anybody may send: node.peers is empty.")
    if turned_away:
        say("\nTurned away:")
        print_table(
            ("CALLING", "ADDRESS", "CALLED", "TIMES", "LAST", "WHY"),
            (
                (one.calling_ae, one.peer, one.called_ae, one.count, time_text(one.last_seen_at), one.reason.sentence)
                for one in turned_away
            ),
        )


@commands.command("allow", epilog="Example: s2ldm-node peers allow CT_SCANNER_2 --host 10.0.0.7")
def allow(
    ae_title: Annotated[str, typer.Argument(metavar="AE_TITLE", help="What the peer calls itself.")],
    host: Annotated[str | None, typer.Option(help="Its address or name. Default: any.", show_default=False)] = None,
    config: ConfigOption = None,
    comment: CommentOption = "",
) -> None:
    """Let a peer send. A running node takes it up within seconds."""
    change(config, allowed(load_settings(config), ae_title, host), comment=comment or f"{ae_title} may send")
