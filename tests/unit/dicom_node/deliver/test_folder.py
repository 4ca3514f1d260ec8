"""A folder as a destination."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.config import parse_settings
from dicom_node.deliver.destinations import Destination
from dicom_node.errors import RetriableDeliverError
from dicom_node.states import Verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def destination(folder: Path) -> Destination:
    section = {"type": "folder", "path": str(folder)}
    settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"folder": section}})
    return settings.destinations["folder"].open(own_ae_title="S2LDM")


def test_every_file_is_copied_and_accepted(destination: Destination, folder: Path, write_ct_series: Any) -> None:
    paths = write_ct_series(np.zeros((3, 4, 4), dtype=np.float32))
    answers = destination.send(paths, on_answer=lambda _: None, should_stop=lambda: False)
    assert [one.verdict for one in answers] == [Verdict.ACCEPTED] * 3
    for path, answer in zip(paths, answers, strict=True):
        assert (folder / f"{answer.sop_instance_uid}.dcm").read_bytes() == path.read_bytes()


def test_folder_that_is_gone_may_come_back(destination: Destination, folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(RetriableDeliverError) as caught:
        destination.check()
    assert caught.value.code == "folder_gone"
