"""``tokens``: what programs show instead of logging in."""

from typing import Annotated

import typer

from dicom_node.cli.accounts import accounts_of
from dicom_node.cli.configuration import who
from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say, time_text
from dicom_node.people.roles import Role

commands = typer.Typer(help="Tokens: how programs say who they are.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the token is for.")]


@commands.command("create", epilog="Example: s2ldm-node tokens create dashboard --role viewer --days 365")
def create(
    name: NameArgument,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    days: Annotated[
        float | None, typer.Option(min=0.01, max=3650, help="How long it lasts. Default: no end.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it. It is shown only now: the node keeps its digest."""
    with open_catalog(config, make=True) as catalog:
        token, row = accounts_of(catalog, config).create_token(name, role=role, days=days, who=who())
    if as_json:
        print_json(row.model_dump(mode="json") | {"token": token})
    else:
        say(token)


@commands.command("list", epilog="Example: s2ldm-node tokens list")
def list_tokens(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, without what they are."""
    with open_catalog(config) as catalog:
        rows = catalog.list_tokens()
    if as_json:
        print_json([one.model_dump(mode="json") for one in rows])
    elif rows:
        print_table(
            ("NAME", "ROLE", "MADE BY", "LAST USED", "RUNS OUT"),
            (
                (one.name, one.role, one.created_by, time_text(one.last_used_at), time_text(one.expires_at))
                for one in rows
            ),
        )
    else:
        say("There are no tokens.")


@commands.command("revoke", epilog="Example: s2ldm-node tokens revoke dashboard")
def revoke(name: NameArgument, config: ConfigOption = None) -> None:
    """Have a token valid no more."""
    with open_catalog(config) as catalog:
        accounts_of(catalog, config).revoke_token(name, who=who())
    say(f"{name} is valid no more.")
