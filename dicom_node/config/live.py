"""Settings that are exchanged while the node runs, and what of them only a new start takes up."""

from typing import Any, Protocol

from pydantic import ValidationError

from dicom_node.config.settings import Settings
from dicom_node.errors import ConfigError

#: Keys of a section that a running node takes up; of a section that is not named here it takes up all or nothing.
_LIVE_KEYS = {
    "node": ("peers",),
    "compute": ("job_timeout_seconds", "max_attempts", "retry_seconds", "max_memory_gib", "out_of_memory"),
}
#: Keys of the other sections that it does not.
_FIXED_KEYS = {"series": ("confirm_with",)}
_FIXED_SECTIONS = ("web", "log")


class SettingsSource(Protocol):
    """Where a part of the node asks for the settings each time it begins a piece of work.

    `Settings` are a source themselves, of settings that stay.
    """

    @property
    def current(self) -> Settings:
        """The settings in force."""


class LiveSettings:
    """Settings that are exchanged as a whole; whoever holds older ones keeps them for the work at hand."""

    def __init__(self, settings: Settings) -> None:
        self._current = settings

    @property
    def current(self) -> Settings:
        """The settings in force."""
        return self._current

    def put(self, settings: Settings) -> None:
        """Exchange them."""
        self._current = settings


def taken_up(running: Settings, wanted: Settings) -> tuple[Settings, tuple[str, ...]]:
    """What a running node makes of changed settings.

    Ports, database, executor and the like are bound when it starts; these keep the values of ``running``.

    Returns
    -------
    tuple
        The settings in force from now on, and the keys that wait for a new start.

    Raises
    ------
    ConfigError
        ``config_needs_restart``: what is taken up contradicts what stays.
    """
    parts: dict[str, Any] = {}
    waiting: list[str] = []
    for name in Settings.model_fields:
        old, new = getattr(running, name), getattr(wanted, name)
        fixed = _fixed_keys(name)
        changed = [key for key in fixed if getattr(old, key) != getattr(new, key)]
        waiting += [f"{name}.{key}" for key in changed]
        parts[name] = new.model_copy(update={key: getattr(old, key) for key in changed}) if changed else new
    try:
        # With the checks across sections: a new route may have the name that the node still answers to.
        return Settings(**parts), tuple(waiting)
    except ValidationError as error:
        why = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors(include_url=False))
        raise ConfigError(
            "config_needs_restart",
            f"The running node cannot take up the configuration while {', '.join(waiting)} is as it was: {why}.",
            "Restart the node, or change one thing after the other.",
        ) from error


def _fixed_keys(section: str) -> tuple[str, ...]:
    """The keys of a section that only a new start takes up."""
    if section in _FIXED_SECTIONS or section in _LIVE_KEYS:
        live = _LIVE_KEYS.get(section, ())
        return tuple(key for key in type(getattr(Settings(), section)).model_fields if key not in live)
    return _FIXED_KEYS.get(section, ())
