"""What the interface offers, for the documentation page."""

from typing import Any


def operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of an OpenAPI schema, flat."""
    shown = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            shown.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "role": operation.get("x-role", ""),
                    "parameters": operation.get("parameters", []),
                    "answers": _answer(operation["responses"]),
                }
            )
    return shown


def _answer(responses: dict[str, Any]) -> str:
    """What an operation answers with where all is well, in words."""
    for status in ("200", "201"):
        for kind, content in responses.get(status, {}).get("content", {}).items():
            return _name(content.get("schema", {})) if kind == "application/json" else "text"
    return "nothing" if "204" in responses else "text"


def _name(shape: dict[str, Any]) -> str:
    if shape.get("type") == "array":
        return f"list of {_name(shape['items'])}"
    name = str(shape.get("$ref", "")).rsplit("/", 1)[-1]
    return f"page of {name.removeprefix('Page_').removesuffix('_')}" if name.startswith("Page_") else name or "object"
