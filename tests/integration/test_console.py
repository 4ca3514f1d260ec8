"""The console in a real Chromium: what an administrator does on the pages, without a mouse where it matters."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from dicom_node.catalog import JobState
from dicom_node.people.accounts import Accounts
from dicom_node.people.roles import Role
from dicom_node.web.server import WebServer
from tests.tiny_model import write_tiny_package
from tests.unit.dicom_node.web.conftest import Console, console
from tests.unit.s2ldm_core.test_package_archive import zipped

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["console"]


PASSWORD = "four unrelated words"  # noqa: S105
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def page(console: Console) -> Iterator["Page"]:
    if not Path(CHROMIUM).exists():
        pytest.skip("Debian's chromium is not installed")
    server = WebServer(console.client.app, host="127.0.0.1", port=0)
    server.start()
    try:
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            opened = browser.new_context(base_url=f"http://127.0.0.1:{server.port}").new_page()
            complaints: list[str] = []
            opened.on(
                "console",
                lambda message: (
                    message.type == "error" and complaints.append(f"{message.text} {message.location.get('url', '')}")
                ),
            )
            yield opened
            browser.close()
            # What the Content-Security-Policy blocks, and what a script does wrong, is said there.
            assert [one for one in complaints if "422" not in one and "403" not in one] == []
    finally:
        server.stop()


def test_first_page_shows_a_change_within_three_seconds_and_leaves_the_keyboard_where_it_was(
    page: "Page", console: Console
) -> None:
    page.goto("/")
    link = page.get_by_role("link", name=str(console.job), exact=True)
    link.focus()
    console.catalog.cancel_job(console.job, who="anna")

    expect(page.get_by_text("Cancelled by the administrator.")).to_be_visible(
        timeout=3500
    )  # 3 s, and the browser's own
    expect(link).to_be_focused()


def test_slider_goes_through_the_slices_of_the_source(page: "Page", console: Console) -> None:
    page.goto(f"/series/{console.series}")
    expect(page.get_by_text("3 of 5")).to_be_visible()

    slider = page.get_by_label("Slice")
    slider.focus()
    with page.expect_response(lambda answer: "of=source" in answer.url and "index=3" in answer.url) as shown:
        slider.press("ArrowRight")

    expect(page.get_by_text("4 of 5")).to_be_visible()
    expected = np.rint(np.clip((console.source[::-1][3] - 40) / 400 + 0.5, 0, 1) * 255)
    assert np.array_equal(np.asarray(Image.open(BytesIO(shown.value.body()))), expected)
    for of in ("source", "derived", "change"):
        drawn = page.locator(f"img[data-of={of}]")
        expect(drawn).to_have_js_property("naturalWidth", 6)


def test_phase_of_a_route_is_changed_looked_at_saved_and_rolled_back(page: "Page", console: Console) -> None:
    page.goto("/routes")
    page.get_by_role("link", name="CECT_ART").click()
    page.get_by_label("phase").fill("venous")
    page.get_by_role("button", name="See what would change").click()
    expect(page.locator(".difference .more").last).to_contain_text("phase: venous")
    assert console.configuration.current.routes["CECT_ART"].phase == "arterial"

    page.get_by_label("Why, for the history").fill("as the liver board asked")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Routes")).to_be_visible()
    assert console.configuration.current.routes["CECT_ART"].phase == "venous"

    page.goto("/settings")
    expect(page.get_by_text("as the liver board asked")).to_be_visible()
    page.get_by_role("button", name="Back to version 1").click()
    expect(page.get_by_text("Version 3", exact=True)).to_be_visible()
    assert console.configuration.current.routes["CECT_ART"].phase == "arterial"


def test_bad_edit_of_the_file_is_refused_with_its_line(page: "Page", console: Console) -> None:
    page.goto("/settings")
    text = page.get_by_label("The configuration file")
    text.fill(text.input_value().replace("phase:", "phse:"))
    page.get_by_role("button", name="See what would change").click()

    expect(page.get_by_role("alert")).to_contain_text("line 5: unknown key routes.CECT_ART.phse")
    assert "phse" not in console.path.read_text()


def test_job_is_cancelled_and_retried_by_its_buttons(page: "Page", console: Console) -> None:
    page.goto(f"/series/{console.series}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled by the administrator.").first).to_be_visible()
    # A retry takes the derived series away from under pictures that are still on their way.
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Retry").click()

    expect(page.locator(".card").get_by_text("selecting")).to_be_visible()
    assert console.catalog.get_job(console.job).state is JobState.SELECTING


def test_destination_is_checked_on_the_page_itself(page: "Page") -> None:
    page.goto("/destinations")
    page.get_by_role("button", name="Check pacs").click()

    expect(page.locator(".checked").first).not_to_be_empty()
    assert page.url.endswith("/destinations")


def test_people_log_in_and_find_what_their_role_may_do(page: "Page", console: Console) -> None:
    page.goto("/users")
    page.get_by_label("Name").first.fill("anna")
    page.get_by_label("Password, at least 12 characters").fill(PASSWORD)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    Accounts(console.catalog).add("vera", PASSWORD, role=Role.VIEWER, who="anna")

    for name, link in (("vera", 0), ("anna", 1)):
        page.goto(f"/series/{console.series}")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_text("3 of 5")).to_be_visible()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(link)
        expect(page.get_by_role("link", name="Users")).to_have_count(link)
        page.goto("/settings")
        expect(page.get_by_role("heading", name="Settings" if link else "Not done")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_model_package_is_added_on_the_page(page: "Page", tmp_path: Path) -> None:
    page.goto("/models")
    field = page.get_by_label("Zip file of a package")
    field.set_input_files(files=[{"name": "x.zip", "mimeType": "application/zip", "buffer": b"no zip"}])
    page.get_by_role("button", name="Add").click()
    expect(page.locator("form output")).to_contain_text("It is no zip file")

    field.set_input_files(zipped(write_tiny_package(tmp_path / "tiny")))
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="tiny 0.0.1")).to_be_visible()
    page.get_by_role("button", name="Remove tiny-0.0.1").click()
    expect(page.get_by_role("heading", name="tiny 0.0.1")).to_have_count(0)


def test_no_page_is_wider_than_a_phone(page: "Page", console: Console) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for path in (
        "/",
        "/series",
        f"/series/{console.series}",
        "/routes",
        "/routes/CECT_ART",
        "/destinations",
        "/settings",
        "/models",
        "/users",
        "/login",
        "/docs",
    ):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
