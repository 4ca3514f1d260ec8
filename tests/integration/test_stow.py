"""Derived objects to a web archive nobody here wrote: Orthanc's DICOMweb plugin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import parse_settings
from dicom_node.deliver.destinations import Destination, ImageCounter
from dicom_node.errors import DeliverError, RetriableDeliverError
from dicom_node.states import Verdict
from tests import peers

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(not PLUGIN.exists(), reason="Debian's orthanc-dicomweb is not installed"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Peer]:
    options = {
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    with peers.orthanc(tmp_path_factory.mktemp("archive"), options=options) as peer:
        yield peer


def _destination(peer: peers.Peer, path: str = "dicom-web", **keys: Any) -> Any:
    section = {"type": "stow", "url": f"http://{peers.HOST}:{peer.http_port}/{path}", **keys}
    settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"web": section}})
    return settings.destinations["web"].open(own_ae_title="S2LDM")


def test_a_series_is_stored_counted_and_may_come_twice(archive: peers.Peer, write_ct_series: Any) -> None:
    paths = write_ct_series(np.zeros((3, 8, 8), dtype=np.float32))
    first = dcmread(paths[0])
    destination: Destination = _destination(archive)
    counter: ImageCounter = _destination(archive)
    series = {
        "study_instance_uid": str(first.StudyInstanceUID),
        "series_instance_uid": str(first.SeriesInstanceUID),
    }
    assert "answers" in destination.check()
    assert counter.count_images(**series) == 0
    for _ in range(2):
        answers = destination.send(paths, on_answer=lambda _: None, should_stop=lambda: False)
        assert [one.verdict for one in answers] == [Verdict.ACCEPTED] * 3, answers
    assert counter.count_images(**series) == 3
    held = archive.get_json("/instances?expand")
    assert {one["MainDicomTags"]["SOPInstanceUID"] for one in held} >= {str(dcmread(p).SOPInstanceUID) for p in paths}


def test_an_object_that_is_none_is_refused_for_good_and_the_others_go_on(
    archive: peers.Peer, write_ct_series: Any
) -> None:
    paths = write_ct_series(np.zeros((3, 8, 8), dtype=np.float32))
    with paths[1].open("r+b") as file:
        file.truncate(600)
    answers = _destination(archive).send(paths, on_answer=lambda _: None, should_stop=lambda: False)
    assert [one.verdict for one in answers] == [Verdict.ACCEPTED, Verdict.PERMANENT, Verdict.ACCEPTED], answers


def test_a_wrong_address_is_told_at_the_check(archive: peers.Peer) -> None:
    with pytest.raises(DeliverError) as wrong:
        _destination(archive, path="nothing-here").check()
    assert wrong.value.code == "web_refused"
    section = {"type": "stow", "url": f"http://{peers.HOST}:{peers.free_port()}/dicom-web"}
    settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"web": section}})
    with pytest.raises(RetriableDeliverError) as gone:
        settings.destinations["web"].open(own_ae_title="S2LDM").check()
    assert gone.value.code == "web_unreachable"
