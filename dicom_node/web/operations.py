"""What the interface offers, for the documentation page."""

from typing import Any


def operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of an OpenAPI schema, flat."""
    shown = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation["responses"].get("200", {}).get("content", {})
            shape = content.get("application/json", {}).get("schema", {})
            shown.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "role": operation.get("x-role", ""),
                    "parameters": operation.get("parameters", []),
                    "answers": shape.get("title") or shape.get("$ref", "").rsplit("/", 1)[-1] or "text",
                }
            )
    return shown
