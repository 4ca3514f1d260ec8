"""Weights between those of two packages, one of which was trained from the other or both from a third."""

from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from s2ldm_core.package import WEIGHTS
from tests.tiny_training import packaged, write_pair
from train.averaging import average
from train.errors import TrainError


def test_the_middle_of_two_trainings_and_of_no_two_others(tmp_path: Path) -> None:
    for seed in range(2):
        write_pair(tmp_path / "store", seed)

    trained = partial(packaged, tmp_path / "store", tmp_path)

    start = trained("start")
    tuned = trained("tuned", init=str(start.path), seed=5)
    middle = average(start, tuned, tmp_path / "middle", share=0.25, name="middle", version="2")
    one, two, found = (load_file(package.path / WEIGHTS) for package in (start, tuned, middle))
    assert any(not value.equal(two[key]) for key, value in one.items())
    for key, value in found.items():
        if value.is_floating_point():
            assert_close(value, 0.75 * one[key] + 0.25 * two[key])
    middle.build()
    data = middle.metadata.training_data
    assert data["average"] == f"0.25 of {tuned.identity}, 0.75 of {start.identity}"
    assert data["sources"][0]["cases"] == 2
    assert middle.metadata.answers == tuned.metadata.answers
    assert data["started_from"]["weights_sha256"] == start.metadata.weights_sha256
    sister = trained("sister", init=str(start.path), seed=6)
    soup = average(tuned, sister, tmp_path / "soup", share=0.5, name="soup", version="1")
    assert soup.metadata.training_data["started_from"] == data["started_from"]
    again = average(start, soup, tmp_path / "again", share=0.5, name="again", version="1")
    assert again.metadata.training_data["average"] == f"0.5 of {soup.identity}, 0.5 of {start.identity}"
    stranger = trained("stranger", seed=7)
    with pytest.raises(TrainError) as refused:
        average(soup, stranger, tmp_path / "other", share=0.5, name="other", version="1")
    assert refused.value.code == "not_started_from"
    with pytest.raises(TrainError) as there:
        average(start, tuned, tmp_path / "middle", share=0.5, name="other", version="1")
    assert there.value.code == "output_exists"
