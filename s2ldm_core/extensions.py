"""What other installed packages offer to training by entry point: found by name, made of the options of a configuration."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from s2ldm_core.errors import ExtensionError


def build_extension(group: str, name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """What the entry point ``name`` of ``group`` gives when it is called with ``options``; it can be called itself.

    Raises
    ------
    ExtensionError
        ``extension_unknown`` naming the known ones; ``extension_unusable`` when it cannot be imported or made of these options.
    """
    known: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ExtensionError(
            "extension_unknown",
            f"No installed package offers {name!r} in {group}{f'; did you mean {near[0]}?' if near else '.'}",
            f"Known there: {', '.join(sorted(known)) or 'none'}. Install the package that declares it.",
        )
    try:
        made = known[name].load()(**options)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ExtensionError(
            "extension_unusable",
            f"{name} of {group} cannot be made: {error}",
            "Correct its options, or its package.",
        ) from error
    if not callable(made):
        raise ExtensionError(
            "extension_unusable",
            f"{known[name].value} gives no function.",
            "Called with its options, it must give what can be called.",
        )
    return made
