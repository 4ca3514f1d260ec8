"""Forms that follow from the configuration's types, and what a filled-in one changes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, get_args, get_origin
from urllib.parse import parse_qs

import yaml
from pydantic import BaseModel

from dicom_node.config import Select, default_config_path
from dicom_node.config.editing import value_of
from dicom_node.deliver.destinations import DESTINATIONS
from dicom_node.derive.forms import FORM_NAMES
from dicom_node.errors import NodeError
from dicom_node.phases import PHASES

_MOST_FIELDS = 500
#: Keys whose words are a registry's.
_WORDS: dict[str, Sequence[str]] = {"output": tuple(FORM_NAMES), "type": tuple(DESTINATIONS)}
#: Keys that take other values, too, such as the phase 50s.
_SUGGESTED: dict[str, Sequence[str]] = {"phase": tuple(PHASES)}
#: Groups of keys that a form shows one by one.
_GROUPS = {"select": Select}

Filled = Mapping[str, Sequence[str]]


class Field(BaseModel):
    """One key in a form; ``value`` as the form shows it. Of a text, ``choices`` are what it may be among others."""

    name: str
    kind: Literal["text", "yaml", "number", "yes_no", "choice", "several"]
    value: str
    choices: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    nullable: bool = False
    help: str = ""


def read_form(body: bytes) -> dict[str, list[str]]:
    """An ``application/x-www-form-urlencoded`` body; raises `NodeError` (``wrong_request``)."""
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, strict_parsing=bool(body))
    except ValueError as error:
        raise NodeError("wrong_request", "The form cannot be read.", "Go back and send it again.") from error


def one_of(form: Filled, name: str, default: str = "") -> str:
    """The first value of a field."""
    return next(iter(form.get(name, ())), default)


def fields_of(
    values: BaseModel, *, helps: Mapping[str, str], destinations: Iterable[str] = (), prefix: str = ""
) -> list[Field]:
    """The fields for a section's keys."""
    found: list[Field] = []
    for name, known in type(values).model_fields.items():
        value = getattr(values, name)
        if name in _GROUPS:
            found += fields_of(value, helps=helps, prefix=f"{prefix}{name}.")
            continue
        plain = values.model_dump(mode="json", include={name})[name]
        types = _types(known.annotation)
        about = {"name": prefix + name, "nullable": type(None) in types, "help": helps.get(name, "")}
        if name == "destinations":
            choices = tuple(dict.fromkeys([*destinations, *plain]))
            found.append(Field(kind="several", value="", choices=choices, chosen=tuple(plain), **about))
        elif words := _words(name, types):
            found.append(Field(kind="choice", value=str(plain), choices=words, **about))
        elif bool in types:
            found.append(Field(kind="yes_no", value="yes" if plain else "", **about))
        elif str in types:
            suggested = tuple(_SUGGESTED.get(name, ()))
            found.append(Field(kind="text", value="" if plain is None else str(plain), choices=suggested, **about))
        elif types & {int, float} and not isinstance(plain, list | dict):
            found.append(
                Field(
                    kind="number",
                    value="" if plain is None else f"{plain:g}" if isinstance(plain, float) else str(plain),
                    **about,
                )
            )
        else:
            found.append(Field(kind="yaml", value="" if plain in (None, []) else _flow(plain), **about))
    return found


def changes_of(form: Filled, fields: Sequence[Field]) -> dict[tuple[str, ...], Any]:
    """The keys that a filled-in form changes, and their new values; errors as in `value_of`."""
    changes: dict[tuple[str, ...], Any] = {}
    for field in fields:
        location = tuple(field.name.split("."))
        if field.kind == "several":
            chosen = form.get(field.name, ())
            if tuple(chosen) != field.chosen:
                changes[location] = list(chosen)
        elif field.kind == "yes_no":
            if bool(one_of(form, field.name)) != bool(field.value):
                changes[location] = bool(one_of(form, field.name))
        elif field.name in form and (text := one_of(form, field.name).strip()) != field.value:
            changes[location] = _value(field, text)
    return changes


def refill(fields: Sequence[Field], form: Filled) -> list[Field]:
    """The fields with what was filled in, to be shown again."""
    return [_refilled(field, form) for field in fields]


def _refilled(field: Field, form: Filled) -> Field:
    if field.kind == "several":
        return field.model_copy(update={"chosen": tuple(form.get(field.name, ()))})
    return field.model_copy(update={"value": one_of(form, field.name)})


def _value(field: Field, text: str) -> Any:
    if not text:
        return None if field.nullable or field.kind == "yaml" else ""
    return text if field.kind in ("text", "choice") else value_of(text)


def _types(annotation: Any) -> set[Any]:
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal or not arguments:
        return {annotation}
    if get_origin(annotation) in (tuple, list, dict):
        return {get_origin(annotation)}
    return {one for argument in arguments for one in _types(argument)}


def _words(name: str, types: set[Any]) -> tuple[str, ...]:
    if name in _WORDS:
        return tuple(_WORDS[name])
    for one in types:
        if get_origin(one) is Literal:
            return tuple(map(str, get_args(one)))
        if isinstance(one, type) and issubclass(one, Enum):
            return tuple(str(member.value) for member in one)
    return ()


def _flow(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
        .strip()
        .removesuffix("...")
        .strip()
    )


def help_texts(section: str, name: str) -> dict[str, str]:
    """What the default configuration says of the keys of ``section.name``, by key."""
    lines = default_config_path().read_text(encoding="utf-8").splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith(f"{section}:")), len(lines))
    begin = next((number for number in range(begin, len(lines)) if lines[number].startswith(f"  {name}:")), len(lines))
    found: dict[str, str] = {}
    for line in lines[begin + 1 :]:
        if not line.startswith("    "):
            break
        if match := re.match(r"\s+(\w+):.*?\s# (.*)$", line):
            found.setdefault(match[1], match[2])
    return found
