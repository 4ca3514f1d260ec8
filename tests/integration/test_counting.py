"""A real Orthanc is asked how many images it has of a series."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.deliver.destinations.dicom import DicomDestination, DicomSettings
from dicom_node.errors import RetriableDeliverError
from tests.peers import HOST, Peer, free_port, send

Writer = Callable[..., list[Path]]


def counter(port: int) -> DicomDestination:
    settings = DicomSettings(ae_title="ORTHANC", host=HOST, port=port, connect_timeout_seconds=2)
    return settings.open(own_ae_title="S2LDM")


def test_orthanc_counts_the_images_that_it_has(orthanc: Peer, write_ct_series: Writer) -> None:
    paths = write_ct_series(np.zeros((5, 16, 16)))
    header = dcmread(paths[0], stop_before_pixels=True)
    uids = {"study_instance_uid": header.StudyInstanceUID, "series_instance_uid": header.SeriesInstanceUID}
    assert counter(orthanc.port).count_images(**uids) == 0

    send(orthanc, paths[:3], called_ae="ORTHANC")
    assert counter(orthanc.port).count_images(**uids) == 3

    send(orthanc, paths[3:], called_ae="ORTHANC")
    assert counter(orthanc.port).count_images(**uids) == 5


def test_peer_that_is_not_there_may_come_back() -> None:
    with pytest.raises(RetriableDeliverError):
        counter(free_port()).count_images(study_instance_uid="1.2", series_instance_uid="1.2.3")
