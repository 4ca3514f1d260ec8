"""``series``, ``quarantine`` and ``tail``: what came, what cannot go on, and what happens now."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dicom_node.catalog import Catalog, JobState, Subject
from dicom_node.cli import main
from dicom_node.cli.tail import changes
from s2ldm_core.problem import Problem
from tests.tiny_model import add_series

Writer = Callable[..., list[Path]]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def config(tmp_path: Path, write_ct_series: Writer) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(yaml.safe_dump({"node": {"data_dir": str(tmp_path / "var")}}), encoding="utf-8")
    with Catalog(tmp_path / "var" / "catalog.sqlite") as catalog:
        add_series(catalog, write_ct_series(np.zeros((3, 4, 4), np.float32)), route="CECT_ART")
        (series,) = catalog.list_series()
        catalog.complete_series(
            series.key, signal="released", phase="arterial", model="demo", seen_at=series.last_received_at
        )
        catalog.refuse_job(catalog.get_job(1), Problem("too_few_slices", "The series has 3 slices.", "Send more."))
    return path


def test_series_are_found_and_their_story_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("series", "list", "--config", config, "--query", "SENDER", "--job-state", "refused", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["instances"] == 3
    assert run("series", "list", "--config", config, "--query", "9.9.9") == 0
    assert "No such series" in capsys.readouterr().out
    assert run("series", "show", 1, "--config", config) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "First image received" in shown
    assert "The series has 3 slices." in shown
    assert run("series", "show", 2, "--config", config) == 1
    assert "There is no series 2" in capsys.readouterr().err


def test_quarantine_is_listed_and_what_cannot_be_released_says_why(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quarantine", "list", "--config", config) == 0
    assert "nothing in quarantine" in capsys.readouterr().out
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        catalog.quarantine_object(
            route="CECT_ART",
            calling_ae="CT1",
            peer="10.0.0.1",
            association_id="1",
            sop_instance_uid="",
            path=config.parent / "gone.dcm",
            size=1,
            reason=Problem("not_dicom", "It could not be read.", "Send it again."),
        )
    assert run("quarantine", "list", "--config", config, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["calling_ae"], listed["reason"]["code"]) == ("CT1", "not_dicom")
    assert run("quarantine", "release", 1, "--config", config) == 1
    assert "not there any more" in capsys.readouterr().err
    assert run("quarantine", "release", 7, "--config", config) == 1
    assert "no object 7" in capsys.readouterr().err


def test_tail_tells_what_changed_since_it_began(config: Path) -> None:
    known: dict[tuple[str, int], Any] = {}
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        assert list(changes(catalog, known, told=False)) == []
        assert list(changes(catalog, known, told=True)) == []
        catalog.retry_job(1)
        (change,) = changes(catalog, known, told=True)
        assert (change["what"], change["number"], change["state"]) == ("job", 1, "selecting")
        assert list(changes(catalog, known, told=True)) == []


def test_tail_ends_after_its_looks(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tail", "--config", config, "--looks", 2, "--seconds", 0.1, "--json") == 0
    assert capsys.readouterr().out == ""


def test_nothing_that_came_over_the_network_commands_the_terminal(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;x\x07\x9b2J\r\u202eSCAN"
    with Catalog(tmp_path / "var" / "catalog.sqlite") as catalog:
        catalog.note_rejected_peer(calling_ae=evil, called_ae=evil, peer=evil, reason=Problem("x", evil, evil))
        catalog.set_subject(1, Subject(**dict.fromkeys(Subject.model_fields, f"{evil} Müller")))
        catalog.retry_job(1, who=evil)
        claim = catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w")
        rules = [{"rule": "kernel", "objects": True, "details": {"seen": [evil]}}]
        catalog.refuse_job(claim, Problem("x", evil, evil), details={"seen": evil}, rules=rules)

    for command in (
        ["series", "show", 1],
        ["jobs", "list"],
        ["jobs", "show", 1],
        ["peers", "list"],
    ):
        assert run(*command, "--config", config) == 0
        told = capsys.readouterr()
        assert "\\x1b]0;x\\x07" in told.out, command
        assert not [one for one in told.out + told.err if one != "\n" and unicodedata.category(one).startswith("C")]
