"""The pages that are written from the source are what it says: reason codes, and the DICOM conformance statement."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.paths import ROOT


def module_of(name: str) -> ModuleType:
    """A script of ``docs/`` as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return module_of("reasons")


def test_conformance_statement_is_what_the_source_says() -> None:
    written = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert written == module_of("conformance").page(), "run: make reasons"


def test_page_is_what_the_source_raises(script: ModuleType) -> None:
    assert (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8") == script.page(), "run: make reasons"


@pytest.mark.parametrize("code", ["enhanced_by_hu", "too_few_slices", "multi_frame", "no_answer", "select_fault"])
def test_codes_of_tables_and_variables_are_found(script: ModuleType, code: str) -> None:
    assert code in {one.code for one in script.reasons("dicom_node")}


def test_code_that_cannot_be_found_is_an_error(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def fail(code_of):\n    raise ProblemError(code_of['x'] + '_failed', 'It failed.')\n"
    (tmp_path / "dicom_node").mkdir()
    (tmp_path / "dicom_node" / "step.py").write_text(source)
    monkeypatch.setattr(script, "ROOT", tmp_path)

    with pytest.raises(LookupError, match=r"step\.py:2"):
        script.reasons("dicom_node")
