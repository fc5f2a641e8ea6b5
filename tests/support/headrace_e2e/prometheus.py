"""A real Prometheus that scrapes the operator and the trainers, and sets the same labels as the chart's monitors.

It scrapes through the API server, like `kubectl get --raw`, so it also works if this machine cannot reach pods' addresses.
"""

from pathlib import Path
from typing import Any

import yaml

from headrace_api import names
from headrace_local.access import ClusterAccess
from headrace_local.http_check import answers
from headrace_local.ports import free_ports
from headrace_testing.typed_client import typed_client

INTERVAL = "2s"


def start_prometheus(cluster: ClusterAccess, binary: Path) -> str:
    """Starts Prometheus, with its data in the cluster's folder, and returns its URL once it answers."""
    folder = cluster.folder / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(cluster)))
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    argv = [
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    cluster.start("prometheus", argv, ready=lambda: answers(f"{url}/-/ready"))
    return url


def configuration(cluster: ClusterAccess) -> dict[str, Any]:
    """Finds the operator's pods by their label `app.kubernetes.io/name`, and trainers by their `managed-by` label."""
    operator = _job(cluster, "headrace-operator", 8081, [_keep("app_kubernetes_io_name", "headrace.*")])
    operator["honor_labels"] = True  # the operator's `namespace` is that of the jobs it counts
    managed_by = names.LABEL_MANAGED_BY.replace(".", "_").replace("/", "_").replace("-", "_")
    trainers = _job(
        cluster,
        "headrace-trainer",
        names.PORT,
        [
            _keep(managed_by, names.MANAGED_BY),
            _label("project", "headrace_dev_project"),
            _label("trainingjob", "headrace_dev_job"),
            _label("attempt", "headrace_dev_attempt"),
        ],
    )
    return {"global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL}, "scrape_configs": [operator, trainers]}


def _job(cluster: ClusterAccess, name: str, port: int, relabelings: list[dict[str, Any]]) -> dict[str, Any]:
    with typed_client(cluster) as api:
        server = api.configuration
    bearer = server.api_key.get("authorization", "").removeprefix("Bearer ")
    token = {"authorization": {"credentials": bearer}} if bearer else {}
    certificate = {"cert_file": server.cert_file, "key_file": server.key_file} if server.cert_file else {}
    proxy = "/api/v1/namespaces/${1}/pods/${2}:" + f"{port}/proxy/metrics"
    return {
        "job_name": name,
        "scheme": "https",
        "tls_config": {"ca_file": server.ssl_ca_cert, **certificate},
        **token,
        "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": str(cluster.kubeconfig)}],
        "relabel_configs": [
            # Prometheus discovers a pod once per port; containers without a port do not matter here.
            _keep_source("__meta_kubernetes_pod_container_port_number", str(port)),
            _keep_source("__meta_kubernetes_pod_phase", "Running"),
            *relabelings,
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            # The default is the address that Prometheus connects to, which is the API server for all pods.
            {"source_labels": ["__meta_kubernetes_pod_ip"], "target_label": "instance", "replacement": f"$1:{port}"},
            {
                "source_labels": ["__meta_kubernetes_namespace", "__meta_kubernetes_pod_name"],
                "separator": ";",
                "regex": "(.+);(.+)",
                "target_label": "__metrics_path__",
                "replacement": proxy,
            },
            {"target_label": "__address__", "replacement": server.host.removeprefix("https://")},
        ],
    }


def _keep(label: str, value: str) -> dict[str, Any]:
    return _keep_source(f"__meta_kubernetes_pod_label_{label}", value)


def _keep_source(source: str, value: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [source], "regex": value}


def _label(label: str, source: str) -> dict[str, Any]:
    return {"source_labels": [f"__meta_kubernetes_pod_label_{source}"], "target_label": label}
