"""A console over a catalog with one series that was translated, and a configuration file that can be changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydicom.uid import CTImageStorage

from dicom_node.catalog import Catalog, DerivedInstance, JobState, NewInstance
from dicom_node.config import load_settings
from dicom_node.service.configuration import Configuration
from dicom_node.service.observe import Metrics
from dicom_node.web.app import create_app
from tests.ct_series import ct_slice

TEXT = """# ours
node: {{data_dir: {0}}}
routes:
  CECT_ART:
    phase: arterial # why
    destinations: [pacs]
destinations:
  pacs: {{ae_title: PACS, host: 127.0.0.1, port: 1}}
  other: {{ae_title: OTHER, host: 127.0.0.1, port: 2}}
"""
HERE = "http://127.0.0.1:8104"


@dataclass(frozen=True, kw_only=True)
class Console:
    """What a test talks to; ``source`` and ``derived`` are ``(D, H, W)`` HU, from feet to head."""

    client: TestClient
    catalog: Catalog
    configuration: Configuration
    path: Path
    series: int
    job: int
    source: np.ndarray
    derived: np.ndarray
    uncertainty: np.ndarray | None

    def from_elsewhere(self, *, host: str = HERE, address: str = "127.0.0.1", **headers: str) -> TestClient:
        """Somebody else's requests."""
        return TestClient(self.client.app, base_url=host, client=(address, 50000), headers=headers)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console of the test's own."""
    with _opened(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def sight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console that the tests of a module share, as none of them changes anything."""
    with _opened(tmp_path_factory.mktemp("sight")) as opened:
        yield opened


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Likewise, of a series whose uncertainty was asked for."""
    with _opened(tmp_path_factory.mktemp("told"), uncertain=True) as opened:
        yield opened


@contextmanager
def _opened(tmp_path: Path, *, uncertain: bool = False) -> Iterator[Console]:
    path = tmp_path / "node.yaml"
    path.write_text(TEXT.format(tmp_path / "var"), encoding="utf-8")
    configuration = Configuration(load_settings(path, environ={}), path)
    with Catalog(tmp_path / "var" / "catalog.sqlite") as catalog:
        source = np.random.default_rng(0).integers(-200, 300, (5, 8, 6))
        derived = source + np.arange(5)[:, None, None]
        uncertainty = np.random.default_rng(1).integers(0, 90, (5, 8, 6)) if uncertain else None
        series, job = _translated(catalog, tmp_path, source, derived, uncertainty)
        metrics = Metrics(catalog, data_dir=tmp_path)
        app = create_app(configuration, catalog, readiness=list, metrics=metrics.exposition)
        configuration.run_once()
        client = TestClient(app, base_url=HERE, client=("127.0.0.1", 50000))
        yield Console(
            client=client,
            catalog=catalog,
            configuration=configuration,
            path=path,
            series=series,
            job=job,
            source=source,
            derived=derived,
            uncertainty=uncertainty,
        )


def _translated(
    catalog: Catalog, folder: Path, source: np.ndarray, derived: np.ndarray, uncertainty: np.ndarray | None
) -> tuple[int, int]:
    # Received in an order that is not that of the stack.
    sources = {index: _write(folder / f"s{index}.dcm", source[index], index) for index in (3, 0, 4, 1, 2)}
    for index, (uid, path) in sources.items():
        catalog.add_instance(
            NewInstance(
                series_instance_uid="1.2.3",
                study_instance_uid="1.2",
                sop_instance_uid=uid,
                sop_class_uid=CTImageStorage,
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                path=path,
                digest=f"d{index}",
                size=1,
                route="CECT_ART",
                calling_ae="SCANNER",
                peer="10.0.0.7",
            )
        )
    (series,) = catalog.list_series()
    job = catalog.complete_series(
        series.key,
        signal="released",
        phase="arterial",
        model="demo",
        route_settings=None if uncertainty is None else {"phase": "arterial", "uncertainty": True},
        seen_at=series.last_received_at,
    )
    assert job is not None
    rules = [{"rule": "enough_slices", "objects": False, "details": {"slices": 5}}]
    catalog.accept_job(
        catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "w"), details={"slices": 5}, rules=rules
    )
    claim = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    catalog.finish_translation(claim, result_path=folder / "r", details={"seconds": {"translate": 1.5}})
    instances = [
        DerivedInstance(sop_instance_uid=uid, sop_class_uid=CTImageStorage, series_instance_uid=series_uid, path=path)
        for series_uid, hu in (("2.25.9", derived), ("2.25.10", uncertainty))
        if hu is not None
        for uid, path in (_write(folder / f"d{series_uid}-{index}.dcm", hu[index], index) for index in range(5))
    ]
    claim = catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w")
    catalog.finish_derivation(
        claim,
        series_instance_uid="2.25.9",
        instances=instances,
        destinations=["pacs"],
        uncertainty_series_instance_uid=None if uncertainty is None else "2.25.10",
    )
    return series.key, job


def _write(path: Path, hu: np.ndarray, index: int) -> tuple[str, Path]:
    image = ct_slice((hu + 1024).astype(np.uint16), (0, 0, 2.0 * index), series_uid="1.2.3")
    image.save_as(path, enforce_file_format=True)
    return image.SOPInstanceUID, path
