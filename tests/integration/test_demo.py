"""The demo, with a tiny untrained model: the whole way over real DICOM and HTTP, in this process."""

import io
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE
from rich.console import Console

from dicom_node.demo import run_demo
from dicom_node.demo.destination import StorageDestination
from dicom_node.demo.source import PHANTOM_SEED
from dicom_node.errors import NodeError
from s2ldm_core.errors import PackageError, VolumeError
from s2ldm_core.package import BUNDLED
from tests.tiny_model import write_tiny_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def workers() -> list[psutil.Process]:
    """Worker processes of this one; Python's own resource tracker stays and is none."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_series_comes_back_in_both_phases_with_a_picture(
    package: str, phantom_series: Any, tmp_path: Path, console: Console
) -> None:
    handlers = logging.getLogger().handlers[:]
    report = run_demo(input=phantom_series, output=tmp_path / "demo", model=package, console=console)
    assert report.passed
    assert sorted(report.derived) == ["arterial", "venous"]
    for folder in report.derived.values():
        derived = [dcmread(path) for path in folder.iterdir()]
        assert len(derived) == 12
        assert len({one.SeriesInstanceUID for one in derived}) == 1
    assert report.picture.read_bytes().startswith(b"\x89PNG")
    assert report.log.read_text()
    assert str(report.picture) in console.file.getvalue()
    assert logging.getLogger().handlers == handlers
    assert workers() == []


def test_refused_series_ends_the_demo_with_the_node_s_reason(
    package: str, write_ct_series: Any, tmp_path: Path, console: Console
) -> None:
    folder = write_ct_series(np.full((4, 64, 64), 40.0, dtype=np.float32))[0].parent
    with pytest.raises(NodeError) as caught:
        run_demo(input=folder, output=tmp_path / "demo", model=package, console=console)
    assert caught.value.code == "too_few_slices"
    assert caught.value.remedy
    assert workers() == []


def test_several_series_are_listed_and_one_can_be_named(
    package: str, phantom_series: Any, tmp_path: Path, console: Console
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(phantom_series, folder / "1")
    for path in sorted(phantom_series.iterdir())[:9]:
        other = dcmread(path)
        other.SeriesInstanceUID, other.SeriesDescription = "2.25.77", "Thick slices"
        other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        other.save_as(folder / f"other-{path.name}")
    with pytest.raises(VolumeError) as caught:
        run_demo(input=folder, output=tmp_path / "demo", model=package, console=console)
    assert "2.25.77  Thick slices, 9 slices" in caught.value.sentence.splitlines()
    assert "--series" in caught.value.remedy

    report = run_demo(input=folder, output=tmp_path / "demo", model=package, series_uid="2.25.77", console=console)

    assert report.passed
    assert all(len(list(derived.iterdir())) == 9 for derived in report.derived.values())


def test_missing_model_is_said_before_anything_starts(phantom_series: Any, tmp_path: Path, console: Console) -> None:
    with pytest.raises(PackageError):
        run_demo(input=phantom_series, output=tmp_path / "demo", model="absent", console=console)


def test_phantom_is_one_that_the_bundled_model_never_saw() -> None:
    metadata = BUNDLED / "demo" / "metadata.json"
    if not metadata.is_file():
        pytest.skip("this checkout has no bundled package")
    seen = json.loads(metadata.read_text(encoding="utf-8"))["training_data"]["seeds"]
    assert PHANTOM_SEED not in seen


def test_folder_with_other_things_is_left_alone(
    package: str, phantom_series: Any, tmp_path: Path, console: Console
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "precious.txt").write_text("keep")
    with pytest.raises(NodeError) as caught:
        run_demo(input=phantom_series, output=tmp_path / "demo", model=package, console=console)
    assert caught.value.code == "output_exists"
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["precious.txt"]


def test_the_destination_keeps_one_copy_of_an_instance_that_is_sent_again(phantom_series: Any, tmp_path: Path) -> None:
    first, second = (dcmread(path) for path in sorted(phantom_series.iterdir())[:2])
    with StorageDestination(tmp_path) as destination:
        entity = AE()
        entity.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", destination.port)
        assert [association.send_c_store(one).Status for one in (first, second, first)] == [0, 0, 0]
        association.release()
        received = destination.received()
    assert len(received) == 2
    assert [dcmread(path).SOPInstanceUID for path in received] == [first.SOPInstanceUID, second.SOPInstanceUID]
