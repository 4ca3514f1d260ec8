"""The systems by name: those of this package, a line each, and those that other packages offer as entry points."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from s2ldm_core.errors import PackageError
from s2ldm_core.systems.base import System

GROUP = "s2ldm.systems"
"""Entry point group in which an installed package declares systems of its own."""
_HOMES = {
    "aldm": "s2ldm_core.systems.aldm:ALDM",
    "ccdm": "s2ldm_core.systems.ccdm:CCDM",
    "cdm": "s2ldm_core.systems.cdm:CDM",
    "cmdm": "s2ldm_core.systems.cmdm:CMDM",
    "ctagan": "s2ldm_core.systems.ctagan:CTAGAN",
    "cyclegan": "s2ldm_core.systems.cyclegan:CycleGAN",
    "ensemble": "s2ldm_core.systems.ensemble:Ensemble",
    "monai_network": "s2ldm_core.systems.monai_network:MonaiNetwork",
    "pix2pix": "s2ldm_core.systems.pix2pix:Pix2pix",
    "reggan": "s2ldm_core.systems.reggan:RegGAN",
    "s2ldm": "s2ldm_core.systems.s2ldm:S2LDM",
    "unet": "s2ldm_core.systems.unet:ResidualUNet",
}


def system_names() -> tuple[str, ...]:
    """Names of all systems, in alphabetical order."""
    return tuple(sorted(_known()))


def system_class(name: str) -> type[System]:
    """The class of the system called ``name``; only its own module is imported.

    Raises
    ------
    PackageError
        ``unknown_system`` naming the known ones; ``system_unusable`` when it cannot be imported or is no system of that name.
    """
    known = _known()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise PackageError(
            "unknown_system",
            f"There is no system called {name!r} in this version{f'; did you mean {near[0]}?' if near else '.'}",
            f"Known systems: {', '.join(sorted(known))}. A package made by a newer version needs that version.",
        )
    try:
        found = known[name].load()
    except (ImportError, AttributeError) as error:
        raise PackageError(
            "system_unusable",
            f"The system {name} cannot be imported: {error}",
            "Install the package that offers it again.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, System) and found.name == name):
        raise PackageError(
            "system_unusable",
            f"{known[name].value} is no system called {name}.",
            "Its class must derive from s2ldm_core.systems.System and have that name.",
        )
    return found


def build_system(name: str, config: Mapping[str, Any], *, context: Mapping[str, bool] | None = None) -> System:
    """The system called ``name`` from its network configuration (``network.yaml`` of a package, ``network`` of a training file).

    ``context`` is that of the validation, such as `s2ldm_core.systems.change_loss.TRAINING`.

    Raises
    ------
    PackageError
        As `system_class`.
    pydantic.ValidationError
        The configuration is not one of that system.
    """
    kind = system_class(name)
    return kind(kind.Config.model_validate(config, context=context))


def _known() -> dict[str, EntryPoint]:
    """Ours last: no other package can take the place of a system of this one."""
    own = {name: EntryPoint(name, home, GROUP) for name, home in _HOMES.items()}
    return {**{point.name: point for point in entry_points(group=GROUP)}, **own}
