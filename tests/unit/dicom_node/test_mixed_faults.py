"""Whatever mixture of faults a series has, it ends in right pixels or in a documented reason, never in anything else.

By default about sixty mixtures, the same each time. ``S2LDM_MIXTURES=2500`` takes so many, by the seed below or that of
``S2LDM_MIXTURES_SEED``.
Not covered here: the network (``tests/integration/test_cases_on_the_wire.py``).
"""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dicom_node.config import Route
from dicom_node.convert import translate_path
from dicom_node.derive.marks import Mark
from dicom_node.input_series import select_slices
from s2ldm_core.io.header import sop_instance_uid
from s2ldm_core.problem import Problem, ProblemError
from tests.broken_series import FAULTS, SERIES_UID, SLICES, damaged
from tests.paths import ROOT
from tests.tiny_model import write_tiny_package

#: How many mixtures, where more are wanted than a test run has time for.
MIXTURES = int(os.environ.get("S2LDM_MIXTURES", "0"))
#: Where so many begin, so that they can be gone through again.
SEED = int(os.environ.get("S2LDM_MIXTURES_SEED", "20261126"))
MIN_SLICES = 6
ROUTE = Route(phase="arterial", anatomy="any", enhancement_check="tags")

mixtures = st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 2**16)), min_size=0, max_size=4)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_package(tmp_path_factory.mktemp("tiny"), min_slices=MIN_SLICES))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Of volumes as small as these, threads cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def documented() -> frozenset[str]:
    """The codes of docs/reasons.md."""
    return frozenset(re.findall(r"^\| `([a-z0-9_…]+)`", (ROOT / "docs" / "reasons.md").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.timeout(3600 if MIXTURES else 300)
@seed(SEED)
@settings(
    max_examples=MIXTURES or 60,
    derandomize=not MIXTURES,
    deadline=None,
    database=None,
    phases=(Phase.generate,) if MIXTURES else tuple(Phase),
    suppress_health_check=list(HealthCheck),
)
@given(faults=mixtures)
def test_right_pixels_or_a_documented_reason(
    faults: list[tuple[str, int]], package: str, documented: frozenset[str], folder: Path
) -> None:
    files, truth = damaged(faults)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source = Path(place) / "in"
        source.mkdir()
        for name, content in files.contents.items():
            (source / name).write_bytes(content)
        problem: Problem | None = None
        try:
            done = translate_path(
                source,
                Path(place) / "out",
                phase="arterial",
                model=package,
                device="cpu",
                anatomy="any",
                enhancement_check="tags",
                mark=Mark.NONE,
            )
        except ProblemError as error:
            problem = error.problem
        if problem is not None:
            assert problem.code in documented
            assert problem.sentence
            return
        derived = [dcmread(path) for path in done.paths]
        selected = select_slices(source, route=ROUTE, min_slices=MIN_SLICES)
        assert len(derived) == len(selected) == len(set(done.paths))
        read = {sop_instance_uid(dcmread(path, force=True, stop_before_pixels=True)) for path in selected}
    shown = {str(one.SourceImageSequence[0].ReferencedSOPInstanceUID): one for one in derived}
    assert set(shown) == read
    assert {f"{SERIES_UID}.{number + 1}" for number in range(SLICES) if number not in files.touched} <= set(shown)
    for number in range(SLICES):
        one = shown.get(f"{SERIES_UID}.{number + 1}")
        if one is None or number in files.unsure:
            continue
        untouched = (truth[number] < -950) | (truth[number] > 800)  # outside what a model changes: air and dense bone
        hu = one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)
        difference = np.maximum(hu, -1024.0) - np.maximum(truth[number], -1024.0)
        assert np.abs(difference[untouched]).max() <= 1.0


def test_the_sound_series_is_translated(package: str, tmp_path: Path) -> None:
    """Else the mixtures would say little."""
    files, _ = damaged([])
    (tmp_path / "in").mkdir()
    for name, content in files.contents.items():
        (tmp_path / "in" / name).write_bytes(content)
    assert len(select_slices(tmp_path / "in", route=ROUTE, min_slices=MIN_SLICES)) == SLICES
