"""The commands that change the configuration, and those about destinations and peers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicom_node.catalog import Catalog
from dicom_node.cli import main
from s2ldm_core.problem import Problem

TEXT = """# ours
node: {{data_dir: {0}, peers: [{{ae_title: SCANNER}}]}}
routes:
  CECT:
    phase: arterial # why
destinations:
  pacs: {{ae_title: PACS, host: 127.0.0.1, port: 1}}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(TEXT.format(tmp_path / "var"), encoding="utf-8")
    monkeypatch.setenv("S2LDM_CONFIG", str(path))
    with Catalog(tmp_path / "var" / "catalog.sqlite") as catalog:
        reason = Problem("peer_not_allowed", "Not on the list.")
        catalog.note_rejected_peer(calling_ae="STRANGER", called_ae="CECT", peer="10.0.0.9", reason=reason)
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def test_configuration_that_the_variable_names_is_changed_and_keeps_its_comments(path: Path) -> None:
    assert run("config", "set", "routes.CECT.phase", "venous", "--comment", "board") == 0

    assert "phase: venous   # why" in path.read_text()


def test_a_contrast_dose_is_listed_beside_its_phase_and_one_that_nobody_is_given_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("routes", "set", "CECT", "contrast_dose=0.8") == 0
    assert run("routes", "list") == 0
    assert "arterial at contrast dose 0.8" in capsys.readouterr().out
    assert run("routes", "set", "CECT", "contrast_dose=80") == 2
    assert "routes.CECT.contrast_dose" in capsys.readouterr().err
    assert read(path)["routes"]["CECT"]["contrast_dose"] == 0.8


def test_history_tells_who_and_why_and_rollback_goes_back(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.read_text()
    run("config", "set", "routes.CECT.phase", "venous", "--comment", "board")
    capsys.readouterr()

    run("config", "history", "--json")
    newest, oldest = json.loads(capsys.readouterr().out)
    assert (newest["comment"], newest["who"].endswith("(command line)"), oldest["number"]) == ("board", True, 1)

    assert run("config", "rollback", "1") == 0
    assert path.read_text() == before


def test_what_waits_for_a_restart_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("config", "set", "node.port", "104")

    assert "restarted: node.port" in capsys.readouterr().out


def test_key_that_the_environment_overrides_is_said(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2LDM_ROUTES__CECT__SEED", "7")
    run("config", "set", "routes.CECT.seed", "3")

    assert "override" in capsys.readouterr().out


def test_wrong_value_is_wrong_use_and_changes_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.read_text()

    assert run("config", "set", "routes.CECT.phase", "late") == 2
    assert "routes.CECT.phase" in capsys.readouterr().err
    assert path.read_text() == before


def test_resolved_configuration_has_every_key_and_an_absolute_folder(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("config", "show", "--resolved")

    resolved = yaml.safe_load(capsys.readouterr().out)
    assert resolved["routes"]["CECT"]["enabled"] is True
    assert Path(resolved["node"]["data_dir"]).is_absolute()


def test_route_is_added_disabled_and_enabled(path: Path) -> None:
    assert run("routes", "set", "CECT_2", "phase=venous", "destinations=[pacs]") == 0
    assert run("routes", "disable", "CECT_2") == 0
    assert read(path)["routes"]["CECT_2"] == {"phase": "venous", "destinations": ["pacs"], "enabled": False}
    assert run("routes", "enable", "CECT_2") == 0
    assert read(path)["routes"]["CECT_2"]["enabled"] is True
    assert run("routes", "disable", "NONE") == 2


def test_peer_that_was_turned_away_is_listed_and_allowed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("peers", "list", "--json")
    assert [one["calling_ae"] for one in json.loads(capsys.readouterr().out)["turned_away"]] == ["STRANGER"]

    assert run("peers", "allow", "STRANGER", "--host", "10.0.0.9") == 0
    assert read(path)["node"]["peers"] == [{"ae_title": "SCANNER"}, {"ae_title": "STRANGER", "host": "10.0.0.9"}]
    assert run("peers", "allow", "STRANGER", "--host", "10.0.0.9") == 2


def test_first_entry_of_the_list_of_peers_shuts_nobody_out(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("config", "set", "node.peers", "[]")

    assert run("peers", "allow", "STRANGER") == 2
    assert "peers_open" in capsys.readouterr().err


def test_destination_that_does_not_answer_fails_the_check(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("destinations", "check") == 1
    assert "pacs: WRONG" in capsys.readouterr().out
    assert run("destinations", "check", "pac") == 2


def test_destinations_are_listed_with_their_queues(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("destinations", "list", "--json")

    assert json.loads(capsys.readouterr().out)["pacs"]["deliveries"] == {}
