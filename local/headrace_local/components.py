"""The command lines of the cluster's programs. The flags are tested with Kubernetes 1.35.4 and etcd 3.6.5."""

from dataclasses import dataclass
from pathlib import Path

from headrace_local.credentials import Credentials

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_OF_API_SERVER = "10.96.0.1"
"""The `kubernetes` Service gets the first address of the range."""
LOOPBACK = "127.0.0.1"
S3_HEALTH_PATH = "/healthz"

# What a cluster of TrainingJobs, pods and nodes needs, and what people expect of any cluster. The others (cloud,
# storage, certificate signing, autoscaling) would only take CPU time.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
)
# Services only work if kube-proxy runs.
SERVICE_CONTROLLERS = ("endpoints-controller", "endpointslice-controller")


@dataclass(frozen=True)
class Ports:
    """TCP ports: etcd's on 127.0.0.1, the others on the cluster's address."""

    etcd: int
    etcd_peer: int
    api: int
    s3: int


def etcd_argv(binary: Path, folder: Path, ports: Ports, creds: Credentials) -> list[str]:
    client_url = f"https://127.0.0.1:{ports.etcd}"
    peer_url = f"https://127.0.0.1:{ports.etcd_peer}"
    return [
        str(binary),
        "--name=headrace",
        f"--data-dir={folder}",
        "--unsafe-no-fsync",  # the data need not outlive the process
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=headrace={peer_url}",
        f"--cert-file={creds.etcd_server.cert}",
        f"--key-file={creds.etcd_server.key}",
        f"--trusted-ca-file={creds.etcd_ca}",
        "--client-cert-auth",
        f"--peer-cert-file={creds.etcd_server.cert}",
        f"--peer-key-file={creds.etcd_server.key}",
        f"--peer-trusted-ca-file={creds.etcd_ca}",
        "--peer-client-cert-auth",
        "--log-level=warn",
        # A single member always wins the election, but by default it waits a second before it starts one.
        "--heartbeat-interval=10",
        "--election-timeout=100",
    ]


def api_server_argv(binary: Path, ports: Ports, creds: Credentials, address: str = LOOPBACK) -> list[str]:
    issuer = "https://kubernetes.default.svc.cluster.local"
    return [
        str(binary),
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={ports.api}",
        f"--tls-cert-file={creds.api_server.cert}",
        f"--tls-private-key-file={creds.api_server.key}",
        f"--client-ca-file={creds.ca}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
        f"--etcd-cafile={creds.etcd_ca}",
        f"--etcd-certfile={creds.api_to_etcd.cert}",
        f"--etcd-keyfile={creds.api_to_etcd.key}",
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={creds.token_key}",
        f"--service-account-signing-key-file={creds.token_key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        # The `kubernetes` Service needs an endpoint that is not loopback. Pods here are local processes and get
        # the API server's address in another way.
        *(["--endpoint-reconciler-type=none"] if address == LOOPBACK else []),
        f"--kubelet-certificate-authority={creds.ca}",
        f"--kubelet-client-certificate={creds.api_to_kubelet.cert}",
        f"--kubelet-client-key={creds.api_to_kubelet.key}",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager_argv(binary: Path, kubeconfig: Path, creds: Credentials, kubelets: bool = False) -> list[str]:
    """
    Args:
        kubelets: the nodes are real, use Services, and may respond late on a busy machine: they get the usual 50 s.
    """
    # A process node renews its Lease every 2 s, so a lost node is noticed within 8 s.
    lost_nodes = [] if kubelets else ["--node-monitor-period=1s", "--node-monitor-grace-period=8s"]
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials",
        f"--root-ca-file={creds.ca}",
        f"--controllers={','.join([*CONTROLLERS, *(SERVICE_CONTROLLERS if kubelets else ())])}",
        *lost_nodes,
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--controller-start-interval=0s",
        "--profiling=false",
    ]


def scheduler_argv(binary: Path, kubeconfig: Path) -> list[str]:
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]


def s3_argv(binary: Path, folder: Path, ports: Ports, region: str, address: str = LOOPBACK) -> list[str]:
    """The keys go in the environment (ROOT_ACCESS_KEY_ID, ROOT_SECRET_ACCESS_KEY), because everyone can read argv."""
    return [
        str(binary),
        f"--port={address}:{ports.s3}",
        f"--region={region}",
        f"--health={S3_HEALTH_PATH}",
        "--keep-alive",
        "--quiet",
        "posix",
        # Keep metadata in files beside the objects: some file systems lack extended attributes.
        f"--sidecar={folder / 'metadata'}",
        str(folder / "buckets"),
    ]
