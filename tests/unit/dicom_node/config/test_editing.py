"""Changing keys of a configuration's text."""

from typing import Any

import pytest
import yaml

from dicom_node.config import Settings, default_config_path
from dicom_node.config.editing import REMOVE, location_of, set_keys, value_of
from dicom_node.errors import ConfigError

DEFAULT = default_config_path().read_text(encoding="utf-8")


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_one_key_changes_one_line_of_the_default_file() -> None:
    text = set_keys(DEFAULT, {("routes", "CECT_ART", "phase"): "venous"})

    ((old, new),) = changed_lines(DEFAULT, text)
    assert (old.split()[:2], new.split()[:2]) == (["phase:", "arterial"], ["phase:", "venous"])
    assert old.split("#")[1] == new.split("#")[1]


def test_changed_back_the_text_is_what_it_was() -> None:
    there = set_keys(DEFAULT, {("routes", "CECT_ART", "seed"): 7, ("node", "min_free_mib"): 5})

    assert set_keys(there, {("routes", "CECT_ART", "seed"): 0, ("node", "min_free_mib"): 1024}) == DEFAULT


@pytest.mark.parametrize(
    "value", ["no", "on", "1e3", "null", "12", "a: b", "# x", "", " x", "ä\nb", True, 1.5, None, [], ["a", "no"]]
)
def test_node_reads_the_value_that_was_meant(value: Any) -> None:
    text = set_keys("routes:\n  A: {phase: venous}\n", {("routes", "A", "series_description"): value})

    assert yaml.safe_load(text)["routes"]["A"] == {"phase": "venous", "series_description": value}


def test_section_of_names_that_the_file_lacks_begins_as_the_defaults() -> None:
    text = set_keys("node: {port: 104}\n", {("routes", "CECT_ART", "seed"): 3})

    read = yaml.safe_load(text)["routes"]
    assert read["CECT_ART"] == {"phase": "arterial", "destinations": ["pacs"], "seed": 3}
    assert "CECT_VEN" in read


def test_route_is_replaced_key_by_key_and_keeps_its_comments() -> None:
    before = "routes:\n  A:\n    phase: venous # why\n    seed: 3\n"

    text = set_keys(before, {("routes", "A"): {"phase": "arterial", "steps": 2}})

    assert text == "routes:\n  A:\n    phase: arterial # why\n    steps: 2\n"


def test_key_is_taken_away() -> None:
    assert set_keys("node:\n  port: 1 # x\n  host: a\n", {("node", "port"): REMOVE}) == "node:\n  host: a\n"


@pytest.mark.parametrize("location", [("node", "nothing"), ("nothing", "x"), ("node", "port", "below")])
def test_what_is_not_there_cannot_be_taken_away(location: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="config_key"):
        set_keys("node: {port: 1}\n", {location: REMOVE})


def test_dotted_name_of_a_route_is_one_name() -> None:
    settings = Settings.model_validate({"routes": {"CT.ART": {"phase": "arterial"}, "CT": {"phase": "venous"}}})

    assert location_of("routes.CT.ART.phase", settings) == ("routes", "CT.ART", "phase")
    assert location_of("routes.CT.phase", settings) == ("routes", "CT", "phase")


def test_value_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="config_value"):
        value_of("[a")
