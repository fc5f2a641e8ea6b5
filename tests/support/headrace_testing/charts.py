"""The chart as Helm renders it, and the values that tests render it with."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

CHART = Path(__file__).parents[3] / "charts" / "headrace"
RELEASE, NAMESPACE = "headrace", "headrace-system"
IMAGES = {"repository": "registry.example/team"}
STORAGE = [{"cidrs": ["10.1.2.3/32"], "ports": [443]}, {"namespaceLabels": {"team": "storage"}, "ports": [9000, 9001]}]
MONITORS: Json = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "30s"},
    "rules": {"enabled": True, "labels": {"release": "prometheus"}, "alertLabels": {"team": "vision"}},
}

MATRIX: dict[str, Json] = {
    "default": {},
    "namespaced": {"watchNamespaces": ["team-a", "team-b"]},
    "own_images": {
        "images": {
            "operator": "registry.example/operator@sha256:" + "0" * 64,
            "trainer": "registry.example/trainer:mine",
            "pullPolicy": "Always",
            "pullSecrets": ["operator-registry"],
        },
        "trainers": {
            "pullPolicy": "Always",
            "pullSecrets": ["registry", "mirror"],
            "defaultStorageSecret": "storage",
            "defaultOutputUri": "s3://runs/all/",
        },
    },
    "placed": {
        "operator": {
            "replicas": 3,
            "settings": {"workers": 8, "logLevel": "DEBUG", "leaderLease": 2.5},
            "extraEnv": [
                {"name": "TZ", "value": "Europe/Berlin"},
                {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "resources": {"requests": {"cpu": 0.5, "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "1Gi"}},
            "podDisruptionBudget": {"maxUnavailable": 2},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "priorityClassName": "system-cluster-critical",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "nvidia.com/gpu", "operator": "DoesNotExist"}]}]
                    }
                }
            },
            "podLabels": {"team": "vision"},
            "podAnnotations": {"note": "yes"},
        }
    },
    "monitored": {"metrics": MONITORS},
    "monitored_namespaced": {"metrics": {**MONITORS, "port": 9090}, "watchNamespaces": ["team-a"]},
    "fenced": {"networkPolicies": {"enabled": True, "jobNamespaces": ["team-a", "team-b"], "storage": STORAGE}},
    "fenced_namespaced": {"networkPolicies": {"enabled": True, "storage": STORAGE}, "watchNamespaces": ["team-a"]},
    "dashboards": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Headrace"}}},
    "bare": {
        "crds": {"enabled": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "made-elsewhere"},
        "metrics": {"service": {"enabled": False}},
        "operator": {"replicas": 1, "podDisruptionBudget": {"enabled": False}, "topologySpreadConstraints": []},
    },
    "renamed": {
        "fullnameOverride": "vision",
        "crds": {"keep": False},
        "serviceAccount": {"name": "runner", "annotations": {"role": "none"}},
        "metrics": {"service": {"annotations": {"prometheus.io/scrape": "true"}}},
    },
}
"""Values by case name: turns each switch of the chart on and off at least once, alone and with the switches it interacts with."""


class HelmError(RuntimeError):
    """Helm failed; the message is what it wrote to stderr."""


NUMBERS: Json = {
    "images": {**IMAGES, "pullSecrets": ["1"]},
    "trainers": {"pullSecrets": ["2"], "defaultStorageSecret": "3"},
    "watchNamespaces": ["5e3"],
    "operator": {"priorityClassName": "6", "podLabels": {"a": "7"}, "extraEnv": [{"name": "A", "value": "8"}]},
    "serviceAccount": {"name": "9", "annotations": {"a": "10"}},
    "metrics": {**MONITORS, "rules": {"enabled": True, "labels": {"a": "11"}, "alertLabels": {"b": "12"}}},
    "networkPolicies": {"enabled": True, "storage": [{"podLabels": {"a": "13"}, "ports": [443]}]},
    "dashboards": {"enabled": True, "labels": {"a": "1"}, "annotations": {"b": "0x10"}},
}
"""Names, labels and annotations that YAML reads as numbers unless they are quoted."""


@dataclass(frozen=True)
class Helm:
    """Helm with its own folders: the user's settings play no part."""

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def run(self, *words: str | Path) -> str:
        """Returns its stdout.

        Raises:
            HelmError: it failed.
        """
        folders = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        # KUBECONFIG is always set, so that without a cluster Helm does not find the user's own.
        environment = {"PATH": os.defpath, "HOME": str(self.home), "NO_PROXY": "*", **folders}
        environment["KUBECONFIG"] = str(self.kubeconfig or self.home / "no-cluster")
        ended = subprocess.run([self.program, *words], capture_output=True, text=True, check=False, env=environment)
        if ended.returncode != 0:
            raise HelmError(f"helm {words[0]}: {ended.stderr.strip() or ended.stdout.strip()}")
        return ended.stdout

    def values(self, values: Mapping[str, Any]) -> Path:
        """A file with these values, plus images if they name none."""
        file = self.home / "values.json"
        file.write_text(json.dumps({"images": IMAGES, **values}))
        return file

    def template(self, values: Mapping[str, Any], namespace: str = NAMESPACE, release: str = RELEASE) -> str:
        """The chart's rendered text."""
        return self.run("template", release, CHART, "--namespace", namespace, "--values", self.values(values))

    def render(self, values: Mapping[str, Any], namespace: str = NAMESPACE, release: str = RELEASE) -> list[Json]:
        """The objects that the chart renders."""
        return [document for document in yaml.safe_load_all(self.template(values, namespace, release)) if document]


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    """Those objects."""
    return [one for one in objects if one["kind"] == kind]
