"""The command line: exit codes, errors, and what the commands print."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from dicom_node.catalog import Catalog
from dicom_node.cli import main
from dicom_node.service.lock import DataDirLock
from s2ldm_core.phantom import Phantom
from s2ldm_core.problem import Problem
from tests.tiny_model import add_series, with_spread, write_tiny_package

Writer = Callable[..., list[Path]]
COMMANDS = (
    ["serve"],
    ["demo"],
    ["translate"],
    ["check"],
    ["echo"],
    ["send"],
    ["jobs", "list"],
    ["jobs", "show"],
    ["jobs", "retry"],
    ["jobs", "cancel"],
    ["series", "list"],
    ["series", "show"],
    ["quarantine", "list"],
    ["quarantine", "release"],
    ["tail"],
    ["routes", "list"],
    ["routes", "test"],
    ["models", "list"],
    ["models", "show"],
    ["models", "verify"],
    ["models", "add"],
    ["models", "remove"],
    ["users", "add"],
    ["users", "list"],
    ["users", "change"],
    ["users", "remove"],
    ["tokens", "create"],
    ["tokens", "list"],
    ["tokens", "revoke"],
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.yaml"
    document = {"node": {"data_dir": str(tmp_path / "var"), "min_free_mib": 1}, "series": {"min_slices": 3}}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def add_job(config: Path, paths: list[Path]) -> None:
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        add_series(catalog, paths, route="CECT_ART")
        (series,) = catalog.list_series()
        catalog.complete_series(
            series.key, signal="released", phase="arterial", model="demo", seen_at=series.last_received_at
        )
        catalog.refuse_job(catalog.get_job(1), Problem("too_few_slices", "The series has 3 slices.", "Send more."))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command, "--help") == 0

    assert f"Example: s2ldm-node {' '.join(command)}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "dicom_node.cli, s2ldm_core",
            ("torch", "monai", "SimpleITK", "pydicom", "pynetdicom", "fastapi", "sqlalchemy"),
        ),
        ("dicom_node.service.node", ("torch", "monai")),
    ],
    ids=("help", "the node's own process"),
)
def test_what_is_heavy_is_loaded_where_it_is_used(modules: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {modules}\nsys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["jobs", "show"], ["jobs", "show", "x"], ["jobs", "list", "--limit", "0"]]
)
def test_wrong_use_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments) == 2


def test_wrong_configuration_exits_with_2_and_names_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("node: {prot: 1}", encoding="utf-8")

    assert run("routes", "list", "--config", path) == 2

    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("error: ")
    assert "unknown key node.prot (did you mean 'port'?)" in first


def test_jobs_without_a_catalog_is_an_error_and_makes_none(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("jobs", "list", "--config", config) == 1

    assert "no node has run" in capsys.readouterr().err
    assert not (config.parent / "var").exists()


def test_jobs_list_shows_state_and_reason(
    config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    add_job(config, write_ct_series(np.zeros((3, 8, 8))))

    assert run("jobs", "list", "--config", config) == 0

    out = capsys.readouterr().out
    assert "refused" in out
    assert "The series has 3 slices. Send more." in out


def test_jobs_list_as_json(config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    add_job(config, write_ct_series(np.zeros((3, 8, 8))))

    run("jobs", "list", "--json", "--config", config)

    (job,) = json.loads(capsys.readouterr().out)
    assert (job["id"], job["state"], job["reason"]["code"]) == (1, "refused", "too_few_slices")


def test_jobs_show_names_the_series(config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    add_job(config, write_ct_series(np.zeros((3, 8, 8))))

    assert run("jobs", "show", 1, "--config", config) == 0

    told = capsys.readouterr().out
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        assert catalog.list_series()[0].series_instance_uid in told
    assert re.search(r"complete by +released", told)


def test_jobs_retry_puts_a_refused_job_back(
    config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    add_job(config, write_ct_series(np.zeros((3, 8, 8))))

    assert run("jobs", "retry", 1, "--config", config) == 0

    assert "job 1 is selecting" in capsys.readouterr().out


def test_jobs_cancel_of_an_ended_job_fails_with_the_reason(
    config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    add_job(config, write_ct_series(np.zeros((3, 8, 8))))

    assert run("jobs", "cancel", 1, "--config", config) == 1

    assert "Job 1 is refused and cannot be cancelled." in capsys.readouterr().err


def test_routes_test_says_which_routes_would_translate(
    config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    phantom = Phantom(7, matrix=(96, 96), slices=9, spacing_mm=(5.0, 4.0, 4.0), region="abdomen")
    folder = write_ct_series(phantom.hu("native", noise_seed=3), spacing_mm=(5.0, 4.0, 4.0))[0].parent
    (folder / "notes.txt").write_text("not DICOM")

    assert run("routes", "test", folder, "--json", "--config", config) == 0

    answer = json.loads(capsys.readouterr().out)
    assert [(one["route"], one["accepted"]) for one in answer["decisions"]] == [("CECT_ART", True), ("CECT_VEN", True)]
    assert answer["not_dicom"] == 1


def test_routes_test_says_why_not(config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_ct_series(np.full((2, 8, 8), 40.0))[0].parent

    assert run("routes", "test", folder, "--config", config) == 0

    assert "The series has 2 slices" in capsys.readouterr().out


def test_routes_test_tells_rule_by_rule_what_it_saw_and_where_it_stopped(
    config: Path, write_ct_series: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_ct_series(np.full((2, 8, 8), 40.0), SeriesDescription="made up")[0].parent

    assert run("routes", "test", folder, "--route", "CECT_VEN", "--json", "--config", config) == 0

    (answer,) = json.loads(capsys.readouterr().out)["decisions"]
    rules = {one["rule"]: one for one in answer["rules"]}
    assert (answer["route"], answer["code"]) == ("CECT_VEN", "too_few_slices")
    assert rules["select.description"]["seen"] == {"description": {"made up": 2}}
    assert [name for name, one in rules.items() if one["objects"]] == ["enough_slices"] == [list(rules)[-1]]
    assert answer["not_asked"][0] == "one_acquisition"

    assert run("routes", "test", folder, "--picture", tmp_path / "seen.png", "--config", config) == 0

    told = capsys.readouterr().out
    assert "refused (too_few_slices)" in told
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_routes_test_of_a_route_that_there_is_not_is_wrong_use(
    config: Path, write_ct_series: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_ct_series(np.zeros((2, 8, 8)))[0].parent

    assert run("routes", "test", folder, "--route", "CECT_VNE", "--config", config) == 2

    assert "did you mean 'CECT_VEN'" in capsys.readouterr().err


def test_routes_test_of_a_folder_without_dicom_fails(config: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert run("routes", "test", tmp_path / "empty", "--config", config) == 1


def test_echo_of_an_unknown_destination_names_the_known_ones(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("echo", "pax", "--config", config) == 2

    assert "pacs" in capsys.readouterr().err


def test_echo_of_a_dead_destination_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("echo", "X@127.0.0.1:1", "--config", config) == 1

    assert "could not be reached" in capsys.readouterr().err


def test_jobs_list_without_jobs_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        catalog.note_rejected_peer(
            called_ae="CECT_X",
            calling_ae="CT1",
            peer="10.0.0.9",
            reason=Problem("called_ae_unknown", "No."),
        )

    assert run("jobs", "list", "--config", config) == 0

    out = capsys.readouterr().out
    assert "There are no jobs." in out
    assert "CT1 at 10.0.0.9 calling CECT_X. No." in out


def test_check_beside_the_running_node_is_no_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()
        document = yaml.safe_load(config.read_text()) | {"web": {"port": web.getsockname()[1]}}
        document["node"] |= {"host": "127.0.0.1", "port": free_port()}
        package = str(write_tiny_package(config.parent / "tiny"))
        document["routes"] = {"CECT_ART": {"phase": "arterial", "model": package}}
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        assert run("check", "--offline", "--config", config) == 1
        assert "in use by another program" in " ".join(capsys.readouterr().out.split())

        lock = DataDirLock(config.parent / "var").acquire()
        assert run("check", "--offline", "--config", config) == 0
        lock.release()

    assert "in use by the running node" in capsys.readouterr().out


def test_missing_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--config", tmp_path / "absent.yaml") == 2

    assert "absent.yaml cannot be read: No such file or directory." in capsys.readouterr().err


def test_check_names_everything_that_is_wrong(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = yaml.safe_load(config.read_text())
    document["routes"] = {"CECT_ART": {"phase": "arterial", "model": "absent", "destinations": ["pacs"]}}
    document["destinations"] = {"pacs": {"ae_title": "X", "host": "127.0.0.1", "port": 1}}
    config.write_text(yaml.safe_dump(document))

    assert run("check", "--config", config) == 1

    out = capsys.readouterr().out
    assert "There is no model package 'absent'" in out
    assert "could not be reached" in out


def test_check_warns_of_routes_with_the_same_series_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = str(write_tiny_package(tmp_path / "tiny"))
    route = {"phase": "arterial", "model": package, "destinations": ["pacs"]}
    document = {
        "node": {"data_dir": str(tmp_path), "min_free_mib": 1, "host": "127.0.0.1", "port": free_port()},
        "web": {"port": free_port()},
        "routes": {"CECT_ART": route, "RESEARCH": route},
    }
    (tmp_path / "node.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    assert run("check", "--offline", "--config", tmp_path / "node.yaml") == 0

    assert "CECT_ART and RESEARCH give their derived series the same Series Number" in capsys.readouterr().out


def test_check_says_whether_a_model_knows_its_uncertainty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    told = with_spread(package, tmp_path / "told")
    found = []
    for model in (package, told):
        document = {
            "node": {"data_dir": str(tmp_path), "min_free_mib": 1, "host": "127.0.0.1", "port": free_port()},
            "web": {"port": free_port()},
            "routes": {"CECT_ART": {"phase": "arterial", "model": str(model), "uncertainty": True}},
        }
        (tmp_path / "node.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        found.append((run("check", "--offline", "--config", tmp_path / "node.yaml"), capsys.readouterr().out))

    (refused, why), (taken, known) = found
    assert (refused, taken) == (1, 0)
    assert "with a calibration" in " ".join(why.split())  # the table breaks longer words of it
    assert "knows its uncertainty" in known


def test_check_defaults_prints_the_whole_default_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--defaults") == 0

    assert yaml.safe_load(capsys.readouterr().out)["node"]["port"] == 11112


def test_models_verify_of_a_good_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = write_tiny_package(tmp_path / "tiny")

    assert run("models", "verify", package) == 0

    assert "checksums match" in capsys.readouterr().out


def test_models_verify_of_a_changed_package_fails(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    with (package / "model.safetensors").open("ab") as file:
        file.write(b"x")

    assert run("models", "verify", package) == 1
