"""Write ``docs/reasons.md``: every reason code with its sentences and remedies, read from the source.

A code is found where it is written beside its sentence: in ``Problem("code", "sentence", "remedy")``, in an error of the
exception trees, and in the calls of `_CALLS`. One that is held in a variable is looked up in the same function. What is
not found there is a `LookupError`, so that no reason is raised that the page does not list.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reasons.md"
PACKAGES = ("dicom_node", "s2ldm_core", "train")

#: Call → where code, sentence and remedy stand among its arguments, or what their keywords are.
_CALLS = {
    "Problem": ((0, "code"), (1, "sentence"), (2, "remedy")),
    "refuse": ((0, "code"), (1, "sentence"), (2, "remedy")),
    "Alarm": ((0, "code"), (1, "sentence")),
    "Rejection": ((2, "code"), (3, "reason")),
    "_reject": ((2, "code"), (3, "reason")),
    "_rejected": ((2, "code"), (3, "reason")),
    "_one_of": ((0, "code"), (1, "sentence")),
}
_ERROR = ((0, "code"), (1, "sentence"), (2, "remedy"))
_ROOT_ERROR = "ProblemError"
_HEAD = """# Reason codes

Whatever cannot go on says why: a code for machines, a sentence and a remedy for people. The codes stand in the job's record, in
`--json` answers, in the HTTP interface, the logs and the metrics; `…` stands for what differs from case to case. A code that one
package raises may come out of another: selection refuses a series with the geometry's own reason.

This page is written by `make reasons` from the source; do not edit it.
"""
_TITLES = {"dicom_node": "the node", "s2ldm_core": "volumes, models, translation", "train": "training and evaluation"}


@dataclass(frozen=True, order=True)
class Reason:
    """One way in which a code is raised."""

    code: str
    sentence: str
    remedy: str


def reasons(package: str) -> list[Reason]:
    """The reasons of a package, sorted.

    Raises
    ------
    LookupError
        A code is neither written beside its sentence nor passed on from a problem that was raised before.
    """
    errors = _errors()
    found: set[Reason] = set()
    for path in sorted((ROOT / package).rglob("*.py")):
        for function, call in _calls(ast.parse(path.read_text(encoding="utf-8")), None):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            places = _ERROR if name in errors else _CALLS.get(name)
            if places is None:
                continue
            code, *texts = [_argument(call, *place) for place in places]
            if code is None or texts[0] is None:  # a copy of another one, or another function of that name
                if any(isinstance(one, ast.Starred) for one in call.args):
                    raise LookupError(f"{path}:{call.lineno}: write code and sentence out, not as *arguments")
                continue
            if _is_passed_on(code, function):
                continue
            codes = _constants(code, function)
            if codes == {""}:  # stands for no problem at all
                continue
            if not codes:
                raise LookupError(f"{path}:{call.lineno}: write the code {ast.unparse(code)} beside its sentence")
            sentence, remedy = ([_text(text, function) or "" for text in texts] + [""])[:2]
            found |= {Reason(one, sentence, remedy) for one in codes}
    return sorted(found)


def page() -> str:
    """The whole page as Markdown."""
    lines = [_HEAD]
    for package in PACKAGES:
        lines += [f"## {package}: {_TITLES[package]}\n", "| code | what is wrong | what to do |", "|---|---|---|"]
        lines += [f"| `{one.code}` | {_cell(one.sentence)} | {_cell(one.remedy)} |" for one in reasons(package)]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    if text == "…":
        return "*what the problem beneath it says*"
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _errors() -> set[str]:
    """Names of all classes below `_ROOT_ERROR`."""
    bases: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases[node.name] = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    known = {_ROOT_ERROR}
    while new := {name for name, above in bases.items() if above & known} - known:
        known |= new
    return known


def _calls(node: ast.AST, function: ast.AST | None) -> Iterator[tuple[ast.AST | None, ast.Call]]:
    """Every call with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield function, child
        inside = child if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        yield from _calls(child, inside)


def _argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    if len(call.args) > position and not any(isinstance(one, ast.Starred) for one in call.args[: position + 1]):
        return call.args[position]
    return next((one.value for one in call.keywords if one.arg == keyword), None)


def _is_passed_on(code: ast.expr, function: ast.AST | None) -> bool:
    """Whether the code is that of a problem raised elsewhere, or an argument of the function."""
    if isinstance(code, ast.Name) and isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = function.args
        return code.id in {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return isinstance(code, ast.Attribute | ast.Subscript) and ast.unparse(code).rstrip("']").endswith("code")


def _assigned(name: str, function: ast.AST | None) -> Iterator[ast.expr]:
    """What a variable is given in a function."""
    for node in ast.walk(function) if function is not None else ():
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            yield from _unpacked(name, node.targets[0], node.value)


def _unpacked(name: str, target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
        yield from _unpacked(name, target, value.body)
        yield from _unpacked(name, target, value.orelse)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from _unpacked(name, one, other)


def _constants(node: ast.expr, function: ast.AST | None) -> set[str]:
    """The texts that an expression may be; empty if they are not written there."""
    if isinstance(node, ast.IfExp):
        return _constants(node.body, function) | _constants(node.orelse, function)
    if isinstance(node, ast.Name):
        return {text for value in _assigned(node.id, function) for text in _constants(value, function)}
    if isinstance(node, ast.Call) and node.args:  # str(…) or a mapping's get(key, otherwise)
        return _constants(node.args[-1], function)
    text = _text(node, function) if isinstance(node, ast.Constant | ast.JoinedStr) else None
    return set() if text is None else {text}


def _text(node: ast.expr | None, function: ast.AST | None) -> str | None:
    """A text as it is raised, with … for what is put in; None if there is no argument."""
    if node is None:
        return None
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(one, function) or "" for one in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{_text(node.left, function)}{_text(node.right, function)}"
    if isinstance(node, ast.IfExp):
        ways = {_text(node.body, function), _text(node.orelse, function)}
        return next(iter(ways)) if len(ways) == 1 else "…"
    if isinstance(node, ast.Name):
        ways = {_text(value, function) for value in _assigned(node.id, function)}
        return next(iter(ways)) if len(ways) == 1 else "…"
    return "…"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
