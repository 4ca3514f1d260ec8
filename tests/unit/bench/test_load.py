"""The slope of memory against known lines, and slices against what they must differ in."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info

from bench.load import Sample, Slices, series_uid, slope


def _line(*, kib: float, pid: int, level: float, noise: float = 0.0) -> list[Sample]:
    draw = np.random.default_rng(pid)
    return [
        Sample(images=images, kind="node", pid=pid, kib=round(level + kib * images / 1000 + noise * draw.normal()))
        for images in range(0, 20_000, 500)
    ]


def test_a_line_has_its_slope_whatever_the_levels_of_two_processes() -> None:
    found = slope(_line(kib=200.0, pid=1, level=1e5) + _line(kib=200.0, pid=2, level=5e5))
    assert found is not None
    assert found.kib == pytest.approx(200.0, abs=0.5)
    assert (found.samples, found.processes) == (80, 2)


def test_the_interval_is_that_of_the_textbook() -> None:
    """Against scipy's regression of a single process."""
    from scipy import stats

    samples = _line(kib=-3.0, pid=3, level=1e5, noise=400.0)
    found = slope(samples)
    assert found is not None
    known = stats.linregress([one.images / 1000 for one in samples], [one.kib for one in samples])
    half = stats.t.ppf(0.975, len(samples) - 2) * known.stderr
    assert (found.kib, found.lowest, found.highest) == pytest.approx(
        (known.slope, known.slope - half, known.slope + half)
    )


def test_of_processes_that_were_looked_at_once_there_is_no_slope() -> None:
    assert slope([_line(kib=0.0, pid=pid, level=1e5)[pid] for pid in (1, 2, 3)]) is None


def test_slices_of_a_series_differ_in_uid_number_and_place_alone() -> None:
    made = Slices(32)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    read = []
    for number in (0, 41):
        instance, content = made.content(series=5, number=number)
        buffer = BytesIO(b"\0" * 128 + b"DICM")
        buffer.seek(0, 2)
        write_file_meta_info(buffer, meta, enforce_standard=False)
        buffer.write(content)
        buffer.seek(0)
        read.append(dcmread(buffer))
        assert read[-1].SOPInstanceUID == instance
    assert [one.SeriesInstanceUID for one in read] == [series_uid(5)] * 2
    assert [one.InstanceNumber for one in read] == [1, 42]
    assert [float(one.ImagePositionPatient[2]) for one in read] == [0.0, 123.0]
    assert len(made.content(series=5, number=0)[1]) == len(made.content(series=999, number=299)[1])
