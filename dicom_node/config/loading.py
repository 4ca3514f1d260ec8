"""Reading the configuration: one YAML file, environment overrides, and errors that name the key.

``S2LDM_<SECTION>__<KEY>[__<KEY>]`` overrides a key of the file, for example ``S2LDM_NODE__PORT=104`` or
``S2LDM_ROUTES__CECT_ART__MODEL=liver``. Names are matched without regard to case; values are read as YAML.
"""

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from dicom_node.config.secret import without_passwords
from dicom_node.config.settings import Settings
from dicom_node.errors import ConfigError
from s2ldm_core.documents import Document, Location, parse_document, validate
from s2ldm_core.errors import DocumentError

ENVIRONMENT_PREFIX = "S2LDM_"
#: Names the configuration file where no command line does.
CONFIG_VARIABLE = "S2LDM_CONFIG"
# Sections whose keys are names; an override of one key keeps the others of the defaults.
_MAPS = ("routes", "destinations")


def default_config_path() -> Path:
    """The configuration that the node starts with when none is named: a checkout's, else the installed wheel's."""
    root = Path(__file__).resolve().parent.parent.parent
    # Beside an installed package, too, there may be a folder config, but not with a pyproject.toml beside it.
    if (root / "pyproject.toml").is_file() and (root / "config" / "node.yaml").is_file():
        return root / "config" / "node.yaml"
    return Path(str(resources.files("dicom_node"))) / "defaults" / "node.yaml"


def config_path(named: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path:
    """The configuration in use: the one that is named, else that of ``S2LDM_CONFIG``, else `default_config_path`."""
    variable = (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    return named or (Path(variable) if variable else default_config_path())


def load_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file (default: `config_path`) and apply the environment's overrides.

    Raises
    ------
    ConfigError
        ``config_unreadable`` or ``config_invalid``; the sentence has one line per mistake, each naming the key's path.
    """
    path = config_path(path, environ=environ)
    return read_settings(read_config_text(path), source=path, environ=environ)


def read_config_text(path: Path) -> str:
    """The text of a configuration file; raises `ConfigError` (``config_unreadable``)."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            "config_unreadable",
            f"The configuration {path} cannot be read: {error.strerror or type(error).__name__}.",
            "Name a YAML file with --config; s2ldm-node check --defaults prints one to begin with.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            "config_unreadable", f"The configuration {path} is not valid YAML: {error}", "Correct the file there."
        ) from error


def read_settings(text: str, *, source: Path | str, environ: Mapping[str, str] | None = None) -> Settings:
    """A configuration's text as settings, with the environment's overrides; errors as in `load_settings`."""
    try:
        document = parse_document(text, name=f"The configuration {source}")
    except DocumentError as error:
        sentence = without_passwords(error.sentence)  # it may quote a line
        raise ConfigError("config_unreadable", sentence, "Correct the file there.") from None
    return _settings(document, source=str(source), environ=os.environ if environ is None else environ)


def parse_settings(
    values: object, *, source: str = "configuration", environ: Mapping[str, str] | None = None
) -> Settings:
    """Validate a configuration that is at hand as plain values; errors as in `load_settings`."""
    return _settings(Document(values=values), source=source, environ=environ or {})


def _settings(document: Document, *, source: str, environ: Mapping[str, str]) -> Settings:
    values = {} if document.values is None else document.values
    if not isinstance(values, dict):
        raise ConfigError("config_invalid", f"{source}: the file must hold keys and values, such as node: and routes:.")
    overrides = {name: environ[name] for name in sorted(filter(_is_override, environ))}
    if overrides:
        source += f" with {', '.join(overrides)}"
    merged, overridden = _override(values, overrides)
    places = {**document.places, **dict.fromkeys(overridden, "")}
    try:
        return validate(Settings, Document(values=merged, places=places), name=source, between="\n")
    except DocumentError as error:
        raise ConfigError(
            "config_invalid",
            without_passwords(error.sentence),
            "Every key with its default stands in the default configuration: s2ldm-node check --defaults",
        ) from error


def _is_override(variable: str) -> bool:
    # Variables without a section (S2LDM_SOMETHING) are other programs' business.
    parts = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
    return variable.startswith(ENVIRONMENT_PREFIX) and len(parts) > 1 and all(parts)


def _override(document: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Location]]:
    """The document with the variables' values, and where those went."""
    merged = _copy(document)
    overridden: list[Location] = []
    for variable in environ:
        parts = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
        try:
            value = parse_document(environ[variable]).values
        except DocumentError as error:
            raise ConfigError("config_invalid", f"The environment variable {variable} is not valid YAML.") from error
        known: Any = Settings().model_dump(mode="json") | merged
        place: Any = merged
        location: Location = ()
        for depth, part in enumerate(parts):
            name = _same_name(part, known)
            known = known.get(name) if isinstance(known, dict) else None
            location = (*location, name)
            if depth == len(parts) - 1:
                place[name] = value
                break
            if not isinstance(place.get(name), dict):
                # A route or destination of the defaults is overridden key by key, too.
                place[name] = (
                    _copy(known) if isinstance(known, dict) and depth < 2 and parts[0].lower() in _MAPS else {}
                )
            place = place[name]
        overridden.append(location)
    return merged, overridden


def _same_name(part: str, known: object) -> str:
    if isinstance(known, dict):
        for name in known:
            if str(name).lower() == part.lower():
                return str(name)
    return part if isinstance(known, dict) and part.upper() in known else part.lower()


def _copy(value: Any) -> Any:
    return {key: _copy(one) for key, one in value.items()} if isinstance(value, dict) else value
