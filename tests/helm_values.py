"""What sites may say to the Helm chart."""

from typing import Any

_IMAGE = {"repository": "registry.example/s2ldm-node"}
_PACS = {"ae_title": "PACS", "host": "10.1.2.3", "port": 104}
_TLS = {"certificate": "/etc/s2ldm/secrets/tls/tls.crt", "key": "/etc/s2ldm/secrets/tls/tls.key"}
_MODEL = {"phase": "arterial", "model": "/models/torso", "destinations": ["pacs"]}

#: What sites say, by what it is about.
VALUES: dict[str, dict[str, Any]] = {
    "one": {"image": _IMAGE, "config": {"destinations": {"pacs": _PACS}}},
    "three": {
        "image": {**_IMAGE, "pullSecrets": ["registry"]},
        "replicas": 3,
        "config": {
            "node": {"ae_title": "SYNTH", "port": 4104, "max_pdu_bytes": 1048576, "peers": [{"ae_title": "PACS"}]},
            "destinations": {"pacs": _PACS},
            "retention": {"source_days": None},
            "web": {"port": 9104},
        },
        "database": {"urlSecret": {"name": "database"}},
        "storage": {"storageClass": "cephfs", "size": "2Ti"},
        "service": {"dicom": {"port": 104}},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"dicomFrom": ["10.1.0.0/16"]},
    },
    "tls": {
        "image": _IMAGE,
        "config": {
            "node": {
                "tls": {"port": 2762, **_TLS, "ca": "/etc/s2ldm/secrets/tls/ca.crt", "peer_certificate": "required"}
            },
            "destinations": {
                "pacs": {**_PACS, "tls": {"ca": "/etc/s2ldm/secrets/pacs/ca.crt"}},
                "archive": {
                    "type": "stow",
                    "url": "https://archive.example/dicom-web",
                    "auth": {"type": "bearer", "secret_file": "/etc/s2ldm/secrets/archive/token"},
                },
            },
            "web": {"tls": _TLS},
        },
        "secretFiles": {"tls": "s2ldm-tls", "pacs": "pacs-ca", "archive": "archive-token"},
        "service": {"dicom": {"type": "NodePort", "plain": False, "tlsNodePort": 32762}},
        "serviceMonitor": {"enabled": True},
    },
    "password": {
        "image": _IMAGE,
        "replicas": 2,
        "config": {"destinations": {"pacs": _PACS}},
        "database": {"url": "postgresql+psycopg://s2ldm@db/s2ldm", "passwordSecret": {"name": "db-app"}},
        "storage": {"existingClaim": "images"},
    },
    "ray": {
        "image": {**_IMAGE, "pullSecrets": ["registry"]},
        "replicas": 3,
        "config": {
            "destinations": {"pacs": _PACS},
            "routes": {"CECT_ART": _MODEL},
            "compute": {"ray": {"workers": 2, "gpus": 0.5}},
        },
        "database": {"urlSecret": {"name": "database"}},
        "models": {"existingClaim": "models"},
        "ray": {
            "enabled": True,
            "tokenSecret": {"name": "ray-token"},
            "image": {**_IMAGE, "tag": "0.1.0-cuda"},
            "workers": {
                "replicas": 3,
                "maxReplicas": 4,
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            },
        },
    },
    "ray elsewhere": {
        "image": _IMAGE,
        "config": {"destinations": {"pacs": _PACS}},
        "storage": {"accessMode": "ReadWriteMany"},
        "ray": {"enabled": True, "address": "ray-head.ray:6379", "tokenSecret": {"name": "ray-token"}},
        "networkPolicy": {"rayFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ray"}}}]},
    },
    "ingress": {
        "image": {**_IMAGE, "digest": f"sha256:{'0' * 64}"},
        "config": {
            "destinations": {"pacs": _PACS, "out": {"type": "folder", "path": "/data/out"}},
            "routes": {"CECT_ART": _MODEL},
        },
        "models": {"image": "registry.example/models:1"},
        "networkPolicy": {
            "webFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
        },
        "extraVolumes": [{"name": "out", "persistentVolumeClaim": {"claimName": "research"}}],
        "extraVolumeMounts": [{"name": "out", "mountPath": "/data/out"}],
        "ingress": {"enabled": True, "className": "nginx", "host": "ct.example", "tlsSecret": "ct-example"},
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "runtimeClassName": "nvidia",
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "extraEnv": [{"name": "S2LDM_LOG__LEVEL", "value": "debug"}],
    },
}
