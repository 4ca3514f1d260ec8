"""The Helm chart: what its manifests say is what Kubernetes takes and what the node reads. No cluster runs them here."""

import json
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dicom_node.config import Settings
from dicom_node.config.live import taken_up
from dicom_node.errors import ConfigError
from dicom_node.loopback import is_loopback
from dicom_node.section import Section
from dicom_node.service import node as running
from tests.helm import CHART, Render, Rendered, environment, helm, paths_in, volume_at
from tests.helm_values import VALUES
from tests.paths import ROOT

#: Of operators that are not part of Kubernetes, so that it has no schema for them.
_OF_OTHERS = {"RayCluster", "ServiceMonitor"}
_OLDEST, _NEWEST = "1.29", kubernetes_validate.latest_version()
each = pytest.mark.parametrize("name", VALUES)


@pytest.mark.parametrize("name", ["nothing", *VALUES])
def test_helm_finds_nothing_wrong(name: str) -> None:
    checked = helm("lint", "--strict", str(CHART), values=VALUES.get(name, {}))

    assert checked.returncode == 0, checked.stdout + checked.stderr


@each
def test_kubernetes_takes_every_manifest(render: Render, name: str) -> None:
    rendered = render(name)
    pods = [{"apiVersion": "v1", "kind": "Pod", **one} for one in rendered.ray_templates]
    # Volumes from images came later.
    versions = [_NEWEST] if "image" in VALUES[name].get("models", {}) else [_OLDEST, _NEWEST]

    for manifest in [*rendered.manifests, *pods]:
        for version in versions if manifest["kind"] not in _OF_OTHERS else []:
            kubernetes_validate.validate(manifest, version, strict=True)
    assert {"StatefulSet", "Service", "ConfigMap"} <= {one["kind"] for one in rendered.manifests}


@each
def test_node_reads_what_the_values_say(render: Render, name: str) -> None:
    settings = render(name).settings()

    said = VALUES[name]["config"]
    assert str(settings.destinations["pacs"].host) == said["destinations"]["pacs"]["host"]
    assert settings.node.ae_title == said.get("node", {}).get("ae_title", "S2LDM")
    assert settings.several_nodes == ("database" in VALUES[name])
    assert settings.compute.executor == ("ray" if "ray" in VALUES[name] else "local")
    assert not is_loopback(settings.web.host)


def test_null_and_large_numbers_reach_the_node(render: Render) -> None:
    settings = render("three").settings()

    assert settings.retention.source_days is None
    assert settings.node.max_pdu_bytes == 1048576


@each
def test_every_path_of_the_configuration_lies_on_a_volume(render: Render, name: str) -> None:
    rendered = render(name)
    settings = rendered.settings()
    models = [Path(route.model) for route in settings.routes.values() if route.model.startswith("/")]

    for path in [*paths_in(settings), *models]:
        volume_at(PurePosixPath(path), rendered.pod, rendered.node)
    assert rendered.node["securityContext"]["readOnlyRootFilesystem"]
    volume = volume_at(PurePosixPath(settings.node.data_dir), rendered.pod, rendered.node)
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim in {"images", *(one["metadata"]["name"] for one in rendered.all("PersistentVolumeClaim"))}
    # The node changes its folder's permissions, which the cluster would put back on every file of a volume.
    assert all(str(settings.node.data_dir) != one["mountPath"] for one in rendered.node["volumeMounts"])


def test_files_of_secrets_lie_where_the_configuration_looks(render: Render) -> None:
    rendered = render("tls")
    settings = rendered.settings()

    for path, secret in (
        (settings.node.tls.certificate, "s2ldm-tls"),
        (settings.destinations["pacs"].tls.ca, "pacs-ca"),
        (settings.destinations["archive"].auth.secret_file, "archive-token"),
    ):
        volume = volume_at(PurePosixPath(path), rendered.pod, rendered.node)
        assert volume["secret"] == {"secretName": secret, "defaultMode": 0o440}


@each
def test_pods_may_do_no_more_than_they_need(render: Render, name: str) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for pod in render(name).pods:
        user = pod["securityContext"]
        assert user["runAsNonRoot"]
        assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in dockerfile
        assert user["fsGroup"] == user["runAsGroup"]
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            volume_at(PurePosixPath("/tmp"), pod, container)
            assert environment(container)["HOME"] == "/tmp"


@pytest.mark.parametrize(
    ("name", "mode"), [("one", "ReadWriteOnce"), ("three", "ReadWriteMany"), ("ray", "ReadWriteMany")]
)
def test_volume_can_be_mounted_by_all_who_need_it(render: Render, name: str, mode: str) -> None:
    claim = render(name).one("PersistentVolumeClaim")

    assert claim["spec"]["accessModes"] == [mode]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_claim_that_is_there_is_used(render: Render) -> None:
    rendered = render("password")

    assert rendered.all("PersistentVolumeClaim") == []
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "images"}} in rendered.pod["volumes"]


def test_password_comes_from_a_secret_alone(render: Render) -> None:
    rendered = render("password")

    assert {
        "name": "PGPASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "db-app", "key": "password"}},
    } in rendered.node["env"]
    assert rendered.settings().node.database == "postgresql+psycopg://s2ldm@db/s2ldm"
    assert "database" not in render("three").text()


def _waiting(settings: Settings, section: str) -> set[str]:
    """Keys of a section that wait for a new start when they change."""
    old = getattr(settings, section)
    waiting: set[str] = set()
    for key in type(old).model_fields:
        changed = settings.model_copy(update={section: old.model_copy(update={key: object()})})
        try:
            waiting |= set(taken_up(settings, changed)[1])
        except ConfigError:  # it was taken up, and is no good
            continue
    return waiting


def test_nodes_start_anew_for_what_they_do_not_take_up_alone(chart: Path) -> None:
    settings = Settings()
    config = json.loads(settings.model_dump_json())
    config["web"]["host"] = "::"
    del config["compute"]["ray"]["address"]
    elsewhere = {"node.data_dir", "node.database", "compute.executor"}  # of the values
    for section, key in (one.split(".") for one in elsewhere):
        del config[section][key]

    fixed = json.loads(Rendered.of({**VALUES["one"], "config": config}, chart=chart).insight["fixed"])

    sections = [name for name in config if isinstance(getattr(settings, name), Section)]
    waiting = {key for section in sections for key in _waiting(settings, section)}
    assert len(waiting) > 20
    assert {f"{section}.{key}" for section, keys in fixed.items() for key in keys} == waiting - elsewhere


def test_pod_has_time_to_end_its_work(render: Render) -> None:
    rendered = render("one")
    (_, seconds) = rendered.node["lifecycle"]["preStop"]["exec"]["command"]

    # Associations, loops and the web server end one after the other.
    assert rendered.pod["terminationGracePeriodSeconds"] > int(seconds) + 2 * running._STOP_SECONDS


def test_several_nodes_are_not_drained_together(render: Render) -> None:
    assert render("three").one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert render("one").all("PodDisruptionBudget") == []


def test_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert _OLDEST in chart["kubeVersion"]


def test_image_is_that_of_the_version_unless_another_is_named(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]

    assert render("one").node["image"] == f"registry.example/s2ldm-node:{version}"
    assert render("ingress").node["image"] == f"registry.example/s2ldm-node@sha256:{'0' * 64}"


def test_what_is_printed_tells_whom_to_call(render: Render) -> None:
    notes = render("three").insight["notes"]
    assert "CECT_ART, CECT_VEN (routes) at port 104" in notes
    assert "SYNTH calling" in notes
    assert "whoever" not in notes
    alone = render("one").insight["notes"]
    assert "whoever reaches the port may send" in alone
    assert "ReadWriteOnce" in alone
    assert "webFrom is empty" in notes
    assert "webFrom is empty" not in render("ingress").insight["notes"]


def _keys(value: Any) -> Any:
    """The names in values or in their schema, without those of free mappings."""
    if isinstance(value, dict) and value.get("type") == "object" and "additionalProperties" in value:
        properties = value.get("properties", {})
        return {key: _keys(one) for key, one in properties.items()} if properties else None
    return None


def _missing(schema: Any, values: Any, place: str = "") -> list[str]:
    """Keys that one of both lacks."""
    if not isinstance(schema, dict):
        return []
    found = [f"{place}{key}" for key in schema.keys() ^ (values or {}).keys()]
    return found + [line for key in schema for line in _missing(schema[key], (values or {}).get(key), f"{place}{key}.")]


def test_values_show_every_key_and_the_configuration_has_the_nodes_sections() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    keys = _keys(schema)
    sections = keys.pop("config")
    del keys["global"]  # Helm's own
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    del values["config"]

    assert _missing(keys, values) == []
    assert set(sections) == set(Settings.model_fields)
