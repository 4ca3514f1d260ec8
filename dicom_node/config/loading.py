"""Reading the configuration: one YAML file, environment overrides, and errors that name the key.

``S2LDM_<SECTION>__<KEY>[__<KEY>]`` overrides a key of the file, for example ``S2LDM_NODE__PORT=104`` or
``S2LDM_ROUTES__CECT_ART__MODEL=liver``. Names are matched without regard to case; values are read as YAML.
"""

import os
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dicom_node.config.settings import Settings, destination_kind
from dicom_node.deliver.destinations import DestinationSettings
from dicom_node.errors import ConfigError
from dicom_node.section import nearest

ENVIRONMENT_PREFIX = "S2LDM_"
# Sections whose keys are names; an override of one key keeps the others of the defaults.
_MAPS = ("routes", "destinations")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently keep the last: a second ``routes:`` at the end."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As usual, but each key once."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise yaml.YAMLError(f"the key {key.value} stands twice, in lines {lines[key.value]} and {line}.")
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def default_config_path() -> Path:
    """The configuration that the node starts with when none is named: a checkout's, else the installed wheel's."""
    root = Path(__file__).resolve().parent.parent.parent
    # Beside an installed package, too, there may be a folder config, but not with a pyproject.toml beside it.
    if (root / "pyproject.toml").is_file() and (root / "config" / "node.yaml").is_file():
        return root / "config" / "node.yaml"
    return Path(str(resources.files("dicom_node"))) / "defaults" / "node.yaml"


def load_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file (default: `default_config_path`) and apply the environment's overrides.

    Raises
    ------
    ConfigError
        ``config_unreadable`` or ``config_invalid``; the sentence has one line per mistake, each naming the key's path.
    """
    path = path or default_config_path()
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise ConfigError(
            "config_unreadable",
            f"The configuration {path} cannot be read: {error.strerror or type(error).__name__}.",
            "Name a YAML file with --config; s2ldm-node check --defaults prints one to begin with.",
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            "config_unreadable", f"The configuration {path} is not valid YAML: {error}", "Correct the file there."
        ) from error
    return parse_settings(document, source=str(path), environ=os.environ if environ is None else environ)


def parse_settings(
    document: object, *, source: str = "configuration", environ: Mapping[str, str] | None = None
) -> Settings:
    """Validate a configuration that is at hand as plain values; errors as in `load_settings`."""
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError("config_invalid", f"{source}: the file must hold keys and values, such as node: and routes:.")
    overrides = sorted(filter(_is_override, environ or {}))
    merged = _override(document, {name: (environ or {})[name] for name in overrides})
    if overrides:
        source += f" with {', '.join(overrides)}"
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        lines = [_explain(detail, merged) for detail in error.errors()]
        raise ConfigError(
            "config_invalid",
            f"{source}: " + "\n".join(lines),
            "Every key with its default stands in the default configuration: s2ldm-node check --defaults",
        ) from error


def _is_override(variable: str) -> bool:
    # Variables without a section (S2LDM_SOMETHING) are other programs' business.
    parts = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
    return variable.startswith(ENVIRONMENT_PREFIX) and len(parts) > 1 and all(parts)


def _override(document: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    merged = _copy(document)
    for variable in sorted(environ):
        parts = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
        try:
            value = yaml.safe_load(environ[variable])
        except yaml.YAMLError as error:
            raise ConfigError("config_invalid", f"The environment variable {variable} is not valid YAML.") from error
        known: Any = Settings().model_dump(mode="json") | merged
        place: Any = merged
        for depth, part in enumerate(parts):
            name = _same_name(part, known)
            known = known.get(name) if isinstance(known, dict) else None
            if depth == len(parts) - 1:
                place[name] = value
                break
            if not isinstance(place.get(name), dict):
                # A route or destination of the defaults is overridden key by key, too.
                place[name] = (
                    _copy(known) if isinstance(known, dict) and depth < 2 and parts[0].lower() in _MAPS else {}
                )
            place = place[name]
    return merged


def _same_name(part: str, known: object) -> str:
    if isinstance(known, dict):
        for name in known:
            if str(name).lower() == part.lower():
                return str(name)
    return part if isinstance(known, dict) and part.upper() in known else part.lower()


def _copy(value: Any) -> Any:
    return {key: _copy(one) for key, one in value.items()} if isinstance(value, dict) else value


def _explain(detail: Mapping[str, Any], document: dict[str, Any]) -> str:
    location = [str(part) for part in detail["loc"] if part != "[key]"]
    where = ".".join(location)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {where}" + nearest(location[-1], _keys_beside(location, document))
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _keys_beside(location: list[str], document: dict[str, Any]) -> list[str]:
    model: Any = Settings
    value: Any = document
    for part in location[:-1]:
        model = _inner_model(model, part)
        value = value.get(part) if isinstance(value, dict) else None
        if model is DestinationSettings and isinstance(value, dict):
            model = destination_kind(value)
    return list(model.model_fields) if model is not None else []


def _inner_model(model: Any, part: str) -> Any:
    if isinstance(model, tuple):  # a mapping or a list of models: any key leads to the same one
        return model[0]
    field = getattr(model, "model_fields", {}).get(part)
    if field is None:
        return None
    found = [one for one in _types_in(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    if not found:
        return None
    return found[0] if field.annotation is found[0] or type(None) in _types_in(field.annotation) else (found[0],)


def _types_in(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _types_in(argument)
