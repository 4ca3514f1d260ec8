"""The configuration: defaults, overrides, and mistakes that name their key."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from dicom_node.config import Settings, default_config_path, load_settings, parse_settings
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.errors import ConfigError
from tests.paths import ROOT


def test_default_file_equals_the_built_in_defaults() -> None:
    assert load_settings(environ={}) == Settings()


def test_default_file_names_every_key() -> None:
    document = yaml.safe_load(default_config_path().read_text(encoding="utf-8"))

    def missing(model: BaseModel, values: Any, path: str) -> list[str]:
        found = []
        for name in type(model).model_fields:
            value = getattr(model, name)
            if name not in values:
                found.append(f"{path}{name}")
            elif isinstance(value, BaseModel):
                found += missing(value, values[name], f"{path}{name}.")
            elif isinstance(value, dict):
                for key, item in value.items():
                    found += missing(item, values[name][key], f"{path}{name}.{key}.")
        return found

    assert missing(Settings(), document, "") == []


@pytest.mark.parametrize(("phase", "offset"), [("arterial", 1000), ("venous", 2000), ("delayed", 3000)])
def test_series_numbers_of_the_phases_lie_apart(phase: str, offset: int) -> None:
    settings = parse_settings({"routes": {"CECT": {"phase": phase}}})

    assert settings.routes["CECT"].series_number_offset == offset


def test_default_routes_have_series_numbers_of_their_own() -> None:
    assert Settings().same_series_numbers() == []


@pytest.mark.parametrize(("destination", "found"), [("pacs", [("CECT_ART", "RESEARCH")]), ("archive", [])])
def test_same_series_number_matters_at_a_shared_destination_only(destination: str, found: list[Any]) -> None:
    peer = {"ae_title": "PEER", "host": "10.0.0.1", "port": 104}
    settings = parse_settings(
        {
            "routes": {
                "CECT_ART": {"phase": "arterial", "destinations": ["pacs"]},
                "RESEARCH": {"phase": "arterial", "destinations": [destination]},
            },
            "destinations": {"pacs": peer, "archive": peer},
        }
    )

    assert settings.same_series_numbers() == found


@pytest.mark.parametrize(("uncertainty", "found"), [(True, [("AT_35", "AT_36")]), (False, [])])
def test_series_number_of_an_uncertainty_is_one_that_another_route_may_have(
    uncertainty: bool, found: list[Any]
) -> None:
    to_pacs = {"destinations": ["pacs"]}
    settings = parse_settings(
        {
            "routes": {
                "AT_35": {"phase": "35s", "uncertainty": uncertainty, **to_pacs},
                "AT_36": {"phase": "36s", **to_pacs},
            },
            "destinations": {"pacs": {"ae_title": "PEER", "host": "10.0.0.5", "port": 104}},
        }
    )

    assert settings.same_series_numbers() == found


def test_uncertainty_is_known_of_the_models_own_number_of_steps_alone() -> None:
    assert parse_settings({"routes": {"A": {"phase": "venous", "uncertainty": True}}}).routes["A"].uncertainty
    with pytest.raises(ConfigError, match=r"routes\.A: .*leave steps out"):
        parse_settings({"routes": {"A": {"phase": "venous", "uncertainty": True, "steps": 4}}})


def test_a_phase_that_is_none_is_one_mistake_and_tells_what_it_may_be() -> None:
    """Also where another key's default follows from the phase."""
    with pytest.raises(ConfigError) as caught:
        parse_settings({"routes": {"A": {"phase": "50 seconds"}}})
    said = "Input should be 'arterial', 'venous' or 'delayed', or seconds such as 50s"
    assert caught.value.sentence == f"configuration: routes.A.phase: {said}"


def test_key_that_stands_twice_is_an_error_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("routes: {A: {phase: arterial}}\nnode: {port: 1}\nroutes: {B: {phase: venous}}\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="the key routes stands twice, in lines 1 and 3"):
        load_settings(path, environ={})


def test_mistake_in_the_environment_names_its_variable() -> None:
    with pytest.raises(ConfigError, match=r"with S2LDM_NODE__PRT: unknown key node\.prt"):
        load_settings(environ={"S2LDM_NODE__PRT": "1", "S2LDM_REAL_DATA": "/x"})


def test_data_dir_does_not_depend_on_the_working_directory_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert parse_settings({"node": {"data_dir": "state"}}).node.data_dir == tmp_path / "state"
    assert Settings().node.data_dir == tmp_path / "var"


def test_default_file_is_the_checkouts() -> None:
    assert default_config_path() == ROOT / "config" / "node.yaml"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"node": {"prot": 1}}, "unknown key node.prot (did you mean 'port'?)"),
        ({"nodes": {}}, "unknown key nodes (did you mean 'node'?)"),
        ({"routes": {"A": {"phase": "arterial", "destination": []}}}, "unknown key routes.A.destination (did you mean"),
        ({"node": {"peers": [{"ae_title": "X", "hst": "h"}]}}, "unknown key node.peers.0.hst (did you mean 'host'?)"),
        ({"routes": {"A": {"phase": "arterial", "window": {"centre": 1, "width": 2}}}}, "(did you mean 'center'?)"),
        ({"routes": {"A": {"phase": "venose"}}}, "routes.A.phase: Input should be 'arterial', 'venous' or 'delayed'"),
        ({"routes": {"A": {"phase": "venous", "destinations": ["pax"]}}}, "routes.A.destinations names 'pax'"),
        ({"routes": {"A" * 17: {"phase": "venous"}}}, "an AE title has 1 to 16 characters"),
        ({"routes": {"A\\B": {"phase": "venous"}}}, "no backslash"),
        ({"routes": {" A": {"phase": "venous"}}}, "must not begin or end with a space"),
        ({"routes": {}}, "routes:"),
        ({"node": {"ae_title": "CECT_ART"}}, "routes.CECT_ART is also node.ae_title"),
        ({"node": {"port": 70000}}, "node.port:"),
        (
            {"compute": {"ray": {"address": "ray://head:10001"}}},
            "compute.ray.address: Ray's client (ray://) lets no actor",
        ),
        ({"node": {"database": "mysql://u:secret@x/y"}}, "node.database: must be null, or begin with one of sqlite://"),
        (
            {"destinations": {"pacs": {"ae_title": "CECT_ART", "host": "127.0.0.1", "port": 11112}}},
            "destinations.pacs is this node's own route CECT_ART",
        ),
        (
            {"destinations": {"a": {"type": "dicm"}}},
            "destinations.a.type: Input should be 'dicom'",
        ),
        ({"destinations": {"a": {"type": "dicm"}}}, "(did you mean 'dicom'?)"),
        ({"compute": {"executor": "locl"}}, "compute.executor: Input should be 'local'"),
        ({"destinations": {"a": {"hots": "h"}}}, "unknown key destinations.a.hots (did you mean 'host'?)"),
        ({"destinations": {"a": {"type": "dicom", "prot": 1}}}, "destinations.a.prot (did you mean 'port'?)"),
    ],
)
def test_mistake_is_named_with_its_place(document: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_settings(document)

    assert raised.value.code == "config_invalid"
    assert named in raised.value.sentence


def test_destination_without_a_type_is_a_dicom_peer() -> None:
    peer = {"ae_title": "PEER", "host": "10.0.0.1", "port": 104}
    settings = parse_settings({"routes": {"A": {"phase": "venous"}}, "destinations": {"a": peer}})

    assert settings.destinations["a"] == DicomSettings(type="dicom", **peer)
    assert settings.model_dump()["destinations"]["a"]["port"] == 104


def test_commands_load_no_heavy_package_for_the_configuration() -> None:
    heavy = "{'numpy', 'pydicom', 'pynetdicom', 'sqlalchemy', 'torch'}"
    program = f"import sys, dicom_node.cli.app, dicom_node.config; sys.exit(' '.join({heavy} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE).stderr.strip() == b""


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_settings({"node": {"prot": 1}, "web": {"hots": 2}})

    assert "node.prot" in raised.value.sentence
    assert "web.hots" in raised.value.sentence


def test_environment_overrides_a_key() -> None:
    settings = parse_settings({"node": {"port": 1104}}, environ={"S2LDM_NODE__PORT": "104"})

    assert settings.node.port == 104


def test_environment_overrides_one_key_of_a_route_and_keeps_the_others() -> None:
    settings = parse_settings({}, environ={"S2LDM_ROUTES__CECT_ART__SEED": "7"})

    assert settings.routes["CECT_ART"].seed == 7
    assert settings.routes["CECT_ART"].destinations == ("pacs",)
    assert settings.routes["CECT_VEN"].seed == 0


def test_environment_reads_values_as_yaml() -> None:
    settings = parse_settings({}, environ={"S2LDM_NODE__PEERS": "[{ae_title: PACS, host: null}]"})

    assert settings.node.peers[0].ae_title == "PACS"


def test_environment_with_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"unknown key node\.prot"):
        parse_settings({}, environ={"S2LDM_NODE__PROT": "104"})


def test_environment_of_other_programs_is_left_alone() -> None:
    assert parse_settings({}, environ={"S2LDM_REAL_DATA": "/x", "NODE__PORT": "1"}) == Settings()


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(tmp_path / "absent.yaml", environ={})

    assert raised.value.code == "config_unreadable"
    assert "absent.yaml" in raised.value.sentence


def test_broken_yaml_is_an_error_that_says_where(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("node: [", encoding="utf-8")

    with pytest.raises(ConfigError, match="line 1"):
        load_settings(path, environ={})


def test_a_file_that_is_a_list_is_an_error() -> None:
    with pytest.raises(ConfigError, match="keys and values"):
        parse_settings([1, 2])


def test_route_without_min_slices_takes_the_series_rule() -> None:
    settings = parse_settings({"series": {"min_slices": 5}, "routes": {"A": {"phase": "venous"}}})

    assert settings.min_slices("A") == 5
