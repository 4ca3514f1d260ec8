"""The worked example of docs/researcher.md runs as it is printed there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT


def test_the_worked_example_leads_from_pairs_to_readers_and_a_translation(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "researcher.py"), str(tmp_path / "example")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    ).stdout
    assert "{'train': 1, 'validation': 1, 'test': 1} cases" in shown
    assert "translated: (" in shown
    folder = tmp_path / "example"
    summary = json.loads((folder / "report" / "summary.json").read_text())
    assert {"identity", "example"} <= set(json.dumps(summary).replace('"', " ").split())
    assert json.loads((folder / "readers" / "report.json").read_text())["judgements"][0]["chosen"]["value"] == 0.5
    assert (folder / "package" / "model.safetensors").is_file()
