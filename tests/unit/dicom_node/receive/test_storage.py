"""What the catalog says of the files that were received: the bytes on the disk, which the disk budget counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.catalog import Catalog, Outcome
from dicom_node.config import Settings, parse_settings
from dicom_node.errors import ReceiveError
from dicom_node.receive.admission import Admission
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.identifiers import Identifiers
from dicom_node.receive.recovery import read_received
from dicom_node.receive.spool import Spool, SpoolFile
from dicom_node.receive.storage import StorageService
from tests import wire

SERIES, STUDY, IMAGE = "1.2.3", "1.2", "1.2.3.4"
IDENTIFIERS = Identifiers(
    sop_class_uid=wire.CT, sop_instance_uid=IMAGE, study_instance_uid=STUDY, series_instance_uid=SERIES
)


class Rig:
    """Spool and catalog as the listener has them."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.catalog = catalog
        self.spool = Spool(settings.node.data_dir, min_free_bytes=0)
        self.spool.prepare()
        self.storage = StorageService(settings, catalog, spool=self.spool, observer=None)

    def receive(self, *, calling_ae: str = "CT") -> tuple[SpoolFile, Admission]:
        """A sealed file of one small image."""
        admission = Admission(id="0a", route="CECT_ART", called_ae="CECT_ART", calling_ae=calling_ae, peer="10.0.0.7")
        provenance = Provenance(
            sop_class_uid=wire.CT,
            sop_instance_uid=IMAGE,
            transfer_syntax_uid=wire.EXPLICIT,
            calling_ae=calling_ae,
            called_ae="CECT_ART",
        )
        file = self.storage.create(provenance, admission)
        uids = ((0x08, 0x16, wire.CT), (0x08, 0x18, IMAGE), (0x20, 0x0D, STUDY), (0x20, 0x0E, SERIES))
        file.append(b"".join(wire.data_element(group, tag, "UI", uid.encode()) for group, tag, uid in uids))
        file.append(wire.data_element(0x7FE0, 0x10, "OW", bytes(1000)))
        file.seal()
        return file, admission


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    settings = parse_settings(
        {"node": {"data_dir": str(tmp_path), "min_free_mib": 0}, "routes": {"CECT_ART": {"phase": "arterial"}}}
    )
    with Catalog(settings.catalog_location) as catalog:
        rig = Rig(settings, catalog)
        yield rig
        rig.spool.close()


def test_a_received_file_counts_with_its_file_meta_information(rig: Rig) -> None:
    file, admission = rig.receive()
    assert rig.storage.record(file, admission, IDENTIFIERS) is Outcome.NEW
    assert rig.catalog.held_bytes() == file.path.stat().st_size


def test_a_copy_that_takes_the_place_of_a_lost_file_counts_as_it_is(rig: Rig) -> None:
    lost, admission = rig.receive(calling_ae="A_LONG_AE_TITLE")
    rig.storage.record(lost, admission, IDENTIFIERS)
    lost.path.unlink()

    file, admission = rig.receive(calling_ae="CT")
    assert rig.storage.record(file, admission, IDENTIFIERS) is Outcome.NEW

    assert rig.catalog.held_bytes() == file.path.stat().st_size
    again, admission = rig.receive()
    assert rig.storage.record(again, admission, IDENTIFIERS) is Outcome.SAME


def test_a_file_in_quarantine_counts_likewise(rig: Rig) -> None:
    file, admission = rig.receive()
    rig.storage.quarantine(file, admission, ReceiveError("not_dicom", "It is no DICOM.", "Send it again."))
    (lies,) = rig.spool.quarantined()
    assert rig.catalog.held_bytes() == lies.stat().st_size


def test_a_file_that_a_lost_catalog_named_counts_likewise(rig: Rig) -> None:
    file, _ = rig.receive()
    rig.catalog.add_instance(read_received(file.path))
    assert rig.catalog.held_bytes() == file.path.stat().st_size
