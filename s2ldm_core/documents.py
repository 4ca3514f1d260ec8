"""YAML documents into pydantic models; a mistake is explained by its line, the key's path and the nearest known key."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, RootModel, ValidationError

from s2ldm_core.errors import DocumentError

Model = TypeVar("Model", bound=BaseModel)
#: Keys and list positions from the top of a document down.
Location = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a YAML text says, and where.

    Attributes
    ----------
    values
        Plain values: mappings, lists, texts, numbers.
    places
        Location → place in words, such as ``line 3``; what stands in no file has none.
    """

    values: Any
    places: Mapping[Location, str] = field(default_factory=dict)

    def place(self, location: Location) -> str:
        """The place of a location or, where that is not in the file, of what should hold it; else empty."""
        while location and location not in self.places:
            location = location[:-1]
        return self.places.get(location, "")


class _Loader(yaml.SafeLoader):
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


def read_document(path: Path, *, name: str | None = None) -> Document:
    """Read a YAML file; ``name`` is what messages call it (default: its path).

    Raises
    ------
    DocumentError
        ``document_unreadable``: it is not YAML, or a key stands twice.
    OSError
        The file cannot be opened.
    """
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError("document_unreadable", f"{name} is not valid YAML: {error}") from error
    return parse_document(text, name=name)


def parse_document(text: str, *, name: str = "The text") -> Document:
    """Parse a YAML text; errors as in `read_document`."""
    try:
        loader = _Loader(text)  # which looks for characters that YAML does not have
        try:
            node = loader.get_single_node()
            values = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise DocumentError("document_unreadable", f"{name} is not valid YAML: {error}") from error
    return Document(values=values, places=dict(_places(node, (), set())))


def validate(model: type[Model], document: Document, *, name: str, between: str = "; ") -> Model:
    """The document as ``model``.

    Raises
    ------
    DocumentError
        ``document_invalid``: every mistake, ``between`` each other.
    """
    try:
        return model.model_validate(document.values)
    except ValidationError as error:
        raise DocumentError("document_invalid", f"{name}: {between.join(mistakes(error, document, model))}") from error


def mistakes(error: ValidationError, document: Document, model: type[BaseModel] | None = None) -> list[str]:
    """One sentence per mistake: line, key and what is wrong; for an unknown key the nearest one that ``model`` knows. That a default could
    not be made since another key is wrong is no mistake."""
    found = error.errors(include_url=False)
    return [_explain(detail, document, model) for detail in found if detail["type"] != "default_factory_not_called"]


def nearest(name: str, known: Iterable[object]) -> str:
    """`` (did you mean …?)`` where a known name is close, else nothing."""
    close = get_close_matches(name, [str(one) for one in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _places(node: yaml.Node | None, location: Location, seen: set[int]) -> Iterator[tuple[Location, str]]:
    if id(node) in seen:  # an alias, which may even hold itself: its place is that of the key that names it
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        items = [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
    elif isinstance(node, yaml.SequenceNode):
        items = [(str(number), value, value) for number, value in enumerate(node.value)]
    else:
        return
    for name, start, value in items:
        yield (*location, name), f"line {start.start_mark.line + 1}"
        yield from _places(value, (*location, name), seen)


def _explain(detail: Mapping[str, Any], document: Document, model: type[BaseModel] | None) -> str:
    location = tuple(str(part) for part in detail["loc"] if part != "[key]")
    where = ".".join(location)
    message = str(detail["msg"]).removeprefix("Value error, ")
    # A check of the whole document names the key that it is about first.
    place = document.place(location or tuple(message.split(" ", 1)[0].rstrip(":").split(".")))
    if detail["type"] == "extra_forbidden":
        message = f"unknown key {where}" + nearest(location[-1], _keys_beside(location, model, document.values))
    elif where:
        message = f"{where}: {message}"
    return f"{place}: {message}" if place else message


def _keys_beside(location: Location, model: Any, values: Any) -> list[str]:
    if isinstance(model, type) and issubclass(model, RootModel):
        model = _inner_model(model, "root")
    for part in location[:-1]:
        model = _inner_model(model, part)
        values = values.get(part) if isinstance(values, Mapping) else None
        if hasattr(model, "kind_of") and isinstance(values, Mapping):  # what comes in kinds says which by its keys
            model = model.kind_of(values)
    return list(getattr(model, "model_fields", {}))


def _inner_model(model: Any, part: str) -> Any:
    if isinstance(model, tuple):  # a mapping or a list of models: any key leads to the same one
        return model[0]
    known = getattr(model, "model_fields", {}).get(part)
    if known is None:
        return None
    found = [one for one in _types_in(known.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    if not found:
        return None
    return found[0] if known.annotation is found[0] or type(None) in _types_in(known.annotation) else (found[0],)


def _types_in(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _types_in(argument)
