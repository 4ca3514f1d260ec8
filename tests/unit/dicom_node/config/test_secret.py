"""Passwords in the configuration are shown nowhere, and outlive a change of what was shown."""

import json
from pathlib import Path

import pytest

from dicom_node.cli import main
from dicom_node.config import load_settings, parse_settings
from dicom_node.config.book import ConfigBook
from dicom_node.config.secret import with_passwords_of, without_passwords
from dicom_node.errors import ConfigError
from dicom_node.service.configuration import Configuration
from dicom_node.web.api_configuration import file_of

PASSWORD = "Pa55/wo:rd@x"  # noqa: S105
URL = f"postgresql+psycopg://s2ldm:{PASSWORD}@db.example:5432/s2ldm"
TEXT = f"# ours\nnode:\n  database: {URL}\n  ae_title: OURS\n"
SHOWN = "postgresql+psycopg://s2ldm:***@db.example:5432/s2ldm"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("S2LDM_NODE__DATA_DIR", str(tmp_path / "var"))
    return path


@pytest.fixture
def book(path: Path) -> ConfigBook:
    return ConfigBook.of(path, load_settings(path))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TEXT, TEXT.replace(URL, SHOWN)),
        (
            '{node: {database: "postgresql+psycopg://u:a b@h/d"}}',
            '{node: {database: "postgresql+psycopg://u:a b@h/d"}}',
        ),
        ("url: https://user:secret@host/path", "url: https://user:***@host/path"),
        ("x: postgresql+psycopg://u@h/d?password=secret&x=1", "x: postgresql+psycopg://u@h/d?password=***&x=1"),
        ("x: https://host:8042/dicom-web", "x: https://host:8042/dicom-web"),
        ("mail: to someone@host", "mail: to someone@host"),
    ],
)
def test_passwords_of_addresses_are_hidden_and_come_back(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
    assert with_passwords_of(shown, text) == text


def test_placeholder_without_a_password_before_is_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        with_passwords_of(SHOWN, "node: {}")
    assert raised.value.code == "password_hidden"


def test_what_was_shown_and_changed_keeps_its_password(book: ConfigBook, path: Path) -> None:
    book.write(book.shown().replace("OURS", "THEIRS"), who="anna")

    assert path.read_text() == TEXT.replace("OURS", "THEIRS")
    first, second = book.versions.newest()[::-1]
    assert PASSWORD not in second.difference(first)
    assert PASSWORD not in second.difference(None)
    book.roll_back(1, who="anna")
    assert path.read_text() == TEXT


def test_settings_show_no_password_as_values_or_text() -> None:
    settings = parse_settings({"node": {"database": URL}})

    assert settings.node.database == URL
    assert PASSWORD not in settings.model_dump_json() + repr(settings) + str(settings)


@pytest.mark.parametrize(
    "command",
    [
        ("show",),
        ("show", "--resolved"),
        ("show", "--json"),
        ("history", "--version", "1"),
        ("history", "--version", "1", "--json"),
        ("history", "--json"),
    ],
)
def test_commands_print_no_password(
    book: ConfigBook, path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    book.note()
    with pytest.raises(SystemExit) as ended:
        main(("config", *command, "--config", str(path)))

    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert PASSWORD not in printed
    assert SHOWN in printed or command == ("history", "--json")


def test_interface_shows_no_password(book: ConfigBook, path: Path) -> None:
    answer = file_of(book, Configuration(load_settings(path), path))

    assert answer.text == TEXT.replace(URL, SHOWN)
    assert PASSWORD not in json.dumps(answer.model_dump(mode="json"))


@pytest.mark.parametrize(
    "text", [TEXT + "  x: [\n", TEXT.replace("  ae_title", " ae_title"), TEXT.replace(URL, f"{URL} x")]
)
def test_mistakes_are_named_without_a_password(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_settings(path)
    assert PASSWORD not in raised.value.sentence
