"""Prometheus' rules and Grafana's dashboard ask for what the node's metrics have: names, labels and values."""

import json
import re
import shutil
import subprocess
from collections import defaultdict

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dicom_node.catalog import Catalog, JobState
from dicom_node.service.observe import Metrics
from dicom_node.states import DeliveryState, Outcome, SeriesState
from tests.catalog_jobs import Clock, job_in
from tests.paths import ROOT

DEPLOY = ROOT / "config" / "deploy"
_SELECTOR = re.compile(r"\b((?:s2ldm|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r'(\w+)\s*(=~|!~|=|!=)\s*"([^"]*)"')
#: Values that labels of ours can have, beyond what a small catalog happens to show.
_STATES = {
    "s2ldm_jobs": set(JobState),
    "s2ldm_deliveries": set(DeliveryState),
    "s2ldm_series": set(SeriesState),
    "s2ldm_received_instances_total": set(Outcome),
    "s2ldm_step_seconds_count": {"translate", "derive", "deliver"},
}
#: Labels that Prometheus itself adds.
_OF_PROMETHEUS = {"job", "instance"}


def expressions() -> list[tuple[str, str]]:
    """What asks, and the query."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "s2ldm.json").read_text())
    alerts = [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]
    panels = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    return alerts + panels


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Labels of every metric of a node that has worked, by the sample's name."""
    folder, clock = tmp_path_factory.mktemp("metrics"), Clock()
    with Catalog(folder / "catalog.sqlite", clock=clock) as catalog:
        job_in(catalog, clock, JobState.DELIVERING)
        metrics = Metrics(catalog, data_dir=folder)
        metrics.stored(route="CECT_ART", outcome="new", size=1)
        metrics.rejected(reason="unknown_peer")
        metrics.worked("deliver", 1.0)
        text = metrics.exposition().decode()
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return dict(found)


@pytest.mark.parametrize(("asked_by", "query"), expressions())
def test_query_asks_for_what_the_node_has(labels: dict[str, set[str]], asked_by: str, query: str) -> None:
    selectors = _SELECTOR.findall(query)
    assert selectors or query.startswith("up{"), asked_by
    for name, conditions in selectors:
        assert name in labels, name
        for label, how, value in _LABEL.findall(conditions):
            if label in _OF_PROMETHEUS:
                continue
            assert label in labels[name], (name, label)
            wanted = value.split("|") if "~" in how else [value]
            assert set(wanted) <= _STATES[name], (name, value)
    for group in re.findall(r"by \(([^)]*)\)", query):
        known = set().union(*(labels[name] for name, _ in selectors))
        assert {one.strip() for one in group.split(",")} <= known


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_configuration_and_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_compose_mounts_is_there_and_nothing_is_open_to_other_machines() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), (name, source)
                assert mount.endswith(":ro"), (name, mount)
            elif not source.startswith("../../build/"):
                assert source in compose["volumes"], (name, source)
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name


def test_compose_serves_the_version_of_the_viewer_that_is_fetched() -> None:
    from dicom_node.demo.stack.ohif import OHIF_VERSION

    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["viewer"]["volumes"]
    assert f"../../build/ohif-{OHIF_VERSION}:/usr/share/ohif:ro" in mounts
