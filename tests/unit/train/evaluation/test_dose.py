"""Organs after one common factor: an answer that is too pale everywhere is right among its organs, one organ that stands out is not."""

from collections.abc import Mapping

import pytest

from train.evaluation.dose import dose
from train.evaluation.records import OrganRecord, ScanRecord, SystemRecord
from train.evaluation.summary import summarise
from train.evaluation.tables import tables

# Source and target HU, voxels.
TRUTH = {
    "aorta": (40.0, 160.0, 5000),
    "liver": (50.0, 110.0, 90000),
    "spleen": (45.0, 125.0, 20000),
    "portal_vein": (40.0, 150.0, 800),
    "adrenal": (20.0, 90.0, 99),
    "paraspinal": (50.0, 60.0, 40000),
    "psoas": (50.0, 66.0, 9000),
    "gallbladder": (10.0, 10.0, 3000),
    "lung": (-800.0, -700.0, 90000),
    "bowel_gas": (-700.0, -700.0, 9000),
}


def _record(**predicted_hu: float) -> ScanRecord:
    return ScanRecord(
        case="one",
        patient="one",
        phase="venous",
        organs={name: OrganRecord(voxels=n, source_hu=s, target_hu=t) for name, (s, t, n) in TRUTH.items()},
        frequency_per_mm=None,
        power=None,
        systems={
            "model": SystemRecord(
                values={},
                organ_hu={name: predicted_hu.get(name, source) for name, (source, _, _) in TRUTH.items()},
                power=None,
                seconds=1.0,
            )
        },
    )


def _part(share: float) -> Mapping[str, float]:
    return {name: source + share * (target - source) for name, (source, target, _) in TRUTH.items()}


def test_an_answer_that_is_too_pale_everywhere_alike_is_right_after_the_factor() -> None:
    found = dose(_record(**_part(0.6)), "model")
    assert found.factor == pytest.approx(0.6)
    assert found.recovered == pytest.approx(dict.fromkeys(("aorta", "liver", "spleen", "portal_vein"), 1.0))
    assert not found.wrong
    assert not found.moved


def test_an_organ_that_stands_out_and_fluid_that_brightens_are_named() -> None:
    seen = {**_part(0.6), "portal_vein": 40 + 0.3 * 110, "spleen": 45 + 1.2 * 80, "gallbladder": 23.0}
    found = dose(_record(**seen), "model")
    assert found.factor == pytest.approx(0.6)
    assert found.wrong == pytest.approx({"portal_vein": 0.5, "spleen": 2.0})
    assert found.moved == pytest.approx({"gallbladder": 13.0})


def test_what_changes_a_little_is_small_or_holds_gas_is_neither() -> None:
    found = dose(_record(**{**_part(1.0), "psoas": 200.0, "adrenal": 900.0}), "model")
    assert set(found.recovered) | set(found.still_hu) == {*TRUTH} - {"psoas", "adrenal", "lung", "bowel_gas"}


def test_the_untouched_scan_has_no_factor() -> None:
    found = dose(_record(), "model")
    assert found.factor is None
    assert not found.recovered
    assert found.still_hu == {"paraspinal": -10.0, "gallbladder": 0.0}


def test_the_report_says_it() -> None:
    """Two scans: organs are counted over both, factors as a range, an organ's name stands with the median of where it is off."""
    records = [_record(**{**_part(0.6), "portal_vein": 84.0}), _record(**{**_part(0.9), "gallbladder": -20.0})]
    table = next(t for t in tables(summarise(records, {"model": "model"})[0]) if "common factor" in t.title)
    assert table.rows == (("model", "0.60 to 0.90", "7 of 8", "portal vein 0.67", "3 of 4", "gallbladder -30"),)
    nothing = tables(summarise([_record()], {"model": "model"})[0])
    assert not [t for t in nothing if "common factor" in t.title]
