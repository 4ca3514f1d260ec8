"""``models``: the model packages at hand."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import JsonOption, print_json, print_table

commands = typer.Typer(help="Model packages.", no_args_is_help=True)

FolderOption = Annotated[
    list[Path] | None,
    typer.Option("--folder", exists=True, file_okay=False, help="Look for packages in this folder, too."),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A bundled package, or a package's folder.")]


@commands.command("list", epilog="Example: s2ldm-node models list --folder /models")
def list_models(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """List the bundled packages and those in folders."""
    from s2ldm_core.package import list_packages

    packages = list_packages(folder or [])
    if as_json:
        print_json([package.metadata.model_dump(mode="json") | {"path": str(package.path)} for package in packages])
        return
    if not packages:
        typer.echo("No model package is installed here; --folder looks in another folder.")
        return
    print_table(
        ("MODEL", "VERSION", "SYSTEM", "PHASES", "INTENDED USE", "PATH"),
        (
            (
                package.metadata.name,
                package.metadata.version,
                package.metadata.system,
                ", ".join(package.metadata.phases),
                package.metadata.intended_use,
                package.path,
            )
            for package in packages
        ),
    )


@commands.command("show", epilog="Example: s2ldm-node models show demo")
def show_model(model: ModelArgument) -> None:
    """Print a package's metadata as JSON."""
    from s2ldm_core.package import ModelPackage

    package = ModelPackage.load(model)
    print_json(package.metadata.model_dump(mode="json") | {"path": str(package.path)})


@commands.command("verify", epilog="Example: s2ldm-node models verify demo")
def verify_model(model: ModelArgument) -> None:
    """Check a package's checksums and build its network on the CPU."""
    from s2ldm_core.package import ModelPackage

    package = ModelPackage.load(model)
    package.build(device="cpu")
    typer.echo(f"{package.metadata.name} {package.metadata.version}: checksums match and the network loads")
