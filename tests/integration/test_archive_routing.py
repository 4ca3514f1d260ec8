"""The rule by which Orthanc sends series on by itself, with DCMTK's storage SCP in the node's place: away, there, and after a restart.

What is sent at all is asked in tests/unit/deploy/test_native_torso.py; that nothing goes in circles in test_stack.py.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_node.demo.stack.places import CONFIG
from dicom_node.demo.stack.programs import Program, running
from dicom_node.demo.stack.run import missing_packages
from dicom_node.demo.stack.settings import HOST, Ports, environment
from tests import peers

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]

SECONDS = 60.0


@pytest.fixture
def ports() -> Ports:
    return Ports.free()


@pytest.fixture
def variables(ports: Ports, tmp_path: Path) -> dict[str, str]:
    missing = [name for name in missing_packages() if name.startswith("orthanc")]
    if missing:
        pytest.skip(f"Debian packages are missing: {' '.join(missing)}")
    (tmp_path / "archive").mkdir()
    filled = environment(ports, state=tmp_path, templates=CONFIG, viewer=tmp_path, stable_seconds=1)
    return {**filled, "ROUTING_RETRY_SECONDS": "1"}


@contextmanager
def archive(variables: Mapping[str, str], ports: Ports, folder: Path) -> Iterator[Program]:
    command = [peers.ORTHANC, str(CONFIG / "orthanc.json")]
    with running("orthanc", command, environment=variables, folder=folder) as program:
        program.await_answer(f"http://{HOST}:{ports.archive_http}/system", seconds=SECONDS)
        yield program


def store(program: Program, ports: Ports, paths: list[Path], folder: Path) -> None:
    peer = peers.Peer(
        name="orthanc", ae_title="ORTHANC", port=ports.archive_dicom, folder=folder, process=program.process
    )
    peers.send(peer, paths, called_ae="ORTHANC")


def said(program: Program, text: str, *, times: int) -> None:
    """Wait until Orthanc's log says it so many times, no more."""

    def count() -> int:
        program.check()
        return program.log.read_text(errors="replace").count(text)

    peers.wait_until(lambda: count() >= times, seconds=SECONDS, what=f"Orthanc to say {text!r} {times} times")
    assert count() == times


def test_series_is_sent_once_the_node_is_there_and_again_only_when_it_has_grown(
    write_ct_series: Any, variables: dict[str, str], ports: Ports, tmp_path: Path
) -> None:
    images = write_ct_series(np.zeros((12, 8, 8)), BodyPartExamined="CHEST")
    with archive(variables, ports, tmp_path) as orthanc:
        store(orthanc, ports, images, tmp_path)
        peers.wait_until(
            lambda: "did not take" in orthanc.log.read_text(errors="replace"), seconds=SECONDS, what="a first attempt"
        )
    # A restart while the node is away, and then the node.
    with (
        archive(variables, ports, tmp_path) as orthanc,
        peers.storescp(tmp_path / "node", port=ports.node_dicom) as node,
    ):
        said(orthanc, "with 12 images to CECT_ART", times=1)
        said(orthanc, "with 12 images to CECT_VEN", times=1)
        assert len(list((node.folder / "received").iterdir())) == 12
    # Once more, as if it had been killed before it noted how far it was; and another image of the series comes.
    noted = tmp_path / "archive" / "synthesis-routing.json"
    noted.write_text('{"followed": 0}')
    late = dcmread(images[0])
    late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    late.save_as(tmp_path / "late.dcm")
    with (
        archive(variables, ports, tmp_path) as orthanc,
        peers.storescp(tmp_path / "node", port=ports.node_dicom) as node,
    ):
        peers.wait_until(lambda: json.loads(noted.read_text())["followed"] > 0, seconds=SECONDS, what="a first look")
        store(orthanc, ports, [tmp_path / "late.dcm"], tmp_path)
        said(orthanc, "with 13 images to CECT_ART", times=1)
        said(orthanc, "with 13 images to CECT_VEN", times=1)
        said(orthanc, "synthesis routing: sent", times=2)
        assert len(list((node.folder / "received").iterdir())) == 13
