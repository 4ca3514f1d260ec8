"""The configuration file with its history."""

import stat
from pathlib import Path

import pytest

from dicom_node.config.book import BY_HAND, ConfigBook
from dicom_node.config.versions import digest_of
from dicom_node.errors import ConfigError

TEXT = "# ours\nroutes:\n  A:\n    phase: arterial # why\n"
VENOUS = {("routes", "A", "phase"): "venous"}


@pytest.fixture
def book(tmp_path: Path) -> ConfigBook:
    path = tmp_path / "node.yaml"
    path.write_text(TEXT, encoding="utf-8")
    path.chmod(0o640)
    return ConfigBook(path, tmp_path / "var" / "config", environ={})


def test_change_is_kept_with_who_why_and_what_was_before(book: ConfigBook) -> None:
    version = book.set(VENOUS, who="anna", comment="liver board")

    first, second = book.versions.newest()[::-1]
    assert (first.text, first.who) == (TEXT, BY_HAND)
    assert (second, second.who, second.comment) == (version, "anna", "liver board")
    assert book.text() == second.text == TEXT.replace("arterial #", "venous   #")
    assert "-    phase: arterial # why\n+    phase: venous   # why" in second.difference(first)


def test_roll_back_puts_the_very_text_back_as_a_new_version(book: ConfigBook) -> None:
    book.set(VENOUS, who="anna")

    version = book.roll_back(1, who="ben")

    assert (version.number, version.who, version.comment) == (3, "ben", "back to version 1")
    assert book.text() == TEXT


def test_bad_text_changes_nothing_and_names_its_line(book: ConfigBook) -> None:
    with pytest.raises(ConfigError, match=r"line 2: unknown key routes.A.phse \(did you mean 'phase'\?\)"):
        book.write("routes:\n  A: {phse: venous}\n", who="anna")

    assert book.text() == TEXT
    assert book.versions.numbers() == []


def test_change_of_what_somebody_else_has_changed_is_refused(book: ConfigBook) -> None:
    seen = digest_of(book.text())
    book.set(VENOUS, who="anna")

    with pytest.raises(ConfigError, match="config_conflict"):
        book.set({("routes", "A", "seed"): 1}, who="ben", seen=seen)


def test_edit_by_hand_is_a_version_once(book: ConfigBook) -> None:
    book.note()
    book.path.write_text(TEXT + "# more\n", encoding="utf-8")

    assert [book.note().number, book.note().number] == [2, 2]


def test_versions_are_for_the_node_alone_and_the_file_keeps_its_mode(book: ConfigBook) -> None:
    book.set(VENOUS, who="anna")

    kept = [stat.S_IMODE(path.stat().st_mode) for path in (book.path.parent / "var" / "config").glob("*.json")]
    assert kept == [0o600, 0o600]
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o640


def test_link_to_the_file_stays_a_link(book: ConfigBook, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(book.path)

    ConfigBook(link, tmp_path / "var" / "config", environ={}).set(VENOUS, who="anna")

    assert link.is_symlink()
    assert "venous" in book.text()


def test_unknown_version_is_refused(book: ConfigBook) -> None:
    with pytest.raises(ConfigError, match="config_version_unknown"):
        book.roll_back(7, who="anna")
