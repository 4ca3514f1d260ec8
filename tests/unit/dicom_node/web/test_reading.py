"""Pages that everybody can read: contrasts (WCAG 2.2, 1.4.3), headings in order, a name for every field."""

import re
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise

import pytest

from s2ldm_core.problem import Problem
from tests.unit.dicom_node.web.conftest import Console
from tests.unit.dicom_node.web.test_access import addressed
from tests.unit.dicom_node.web.test_hostile import BROWSER, SHOWN

_CSS = (resources.files("dicom_node.web") / "static" / "console.css").read_text(encoding="utf-8")
_FIELDS = {"input", "select", "textarea", "progress"}


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` or ``#rgb``, as WCAG defines it."""
    digits = colour.lstrip("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [r"^:root\{([^}]*)\}", r"dark\)\{:root\{([^}]*)\}"])
def test_every_text_stands_out_from_every_ground(theme: str) -> None:
    (found,) = re.findall(theme, _CSS, re.MULTILINE)
    colours = dict(one.removeprefix("--").split(":") for one in found.split(";"))

    for text in ("ink", "mute", "good", "bad", "busy", "link"):
        for ground in ("paper", "soft", "field", "more", "less"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


class Outline(HTMLParser):
    """Headings, and fields and buttons without a name."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.nameless: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[tuple[str, dict[str, str | None]]] = []
        self._labels = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "label":
            self._labels += 1
            self.labelled.add(given.get("for") or "")
        if tag in _FIELDS and given.get("type") != "hidden" and "aria-label" not in given and not self._labels:
            self.fields.append((tag, given))
        if (tag == "img" and not given.get("alt")) or (tag == "th" and not given.get("scope")):
            self.nameless.append(f"{tag} {given}")

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._labels -= 1


def test_every_page_has_its_headings_in_order_and_a_name_for_every_field(sight: Console) -> None:
    sight.catalog.note_rejected_peer(calling_ae="A", called_ae="B", peer="h", reason=Problem("peer_not_allowed", "No."))
    read = 0
    for path in (*SHOWN, "/routes/CECT_ART", "/destinations/pacs"):
        answer = sight.client.get(addressed(path), headers=BROWSER)
        if not answer.headers["content-type"].startswith("text/html") or path.startswith("/parts/"):
            continue
        page = Outline()
        page.feed(answer.text)
        assert page.headings[0] == 1, path
        assert page.headings.count(1) == 1, path
        assert all(after - before <= 1 for before, after in pairwise(page.headings)), path
        unnamed = [one for one in page.fields if one[1].get("id") not in page.labelled]
        assert unnamed + page.nameless == [], path
        read += 1
    assert read > 12
