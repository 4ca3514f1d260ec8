"""The derive step: what it takes from the catalog and what it leaves there."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.catalog import Catalog, JobRow, JobState, Verdict
from dicom_node.config import Settings, parse_settings
from dicom_node.derive.step import DeriveStep
from dicom_node.errors import CatalogAwayError, CatalogError
from dicom_node.translation import Uncertainty
from s2ldm_core.calibration import Calibration
from tests.catalog_jobs import answer
from tests.peers import wait_until
from tests.tiny_model import translated_job

CALIBRATION = Calibration(channels=(4,), half_widths=(0.7, 1.3, 2.0), coverage={}, cases=3, weights_sha256="cd" * 32)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse_settings(
        {
            "node": {"data_dir": str(tmp_path / "data")},
            "routes": {
                "CECT_ART": {
                    "phase": "arterial",
                    "destinations": ["pacs", "archive"],
                    "series_number_offset": 50,
                    "series_description": "late arterial",
                    "window": {"center": 100, "width": 700},
                }
            },
            "destinations": {
                "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 4242},
                "archive": {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 4243},
            },
        }
    )


@pytest.fixture
def catalog(settings: Settings) -> Any:
    with Catalog(settings.catalog_location) as catalog:
        yield catalog


@pytest.fixture
def hu() -> np.ndarray:
    return np.arange(2 * 5 * 4, dtype=np.float32).reshape(2, 5, 4)


@pytest.fixture
def sources(write_ct_series: Any, hu: np.ndarray) -> list[Path]:
    return write_ct_series(hu * 0, SeriesNumber=3)


def test_job_becomes_a_derived_series_with_one_delivery_per_destination(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    assert DeriveStep(settings, catalog).run_once()
    job = catalog.get_job(job_id)
    assert job.state is JobState.DELIVERING
    derived = [dcmread(one.path) for one in catalog.derived_instances(job_id)]
    assert {one.SeriesInstanceUID for one in derived} == {job.derived_series_instance_uid}
    assert np.array_equal([one.pixel_array + float(one.RescaleIntercept) for one in derived], hu)
    assert {one.destination: one.instance_count for one in catalog.list_deliveries(job_id=job_id)} == {
        "pacs": 2,
        "archive": 2,
    }


def test_job_that_tells_its_uncertainty_becomes_two_series(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(
        catalog,
        sources,
        hu,
        route="CECT_ART",
        folder=settings.work_dir,
        uncertainty=Uncertainty(hu=hu / 2 + 0.1, calibration=CALIBRATION),
    )
    assert DeriveStep(settings, catalog).run_once()
    job = catalog.get_job(job_id)
    assert job.reason is None
    written = catalog.derived_instances(job_id)
    assert [one.series_instance_uid for one in written] == [
        *[job.derived_series_instance_uid] * 2,
        *[job.uncertainty_series_instance_uid] * 2,
    ]
    second = [dcmread(one.path) for one in written[2:]]
    assert {one.SeriesInstanceUID for one in second} == {job.uncertainty_series_instance_uid}
    assert np.array_equal([one.pixel_array + float(one.RescaleIntercept) for one in second], np.rint(hu / 2 + 0.1))
    assert {(one.SeriesNumber, one.SeriesDescription) for one in second} == {
        (54, "SYNTHETIC UNCERTAINTY late arterial")
    }
    assert {one.destination: one.instance_count for one in catalog.list_deliveries(job_id=job_id)} == {
        "pacs": 4,
        "archive": 4,
    }


def test_both_series_replace_those_of_an_earlier_job_and_one_note_rejects_both(
    settings: Settings, catalog: Any, write_ct_series: Any
) -> None:
    hu = np.zeros((3, 5, 4), dtype=np.float32)
    paths = write_ct_series(hu, SeriesNumber=3)
    jobs = []
    for count in (2, 3):  # the third slice came late
        told = Uncertainty(hu=hu[:count] + 1, calibration=CALIBRATION)
        options = {"route": "CECT_ART", "folder": settings.work_dir, "uncertainty": told}
        key = translated_job(catalog, paths[:count], hu[:count], **options)
        assert DeriveStep(settings, catalog).run_once()
        jobs.append(catalog.get_job(key))
        sending = catalog.claim_delivery(catalog.now())
        for one in catalog.delivery_instances(sending.id):
            answer(catalog, sending, one.sop_instance_uid, Verdict.ACCEPTED)
        assert catalog.finish_delivery(sending)

    earlier, later = jobs
    earlier_uids = {earlier.derived_series_instance_uid, earlier.uncertainty_series_instance_uid}
    *images, note = [dcmread(one.path) for one in catalog.derived_instances(later.id)]
    first, second = images[0], images[3]
    for one, replaced in (
        (first, earlier.derived_series_instance_uid),
        (second, earlier.uncertainty_series_instance_uid),
    ):
        assert one.SeriesDescription.endswith("(replaces earlier)")
        assert f"Replaces the earlier derived series {replaced}." in one.DerivationDescription
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    assert {one.SeriesInstanceUID for one in study.ReferencedSeriesSequence} == earlier_uids
    assert {len(one.ReferencedSOPSequence) for one in study.ReferencedSeriesSequence} == {2}


def test_catalog_that_is_away_fails_no_job(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)

    def away(*_: object, **__: object) -> bool:
        raise CatalogAwayError("catalog_unusable", "The catalog does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(catalog, "finish_derivation", away)
        with pytest.raises(CatalogAwayError):
            DeriveStep(settings, catalog).run_once()

    job = catalog.get_job(job_id)
    assert (job.state, job.attempts, job.reason) == (JobState.DERIVING, 0, None)


def test_route_shapes_number_description_and_window(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    DeriveStep(settings, catalog).run_once()
    one = dcmread(catalog.derived_instances(job_id)[0].path)
    assert (one.SeriesNumber, one.SeriesDescription) == (53, "SYNTHETIC late arterial")
    assert (one.WindowCenter, one.WindowWidth) == (100, 700)


def test_work_folder_is_removed_once_the_catalog_has_the_result(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    DeriveStep(settings, catalog).run_once()
    assert not (settings.work_dir / str(job_id)).exists()


def test_interrupted_derivation_starts_again_and_gives_the_same_uids(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    with Catalog(settings.catalog_location, lease_seconds=0.0) as killed:
        killed.claim_job(JobState.TRANSLATED, JobState.DERIVING, "killed")
    leftover = settings.derived_dir / f"{job_id}.killed" / "99999.dcm"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    catalog.sweep_leases()
    assert DeriveStep(settings, catalog).run_once()
    first = [one.sop_instance_uid for one in catalog.derived_instances(job_id)]
    assert not leftover.exists()
    assert len(first) == 2


def test_nothing_waiting_is_no_work(settings: Settings, catalog: Any) -> None:
    assert not DeriveStep(settings, catalog).run_once()


def test_lost_source_file_fails_the_job_with_its_reason(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    sources[0].unlink()
    assert DeriveStep(settings, catalog).run_once()
    job = catalog.get_job(job_id)
    assert job.state is JobState.FAILED
    assert job.reason is not None
    assert job.reason.code == "source_unreadable"


def test_damaged_result_fails_the_job_with_its_reason(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    (settings.work_dir / str(job_id) / "hu.npy").write_bytes(b"not an array")
    DeriveStep(settings, catalog).run_once()
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code) == (JobState.FAILED, "translation_result_unreadable")


def test_disk_that_cannot_be_written_is_tried_again_later(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    settings.derived_dir.write_text("a file where the folder should be")
    now = datetime(2024, 1, 1, tzinfo=UTC)
    DeriveStep(settings, catalog, clock=lambda: now).run_once()
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code, job.attempts) == (JobState.TRANSLATED, "derive_disk", 1)
    assert (job.not_before - now).total_seconds() == settings.compute.retry_seconds


def test_route_that_is_gone_fails_the_job_with_its_reason(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_OLD", folder=settings.work_dir)
    DeriveStep(settings, catalog).run_once()
    assert catalog.get_job(job_id).reason.code == "route_gone"


def test_cancelled_meanwhile_leaves_nothing_behind(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    finish = catalog.finish_derivation

    def cancel_first(*args: object, **kwargs: object) -> bool:
        catalog.cancel_job(job_id)
        return finish(*args, **kwargs)

    monkeypatch.setattr(catalog, "finish_derivation", cancel_first)
    DeriveStep(settings, catalog).run_once()
    assert catalog.get_job(job_id).state is JobState.CANCELLED
    assert not list(settings.derived_dir.glob("*"))


def test_catalog_that_cannot_record_the_end_gets_the_job_again(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    step = DeriveStep(settings, catalog)
    monkeypatch.setattr(catalog, "lease_seconds", 0.1)
    with monkeypatch.context() as broken:
        for name in ("finish_derivation", "fail_job"):
            broken.setattr(catalog, name, _raise_catalog_error)
        with pytest.raises(CatalogError):
            step.run_once()
    assert catalog.get_job(job_id).state is JobState.DERIVING
    wait_until(lambda: catalog.sweep_leases() == 1, seconds=10, what="the claim to run out")
    assert step.run_once()
    assert catalog.get_job(job_id).state is JobState.DELIVERING


def _raise_catalog_error(*_: object, **__: object) -> None:
    raise CatalogError("catalog_unusable", "The catalog does not answer.")


def test_node_that_lost_its_claim_while_writing_leaves_the_series_of_the_next_alone(
    settings: Settings, catalog: Any, sources: list[Path], hu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = translated_job(catalog, sources, hu, route="CECT_ART", folder=settings.work_dir)
    slow = DeriveStep(settings, catalog)
    finish = catalog.finish_derivation

    def overtaken(claim: JobRow, **what: Any) -> bool:
        monkeypatch.setattr(catalog, "finish_derivation", finish)
        catalog.release(claim)  # as the sweep does when the claim has run out
        assert DeriveStep(settings, catalog).run_once()
        return finish(claim, **what)

    monkeypatch.setattr(catalog, "finish_derivation", overtaken)
    slow.run_once()

    written = catalog.derived_instances(job_id)
    assert len(written) == 2
    assert all(one.path.is_file() for one in written)
    assert [folder.name for folder in settings.derived_dir.iterdir()] == [written[0].path.parent.name]


def test_a_record_with_fewer_slices_than_the_job_fails_with_both_numbers(
    settings: Settings, catalog: Any, write_ct_series: Any
) -> None:
    sources = write_ct_series(np.zeros((3, 5, 4)))
    job_id = translated_job(catalog, sources, np.zeros((3, 5, 4)), route="CECT_ART", folder=settings.work_dir)
    record = Path(catalog.get_job(job_id).result_path)
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "sop_instance_uids": values["sop_instance_uids"][:2]}))

    assert DeriveStep(settings, catalog).run_once()

    reason = catalog.get_job(job_id).reason
    assert reason.code == "slices_differ"
    assert "3 slices" in reason.sentence
    assert "read 2" in reason.sentence
