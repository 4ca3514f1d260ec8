"""The acceptor knows nothing of the node."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dicom_node.streaming

ROOM = "dicom_node.streaming"
MODULES = sorted(Path(dicom_node.streaming.__file__).parent.glob("**/*.py"))
ALLOWED = sys.stdlib_module_names | {"structlog", "pydicom", "pynetdicom"}


def imports(path: Path) -> Iterator[str]:
    """What a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_pydicom_pynetdicom_structlog_and_its_own_room_only(path: Path) -> None:
    strangers = {
        name
        for name in imports(path)
        if name.partition(".")[0] not in ALLOWED and not f"{name}.".startswith(f"{ROOM}.")
    }
    assert not strangers
