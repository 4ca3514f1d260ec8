"""The Ray cluster of the Helm chart, which KubeRay makes, and how the nodes belong to it.

KubeRay's schema is in no package: its fields stand below as its documentation (API reference, ray.io/v1) has them.
Nothing here starts a cluster.
"""

import re
from pathlib import PurePosixPath
from typing import Any

import pytest

from tests.helm import Manifest, Render, environment, volume_at
from tests.helm_values import VALUES
from tests.paths import ROOT

#: Those of its fields that the chart may use, with their types; a template is Kubernetes' own, and checked as such.
_CLUSTER = {"rayVersion": str, "headGroupSpec": dict, "workerGroupSpecs": list}
_HEAD = {"serviceType": str, "rayStartParams": dict, "template": dict}
_WORKERS = {
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "rayStartParams": dict,
    "template": dict,
}


@pytest.fixture
def cluster(render: Render) -> dict[str, Any]:
    return dict(render("ray").one("RayCluster"))


def _is_made_of(value: Manifest, fields: dict[str, type]) -> bool:
    return value.keys() <= fields.keys() and all(isinstance(value[key], fields[key]) for key in value)


def test_cluster_has_the_fields_that_kuberay_documents(cluster: dict[str, Any]) -> None:
    head, (workers,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]

    assert cluster["apiVersion"] == "ray.io/v1"
    assert _is_made_of(cluster["spec"], _CLUSTER)
    assert _is_made_of(head, _HEAD)
    assert _is_made_of(workers, _WORKERS)
    assert all(isinstance(one, str) for group in (head, workers) for one in group["rayStartParams"].values())
    assert (workers["minReplicas"], workers["replicas"], workers["maxReplicas"]) == (3, 3, 4)


def test_workers_have_gpus_and_the_head_none(cluster: dict[str, Any]) -> None:
    (head,) = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    spec = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    (worker,) = spec["containers"]

    assert worker["resources"]["limits"]["nvidia.com/gpu"] == worker["resources"]["requests"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    assert spec["tolerations"] == VALUES["ray"]["ray"]["workers"]["tolerations"]
    assert worker["image"].endswith(":0.1.0-cuda")


def test_actors_find_images_and_models_where_the_node_has_them(render: Render) -> None:
    rendered = render("ray")
    settings = rendered.settings()

    for path in (settings.node.data_dir, settings.routes["CECT_ART"].model):
        at_node = volume_at(PurePosixPath(path), rendered.pod, rendered.node)
        for template in rendered.ray_templates:
            (container,) = template["spec"]["containers"]
            assert volume_at(PurePosixPath(path), template["spec"], container) == at_node


@pytest.mark.parametrize(
    ("name", "head"), [("ray", "ct-s2ldm-node-head-svc:6379"), ("ray elsewhere", "ray-head.ray:6379")]
)
def test_every_node_is_a_machine_of_the_cluster(render: Render, name: str, head: str) -> None:
    rendered = render(name)
    (raylet,) = rendered.pod["initContainers"]
    settings = rendered.settings()

    assert f"--address={head}" in raylet["args"]
    assert {"--num-cpus=0", "--num-gpus=0"} < set(raylet["args"])
    # Before the node, after it too, and with the same processes, files and memory to share.
    assert raylet["restartPolicy"] == "Always"
    assert "startupProbe" not in raylet
    assert rendered.pod["shareProcessNamespace"]
    for path in (PurePosixPath("/tmp/ray"), PurePosixPath("/dev/shm")):
        assert volume_at(path, rendered.pod, raylet) == volume_at(path, rendered.pod, rendered.node)
    assert (settings.compute.executor, settings.compute.ray.address) == ("ray", "auto")
    assert raylet["image"] == rendered.node["image"]


def test_cluster_that_is_there_is_not_made_again(render: Render) -> None:
    rendered = render("ray elsewhere")

    assert rendered.all("RayCluster") == []
    allowed = [one for rule in rendered.one("NetworkPolicy")["spec"]["ingress"] for one in rule["from"]]
    assert VALUES["ray elsewhere"]["networkPolicy"]["rayFrom"][0] in allowed


def test_everybody_shows_the_clusters_token(render: Render) -> None:
    rendered = render("ray")
    containers = [one for pod in rendered.pods for one in [*pod["containers"], *pod.get("initContainers", [])]]

    assert len(containers) == 4
    for container in containers:
        shown = environment(container)
        assert (shown["RAY_AUTH_MODE"], shown["RAY_AUTH_TOKEN"]) == ("token", "token")


def test_cluster_is_reached_by_itself_and_the_nodes_alone(render: Render) -> None:
    rendered = render("ray")
    policy = rendered.one("NetworkPolicy", "-ray")["spec"]
    nodes = rendered.one("StatefulSet")["spec"]["selector"]["matchLabels"]
    own = {"ray.io/cluster": rendered.one("RayCluster")["metadata"]["name"]}

    assert policy["podSelector"]["matchLabels"] == own
    assert policy["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": nodes}}, {"podSelector": {"matchLabels": own}}]}
    ]
    # Actors call back the driver in the node's pod.
    assert policy["ingress"][0] in rendered.one("NetworkPolicy", "-node")["spec"]["ingress"]


def test_version_of_ray_is_the_one_that_was_tested(cluster: dict[str, Any]) -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert pinned is not None
    assert cluster["spec"]["rayVersion"] == pinned[1]


def test_ray_knows_the_options_that_it_is_started_with(render: Render) -> None:
    scripts = pytest.importorskip("ray.scripts.scripts", reason="not installed: ray (pip install 's2ldm-node[ray]')")
    known = {option for parameter in scripts.start.params for option in parameter.opts}
    rendered = render("ray")
    spec = rendered.one("RayCluster")["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]

    used = {one.split("=")[0] for one in rendered.pod["initContainers"][0]["args"]}
    used |= {f"--{name}" for group in groups for name in group["rayStartParams"]}

    assert len(used) > 6
    assert used <= known
