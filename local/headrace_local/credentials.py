"""The certificates of a cluster's components and of its first users."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_local.certs import Authority, KeyPair, write_signing_key

API_SERVER_NAMES = ("127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Credentials:
    """The files by which components prove to each other who they are.

    etcd has its own authority, because it accepts every certificate that its authority signed, and the cluster's
    authority also signs those of nodes and users.
    """

    ca: Path
    api_server: KeyPair
    api_to_kubelet: KeyPair
    api_to_etcd: KeyPair
    etcd_ca: Path
    etcd_server: KeyPair
    token_key: Path
    """Signs service account tokens."""
    admin: KeyPair
    controller_manager: KeyPair
    scheduler: KeyPair


def make_credentials(folder: Path, addresses: Sequence[str] = ()) -> Credentials:
    """Creates all of them in `folder`. `addresses` are additional addresses of the API server."""
    ca, etcd_ca = Authority(folder, "ca"), Authority(folder, "etcd-ca")
    token_key = folder / "service-account-tokens.key"
    write_signing_key(token_key)
    return Credentials(
        ca=ca.pair.cert,
        api_server=ca.server("api-server", "kube-apiserver", [*API_SERVER_NAMES, *addresses]),
        # A group with all permissions, instead of a ClusterRoleBinding for `nodes/proxy`: only kubelets see this certificate.
        api_to_kubelet=ca.client("api-to-kubelet", "kube-apiserver-kubelet-client", ["system:masters"]),
        api_to_etcd=etcd_ca.client("api-to-etcd", "kube-apiserver"),
        etcd_ca=etcd_ca.pair.cert,
        etcd_server=etcd_ca.server("etcd-server", "etcd", ["127.0.0.1", "localhost"]),
        token_key=token_key,
        admin=ca.client("admin", "kubernetes-admin", ["system:masters"]),
        controller_manager=ca.client("controller-manager", "system:kube-controller-manager"),
        scheduler=ca.client("scheduler", "system:kube-scheduler"),
    )
