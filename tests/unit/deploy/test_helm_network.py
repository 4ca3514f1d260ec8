"""Who can reach what of the nodes that the Helm chart makes: ports, Services, policies, probes, metrics."""

import re
from typing import Any

import pytest

from dicom_node.web.access import ACCESS, Access
from tests.helm import Manifest, Render
from tests.helm_values import VALUES
from tests.paths import ROOT

each = pytest.mark.parametrize("name", VALUES)


@each
def test_ports_are_those_that_the_node_listens_on(render: Render, name: str) -> None:
    rendered = render(name)
    settings = rendered.settings()

    ports = {one["name"]: one["containerPort"] for one in rendered.node["ports"]}

    expected = {"dicom": settings.node.port, "dicom-tls": settings.node.tls.port, "web": settings.web.port}
    assert ports == {key: port for key, port in expected.items() if port is not None}
    for service in rendered.all("Service"):
        assert {one["targetPort"] for one in service["spec"]["ports"]} <= set(ports)
    for policy in rendered.all("NetworkPolicy"):
        assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", [])} <= set(ports)


@each
def test_probes_ask_what_the_node_answers(render: Render, name: str) -> None:
    rendered = render(name)
    scheme = "HTTP" if rendered.settings().web.tls is None else "HTTPS"

    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert rendered.node[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "web", "scheme": scheme}
        assert ACCESS["GET", path] is Access.OPEN


@each
def test_selectors_mean_the_nodes_alone(render: Render, name: str) -> None:
    rendered = render(name)
    selectors = [one["spec"]["selector"] for one in rendered.all("Service")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in rendered.all("PodDisruptionBudget")]
    selectors += [rendered.one("StatefulSet")["spec"]["selector"]["matchLabels"]]
    selectors += [
        one["spec"]["podSelector"]["matchLabels"]
        for one in rendered.all("NetworkPolicy")
        if not one["metadata"]["name"].endswith("-ray")
    ]

    for selector in selectors:
        assert selector.items() <= rendered.template["metadata"]["labels"].items()
        assert not any(selector.items() <= one["metadata"]["labels"].items() for one in rendered.ray_templates)


def test_senders_keep_their_addresses(render: Render) -> None:
    spec = render("one").one("Service", "-dicom")["spec"]

    assert (spec["type"], spec["externalTrafficPolicy"], spec["sessionAffinity"]) == ("LoadBalancer", "Local", "None")
    assert render("three").one("Service", "-dicom")["spec"]["ports"] == [
        {"name": "dicom", "port": 104, "targetPort": "dicom"}
    ]


def test_plain_port_can_be_left_out(render: Render) -> None:
    rendered = render("tls")

    assert rendered.one("Service", "-dicom")["spec"]["ports"] == [
        {"name": "dicom-tls", "port": 2762, "targetPort": "dicom-tls", "nodePort": 32762}
    ]
    assert "dicom" not in _allowed(rendered.one("NetworkPolicy"))


def _allowed(policy: Manifest) -> dict[Any, list[Manifest]]:
    """Who may reach which port; None: all ports."""
    found: dict[Any, list[Manifest]] = {}
    for rule in policy["spec"]["ingress"]:
        for port in rule.get("ports", [{"port": None}]):
            found.setdefault(port["port"], []).extend(rule["from"])
    return found


def test_only_networks_that_are_named_reach_the_dicom_port(render: Render) -> None:
    policy = render("three").one("NetworkPolicy")

    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert _allowed(policy) == {"dicom": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "web": [{"podSelector": {}}]}


@pytest.mark.parametrize(("name", "scheme"), [("three", "http"), ("tls", "https")])
def test_prometheus_finds_the_metrics_under_the_name_of_its_rules(render: Render, name: str, scheme: str) -> None:
    rendered = render(name)
    monitor = rendered.one("ServiceMonitor")["spec"]
    found = [
        one
        for one in rendered.all("Service")
        if monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    ]
    (endpoint,) = monitor["endpoints"]

    assert [[port["name"] for port in one["spec"]["ports"]] for one in found] == [[endpoint["port"]]]
    assert ACCESS["GET", endpoint["path"]] is Access.OPEN
    assert endpoint["scheme"] == scheme
    job = re.search(r'up\{job="(\w+)"\}', (ROOT / "config/deploy/prometheus/alerts.yml").read_text())
    assert job is not None
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": job[1]}]


def test_ingress_leads_to_the_console(render: Render) -> None:
    rendered = render("ingress")
    (rule,) = rendered.one("Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    service = rendered.one("Service", "-web")

    assert rule["host"] == "ct.example"
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    assert controller in _allowed(rendered.one("NetworkPolicy"))["web"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}
