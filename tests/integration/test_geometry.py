"""Tilted, uneven and multi-frame series through the node into a real Orthanc: back on their own slices.

With an untrained model: where the change comes back to, not whether it is right.
"""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.derive.mark import place_of
from s2ldm_core.phantom import Phantom
from s2ldm_core.phantom.dicom import write_series
from tests import peers
from tests.enhanced_ct import enhanced_ct
from tests.peers import destination
from tests.tiny_model import write_tiny_package

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]

SECONDS = 240.0
NodeStarter = Callable[..., peers.Peer]
#: Of a place along the stack: where its first pixel lies (LPS mm), tilted by 17 degrees.
TILT = 0.3


def _settings(orthanc: peers.Peer, package: str) -> dict[str, Any]:
    route = {"phase": "arterial", "model": package, "destinations": ["pacs"], "anatomy": "any"}
    return {
        "series": {"quiet_seconds": 1.0},
        "routes": {"RESAMPLE": {**route, "tilt": "resample", "irregular": "resample"}, "PLAIN": route},
        "destinations": {"pacs": {**destination(orthanc), "retry_seconds": 0.5, "retry_max_seconds": 2.0}},
    }


def _end(node: peers.Peer, route: str) -> dict[str, Any]:
    """The route's one job, once it has come to an end."""

    def look() -> dict[str, Any] | None:
        items = [one for one in node.get_json("/api/jobs?limit=10")["items"] if one["route"] == route]
        return items[0] if items and items[0]["state"] in ("done", "refused", "failed") else None

    job: dict[str, Any] = peers.wait_until(look, seconds=SECONDS, what="the job to end")
    return job


def _held(orthanc: peers.Peer) -> list[Dataset]:
    return [dcmread(BytesIO(orthanc.get(f"/instances/{uid}/file"))) for uid in orthanc.get_json("/instances")]


def _slices(path: Path) -> Iterator[tuple[tuple[str, int | None], list[float], np.ndarray]]:
    """SOP Instance UID and frame, position and HU of each slice of a file; read here by hand, not by the code under test."""
    image = dcmread(path)
    if "PerFrameFunctionalGroupsSequence" not in image:
        yield (image.SOPInstanceUID, None), list(image.ImagePositionPatient), _hu(image, image.pixel_array)
        return
    for index, groups in enumerate(image.PerFrameFunctionalGroupsSequence):
        rescale = groups.PixelValueTransformationSequence[0]
        position = list(groups.PlanePositionSequence[0].ImagePositionPatient)
        yield (image.SOPInstanceUID, index + 1), position, _hu(rescale, image.pixel_array[index])


def _hu(rescale: Dataset, stored: np.ndarray) -> np.ndarray:
    hu: np.ndarray = stored * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
    return hu


def _hold(source: Path, derived: list[Dataset]) -> None:
    """One derived image for each source slice, at its place, with its HU of air and bone but for the mark's box."""
    sources = {key: rest for path in source.iterdir() for key, *rest in _slices(path)}
    assert len(derived) == len(sources)
    changed = 0.0
    for one in derived:
        (reference,) = one.SourceImageSequence
        frame = reference.get("ReferencedFrameNumber")
        position, hu = sources.pop((reference.ReferencedSOPInstanceUID, None if frame is None else int(frame)))
        assert list(one.ImagePositionPatient) == position
        free: np.ndarray = np.full(hu.shape, True)
        if (box := place_of(one.DerivationDescription)) is not None:
            free[box] = False
        free &= hu > -1100  # padding
        change = _hu(one, one.pixel_array) - hu
        assert not change[free & ((hu < -300) | (hu > 500))].any()
        changed = max(changed, float(np.abs(change[free]).max()))
    assert changed > 0
    assert len({one.SeriesInstanceUID for one in derived}) == 1
    assert len({one.SOPInstanceUID for one in derived}) == len(derived)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def series(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A phantom's slices, stacked otherwise than they were made."""
    folder = tmp_path / "series"
    paths = write_series(Phantom(seed=20_001, matrix=(96, 96), slices=14, region="abdomen"), folder, phase="native")
    images = [dcmread(path) for path in paths]
    for index, image in enumerate(images):
        x, y, z = map(float, image.ImagePositionPatient)
        if request.param == "tilted":
            image.ImagePositionPatient = [x, round(y - TILT * 3.0 * index, 3), z]
        if request.param == "irregular":
            image.ImagePositionPatient = [x, y, z + (0.0 if index < 7 else -1.9 + 2.0 * (index - 7))]
    if request.param == "enhanced":
        for path in paths:
            path.unlink()
        enhanced_ct(images).save_as(folder / "mf.dcm", enforce_file_format=True)
    else:
        for path, image in zip(paths, images, strict=True):
            image.save_as(path, enforce_file_format=True)
    return folder


@pytest.mark.parametrize(
    ("series", "refused"),
    [("tilted", "gantry_tilt"), ("irregular", "irregular_spacing"), ("enhanced", None)],
    indirect=["series"],
)
def test_it_comes_back_on_its_own_slices_unless_the_route_does_not_resample(
    series: Path, refused: str | None, orthanc: peers.Peer, start_node: NodeStarter, package: str
) -> None:
    node = start_node(_settings(orthanc, package))
    if refused is not None:
        peers.send(node, [series], called_ae="PLAIN")
        job = _end(node, "PLAIN")
        assert (job["state"], job["reason"]["code"]) == ("refused", refused)
        assert _held(orthanc) == []
    peers.send(node, [series], called_ae="RESAMPLE")
    job = _end(node, "RESAMPLE")
    assert job["state"] == "done", job["reason"]
    _hold(series, _held(orthanc))


@pytest.mark.real_data
def test_a_real_tilted_head_comes_back_on_its_own_slices(
    real_data: Path, orthanc: peers.Peer, start_node: NodeStarter, package: str
) -> None:
    source = real_data / "series" / "ncct-head-ge-tilt"
    node = start_node(_settings(orthanc, package))
    peers.send(node, [source], called_ae="RESAMPLE", options=("-R",))
    job = _end(node, "RESAMPLE")
    assert job["state"] == "done", job["reason"]
    _hold(source, _held(orthanc))
