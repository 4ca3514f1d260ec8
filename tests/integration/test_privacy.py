"""Header values, which may be a patient's, stay out of the logs of every process of the node."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import config, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.deliver.destinations.dicom.scu import send_files
from dicom_node.demo.destination import StorageDestination
from tests import peers
from tests.ct_series import body_hu
from tests.tiny_model import write_tiny_package

Writer = Callable[..., list[Path]]
# None fits its VR (PS3.5 6.2); pydicom quotes such values in its warnings.
INVALID = {
    "PatientBirthDate": "SECRETBIRTH",
    "PatientAge": "SECRETAGE",
    "PatientSex": "secretsex_SECRET?",
    "PatientID": "SECRET" * 20,
    "AccessionNumber": "SECRET" * 5,
    "StudyTime": "SECRETTIME",
    "StudyID": "SECRET" * 5,
    "InstitutionName": "SECRET" * 20,
    "SpecificCharacterSet": "SECRET_SET",
}


@pytest.fixture
def series(write_ct_series: Writer) -> list[Path]:
    paths = write_ct_series(body_hu(4, 32), spacing_mm=(3.0, 2.0, 2.0))
    for path in paths:
        dataset = dcmread(path)
        for keyword, value in INVALID.items():
            tag = tag_for_keyword(keyword)
            assert tag is not None
            dataset.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE))
        dataset.PatientWeight = "77777777"
        dataset.save_as(path)
        # No number at all, which pydicom does not even let one set.
        path.write_bytes(path.read_bytes().replace(b"77777777", b"SECRETKG"))
    return paths


def test_values_that_pydicom_warns_of_are_in_no_log(series: list[Path], tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "model")
    with StorageDestination(tmp_path / "pacs") as pacs:
        settings = {
            "series": {"quiet_seconds": 1, "min_slices": 3},
            "log": {"level": "debug"},
            "routes": {
                "CECT_ART": {"phase": "arterial", "model": str(package), "destinations": ["pacs"], "anatomy": "any"}
            },
            "destinations": {"pacs": {"ae_title": pacs.ae_title, "host": peers.HOST, "port": pacs.port}},
        }
        with peers.node(tmp_path / "node", settings) as node:
            target = DicomSettings(ae_title="CECT_ART", host=peers.HOST, port=node.port)
            send_files(series, target, calling_ae="SENDER")
            (job,) = peers.wait_until(
                lambda: [job for job in node.get_json("/api/jobs")["items"] if job["finished_at"]],
                seconds=90,
                what="the job to end",
            )

    assert job["state"] == "done", job["reason"]
    log = node.log.read_text()
    assert '"event": "delivered"' in log
    assert "SECRET" not in log


def test_commands_do_not_print_the_values_that_pydicom_warns_of(series: list[Path]) -> None:
    command = [str(Path(sys.executable).with_name("s2ldm-node")), "routes", "test", str(series[0].parent)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert "SECRET" not in done.stdout + done.stderr
