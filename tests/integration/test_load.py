"""Many associations at the same time; ``python -m bench.load`` holds them with long series and measures memory."""

from pathlib import Path

from bench.load import parsed, run
from tests.thorough import thorough


@thorough
def test_of_series_dealt_out_over_64_associations_each_ends_with_exactly_its_slices(tmp_path: Path) -> None:
    """`run` holds every job to its slices and every answer to 0x0000."""
    asked = ["--associations", "64", "--series", "4", "--slices", "32", "--at-once", "2", "--matrix", "32"]
    found = run(tmp_path, parsed([*asked, "--patience", "120"]))

    assert found["images"] == 128
    assert {"node", "listener", "examiner", "worker"} <= set(found["most_kib"])
    assert max(found["most_kib"].values()) < 640 * 1024
