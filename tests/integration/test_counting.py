"""A real Orthanc is asked how many images it has of a series, and the node completes the series by its answer."""

import urllib.error
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.catalog import Catalog
from dicom_node.config import parse_settings
from dicom_node.deliver.destinations.dicom import DicomDestination, DicomSettings
from dicom_node.errors import DeliverError, RetriableDeliverError
from dicom_node.receive import Listener
from dicom_node.series import CompletionStep
from dicom_node.service.confirming import image_count, missing_images
from tests import peers
from tests.peers import HOST, Peer, free_port, send, wait_until

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


def series_settings(port: int, *, quiet_seconds: float) -> dict[str, Any]:
    return {
        "series": {"quiet_seconds": quiet_seconds, "confirm_with": "pacs", "confirmed_seconds": 1.0},
        "routes": {"CECT_ART": {"phase": "arterial"}},
        "destinations": {"pacs": {"ae_title": "ORTHANC", "host": HOST, "port": port, "connect_timeout_seconds": 2}},
    }


def decided(node: Peer) -> dict[str, Any]:
    """The one series, once it is complete."""

    def look() -> dict[str, Any] | None:
        items = node.get_json("/api/series")["items"]
        return items[0] if items and items[0]["state"] == "complete" else None

    return wait_until(look, seconds=45, what="the series to be complete")


def confirming(node: Peer) -> dict[str, Any]:
    """What ``/readyz`` says about the destination that counts."""
    with suppress(urllib.error.HTTPError):  # the model is still being loaded
        return next(one for one in node.get_json("/readyz")["checks"] if one["name"] == "confirm with pacs")
    return {}


def test_node_completes_a_series_that_its_archive_has_as_many_images_of(
    orthanc: Peer, start_node: Callable[..., Peer], write_ct_series: Writer
) -> None:
    paths = write_ct_series(np.zeros((5, 16, 16)))
    node = start_node(series_settings(orthanc.port, quiet_seconds=120.0))
    send(orthanc, paths, called_ae="ORTHANC")
    send(node, paths, called_ae="CECT_ART")

    series = decided(node)

    assert series["completion_signal"] == "confirmed"
    assert (series["completion_evidence"]["counted"], series["completion_evidence"]["stack"]) == (5, "regular")
    (job,) = node.get_json("/api/jobs")["items"]
    assert (job["completion_signal"], job["details"]["completion"]) == ("confirmed", series["completion_evidence"])


def test_what_the_archive_has_more_of_is_fetched_from_it(tmp_path: Path, write_ct_series: Writer) -> None:
    paths = write_ct_series(np.random.default_rng(0).integers(0, 99, (5, 16, 16)).astype(np.float32))
    port = free_port()
    options = {
        "DicomModalities": {"route": {"AET": "CECT_ART", "Host": HOST, "Port": port}},
        "DicomAlwaysAllowMove": True,
    }
    with peers.orthanc(tmp_path / "archive", options=options) as archive:
        send(archive, paths, called_ae="ORTHANC")
        described = series_settings(archive.port, quiet_seconds=2.0)
        described["series"] |= {"fetch_missing": True, "confirmed_seconds": 0.5}
        described["node"] = {"host": HOST, "port": port, "data_dir": str(tmp_path / "data"), "min_free_mib": 0}
        settings = parse_settings(described)
        with Catalog(settings.catalog_location) as catalog:
            listener = Listener(settings, catalog)
            listener.start()
            try:
                send(replace(archive, name="node", port=port), [paths[0], *paths[3:]], called_ae="CECT_ART")
                step = CompletionStep(
                    settings,
                    catalog,
                    model_identity=lambda model: model,
                    count=image_count(settings),
                    fetch=missing_images(settings),
                )
                wait_until(step.run_once, seconds=45, what="the series to be complete")
            finally:
                listener.stop(grace_seconds=0.5)
            (series,) = catalog.list_series()
            assert (series.instance_count, series.completion_signal) == (5, "confirmed")
            uids = {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in paths}
            assert {one.sop_instance_uid for one in catalog.series_instances(series.key)} == uids

            destination = settings.destinations["pacs"].open(own_ae_title="S2LDM")
            asked = {
                "study_instance_uid": series.study_instance_uid,
                "series_instance_uid": series.series_instance_uid,
            }
            assert destination.fetch_missing(move_to="NOBODY", held=uids, **asked) == 0
            with pytest.raises(DeliverError) as refused:
                destination.fetch_missing(move_to="NOBODY", held=(), **asked)
            assert refused.value.code == "fetch_refused"


def test_node_whose_archive_is_gone_waits_for_the_quiet_time_says_so_once_and_stays_ready(
    start_node: Callable[..., Peer], write_ct_series: Writer
) -> None:
    node = start_node(series_settings(free_port(), quiet_seconds=4.0))
    send(node, write_ct_series(np.zeros((5, 16, 16))), called_ae="CECT_ART")

    assert decided(node)["completion_signal"] == "released"
    told = wait_until(lambda: confirming(node), seconds=90, what="the node to be ready")
    assert told["ok"]
    assert "could not be reached" in told["detail"]
    assert node.log.read_text().count("confirm_with_unusable") == 1
