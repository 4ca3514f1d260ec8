"""Ten days of the simulated year (``python -m bench.year``), with retention short enough to be seen at work."""

from pathlib import Path

from bench.simulated_year import live
from tests.thorough import thorough

RETENTION = {
    "source_days": 2.0,
    "derived_days": 2.0,
    "refused_days": 3.0,
    "failed_days": 3.0,
    "quarantine_days": 3.0,
    "catalog_days": 4.0,
}


def test_rows_and_files_stop_growing_once_what_is_old_goes_and_none_is_left_behind(tmp_path: Path) -> None:
    days, wrong = live(tmp_path, days=10, series=12, sweeps=2, retention={**RETENTION, "max_gib": None})

    assert wrong == []
    assert [day.series for day in days[:3]] == [12, 24, 36]
    assert days[-1].series < 12 * 7
    assert max(day.rows for day in days[7:]) <= 1.2 * days[6].rows
    assert max(day.files for day in days[7:]) <= 1.2 * days[4].files


@thorough
def test_files_stay_within_a_disk_budget_that_the_days_alone_would_exceed(tmp_path: Path) -> None:
    kept, _ = live(tmp_path / "days", days=4, series=12, sweeps=2, retention={**RETENTION, "max_gib": None})
    budget_kib = 0.6 * kept[-1].file_kib

    days, wrong = live(
        tmp_path / "budget", days=4, series=12, sweeps=2, retention={**RETENTION, "max_gib": budget_kib / 2**20}
    )

    assert wrong == []
    assert all(0 < day.file_kib <= budget_kib for day in days)
