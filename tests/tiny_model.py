"""A real model package, tiny and untrained, and jobs for it: for tests of what surrounds the model."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydicom import dcmread

from dicom_node.catalog import Catalog, JobState, NewInstance
from dicom_node.translation import TranslationRecord, Uncertainty
from s2ldm_core.translation import Translation


def write_tiny_package(
    folder: Path,
    *,
    min_slices: int = 2,
    spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5),
    seconds: bool = False,
) -> Path:
    """A residual U-Net of a few thousand weights, saved as a package; returns ``folder``. ``seconds``: CCDM, which heeds them."""
    from s2ldm_core.package import save_package
    from s2ldm_core.systems import build_system

    torch.manual_seed(0)
    unet = {"channels": (4, 4), "blocks": (1, 1), "core_channels": (4, 4), "core_blocks": 1, "latent": 2}
    system = build_system("ccdm", {"channels": (4, 4), "steps": 1}) if seconds else build_system("unet", unet)
    # Zero-initialised heads would predict no change at all; a small constant shows that the model was asked.
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.01)
    save_package(
        folder,
        system=system,
        metadata={
            "name": "tiny",
            "version": "0.0.1",
            "window_hu": (-200.0, 500.0),
            "spacing_mm": spacing_mm,
            "min_slices": min_slices,
            "intended_use": "tests",
            "training_data": {"source": "nothing"},
            "metrics": {},
        },
    )
    return folder


def with_spread(package: Path, folder: Path) -> Path:
    """The package anew in ``folder``, with a small network that tells its uncertainty; returns ``folder``."""
    from s2ldm_core.calibration import Calibration
    from s2ldm_core.package import ModelPackage
    from s2ldm_core.package import with_spread as write
    from s2ldm_core.spread import SpreadNetwork

    torch.manual_seed(1)
    read = ModelPackage.load(package)
    network = SpreadNetwork(channels=(4, 4), phases=len(read.metadata.phases))
    for parameter in network.parameters():  # untrained it says the same of everything
        torch.nn.init.normal_(parameter, std=0.2)
    told = Calibration(
        channels=(4, 4),
        half_widths=(0.6, 1.3, 2.2),
        coverage={phase: {"aorta": (0.5, 0.8, 0.95)} for phase in read.metadata.phases},
        cases=1,
        weights_sha256="0" * 64,
    )
    write(read, folder, network=network, calibration=told, version="0.0.2")
    return folder


def limit_answers(folder: Path, answers: Mapping[str, Any]) -> None:
    """Have the metadata of a package say what its answers must lie within."""
    from s2ldm_core.package import METADATA, PackageMetadata

    path = folder / METADATA
    changed = PackageMetadata.model_validate_json(path.read_text()).model_copy(update={"answers": answers})
    changed = changed.model_copy(update={"metadata_sha256": changed.digest()})
    path.write_text(json.dumps(changed.plain()))


def add_series(catalog: Catalog, paths: Sequence[Path], *, route: str, association_id: str | None = None) -> None:
    """Record files as a series received on ``route``."""
    batch = []
    for path in paths:
        header = dcmread(path, stop_before_pixels=True)
        batch.append(
            NewInstance(
                series_instance_uid=header.SeriesInstanceUID,
                study_instance_uid=header.StudyInstanceUID,
                sop_instance_uid=header.SOPInstanceUID,
                sop_class_uid=header.SOPClassUID,
                transfer_syntax_uid=header.file_meta.TransferSyntaxUID,
                path=path,
                digest=hashlib.sha256(path.read_bytes()).hexdigest(),
                size=path.stat().st_size,
                route=route,
                calling_ae="SENDER",
                peer="127.0.0.1",
                association_id=association_id,
            )
        )
    catalog.add_instances(batch)


def queue_job(
    catalog: Catalog, paths: Sequence[Path], *, route: str, phase: str, model: str, set_aside: Sequence[str] = ()
) -> int:
    """A job of these files that waits for translation; returns its ID."""
    add_series(catalog, paths, route=route)
    (series,) = catalog.list_series(state="receiving")
    job_id = catalog.complete_series(
        series.key, signal="released", phase=phase, model=model, seen_at=series.last_received_at
    )
    assert job_id is not None
    assert catalog.accept_job(catalog.get_job(job_id), details={}, set_aside=set_aside)
    return job_id


def translated_job(
    catalog: Catalog,
    paths: Sequence[Path],
    hu: np.ndarray,
    *,
    route: str,
    folder: Path,
    set_aside: Sequence[Path] = (),
    uncertainty: Uncertainty | None = None,
) -> int:
    """A job whose translation has just ended with ``hu``; returns its ID. ``set_aside``: received beside the slices."""
    aside = [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in set_aside]
    job_id = queue_job(catalog, [*paths, *set_aside], route=route, phase="arterial", model="tiny", set_aside=aside)
    finish_translation(catalog, job_id, paths, hu, folder=folder, uncertainty=uncertainty)
    return job_id


def translated_anew(
    catalog: Catalog,
    job_id: int,
    paths: Sequence[Path],
    hu: np.ndarray,
    *,
    folder: Path,
    seed: int = 0,
    uncertainty: Uncertainty | None = None,
) -> None:
    """Do a job that is done anew, up to the end of its translation with another ``seed``."""
    catalog.retry_job(job_id, again=True)
    selecting = catalog.claim_job(JobState.SELECTING, JobState.SELECTING, "test")
    assert selecting is not None
    assert catalog.accept_job(selecting, details={})
    finish_translation(catalog, job_id, paths, hu, folder=folder, seed=seed, uncertainty=uncertainty)


def finish_translation(
    catalog: Catalog,
    job_id: int,
    paths: Sequence[Path],
    hu: np.ndarray,
    *,
    folder: Path,
    seed: int = 0,
    uncertainty: Uncertainty | None = None,
) -> None:
    """Translate the job that waits for it, with ``hu``."""
    claimed = catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "test")
    assert claimed is not None
    assert claimed.id == job_id
    record = TranslationRecord(
        translation=Translation(
            phase="arterial",
            model_name="tiny",
            model_version="0.0.1",
            weights_sha256="ab" * 32,
            training_statement="nothing",
            seed=seed,
            steps=1,
        ),
        sop_instance_uids=tuple(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths),
    )
    path = record.save(folder / str(job_id), hu=hu, padding=None, uncertainty=uncertainty)
    assert catalog.finish_translation(catalog.get_job(job_id), result_path=path, details={})
