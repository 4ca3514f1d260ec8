"""Experiments as YAML files: what a file extends, and single keys changed on the command line."""

from pathlib import Path
from typing import Any

from s2ldm_core.documents import Document, Location, parse_document, read_document
from s2ldm_core.errors import DocumentError
from train.errors import TrainError


def read_experiment(path: Path, seen: tuple[Path, ...] = ()) -> Document:
    """The file's values on top of what it extends."""
    if path.resolve() in seen:
        raise TrainError(
            "config_invalid", f"{path} extends itself through {' → '.join(p.name for p in seen)}.", "Break the circle."
        )
    try:
        document = read_document(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise TrainError(
            "config_missing", f"There is no configuration file {path}.", "Name one of config/train/*.yaml."
        ) from error
    except DocumentError as error:
        raise TrainError("config_invalid", error.sentence) from error
    values = document.values
    if not isinstance(values, dict):
        raise TrainError("config_invalid", f"{path} holds no keys.", "Start from one of config/train/*.yaml.")
    # A place in a file that another one extends is said with the file's name.
    places = {at: f"{path.name}, {line}" if seen else line for at, line in document.places.items()}
    base = values.pop("extends", None)
    if base is None:
        return Document(values=values, places=places)
    below = read_experiment(path.parent / str(base), (*seen, path.resolve()))
    kept = {at: place for at, place in below.places.items() if not _replaced(at, values)}
    return Document(values=_merge(below.values, values), places={**kept, **places})


def _replaced(location: Location, changes: object) -> bool:
    """Whether ``changes`` put something else in the place of a list or value that ``location`` is part of."""
    for key in location:
        if not isinstance(changes, dict):
            return True
        if key not in changes:
            return False
        changes = changes[key]
    return False


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``changes`` over ``base``, mappings key by key; a list replaces a list."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def set_key(values: dict[str, Any], override: str) -> Location:
    """Apply one ``key.path=value``; returns where."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise TrainError("config_invalid", f"{override!r} is not KEY=VALUE.", "For example: --set data.batch=2")
    try:
        value = parse_document(text).values
    except DocumentError as error:
        raise TrainError("config_invalid", f"The value of {override!r} is not YAML: {error.sentence}") from error
    node: Any = values
    location: Location = ()
    for key in keys[:-1]:
        if isinstance(node, dict):
            node[key] = {} if node.get(key) is None else node[key]
        place: Any = key if isinstance(node, dict) else _position(node, key, override)
        node, location = node[place], (*location, str(place))
    last: Any = keys[-1] if isinstance(node, dict) else _position(node, keys[-1], override)
    node[last] = value
    return (*location, str(last))


def _position(items: Any, key: str, override: str) -> int:
    """Where ``key`` stands in a list: its number, or the item of that name."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items] if isinstance(items, list) else []
    if key in names:
        return names.index(key)
    if key.isdigit() and int(key) < len(names):
        return int(key)
    raise TrainError(
        "config_invalid",
        f"{override!r} names nothing: there is no {key!r} there.",
        "Look at the file for the key's path.",
    )
