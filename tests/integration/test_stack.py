"""The stack of `make stack`: Orthanc routes by itself, and OHIF shows the derived series beside its source.

Archive and viewer are others' programs: Debian's Orthanc, and the OHIF that npm has, in Debian's Chromium, which draws by
software. Not covered here: how well the model synthesises.
"""

import base64
import json
import os
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from dicom_node.demo.stack.ohif import OHIF_VERSION, fetched_ohif
from dicom_node.demo.stack.places import BUILD
from dicom_node.demo.stack.run import Stack, missing_packages, running_stack
from dicom_node.demo.stack.settings import Ports
from dicom_node.derive.mark import place_of
from tests.peers import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.orthanc, pytest.mark.timeout(600)]

CHROMIUM = Path("/usr/bin/chromium")
SWIFTSHADER = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
PHASES = ("arterial", "venous")
#: Column, row and value of what OHIF's probe writes.
PROBE = r"\((\d+), (\d+), \d+\)\s*(-?[\d.]+) HU"
TRANSLATION_SECONDS = 240.0
SHOWN_SECONDS = 60.0
#: Each pane of OHIF: the series, its slice and window, and where the pane is on the page.
PANES = """() => {
  const {viewportGridService, displaySetService, cornerstoneViewportService} = services;
  return [...viewportGridService.getState().viewports.values()].map(one => {
    const pane = cornerstoneViewportService.getCornerstoneViewport(one.viewportId);
    // A pane that cuts a volume has an image only where it cuts along one.
    const volume = pane && pane.type === 'orthographic' && pane.getAllVolumeIds().length > 0;
    const image = pane && pane.getCurrentImageId && pane.getCurrentImageId();
    if (!image && !volume) return null;
    const box = pane.element.getBoundingClientRect();
    const window = pane.getProperties().voiRange;
    return {
      series: one.displaySetInstanceUIDs.map(uid => displaySetService.getDisplaySetByUID(uid).SeriesDescription)[0],
      kind: pane.type,
      place: image ? cornerstone.metaData.get('imagePlaneModule', image).imagePositionPatient : null,
      window: [window.lower, window.upper],
      box: [box.x, box.y, box.width, box.height],
    };
  });
}"""
DISPLAY_SETS = """() => services.displaySetService.getActiveDisplaySets().map(one => ({
  description: one.SeriesDescription,
  images: one.numImageFrames,
  volume: one.isReconstructable,
  warnings: (one.messages && one.messages.messages || []).map(message => message.id),
}))"""
#: What a pane has drawn, without OHIF's own writing over it, and where voxels of its slice are in that.
DRAWN = """([index, points]) => {
  const id = [...services.viewportGridService.getState().viewports.keys()][index];
  const pane = services.cornerstoneViewportService.getCornerstoneViewport(id);
  const ratio = window.devicePixelRatio || 1;
  return [pane.canvas.toDataURL('image/png'), points.map(point => pane.worldToCanvas(point).map(at => at * ratio))];
}"""


@dataclass(frozen=True, kw_only=True)
class Pane:
    """What OHIF drew of one slice, at the centres of its voxels."""

    grey: np.ndarray  # (H, W), 0 to 255; NaN where a voxel lies outside the pane
    window: tuple[float, float]

    @property
    def hu(self) -> np.ndarray:
        """(H, W) HU as drawn; NaN where the window has cut them off."""
        low, high = self.window
        grey = np.where((self.grey > 1) & (self.grey < 254), self.grey, np.nan)
        return low + grey / 255 * (high - low)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    viewer = fetched_ohif(BUILD)
    if viewer is None:
        pytest.skip(f"OHIF {OHIF_VERSION} is not in build/: make viewer")
    if missing_packages():
        pytest.skip(f"Debian packages are missing: {' '.join(missing_packages())}")
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    logs = tmp_path_factory.mktemp("stack")
    with running_stack(viewer, ports=Ports.free(), logs=logs, stable_seconds=1) as running:
        yield running


@pytest.fixture
def page(stack: Stack) -> Iterator["Page"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        arguments = [*SWIFTSHADER, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        opened = browser.new_page(viewport={"width": 1400, "height": 800})
        errors: list[str] = []
        elsewhere: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("request", lambda one: one.url.startswith("http") and elsewhere.append(one.url))
        yield opened
        browser.close()
        assert errors == []
        assert [url for url in elsewhere if not url.startswith(stack.viewer)] == []


def archived(stack: Stack, path: str) -> Any:
    return json.loads(fetched(stack, path))


def fetched(stack: Stack, path: str) -> bytes:
    with urllib.request.urlopen(f"{stack.archive}{path}", timeout=30) as answer:  # noqa: S310 (http to 127.0.0.1)
        content: bytes = answer.read()
    return content


def route_and_translate(stack: Stack, source: Path) -> dict[str, dict[str, Any]]:
    """Store a series in the archive alone; the archive's series by description, when both phases are back and looked at."""
    assert stack.store(sorted(source.iterdir())) == 12

    def back() -> list[dict[str, Any]]:
        stack.check()
        log = (stack.state / "orthanc.log").read_text(errors="replace")
        return archived(stack, "/series?expand") if log.count("is not sent: it came from the node") == 2 else []

    series = wait_until(back, seconds=TRANSLATION_SECONDS, what="both phases to come back and not to be sent again")
    return {one["MainDicomTags"]["SeriesDescription"]: one for one in series}


def check_sent_once(stack: Stack, series: dict[str, dict[str, Any]]) -> None:
    """The source went to each route once, and nothing that came from the node went back."""
    log = (stack.state / "orthanc.log").read_text(errors="replace")
    assert log.count("synthesis routing: sent") == 2
    assert [job["state"] for job in stack.jobs()] == ["done", "done"]
    assert {job["route"] for job in stack.jobs()} == {"CECT_ART", "CECT_VEN"}
    for description, one in series.items():
        noted = "SentForSynthesis" in archived(stack, f"/series/{one['ID']}/metadata")
        assert noted == (description == "PHANTOM NATIVE"), description


def images(stack: Stack, series: dict[str, Any]) -> dict[float, Dataset]:
    """The images of a series in the archive, by their place along the body."""
    found: dict[float, Dataset] = {}
    for identifier in series["Instances"]:
        one = dcmread(BytesIO(fetched(stack, f"/instances/{identifier}/file")))
        found[float(one.ImagePositionPatient[2])] = one
    return found


def hu(image: Dataset) -> np.ndarray:
    return image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)


def open_study(page: "Page", stack: Stack, study_uid: str) -> None:
    page.goto(stack.study(study_uid))
    page.get_by_text("Skip all").click(timeout=SHOWN_SECONDS * 1000)
    page.get_by_text("Confirm and hide").click()
    wait_until(lambda: len(settled(page, 3)) == 3, seconds=SHOWN_SECONDS, what="three panes with a picture")


def settled(page: "Page", panes: int) -> list[dict[str, Any]]:
    """The panes, when there are so many and each shows an image."""
    found = page.evaluate(PANES)
    return found if len(found) == panes and all(found) else []


def in_planes(page: "Page") -> list[dict[str, Any]]:
    """The panes, once each cuts the volume; loading, a volume's pane has no image."""
    found = settled(page, 3)
    return found if found and all(one["kind"] == "orthographic" for one in found) else []


def grey_of(picture: str) -> np.ndarray:
    """(H, W) grey values of a canvas' data URL."""
    return np.asarray(Image.open(BytesIO(base64.b64decode(picture.split(",")[1]))).convert("L"), dtype=np.float32)


def drawn(page: "Page", index: int, image: Dataset, window: tuple[float, float]) -> Pane:
    """Pane ``index`` at the centre of each voxel of ``image``."""
    rows, columns = np.mgrid[: image.Rows, : image.Columns]
    x, y, z = map(float, image.ImagePositionPatient)
    dy, dx = map(float, image.PixelSpacing)
    points = np.stack([x + columns * dx, y + rows * dy, np.full(rows.shape, z)], axis=-1).reshape(-1, 3)
    picture, places = page.evaluate(DRAWN, [index, points.tolist()])
    grey = grey_of(picture)
    at = np.floor(np.array(places)).astype(int)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < grey.shape[1]) & (at[:, 1] < grey.shape[0])
    values = np.full(len(at), np.nan, dtype=np.float32)
    values[inside] = grey[at[inside, 1], at[inside, 0]]
    return Pane(grey=values.reshape(rows.shape), window=window)


def check_pixels(pane: Pane, image: Dataset) -> None:
    """The pane shows the image's HU through its window."""
    low, high = pane.window
    expected = np.clip((hu(image) - low) / (high - low), 0, 1) * 255
    seen = np.isfinite(pane.grey)
    assert seen.mean() > 0.8
    assert np.nanstd(pane.grey) > 20
    # A voxel's centre falls anywhere in a pixel of the screen, so at edges neighbours are mixed in.
    assert np.median(np.abs(pane.grey - expected)[seen]) <= 2
    assert np.corrcoef(pane.grey[seen], expected[seen])[0, 1] > 0.97


def test_series_stored_in_the_archive_comes_back_beside_its_source_in_the_viewer(
    stack: Stack, page: "Page", phantom_series: Path
) -> None:
    series = route_and_translate(stack, phantom_series)
    check_sent_once(stack, series)
    source = images(stack, series.pop("PHANTOM NATIVE"))
    derived = {phase: images(stack, one) for phase in PHASES for name, one in series.items() if phase in name}
    first = next(iter(source.values()))
    open_study(page, stack, str(first.StudyInstanceUID))

    # A volume each, named as what it is, without a warning.
    sets = {one.pop("description"): one for one in page.evaluate(DISPLAY_SETS)}
    assert list(sets.values()) == [{"images": 12, "volume": True, "warnings": []}] * 3
    model = str(next(iter(derived["arterial"].values())).ManufacturerModelName)
    assert set(sets) == {"PHANTOM NATIVE", *series}
    assert sorted(series) == [f"SYNTHETIC {phase} ({name})" for phase, name in zip(PHASES, [model] * 2, strict=True)]

    # Side by side; the wheel over the source moves all.
    panes = settled(page, 3)
    assert [one["series"] for one in panes] == ["PHANTOM NATIVE", *sorted(series)]
    x, y, width, height = panes[0]["box"]
    page.mouse.move(x + width / 2, y + height / 2)
    before = panes[0]["place"]
    for _ in range(4):
        page.mouse.wheel(0, 100)

    def together() -> list[dict[str, Any]]:
        found = settled(page, 3)
        same = len({tuple(one["place"]) for one in found}) == 1
        return found if found and same and found[0]["place"] != before else []

    panes = wait_until(together, seconds=SHOWN_SECONDS, what="all panes to show the slice that was scrolled to")
    place = min(source, key=lambda one: abs(one - panes[0]["place"][2]))
    assert place == pytest.approx(panes[0]["place"][2], abs=1e-3)

    # The source's window, with room above for what enhances.
    windows = [tuple(one["window"]) for one in panes]
    assert [low for low, _ in windows] == [-160.0] * 3
    assert windows[0][1] < windows[2][1] < windows[1][1] <= windows[0][1] + 140

    shown = [source[place], derived["arterial"][place], derived["venous"][place]]
    drawings = [drawn(page, index, image, windows[index]) for index, image in enumerate(shown)]
    for pane, image in zip(drawings, shown, strict=True):
        check_pixels(pane, image)
    for pane, image in zip(drawings[1:], shown[1:], strict=True):
        box = place_of(image.DerivationDescription)
        assert (pane.grey[box] > 200).mean() > 0.1
        assert not (drawings[0].grey[box] > 200).any()
        change, seen = hu(image) - hu(shown[0]), pane.hu - drawings[0].hu
        change[box] = np.nan
        assert np.nanmedian(np.abs(seen[np.abs(change) < 2])) <= 4
        assert np.nanmedian(seen[change > 60]) > 50

    # The volume cut in three planes.
    x, y, width, height = panes[1]["box"]
    page.mouse.click(x + width / 2, y + height - 60)
    page.locator("[data-cy=Layout]").click()
    page.locator("[data-cy=MPR]").click()
    planes = wait_until(lambda: in_planes(page), seconds=SHOWN_SECONDS, what="three planes of the derived volume")
    assert {one["series"] for one in planes} == {panes[1]["series"]}
    assert {tuple(one["window"]) for one in planes} == {windows[1]}
    for index in range(3):
        picture, _ = page.evaluate(DRAWN, [index, []])
        assert grey_of(picture).std() > 15

    # The probe says HU, the archive's. (In a pane that is no volume, OHIF 3.13.2 says them on the first image alone.)
    page.locator("[data-cy=MoreTools-split-button-secondary]").click()
    page.locator("[data-cy=Probe]").click()
    x, y, width, height = planes[0]["box"]
    page.mouse.click(x + width / 2, y + height / 2)
    said = page.locator("svg text", has_text="HU").first
    said.wait_for(timeout=SHOWN_SECONDS * 1000)
    column, row, value = (float(one) for one in re.match(PROBE, said.text_content()).groups())
    cut = min(derived["arterial"], key=lambda one: abs(one - planes[0]["place"][2]))
    assert value == hu(derived["arterial"][cut])[int(row), int(column)]
