"""``users``: who may log in."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.accounts import accounts_of
from dicom_node.cli.configuration import who
from dicom_node.cli.jobs import open_catalog
from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say, time_text
from dicom_node.people.roles import Role

if TYPE_CHECKING:
    from dicom_node.catalog import UserRow

commands = typer.Typer(help="Users: who may log in to the console.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking for it.")
]


@commands.command("add", epilog="Example: s2ldm-node users add anna --role operator")
def add(
    name: NameArgument,
    role: Annotated[
        Role | None, typer.Option(help="Default: administrator for the first user, else viewer.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    from_stdin: PasswordOption = False,
) -> None:
    """Add a user. From the first one on, everybody logs in, at the node's own machine too."""
    with open_catalog(config, make=True) as catalog:
        user = accounts_of(catalog, config).add(name, _password(from_stdin), role=role, who=who())
    say(f"{user.name} is {_with_article(user)}.")


@commands.command("list", epilog="Example: s2ldm-node users list")
def list_users(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the users."""
    with open_catalog(config) as catalog:
        rows = catalog.list_users()
    if as_json:
        print_json([one.model_dump(mode="json") for one in rows])
    elif rows:
        print_table(
            ("NAME", "ROLE", "ADDED", "LAST LOG-IN"),
            ((one.name, one.role, time_text(one.created_at), time_text(one.last_login_at)) for one in rows),
        )
    else:
        say("There are no users: whoever sits at the node's machine may do everything.")


@commands.command("change", epilog="Example: s2ldm-node users change anna --role administrator")
def change(
    name: NameArgument,
    role: Annotated[Role | None, typer.Option(help="Another role.", show_default=False)] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for another password.")] = False,
    config: ConfigOption = None,
    from_stdin: PasswordOption = False,
) -> None:
    """Give a user another role or password, and end the user's sessions."""
    with open_catalog(config) as catalog:
        new = _password(from_stdin) if password or from_stdin else None
        user = accounts_of(catalog, config).change(name, role=role, password=new, who=who())
    say(f"{user.name} is {_with_article(user)}{'' if new is None else ' with a new password'}.")


@commands.command("remove", epilog="Example: s2ldm-node users remove anna")
def remove(name: NameArgument, config: ConfigOption = None) -> None:
    """Remove a user, end the user's sessions, and revoke the tokens that the user made on the console."""
    with open_catalog(config) as catalog:
        accounts_of(catalog, config).remove(name, who=who())
    say(f"{name} may not log in any more.")


def _password(from_stdin: bool) -> str:
    """A password; never from an argument, which every process of the machine can read."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _with_article(user: "UserRow") -> str:
    return f"an {user.role}" if user.role[0] in "ao" else f"a {user.role}"
