"""The page of a reader study in a real Chromium: look, answer, go on, come back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.tiny_training import write_pair
from tests.unit.train.readers.test_study import made, served
from train.readers.study import read_answers

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_pair(tmp_path / "store", 0, split="test")
    made(tmp_path / "store", tmp_path / "readers", design="pair", readers=1)
    return tmp_path / "readers" / "study"


@pytest.fixture
def page(study: Path) -> Iterator[Page]:
    if not Path(CHROMIUM).exists():
        pytest.skip("Debian's chromium is not installed")
    with served(study) as address, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        opened = browser.new_context(base_url=address).new_page()
        complaints: list[str] = []
        opened.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        yield opened
        browser.close()
        # What the Content-Security-Policy blocks, and what a script does wrong, is said there.
        assert [one for one in complaints if "favicon" not in one and "404" not in one] == []


def test_a_reader_scrolls_answers_goes_on_and_finds_the_answer_again(page: Page, study: Path) -> None:
    from train.readers.study import read_study

    reader = read_study(study).readers[0]
    page.goto(f"/{reader.code}/")
    expect(page.locator("#progress")).to_have_text("Item 1 of 2; 0 answered")
    expect(page.locator("canvas")).to_have_count(2)
    before = page.locator("canvas").first.evaluate("c => c.toDataURL()")
    where = page.locator("#where")
    expect(where).to_have_text("7 of 12")
    page.locator("#panes").hover()
    page.mouse.wheel(0, 100)
    expect(where).to_have_text("8 of 12")
    page.get_by_label("Window").select_option("100,200")
    expect(page.locator("canvas")).to_have_count(2)
    page.wait_for_function("before => document.querySelector('canvas').toDataURL() !== before", arg=before)
    page.get_by_label("left", exact=True).check()
    for name, grade in (("realism-0", 4), ("realism-1", 2), ("confidence", 5)):
        page.locator(f"input[name={name}][value='{grade}']").check()
    page.get_by_label("Findings").fill("edges")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator("#progress")).to_have_text("Item 2 of 2; 1 answered")
    expect(page.get_by_label("left", exact=True)).not_to_be_checked()
    page.reload()
    expect(page.locator("#progress")).to_have_text("Item 2 of 2; 1 answered")
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("left", exact=True)).to_be_checked()
    expect(page.get_by_label("Findings")).to_have_value("edges")
    kept = read_answers(study / "answers" / "reader-1.json").answers[reader.order[0]]
    assert (kept.realism, kept.choice, kept.confidence, kept.findings) == ((4, 2), "left", 5, "edges")
    if "S2LDM_SCREENS" in os.environ:
        page.screenshot(path=Path(os.environ["S2LDM_SCREENS"]) / "reading.png")
