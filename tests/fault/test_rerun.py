"""A series of which the rest comes late, a job done anew: what destinations get, in which order, and what becomes of those that
take no note.

With the derive and the deliver step in this process, and an archive on pynetdicom. With Orthanc and the whole node:
``tests/integration/test_rerun.py``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    CTImageStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, evt

from dicom_node.catalog import Catalog, DeliveryState, JobState
from dicom_node.config import parse_settings
from dicom_node.deliver.retry import CircuitBreaker
from dicom_node.deliver.step import DeliverStep
from dicom_node.derive.step import DeriveStep
from dicom_node.translation import Uncertainty
from s2ldm_core.calibration import Calibration
from tests.catalog_jobs import Clock
from tests.peers import HOST, free_port
from tests.tiny_model import translated_anew, translated_job

EARLY, ALL = 5, 8
BOTH = (SecondaryCaptureImageStorage, KeyObjectSelectionDocumentStorage)


class Archive:
    """A storage SCP of these SOP classes; ``received`` in order of arrival. ``refuse`` gives a status by SOP class."""

    def __init__(self, sop_classes: Sequence[str], refuse: dict[str, int] | None = None) -> None:
        self.received: list[Dataset] = []
        self._refuse = refuse or {}
        entity = AE(ae_title="PACS")
        for one in sop_classes:
            entity.add_supported_context(one)
        self.port = free_port()
        self._server = entity.start_server(
            (HOST, self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def close(self) -> None:
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        status = self._refuse.get(event.request.AffectedSOPClassUID, 0x0000)
        if status == 0x0000:
            self.received.append(dcmread(BytesIO(event.encoded_dataset())))
        return status


class Rig:
    """One node's derive and deliver steps, and a series of eight slices of which five come first."""

    def __init__(self, folder: Path, port: int, catalog_clock: Clock, write_ct_series: Any) -> None:
        self.settings = parse_settings(
            {
                "node": {"data_dir": str(folder / "data")},
                "routes": {"CECT_ART": {"phase": "arterial", "destinations": ["pacs"]}},
                "destinations": {"pacs": {"ae_title": "PACS", "host": HOST, "port": port, "retry_seconds": 10}},
            }
        )
        self.clock = catalog_clock
        self.catalog = Catalog(self.settings.catalog_location, clock=self.clock)
        self.deliver = DeliverStep(self.settings, self.catalog, breaker=CircuitBreaker(threshold=100), clock=self.clock)
        self._hu = np.zeros((ALL, 4, 4), dtype=np.float32)
        self.paths: list[Path] = write_ct_series(
            self._hu, SOPClassUID=CTImageStorage, PatientID="P", StudyInstanceUID=generate_uid(), SeriesNumber=3
        )

    def derived(self, slices: int, *, set_aside: Sequence[Path] = (), spread: str | None = None) -> int:
        """A job of the first ``slices`` slices, with its derived series written; with its uncertainty by a network ``spread``."""
        job_id = translated_job(
            self.catalog,
            self.paths[:slices],
            self._hu[:slices],
            route="CECT_ART",
            folder=self.settings.work_dir,
            set_aside=set_aside,
            uncertainty=self._uncertainty(slices, spread),
        )
        assert DeriveStep(self.settings, self.catalog, clock=self.clock).run_once()
        return job_id

    def derived_anew(self, job_id: int, slices: int, *, seed: int = 0, spread: str | None = None) -> None:
        """The same job done anew, up to its derived series."""
        translated_anew(
            self.catalog,
            job_id,
            self.paths[:slices],
            self._hu[:slices],
            folder=self.settings.work_dir,
            seed=seed,
            uncertainty=self._uncertainty(slices, spread),
        )
        assert DeriveStep(self.settings, self.catalog, clock=self.clock).run_once()

    def _uncertainty(self, slices: int, spread: str | None) -> Uncertainty | None:
        if spread is None:
            return None
        told = Calibration(channels=(4,), half_widths=(0.7, 1.3, 2.0), coverage={}, cases=3, weights_sha256=spread * 64)
        return Uncertainty(hu=np.full_like(self._hu[:slices], 5.0), calibration=told)


@pytest.fixture
def rig(tmp_path: Path, write_ct_series: Any) -> Iterator[Callable[..., tuple[Rig, Archive]]]:
    with ExitStack() as running:

        def start(*sop_classes: str, refuse: dict[str, int] | None = None) -> tuple[Rig, Archive]:
            archive = Archive(sop_classes, refuse)
            running.callback(archive.close)
            one = Rig(tmp_path, archive.port, Clock(), write_ct_series)
            running.callback(one.catalog.close)
            return one, archive

        yield start


def test_the_note_comes_after_the_whole_new_series_and_names_every_image_of_the_earlier(
    rig: Callable[..., tuple[Rig, Archive]],
) -> None:
    node, archive = rig(*BOTH)
    first = node.derived(EARLY)
    assert node.deliver.run_once()
    earlier = [str(one.SOPInstanceUID) for one in archive.received]

    second = node.derived(ALL)
    assert node.deliver.run_once()

    assert node.catalog.get_job(second).state is JobState.DONE
    assert len(archive.received) == EARLY + ALL + 1
    *images, note = archive.received[EARLY:]
    assert {one.SOPClassUID for one in images} == {SecondaryCaptureImageStorage}
    assert (note.SOPClassUID, note.Modality) == (KeyObjectSelectionDocumentStorage, "KO")
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    assert title.CodeMeaning == "Rejected for Quality Reasons"
    named = [
        one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for one in note.ContentSequence
        if "ReferencedSOPSequence" in one
    ]
    assert sorted(named) == sorted(earlier)
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == note.StudyInstanceUID == images[0].StudyInstanceUID
    assert series.SeriesInstanceUID == node.catalog.get_job(first).derived_series_instance_uid
    assert sorted(one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence) == sorted(earlier)
    assert note.SeriesInstanceUID not in {one.SeriesInstanceUID for one in archive.received[:-1]}
    assert note.PatientID == "P"


def test_the_new_series_says_that_it_replaces_the_earlier(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    first = node.derived(EARLY)
    node.deliver.run_once()
    node.derived(ALL)
    node.deliver.run_once()

    old, new = archive.received[0], archive.received[EARLY]
    assert "replaces" not in old.SeriesDescription
    assert new.SeriesDescription == "SYNTHETIC arterial (tiny 0.0.1) (replaces earlier)"
    assert node.catalog.get_job(first).derived_series_instance_uid in new.DerivationDescription


@pytest.mark.parametrize(
    ("sop_classes", "refuse"),
    [
        ((SecondaryCaptureImageStorage,), None),
        (BOTH, {KeyObjectSelectionDocumentStorage: 0xA900}),
    ],
    ids=["refused at negotiation", "refused by status"],
)
def test_a_peer_that_takes_no_notes_has_the_new_series_and_its_delivery_is_done(
    rig: Callable[..., tuple[Rig, Archive]], sop_classes: Sequence[str], refuse: dict[str, int] | None
) -> None:
    node, archive = rig(*sop_classes, refuse=refuse)
    first = node.derived(EARLY)
    node.deliver.run_once()

    second = node.derived(ALL)
    node.deliver.run_once()

    (delivery,) = node.catalog.list_deliveries(job_id=second)
    assert (delivery.state, delivery.accepted_count, delivery.accepted_note_count) == (DeliveryState.DONE, ALL, 0)
    assert delivery.reason is not None
    assert delivery.reason.code == "rejection_not_taken"
    assert f"job {first}" in delivery.reason.sentence
    assert node.catalog.get_job(second).state is JobState.DONE
    assert len(archive.received) == EARLY + ALL


def test_no_note_is_sent_while_images_are_missing(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    node.derived(EARLY)
    node.deliver.run_once()
    second = node.derived(ALL)
    archive._refuse[SecondaryCaptureImageStorage] = 0xA700

    node.deliver.run_once()

    assert len(archive.received) == EARLY
    archive._refuse.clear()
    node.clock.advance(10)
    node.deliver.run_once()
    assert [one.SOPClassUID for one in archive.received][-1] == KeyObjectSelectionDocumentStorage
    assert len(archive.received) == EARLY + ALL + 1
    assert node.catalog.get_job(second).state is JobState.DONE


def test_a_note_that_is_interrupted_is_sent_alone_later(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    node.derived(EARLY)
    node.deliver.run_once()
    second = node.derived(ALL)
    archive._refuse[KeyObjectSelectionDocumentStorage] = 0xA700
    node.deliver.run_once()
    (delivery,) = node.catalog.list_deliveries(job_id=second)
    assert (delivery.state, delivery.accepted_count) == (DeliveryState.PENDING, ALL)
    archive._refuse.clear()
    node.clock.advance(10)

    node.deliver.run_once()

    assert len(archive.received) == EARLY + ALL + 1
    assert node.catalog.get_job(second).state is JobState.DONE


def test_what_was_never_delivered_is_neither_sent_nor_rejected(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    node.derived(EARLY)

    node.derived(ALL)
    while node.deliver.run_once():
        pass

    assert [one.SOPClassUID for one in archive.received] == [SecondaryCaptureImageStorage] * ALL
    assert "replaces" not in archive.received[0].SeriesDescription


def test_the_same_images_made_again_are_not_rejected(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    """A dose report that comes late makes a new job of the same slices: the derived series is the same, and valid."""
    node, archive = rig(*BOTH)
    node.derived(ALL)
    node.deliver.run_once()
    report = dcmread(node.paths[0])
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = node.paths[0].with_name("report.dcm")
    report.save_as(path)

    job_id = node.derived(ALL, set_aside=[path])
    node.deliver.run_once()

    assert node.catalog.get_job(job_id).state is JobState.DONE
    assert len(archive.received) == 2 * ALL
    assert len({one.SOPInstanceUID for one in archive.received}) == ALL


def test_an_uncertainty_that_another_network_tells_replaces_the_first_alone(
    rig: Callable[..., tuple[Rig, Archive]],
) -> None:
    node, archive = rig(*BOTH)
    job_id = node.derived(EARLY, spread="a")
    assert node.deliver.run_once()
    before = node.catalog.get_job(job_id).uncertainty_series_instance_uid

    node.derived_anew(job_id, EARLY, spread="b")
    assert node.deliver.run_once()

    job = node.catalog.get_job(job_id)
    assert job.state is JobState.DONE
    sent = archive.received[2 * EARLY :]
    assert series_of(sent[:-1]) == [job.derived_series_instance_uid, job.uncertainty_series_instance_uid]
    assert named(sent[-1]) == of_series(archive.received, before)
    synthetic, uncertainty = sent[0], sent[EARLY]
    assert "replaces" not in synthetic.SeriesDescription, "it is the same as before"
    assert uncertainty.SeriesDescription.endswith("(replaces earlier)")
    assert before in uncertainty.DerivationDescription


def test_an_uncertainty_that_is_told_no_longer_is_rejected(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    job_id = node.derived(EARLY, spread="a")
    assert node.deliver.run_once()
    before = node.catalog.get_job(job_id).uncertainty_series_instance_uid

    node.derived_anew(job_id, EARLY)
    assert node.deliver.run_once()

    assert node.catalog.get_job(job_id).state is JobState.DONE
    *images, note = archive.received[2 * EARLY :]
    assert series_of(images) == [node.catalog.get_job(job_id).derived_series_instance_uid]
    assert named(note) == of_series(archive.received, before)


def test_a_job_done_anew_in_another_way_rejects_what_it_made_before(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    job_id = node.derived(EARLY, spread="a")
    assert node.deliver.run_once()
    before = [str(one.SOPInstanceUID) for one in archive.received]
    first = node.catalog.get_job(job_id).derived_series_instance_uid

    node.derived_anew(job_id, EARLY, seed=1, spread="a")
    assert node.deliver.run_once()

    *images, note = archive.received[2 * EARLY :]
    assert first not in series_of(images)
    assert named(note) == sorted(before)
    assert first in images[0].DerivationDescription


def test_a_job_done_anew_in_the_same_way_rejects_nothing(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    job_id = node.derived(EARLY, spread="a")
    node.deliver.run_once()

    node.derived_anew(job_id, EARLY, spread="a")
    node.deliver.run_once()

    assert node.catalog.get_job(job_id).state is JobState.DONE
    assert len(archive.received) == 4 * EARLY
    assert {one.SOPClassUID for one in archive.received} == {SecondaryCaptureImageStorage}


def test_what_was_replaced_before_its_note_went_out_is_rejected_once_it_does(
    rig: Callable[..., tuple[Rig, Archive]],
) -> None:
    node, archive = rig(*BOTH)
    job_id = node.derived(EARLY, spread="a")
    node.deliver.run_once()
    first = node.catalog.get_job(job_id).uncertainty_series_instance_uid
    archive._refuse[KeyObjectSelectionDocumentStorage] = 0xA700
    node.derived_anew(job_id, EARLY, spread="b")
    node.deliver.run_once()
    second = node.catalog.get_job(job_id).uncertainty_series_instance_uid
    archive._refuse.clear()

    node.catalog.cancel_job(job_id)
    node.derived_anew(job_id, EARLY)
    node.deliver.run_once()

    notes = [one for one in archive.received if one.SOPClassUID == KeyObjectSelectionDocumentStorage]
    assert sorted(uid for note in notes for uid in named(note)) == sorted(
        of_series(archive.received, first) + of_series(archive.received, second)
    )
    assert len({one.SOPInstanceUID for one in notes}) == len(notes)
    node.derived_anew(job_id, EARLY)
    sent = len(archive.received)
    node.deliver.run_once()
    assert len(archive.received) == sent + EARLY, "rejected once, nothing is rejected again"


def test_a_later_job_rejects_all_that_was_made_of_the_one_before_it(rig: Callable[..., tuple[Rig, Archive]]) -> None:
    node, archive = rig(*BOTH)
    job_id = node.derived(EARLY, spread="a")
    node.deliver.run_once()
    archive._refuse[KeyObjectSelectionDocumentStorage] = 0xA700
    node.derived_anew(job_id, EARLY, spread="b")
    node.deliver.run_once()
    held = sorted({str(one.SOPInstanceUID) for one in archive.received})
    archive._refuse.clear()

    node.derived(ALL)
    node.deliver.run_once()

    notes = [one for one in archive.received if one.SOPClassUID == KeyObjectSelectionDocumentStorage]
    assert sorted(uid for note in notes for uid in named(note)) == held


def test_a_later_job_of_the_same_images_rejects_the_uncertainty_that_it_does_not_tell(
    rig: Callable[..., tuple[Rig, Archive]],
) -> None:
    node, archive = rig(*BOTH)
    first = node.derived(ALL, spread="a")
    node.deliver.run_once()
    report = dcmread(node.paths[0])
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = node.paths[0].with_name("report.dcm")
    report.save_as(path)

    node.derived(ALL, set_aside=[path])
    node.deliver.run_once()

    assert len(archive.received) == 3 * ALL + 1
    before = node.catalog.get_job(first).uncertainty_series_instance_uid
    assert named(archive.received[-1]) == of_series(archive.received, before)


def named(note: Dataset) -> list[str]:
    """The images that a note names, sorted."""
    references = [one.ReferencedSOPSequence[0] for one in note.ContentSequence if "ReferencedSOPSequence" in one]
    return sorted(str(one.ReferencedSOPInstanceUID) for one in references)


def series_of(images: Sequence[Dataset]) -> list[str]:
    """In the order in which they came."""
    return list(dict.fromkeys(str(one.SeriesInstanceUID) for one in images))


def of_series(images: Sequence[Dataset], uid: str | None) -> list[str]:
    """The images of a series, sorted."""
    return sorted({str(one.SOPInstanceUID) for one in images if one.SeriesInstanceUID == uid})
