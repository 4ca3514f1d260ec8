"""``models``: the model packages at hand."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from dicom_node.cli.output import ConfigOption, JsonOption, print_json, print_table, say
from dicom_node.errors import ConfigError

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
        say("No model package is installed here; --folder looks in another folder.")
        return
    print_table(
        ("MODEL", "VERSION", "SYSTEM", "PHASES", "ROUTES", "INTENDED USE", "PATH"),
        (
            (
                package.metadata.name,
                package.metadata.version,
                package.metadata.system,
                package.metadata.offered,
                ", ".join(routes.get(package.path, ())),
                package.metadata.intended_use,
                package.path,
            )
            for package in packages
        ),
    )


@commands.command("add", epilog="Example: s2ldm-node models add liver-1.2.zip")
def add_model(
    package: Annotated[
        Path,
        typer.Argument(
            metavar="PACKAGE", exists=True, help="A package's zip file or folder, or a MONAI Bundle's folder."
        ),
    ],
    config: ConfigOption = None,
    phase: Annotated[
        str | None, typer.Option(help="Of a bundle: the phase that its network makes.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of a bundle. Default: its folder's.", show_default=False)] = None,
    answer: Annotated[str, typer.Option(help="Of a bundle: image or change, what its network answers with.")] = "image",
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Of a bundle that does not say it: HU window.", show_default=False),
    ] = None,
    given: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Likewise: what the ends of the window are to the network.", show_default=False),
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Likewise: mm of slices, rows and columns.", show_default=False),
    ] = None,
    orientation: Annotated[
        str | None, typer.Option(help="Likewise: axis codes such as RAS.", show_default=False)
    ] = None,
) -> None:
    """Check a package and keep it in data_dir/models. Its network is built by models verify.

    Of a MONAI Bundle the network and its weights are taken over, as tensors and plain arguments; nothing else of it runs.
    """
    from dicom_node.config import load_settings
    from dicom_node.service.packages import packages_dir
    from s2ldm_core.bundles import is_bundle
    from s2ldm_core.package_archive import install_package

    folder = packages_dir(load_settings(config))
    if is_bundle(package):
        said = {
            "phase": phase,
            "answer": answer,
            "window_hu": window,
            "given": given,
            "spacing_mm": spacing,
            "orientation": orientation,
        }
        with TemporaryDirectory() as made:
            added = install_package(
                _of_bundle(package, Path(made), name=name or package.resolve().name, said=said), folder
            )
    else:
        added = install_package(package, folder)
    say(f"{added.metadata.name} {added.metadata.version} is here. A route uses it with:\n  model: {added.path}")


def _of_bundle(bundle: Path, folder: Path, *, name: str, said: dict[str, Any]) -> Path:
    """A package of a bundle's network, in ``folder``."""
    from pydantic import ValidationError

    from s2ldm_core.bundles import BundleReading, package_of_bundle

    if said["phase"] is None:
        raise ConfigError(
            "phase_needed",
            f"{bundle.name} is a MONAI Bundle, which does not say the phase that it makes.",
            "Add --phase.",
        )
    try:
        reading = BundleReading.model_validate(said)
    except ValidationError as error:
        raise ConfigError(
            "wrong_option", f"An option for the bundle is wrong: {error.errors()[0]['msg']}.", "See models add --help."
        ) from error
    return package_of_bundle(bundle, folder / "package", name=name, reading=reading).path


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
    say(f"{name} is removed.")


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
    say(f"{package.metadata.name} {package.metadata.version}: checksums match and the network loads")
