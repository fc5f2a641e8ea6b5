"""Who is who in a cluster: the certificates of its components and of its first users."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_local.certs import Authority, KeyPair, write_signing_key

API_SERVER_NAMES = ("127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Credentials:
    """The files that prove to one component who another is.

    etcd has an authority of its own: it lets in whoever shows a certificate of its authority, and the cluster's
    also signs those of nodes and users.
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
    """Makes all of them in `folder`; `addresses`: further ones at which the API server is reached."""
    ca, etcd_ca = Authority(folder, "ca"), Authority(folder, "etcd-ca")
    token_key = folder / "service-account-tokens.key"
    write_signing_key(token_key)
    return Credentials(
        ca=ca.pair.cert,
        api_server=ca.server("api-server", "kube-apiserver", [*API_SERVER_NAMES, *addresses]),
        # A group that may do everything, instead of a ClusterRoleBinding for `nodes/proxy`: it speaks to kubelets only.
        api_to_kubelet=ca.client("api-to-kubelet", "kube-apiserver-kubelet-client", ["system:masters"]),
        api_to_etcd=etcd_ca.client("api-to-etcd", "kube-apiserver"),
        etcd_ca=etcd_ca.pair.cert,
        etcd_server=etcd_ca.server("etcd-server", "etcd", ["127.0.0.1", "localhost"]),
        token_key=token_key,
        admin=ca.client("admin", "kubernetes-admin", ["system:masters"]),
        controller_manager=ca.client("controller-manager", "system:kube-controller-manager"),
        scheduler=ca.client("scheduler", "system:kube-scheduler"),
    )
