"""Deterministic UIDs of derived objects."""

from dataclasses import replace

import pytest
from pydicom.uid import UID

from dicom_node.derive.info import DerivationInfo
from dicom_node.derive.marks import Mark
from dicom_node.derive.uids import series_instance_uid, sop_instance_uid, uid_from
from s2ldm_core.translation import Translation

SOURCES = [("1.2.3.1", "aa"), ("1.2.3.2", "bb")]


@pytest.fixture
def info() -> DerivationInfo:
    return DerivationInfo(
        translation=Translation(
            phase="arterial", model_name="demo", model_version="1.0", weights_sha256="0" * 64, seed=0, steps=1
        ),
        route="CECT_ART",
    )


def test_known_answer() -> None:
    # sha256('["instance", "1.2", "3.4"]')[:16] with the version (8) and variant (10) bits of RFC 9562 set
    assert uid_from("instance", "1.2", "3.4") == "2.25.316413982598368530954836287415958590161"


def test_uid_is_valid_and_a_version_8_uuid() -> None:
    uid = uid_from("anything")
    value = int(uid.removeprefix("2.25."))
    assert UID(uid).is_valid
    assert (value >> 76) & 0xF == 8
    assert (value >> 62) & 0b11 == 0b10


def test_same_sources_in_any_order_give_the_same_series_uid(info: DerivationInfo) -> None:
    assert series_instance_uid(SOURCES, info=info) == series_instance_uid(SOURCES[::-1], info=info)


def test_texts_dates_and_window_do_not_change_the_series_uid(info: DerivationInfo) -> None:
    other = replace(info, series_description="renamed", series_number_offset=5, window_hu=(1.0, 2.0))
    assert series_instance_uid(SOURCES, info=info) == series_instance_uid(SOURCES, info=other)


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "venous"},
        {"model_version": "1.1"},
        {"weights_sha256": "1" * 64},
        {"seed": 1},
        {"steps": 4},
        {"shares": {"arterial": 0.7, "venous": 0.3}},
        {"contrast_dose": 0.8},
    ],
)
def test_another_phase_model_sampling_or_sum_gives_another_series_uid(info: DerivationInfo, change: dict) -> None:
    other = replace(info, translation=replace(info.translation, **change))
    assert series_instance_uid(SOURCES, info=info) != series_instance_uid(SOURCES, info=other)


def test_other_shares_of_the_same_time_give_another_series_uid(info: DerivationInfo) -> None:
    uids = {
        series_instance_uid(
            SOURCES, info=replace(info, translation=replace(info.translation, phase="50s", shares=shares))
        )
        for shares in (
            {"arterial": 0.7, "venous": 0.3},
            {"venous": 0.7, "arterial": 0.3},
            {"venous": 0.3, "arterial": 0.7},
        )
    }
    assert len(uids) == 2


@pytest.mark.parametrize("change", [{"route": "CECT_VEN"}, {"output": "ct"}, {"mark": Mark.NONE}])
def test_another_route_form_or_mark_gives_another_series_uid(info: DerivationInfo, change: dict) -> None:
    assert series_instance_uid(SOURCES, info=info) != series_instance_uid(SOURCES, info=replace(info, **change))


@pytest.mark.parametrize(
    "sources",
    [SOURCES[:1], [("1.2.3.1", "aa"), ("1.2.3.2", "changed")], [*SOURCES, ("1.2.3.3", "cc")]],
    ids=["one fewer", "other content", "one more"],
)
def test_other_source_content_gives_another_series_uid(info: DerivationInfo, sources: list[tuple[str, str]]) -> None:
    assert series_instance_uid(SOURCES, info=info) != series_instance_uid(sources, info=info)


def test_instances_of_a_series_differ() -> None:
    assert sop_instance_uid("2.25.1", "1.2.3.1") != sop_instance_uid("2.25.1", "1.2.3.2")


def test_parts_are_framed() -> None:
    assert uid_from("ab", "c") != uid_from("a", "bc")
