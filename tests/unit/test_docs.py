"""The documents: every link leads somewhere, and the site that ``make docs`` makes of them holds them all."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "s2ldm_core" / "packages").rglob("*.md")]
)
#: Tables that are made, and shown by the page beside them; a package's card.
NO_PAGES = re.compile(r"docs/results/\w+/table\.md|s2ldm_core/.*")


def anchors(document: Path) -> set[str]:
    """What headings are called in addresses."""
    titles = re.findall(r"^#+ +(.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target, anchor in _LINK.findall(document.read_text(encoding="utf-8")):
        there = (document.parent / target) if target else document
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_site_has_every_document() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]

    wanted = {str(one.relative_to(ROOT)) for one in DOCUMENTS}
    assert set(pages(project["nav"])) == {name for name in wanted if not NO_PAGES.fullmatch(name)}


def pages(entry: Any) -> Iterator[str]:
    """The documents of a part of the navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for one in entry.values() if isinstance(entry, dict) else entry:
            yield from pages(one)


@pytest.mark.parametrize("name", ["security.md", "reliability.md"])
def test_tests_that_are_named_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")

    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", text)
    assert len(named) > 20
    assert [one for one in named if not (ROOT / one).exists()] == []
