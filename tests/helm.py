"""The Helm chart as helm itself renders it, and what its manifests say together."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel

from dicom_node.config import Settings, read_settings
from tests.paths import ROOT

CHART = ROOT / "config" / "deploy" / "helm" / "s2ldm-node"
RELEASE = "ct"
#: What Secrets hold that the values name, as far as the node reads it from its environment.
SECRETS = {("database", "url"): "postgresql+psycopg://s2ldm:secret@db/s2ldm", ("ray-token", "auth_token"): "token"}

# What helm prints on installing, and what the checksum is of, as a manifest, so that one rendering tells all.
_INSIGHT = """
apiVersion: test/v1
kind: Insight
notes: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}
fixed: {{ include "s2ldm-node.fixedConfig" . | toJson }}
"""

Manifest = dict[str, Any]
Render = Callable[[str], "Rendered"]


def helm(*arguments: str, values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the helm of this virtual environment, which set-up installs; where it has none, that of the PATH."""
    program = shutil.which("helm", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert program is not None, "helm is missing: make set-up"
    return subprocess.run(
        [program, *arguments, "--values", "-"], input=json.dumps(values), capture_output=True, text=True
    )


def with_insight(folder: Path) -> Path:
    """A copy of the chart that also tells what helm does not show."""
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)
    (chart / "templates" / "insight.yaml").write_text(_INSIGHT)
    return chart


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What becomes of a set of values."""

    manifests: list[Manifest]
    insight: Manifest

    @classmethod
    def of(cls, values: Mapping[str, Any], *, chart: Path) -> "Rendered":
        """Render; helm must take the values."""
        answer = helm("template", RELEASE, str(chart), values=values)
        assert answer.returncode == 0, answer.stderr
        documents = [one for one in yaml.safe_load_all(answer.stdout) if one]
        (insight,) = (one for one in documents if one["kind"] == "Insight")
        return cls(manifests=[one for one in documents if one is not insight], insight=insight)

    def all(self, kind: str) -> list[Manifest]:
        """The manifests of a kind."""
        return [one for one in self.manifests if one["kind"] == kind]

    def one(self, kind: str, end: str = "") -> Manifest:
        """The only one of a kind whose name ends so."""
        (found,) = (one for one in self.all(kind) if one["metadata"]["name"].endswith(end))
        return found

    @property
    def template(self) -> Manifest:
        """What the nodes' pods are made of."""
        return dict(self.one("StatefulSet")["spec"]["template"])

    @property
    def pod(self) -> Manifest:
        """The nodes' pods."""
        return dict(self.template["spec"])

    @property
    def node(self) -> Manifest:
        """The container that the node runs in."""
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def ray_templates(self) -> list[Manifest]:
        """What the pods of the Ray cluster are made of: the head's, then the workers'."""
        specs = [one["spec"] for one in self.all("RayCluster")]
        return [group["template"] for spec in specs for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]

    @property
    def pods(self) -> list[Manifest]:
        """All kinds of pods."""
        return [self.pod, *(one["spec"] for one in self.ray_templates)]

    def text(self) -> str:
        """The configuration file."""
        return str(self.one("ConfigMap")["data"]["node.yaml"])

    def settings(self) -> Settings:
        """What the node reads in its pod: the mounted file, with the container's environment."""
        environ = environment(self.node)
        file = PurePosixPath(environ["S2LDM_CONFIG"])
        volume = volume_at(file, self.pod, self.node)
        assert volume["configMap"]["name"] == self.one("ConfigMap")["metadata"]["name"]
        assert file.name in self.one("ConfigMap")["data"]
        return read_settings(self.text(), source="chart", environ=environ)


def environment(container: Manifest) -> dict[str, str]:
    """A container's environment, with what `SECRETS` hold."""
    found = {}
    for one in container["env"]:
        if "value" in one:
            found[one["name"]] = one["value"]
        elif "secretKeyRef" in one["valueFrom"]:
            secret = one["valueFrom"]["secretKeyRef"]
            found[one["name"]] = SECRETS.get((secret["name"], secret["key"]), "secret")
    return found


def volume_at(path: PurePosixPath, pod: Manifest, container: Manifest) -> Manifest:
    """The volume that a path in a container lies on."""
    mounts = {PurePosixPath(one["mountPath"]): one["name"] for one in container["volumeMounts"]}
    below = [mount for mount in mounts if path.is_relative_to(mount)]
    assert below, f"{path} lies on no volume"
    (volume,) = (one for one in pod["volumes"] if one["name"] == mounts[max(below, key=lambda one: len(one.parts))])
    return dict(volume)


def paths_in(value: Any) -> Iterator[Path]:
    """Every path that settings name."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from paths_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from paths_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from paths_in(one)
