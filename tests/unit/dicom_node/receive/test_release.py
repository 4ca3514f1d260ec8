"""What lies in quarantine comes in again once its cause is gone, and stays where it is as long as it is not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.catalog import Catalog, Outcome, QuarantineRow
from dicom_node.config import Settings, parse_settings
from dicom_node.errors import CatalogError, ReceiveError
from dicom_node.receive.file_meta import Provenance
from dicom_node.receive.release import release
from dicom_node.receive.spool import Spool
from s2ldm_core.problem import Problem

Writer = Callable[..., list[Path]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse_settings(
        {
            "node": {"data_dir": str(tmp_path / "var")},
            "routes": {"A": {"phase": "venous", "destinations": []}},
            "destinations": {},
        }
    )


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    settings.node.data_dir.mkdir()
    with Catalog(settings.node.data_dir / "catalog.sqlite") as catalog:
        yield catalog


def _received(settings: Settings, source: Path, *, cut: int | None = None) -> Path:
    """A file of the spool with the data set of ``source``, as the listener writes it."""
    header = dcmread(source)
    spool = Spool(settings.node.data_dir, min_free_bytes=0)
    spool.prepare()
    file = spool.create(
        Provenance(
            sop_class_uid=str(header.SOPClassUID),
            sop_instance_uid=str(header.SOPInstanceUID),
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            calling_ae="CT1",
            called_ae="A",
        ),
        shard="07",
    )
    whole = source.read_bytes()
    from io import BytesIO

    meta = BytesIO()
    write_file_meta_info(meta, header.file_meta, enforce_standard=True)
    file.append(whole[132 + len(meta.getvalue()) :][:cut])
    file.seal()
    moved = spool.quarantine(file.path)
    spool.close()
    return moved


def _listed(catalog: Catalog, path: Path | None) -> QuarantineRow:
    key = catalog.quarantine_object(
        route="A",
        calling_ae="CT1",
        peer="10.0.0.1",
        association_id="1",
        sop_instance_uid="",
        path=path,
        size=1,
        reason=Problem("not_dicom", "It could not be read.", "Send it again."),
    )
    return catalog.get_quarantined(key)


def test_an_object_is_taken_in_with_its_sender_and_its_row_goes(
    settings: Settings, catalog: Catalog, write_ct_series: Writer
) -> None:
    (source,) = write_ct_series(np.zeros((1, 4, 4), np.float32))
    row = _listed(catalog, _received(settings, source))
    assert release(row, settings=settings, catalog=catalog) is Outcome.NEW
    (series,) = catalog.list_series()
    assert (series.route, series.calling_ae, series.peer) == ("A", "CT1", "10.0.0.1")
    assert series.series_instance_uid == str(dcmread(source).SeriesInstanceUID)
    (name,) = catalog.named_files()
    assert list(settings.node.data_dir.glob("incoming/*/*.dcm")) == [
        settings.node.data_dir / "incoming" / name[:2] / name
    ]
    assert catalog.list_quarantine() == []
    with pytest.raises(CatalogError):
        catalog.get_quarantined(row.id)


def test_one_that_is_held_already_is_dropped(settings: Settings, catalog: Catalog, write_ct_series: Writer) -> None:
    (source,) = write_ct_series(np.zeros((1, 4, 4), np.float32))
    for expected in (Outcome.NEW, Outcome.SAME):
        row = _listed(catalog, _received(settings, source))
        assert release(row, settings=settings, catalog=catalog) is expected
    assert len(list(settings.node.data_dir.glob("incoming/*/*.dcm"))) == 1


def test_what_still_cannot_go_on_stays_with_its_reason(
    settings: Settings, catalog: Catalog, write_ct_series: Writer
) -> None:
    (source,) = write_ct_series(np.zeros((1, 4, 4), np.float32))
    cut = _listed(catalog, _received(settings, source, cut=40))
    with pytest.raises(ReceiveError) as refused:
        release(cut, settings=settings, catalog=catalog)
    assert refused.value.code == "still_unreadable"
    assert cut.path is not None
    assert cut.path.is_file()
    gone = _listed(catalog, settings.node.data_dir / "quarantine" / "gone.dcm")
    with pytest.raises(ReceiveError) as missing:
        release(gone, settings=settings, catalog=catalog)
    assert missing.value.code == "quarantined_gone"
    assert len(catalog.list_quarantine()) == 2


def test_another_content_under_a_uid_that_is_held_stays_apart(
    settings: Settings, catalog: Catalog, write_ct_series: Writer, tmp_path: Path
) -> None:
    (source,) = write_ct_series(np.zeros((1, 4, 4), np.float32))
    release(_listed(catalog, _received(settings, source)), settings=settings, catalog=catalog)
    other = dcmread(source)
    other.PixelData = b"\x07" * len(other.PixelData)
    other.save_as(tmp_path / "other.dcm")
    row = _listed(catalog, _received(settings, tmp_path / "other.dcm"))
    with pytest.raises(ReceiveError) as refused:
        release(row, settings=settings, catalog=catalog)
    assert refused.value.code == "still_in_conflict"
    assert row.path is not None
    assert row.path.is_file()
    assert len(list(settings.node.data_dir.glob("incoming/*/*.dcm"))) == 1
