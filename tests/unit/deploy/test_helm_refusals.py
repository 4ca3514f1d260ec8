"""What cannot work is refused by the chart before anything is installed, with a sentence that says what to do."""

from typing import Any

import pytest

from tests.helm import CHART, RELEASE, helm
from tests.helm_values import VALUES

_ONE, _RAY = VALUES["one"], VALUES["ray"]


def _with(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Values with other keys, put into sections that are there."""
    made = dict(values)
    for key, change in changes.items():
        section = made.get(key)
        made[key] = _with(section, **change) if isinstance(section, dict) and isinstance(change, dict) else change
    return made


_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"config": _ONE["config"]}, "image.repository is missing: no registry has this image."),
    ({"image": _ONE["image"]}, "config.destinations is missing: say where derived series go"),
    (_with(_ONE, replicas=3), "3 nodes need one PostgreSQL, and SQLite is one node's"),
    (
        _with(VALUES["three"], storage={"accessMode": "ReadWriteOnce"}),
        "3 nodes on several machines mount one volume, which ReadWriteOnce does not allow",
    ),
    (
        _with(_RAY, storage={"accessMode": "ReadWriteOncePod"}, replicas=1),
        "Actors of a Ray cluster mount the nodes' volume",
    ),
    (
        _with(_ONE, database={"url": "postgresql+psycopg://s2ldm:secret@db/s2ldm"}),
        "database.url must be postgresql+psycopg://user@host/database without a password",
    ),
    (_with(_ONE, database={"url": "sqlite:///tmp/catalog"}), "database.url must be postgresql+psycopg://"),
    (
        _with(_ONE, database={"url": "postgresql+psycopg://s2ldm@db/s2ldm?password=secret"}),
        "database.url holds a password",
    ),
    (_with(VALUES["password"], database={"urlSecret": {"name": "db"}}), "both say where the database is"),
    (_with(_ONE, database={"passwordSecret": {"name": "db"}}), "belongs to database.url, which is missing"),
    (_with(_ONE, config={"node": {"database": "postgresql+psycopg://a@b/c"}}), "would stand in a ConfigMap"),
    (_with(_ONE, config={"node": {"data_dir": "/data"}}), "config.node.data_dir is the chart's own"),
    (_with(_ONE, config={"compute": {"executor": "ray"}}), "config.compute.executor follows from ray.enabled"),
    (_with(_ONE, config={"compute": {"ray": {"address": "a:1"}}}), "config.compute.ray.address is the chart's own"),
    (_with(_ONE, config={"web": {"host": "127.0.0.1"}}), "config.web.host 127.0.0.1 answers within its pod alone"),
    (_with(_ONE, config={"node": {"host": "localhost"}}), "config.node.host localhost answers within its pod alone"),
    (_with(_ONE, config={"node": {"port": 104}}), "config.node.port 104 needs rights that the pod does not have"),
    (
        {**VALUES["tls"], "secretFiles": {"tls": "s2ldm-tls", "archive": "archive-token"}},
        "/etc/s2ldm/secrets/pacs, but secretFiles has no pacs",
    ),
    (
        _with(_ONE, config={"routes": {"CECT_ART": {"model": "/models/torso"}}}),
        "config.routes.CECT_ART.model is /models/torso, but nothing is mounted at /models",
    ),
    (_with(_RAY, models={"image": "registry.example/models:1"}), "both to be mounted at /models"),
    (_with(_ONE, service={"dicom": {"plain": False}}), "service.dicom.plain is false and there is no TLS port"),
    (_with(_ONE, ingress={"enabled": True}), "ingress.host is missing"),
    (_with(_RAY, ray={"tokenSecret": {"name": ""}}), "who may talk to a Ray cluster may run code on it"),
    (_with(_RAY, ray={"address": "ray://head:10001"}), "ray.address ray://head:10001 must be host:port of the head"),
    (_with(_ONE, ray={"address": "head:6379"}), "ray.address is given, but ray.enabled is false"),
    (
        _with(_RAY, config={"compute": {"ray": {"workers": 2, "gpus": 1}}}),
        "The actors of 3 nodes take 6 GPUs (replicas × config.compute.ray.workers × config.compute.ray.gpus)",
    ),
    (_with(_RAY, ray={"workers": {"minReplicas": 5}}), "ray.workers.replicas is 3, which is not between"),
    (_with(_ONE, replicas="3"), "replicas: Invalid type. Expected: integer, given: string"),
    (_with(_ONE, storage={"accessMode": "RWX"}), "storage.accessMode must be one of the following"),
    (_with(_ONE, replica=3), "Additional property replica is not allowed"),
    (_with(_ONE, service={"dicom": {"prot": 104}}), "service.dicom: Additional property prot is not allowed"),
    (_with(_ONE, config={"route": {}}), "config: Additional property route is not allowed"),
    (
        _with(_ONE, terminationGracePeriodSeconds=10),
        "terminationGracePeriodSeconds: Must be greater than or equal to 60",
    ),
    (_with(_ONE, networkPolicy={"dicomFrom": ["PACS"]}), "networkPolicy.dicomFrom.0: Does not match pattern"),
]


@pytest.mark.parametrize(("values", "sentence"), _REFUSED, ids=[sentence[:40] for _, sentence in _REFUSED])
def test_values_that_cannot_work_are_refused(values: dict[str, Any], sentence: str) -> None:
    answer = helm("template", RELEASE, str(CHART), values=values)

    assert answer.returncode == 1
    assert sentence in answer.stderr
    assert "secret@" not in answer.stderr
