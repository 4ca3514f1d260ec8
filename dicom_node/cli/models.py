"""``models``: the model packages at hand."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table

commands = typer.Typer(help="Model packages.", no_args_is_help=True)

FolderOption = Annotated[
    list[Path] | None,
    typer.Option("--folder", exists=True, file_okay=False, help="Look for packages in this folder, too."),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A bundled package, or a package's folder.")]


@commands.command("list", epilog="Example: s2ldm-node models list --folder /models")
def list_models(folder: FolderOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the bundled packages, those added to the node, those that its routes name, and those in folders."""
    from dicom_node.config import load_settings
    from dicom_node.service.packages import held_packages
    from s2ldm_core.package import list_packages

    held = {one.package.path: one for one in held_packages(load_settings(config))}
    packages = [one.package for one in held.values()]
    packages += [one for one in list_packages(folder or []) if one.path not in held]
    routes = {path: list(one.routes) for path, one in held.items()}
    if as_json:
        print_json(
            [
                one.metadata.model_dump(mode="json") | {"path": str(one.path), "routes": routes.get(one.path, [])}
                for one in packages
            ]
        )
        return
    if not packages:
        typer.echo("No model package is installed here; --folder looks in another folder.")
        return
    print_table(
        ("MODEL", "VERSION", "SYSTEM", "PHASES", "ROUTES", "INTENDED USE", "PATH"),
        (
            (
                package.metadata.name,
                package.metadata.version,
                package.metadata.system,
                ", ".join(package.metadata.phases),
                ", ".join(routes.get(package.path, ())),
                package.metadata.intended_use,
                package.path,
            )
            for package in packages
        ),
    )


@commands.command("add", epilog="Example: s2ldm-node models add liver-1.2.zip")
def add_model(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", exists=True, help="A package's zip file or folder.")],
    config: ConfigOption = None,
) -> None:
    """Check a package and keep it in data_dir/models. Its network is built by models verify."""
    from dicom_node.config import load_settings
    from dicom_node.service.packages import packages_dir
    from s2ldm_core.package_archive import install_package

    added = install_package(package, packages_dir(load_settings(config)))
    typer.echo(f"{added.metadata.name} {added.metadata.version} is here. A route uses it with:\n  model: {added.path}")


@commands.command("remove", epilog="Example: s2ldm-node models remove liver-1.2")
def remove_model(
    name: Annotated[str, typer.Argument(metavar="NAME-VERSION", help="As its folder in data_dir/models is called.")],
    config: ConfigOption = None,
) -> None:
    """Remove a package that was added and that no route uses."""
    from dicom_node.cli.jobs import open_catalog
    from dicom_node.config import load_settings
    from dicom_node.service.packages import Packages

    settings = load_settings(config)
    with open_catalog(config, make=True) as catalog:
        Packages(settings, catalog).remove(name)
    typer.echo(f"{name} is removed.")


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
