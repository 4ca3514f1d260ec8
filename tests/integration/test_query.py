"""DCMTK's findscu asks the node for its derived series."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.catalog import Catalog
from dicom_node.catalog.retention import Expiry
from dicom_node.config import Settings, parse_settings
from dicom_node.derive.step import DeriveStep
from dicom_node.receive import Listener
from dicom_node.translation import Uncertainty
from s2ldm_core.calibration import Calibration
from tests import peers
from tests.catalog_jobs import gone
from tests.tiny_model import translated_job

FINDSCU = "/usr/bin/findscu"
GETSCU = "/usr/bin/getscu"
SLICES = 3

Find = Callable[..., list[Dataset]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    node = {"data_dir": str(tmp_path / "data"), "host": peers.HOST, "port": peers.free_port(), "min_free_mib": 0}
    route = {"phase": "arterial", "destinations": []}
    return parse_settings({"node": {**node, "peers": [{"ae_title": "VIEWER"}]}, "routes": {"CECT_ART": route}})


@pytest.fixture
def catalog(settings: Settings, write_ct_series: Any) -> Iterator[Catalog]:
    """A catalog with two derived series, of a study each, and a listener."""
    with Catalog(settings.catalog_location) as catalog:
        for number, name in enumerate(["ÄPFEL^ANNA", "SMITH^JOHN"], start=1):
            hu = np.zeros((SLICES, 8, 8), dtype=np.float32)
            paths = write_ct_series(
                hu,
                folder=f"series {number}",
                SpecificCharacterSet="ISO_IR 100",
                PatientID=f"P{number}",
                PatientName=name,
                StudyInstanceUID=f"1.2.3.{number}",
                StudyDate=f"2024010{number}",
            )
            translated_job(catalog, paths, hu, route="CECT_ART", folder=settings.work_dir)
            assert DeriveStep(settings, catalog).run_once()
        listener = Listener(settings, catalog)
        listener.start()
        yield catalog
        listener.stop(grace_seconds=0.5)


@pytest.fixture
def find(settings: Settings, catalog: Catalog, tmp_path: Path) -> Find:
    """``find("PatientID=P1", …)``: what the node answers."""

    def run(*keys: str, calling: str = "VIEWER") -> list[Dataset]:
        folder = tmp_path / "answers"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        command = [FINDSCU, "-S", "-X", "-od", str(folder), "-aet", calling, "-aec", "S2LDM"]
        command += [part for key in keys for part in ("-k", key)]
        done = subprocess.run(
            [*command, peers.HOST, str(settings.node.port)], capture_output=True, text=True, timeout=30, check=True
        )
        assert "E:" not in done.stderr, done.stderr
        return [dcmread(path, force=True) for path in sorted(folder.iterdir())]

    return run


@pytest.mark.dcmtk
def test_studies_are_found_by_patient_name_and_date(find: Find) -> None:
    asked = ("PatientID", "PatientName", "ModalitiesInStudy", "NumberOfStudyRelatedInstances", "StudyInstanceUID")
    both = find("QueryRetrieveLevel=STUDY", *asked)
    assert [(one.PatientID, one.StudyInstanceUID) for one in both] == [("P1", "1.2.3.1"), ("P2", "1.2.3.2")]
    assert [str(one.PatientName) for one in both] == ["ÄPFEL^ANNA", "SMITH^JOHN"]
    assert [(one.ModalitiesInStudy, one.NumberOfStudyRelatedInstances) for one in both] == [("CT", SLICES)] * 2
    assert [one.PatientID for one in find("QueryRetrieveLevel=STUDY", "PatientName=smi*", "PatientID")] == ["P2"]
    assert [one.PatientID for one in find("QueryRetrieveLevel=STUDY", "StudyDate=-20240101", "PatientID")] == ["P1"]
    assert find("QueryRetrieveLevel=STUDY", "PatientID=P3", "StudyInstanceUID") == []


@pytest.mark.dcmtk
def test_series_and_images_are_found_below_their_study(find: Find, catalog: Catalog) -> None:
    (series,) = find(
        "QueryRetrieveLevel=SERIES",
        "StudyInstanceUID=1.2.3.2",
        "SeriesInstanceUID",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    )
    job = next(one for one in catalog.list_jobs() if one.study_instance_uid == "1.2.3.2")
    assert series.SeriesInstanceUID == job.derived_series_instance_uid
    assert "SYNTHETIC" in series.SeriesDescription
    assert series.NumberOfSeriesRelatedInstances == SLICES
    images = find(
        "QueryRetrieveLevel=IMAGE",
        "StudyInstanceUID=1.2.3.2",
        f"SeriesInstanceUID={series.SeriesInstanceUID}",
        "SOPInstanceUID",
        "InstanceNumber",
    )
    written = [one.sop_instance_uid for one in catalog.derived_instances(job.id)]
    assert [one.SOPInstanceUID for one in images] == written
    assert sorted(one.InstanceNumber for one in images) == [1, 2, 3]
    catalog.remove_derived(Expiry(done=catalog.now()), gone)
    assert find("QueryRetrieveLevel=STUDY", "StudyInstanceUID") == []


@pytest.mark.dcmtk
def test_the_uncertainty_is_found_and_got_as_a_series_of_its_own(
    find: Find, settings: Settings, catalog: Catalog, write_ct_series: Any, tmp_path: Path
) -> None:
    hu = np.zeros((SLICES, 8, 8), dtype=np.float32)
    paths = write_ct_series(hu, folder="told", PatientID="P3", StudyInstanceUID="1.2.3.3", SeriesNumber=2)
    calibration = Calibration(
        channels=(4,), half_widths=(0.7, 1.3, 2.0), coverage={}, cases=3, weights_sha256="cd" * 32
    )
    told = Uncertainty(hu=hu + 7, calibration=calibration)
    key = translated_job(catalog, paths, hu, route="CECT_ART", folder=settings.work_dir, uncertainty=told)
    assert DeriveStep(settings, catalog).run_once()
    job = catalog.get_job(key)

    study = ("StudyInstanceUID=1.2.3.3",)
    (whole,) = find("QueryRetrieveLevel=STUDY", *study, "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")
    assert (whole.NumberOfStudyRelatedSeries, whole.NumberOfStudyRelatedInstances) == (2, 2 * SLICES)
    said = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances")
    found = find("QueryRetrieveLevel=SERIES", *study, *said)
    assert [(one.SeriesInstanceUID, one.SeriesNumber, one.NumberOfSeriesRelatedInstances) for one in found] == [
        (job.derived_series_instance_uid, 1002, SLICES),
        (job.uncertainty_series_instance_uid, 1003, SLICES),
    ]
    assert found[1].SeriesDescription.startswith("SYNTHETIC UNCERTAINTY")

    got = tmp_path / "got"
    got.mkdir()
    command = [GETSCU, "-S", "+B", "-od", str(got), "-aet", "VIEWER", "-aec", "S2LDM"]
    for one in ("QueryRetrieveLevel=SERIES", *study, f"SeriesInstanceUID={job.uncertainty_series_instance_uid}"):
        command += ["-k", one]
    subprocess.run([*command, peers.HOST, str(settings.node.port)], timeout=30, check=True, capture_output=True)
    written = {one.sop_instance_uid for one in catalog.derived_instances(key)[SLICES:]}
    headers = [dcmread(path) for path in got.iterdir()]
    assert {one.SOPInstanceUID for one in headers} == written
    assert {one.SeriesInstanceUID for one in headers} == {job.uncertainty_series_instance_uid}


@pytest.mark.dcmtk
def test_query_that_is_none_and_one_of_a_peer_that_is_not_listed_are_refused(
    settings: Settings, catalog: Catalog
) -> None:
    """Where ``node.peers`` is empty, anybody may send, and nobody may ask."""
    assert "DataSetDoesNotMatchSOPClass" in refused(settings, "QueryRetrieveLevel=SERIES", "SeriesInstanceUID")
    assert "DataSetDoesNotMatchSOPClass" in refused(settings, "PatientID")
    node = settings.node.model_copy(update={"port": peers.free_port(), "peers": ()})
    anybody = settings.model_copy(update={"node": node})
    listener = Listener(anybody, catalog)
    listener.start()
    try:
        assert "0x124" in refused(anybody, "QueryRetrieveLevel=STUDY", "PatientID")
    finally:
        listener.stop(grace_seconds=0.5)


def refused(settings: Settings, *keys: str) -> str:
    """What findscu says of a query that is refused."""
    command = [FINDSCU, "-v", "-S", "-aet", "VIEWER", "-aec", "S2LDM"]
    command += [part for key in keys for part in ("-k", key)]
    done = subprocess.run(
        [*command, peers.HOST, str(settings.node.port)], capture_output=True, text=True, timeout=30, check=False
    )
    said = done.stderr + done.stdout
    assert "Find Response: 1" not in said
    return said[said.index("Final Find Response") :]
