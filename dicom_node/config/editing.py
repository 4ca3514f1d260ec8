"""Changing keys of a configuration's text, which keeps its comments, its order and its layout."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from io import StringIO
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from dicom_node.config.secret import without_passwords
from dicom_node.config.settings import Settings
from dicom_node.errors import ConfigError
from s2ldm_core.documents import parse_document
from s2ldm_core.errors import DocumentError

#: Keys from the top of the document down.
Location = Sequence[str]
#: Sections whose keys are names: where the file lacks them, they begin as the defaults.
_NAMED = ("routes", "destinations")
#: Takes a key away.
REMOVE = object()


def location_of(key: str, settings: Settings) -> tuple[str, ...]:
    """A dotted key as a location; the name of a route or a destination may have dots itself."""
    section, _, rest = key.partition(".")
    if section in _NAMED:
        names = sorted(getattr(settings, section), key=len, reverse=True)
        for name in names:
            if rest == name or rest.startswith(f"{name}."):
                return (section, name, *filter(None, rest.removeprefix(name).split(".")))
    parts = tuple(key.split("."))
    if not all(parts):
        raise ConfigError("config_key", f"{key!r} is no key.", "Write it as in routes.CECT_ART.phase.")
    return parts


def value_of(text: str) -> Any:
    """A value as YAML writes it: ``venous``, ``12``, ``null``, ``[a, b]``."""
    try:
        return parse_document(text).values
    except DocumentError as error:
        raise ConfigError(
            "config_value", f"{text!r} is not a value in YAML.", "Quote texts with special characters."
        ) from error


def set_keys(text: str, changes: Mapping[tuple[str, ...], Any]) -> str:
    """The text with other values at some locations; `REMOVE` takes a key away.

    Raises
    ------
    ConfigError
        ``config_unreadable``: the text is not YAML. ``config_key``: a location lies below something that has no keys, or
        there is nothing to take away. ``config_not_editable``: the change would alter something else, too.
    """
    try:
        before = parse_document(text).values
    except DocumentError as error:
        raise ConfigError("config_unreadable", without_passwords(error.sentence), "Correct the file first.") from None
    expected = {} if before is None else deepcopy(before)
    if not isinstance(expected, dict):
        raise ConfigError("config_unreadable", "The configuration holds no keys.", "Correct the file first.")
    try:
        document, indent, sequence_offset = load_yaml_guess_indent(text or "{}", yaml=_reader())
    except YAMLError as error:
        raise _not_editable() from error
    if not isinstance(document, CommentedMap) or not document:
        document = CommentedMap()
    for location, value in changes.items():
        _put(expected, location, value, as_is=lambda one: one)
        _put(document, location, value, as_is=_written)
    written = _dump(document, indent=indent, sequence_offset=sequence_offset)
    # The two libraries read some words differently; what the node will read decides.
    if parse_document(written).values != expected:
        raise _not_editable()
    return written


def _not_editable() -> ConfigError:
    return ConfigError(
        "config_not_editable", "The key cannot be changed without altering others.", "Edit the text of the file itself."
    )


def _put(document: Any, location: tuple[str, ...], value: Any, *, as_is: Callable[[Any], Any]) -> None:
    if location[0] in _NAMED and document.get(location[0]) is None:
        document[location[0]] = as_is(_defaults(location[0]))
    place = document
    for depth, key in enumerate(location[:-1], start=1):
        if place.get(key) is None:
            if value is REMOVE:
                raise ConfigError("config_key", f"There is no {'.'.join(location[:depth])} in the file.")
            place[key] = as_is({})
        place = place[key]
        if not isinstance(place, dict):
            raise ConfigError("config_key", f"{'.'.join(location[:depth])} is a value and has no keys.")
    if value is not REMOVE:
        place[location[-1]] = _merged(place.get(location[-1]), value, as_is=as_is)
    elif location[-1] in place:
        del place[location[-1]]
    else:
        raise ConfigError("config_key", f"There is no {'.'.join(location)} in the file.")


def _merged(held: Any, value: Any, *, as_is: Callable[[Any], Any]) -> Any:
    """A mapping takes the place of another key by key, so that comments on what stays are kept."""
    if isinstance(held, list) and isinstance(value, list) and value[: len(held)] == held:
        held.extend(map(as_is, value[len(held) :]))
        return held
    if not isinstance(held, dict) or not isinstance(value, dict):
        return as_is(value)
    for key in [one for one in held if one not in value]:
        del held[key]
    for key, one in value.items():
        if key not in held or held[key] != one:
            held[key] = _merged(held.get(key), one, as_is=as_is)
    return held


def _defaults(section: str) -> dict[str, Any]:
    """What the section is where the file has none; a key of it in the file would otherwise take the others away."""
    named = getattr(Settings(), section)
    return {name: one.model_dump(mode="json", exclude_unset=True) for name, one in named.items()}


def _written(value: Any) -> Any:
    """A value such that the node reads what was meant: the word ``no`` in quotes, and lists on one line."""
    if isinstance(value, dict):
        return CommentedMap((str(key), _written(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        sequence = CommentedSeq(map(_written, value))
        sequence.fa.set_flow_style()
        return sequence
    if isinstance(value, str) and yaml.safe_load(json.dumps(value)) == value and _plain(value) != value:
        return DoubleQuotedScalarString(value)
    return value


def _plain(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return None


class _Representer(RoundTripRepresenter):
    """Writes ``null`` where there is none; ruamel.yaml would leave the value out."""

    def represent_none(self, _: None) -> ScalarNode:
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:null", "null")
        return node


_Representer.add_representer(type(None), _Representer.represent_none)


def _reader() -> YAML:
    reader = YAML()
    reader.preserve_quotes = True
    return reader


def _dump(document: CommentedMap, *, indent: int | None, sequence_offset: int | None) -> str:
    writer = YAML()
    writer.Representer = _Representer
    writer.width = 4096
    offset = sequence_offset or 0
    writer.indent(mapping=indent or 2, sequence=max(indent or 2, offset + 2), offset=offset)
    stream = StringIO()
    writer.dump(document, stream)
    return stream.getvalue()
