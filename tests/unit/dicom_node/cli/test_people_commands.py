"""``users`` and ``tokens``: also before a node has run, and without a password among the arguments."""

import io
import json
from pathlib import Path

import pytest
import yaml

from dicom_node.catalog import Catalog
from dicom_node.cli import main
from dicom_node.people.accounts import Accounts
from dicom_node.people.roles import Role

PASSWORD = "four unrelated words"  # noqa: S105


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(yaml.safe_dump({"node": {"data_dir": str(tmp_path / "var")}}), encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code)


def test_user_is_added_on_a_new_machine_changed_and_removed(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def add(name: str, *more: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
        return run("users", "add", name, "--password-stdin", "--config", config, *more)

    assert add("vera", "--role", "viewer") == 1
    assert "first_user" in capsys.readouterr().err
    assert add("Anna") == 0
    assert capsys.readouterr().out == "anna is an administrator.\n"
    assert add("vera") == 0
    assert run("users", "change", "vera", "--role", "operator", "--config", config) == 0
    capsys.readouterr()
    assert run("users", "list", "--json", "--config", config) == 0
    assert {one["name"]: one["role"] for one in json.loads(capsys.readouterr().out)} == {
        "anna": "administrator",
        "vera": "operator",
    }
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        assert Accounts(catalog).log_in("vera", PASSWORD, address="")[1].role is Role.OPERATOR
    assert run("users", "remove", "vera", "--config", config) == 0
    assert run("users", "remove", "anna", "--config", config) == 1
    assert "last_administrator" in capsys.readouterr().err


def test_token_is_printed_once_and_can_be_revoked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tokens", "create", "board", "--role", "operator", "--config", config) == 0
    token = capsys.readouterr().out.strip()
    with Catalog(config.parent / "var" / "catalog.sqlite") as catalog:
        assert Accounts(catalog).of_token(token).role is Role.OPERATOR

    assert run("tokens", "list", "--config", config) == 0
    assert token not in capsys.readouterr().out
    assert run("tokens", "revoke", "board", "--config", config) == 0
    assert run("tokens", "revoke", "board", "--config", config) == 1
