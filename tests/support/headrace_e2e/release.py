"""Installs Headrace with its chart, as users do."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from headrace_api import names
from headrace_e2e.images import ROOT, Pushed
from headrace_local.access import ClusterAccess

NAMESPACE = "headrace-system"
NAME = "headrace"


class HelmError(RuntimeError):
    """helm failed; the message is its stderr."""


class Release:
    """One `helm install`.

    Args:
        helm: the path of helm.
        images: the images to run.
        jobs_namespace: the namespace for the trainers' NetworkPolicies.
    """

    def __init__(self, cluster: ClusterAccess, helm: Path, images: Pushed, jobs_namespace: str) -> None:
        self.cluster = cluster
        self._helm = helm
        self.images = images
        self.jobs_namespace = jobs_namespace
        self._installed = False
        self.chart = Path(os.environ.get("E2E_CHART") or ROOT / "charts/headrace")

    def install(self) -> str:
        """Installs Headrace and returns the notes that helm shows."""
        notes = self.helm("install", NAME, str(self.chart), "--create-namespace", "--wait", "--timeout=120s", *self.values({}))
        self._installed = True
        return notes

    def uninstall(self) -> None:
        """Uninstalls Headrace as a user would; this keeps the CustomResourceDefinition and therefore every job."""
        self.helm("uninstall", NAME, "--wait", "--timeout=60s")

    def remove(self) -> None:
        """Removes everything that `install` created, whatever its state; does nothing if `install` failed, because a Headrace that
        was already there is not ours."""
        if self._installed:
            self.helm("uninstall", NAME, "--ignore-not-found", "--wait", "--timeout=60s")
            self.cluster.kubectl("delete", "crd", f"{names.PLURAL}.{names.GROUP}", "--ignore-not-found", "--timeout=60s")
            for role in ("view", "edit", "admin"):  # helm keeps them, like the definition
                self.cluster.kubectl("delete", "clusterrole", f"headrace-{names.PLURAL}-{role}", "--ignore-not-found")
            self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s")

    def upgrade(self, **changes: Any) -> str:
        """Changes the Deployment's values and waits until the new pods have taken over."""
        return self.helm("upgrade", NAME, str(self.chart), "--wait", "--timeout=120s", *self.values(changes))

    def values(self, changes: dict[str, Any]) -> tuple[str, ...]:
        """helm's arguments for the values: short pauses, for fast tests, and all optional features that need no other CRD."""
        storage_host, _, storage_port = self.cluster.s3_endpoint.rpartition("/")[2].rpartition(":")
        values = {
            "images": {"operator": self.images.operator, "trainer": self.images.trainer},
            "operator": {
                # The node may have only two cores, and each of two trainers requests 0.9.
                "resources": {"requests": {"cpu": "20m"}},
                "settings": {"backoffBase": 3, "progressPoll": 1, "progressWrite": 1},
                **changes,
            },
            "networkPolicies": {
                "enabled": True,
                "jobNamespaces": [self.jobs_namespace],
                "storage": [{"cidrs": [f"{storage_host}/32"], "ports": [int(storage_port)]}],
                "apiServer": {"ports": [self._api_port()]},
            },
            "dashboards": {"enabled": True},
        }
        path = self.cluster.folder / "values.json"
        path.write_text(json.dumps(values))
        return ("--values", str(path))

    def _api_port(self) -> int:
        """The API server's port behind its Service, which pods use."""
        slices = ("get", "endpointslices", "-l", "kubernetes.io/service-name=kubernetes", "-o", "json")
        found: int = json.loads(self.cluster.kubectl(*slices))["items"][0]["ports"][0]["port"]
        return found

    def helm(self, *words: str) -> str:
        """
        Raises:
            HelmError: it failed.
        """
        folder = self.cluster.folder / "helm"
        completed = subprocess.run(
            [self._helm, f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={NAMESPACE}", *words],
            env={
                **os.environ,
                **{f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")},
                "KUBECACHEDIR": str(folder / "discovery"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode != 0:
            raise HelmError(f"helm {' '.join(words)}: {completed.stderr.strip()}\n{self.operator_logs()}")
        return completed.stdout

    def operator_pods(self) -> list[dict[str, Any]]:
        """The operator's pods."""
        found: list[dict[str, Any]] = json.loads(self.cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        return found

    def operator_logs(self) -> str:
        """The end of the replicas' logs, for error messages."""
        words = ("-n", NAMESPACE, "-l", "app.kubernetes.io/name", "--tail=20", "--prefix", "--ignore-errors")
        return self.cluster.kubectl("logs", *words)
