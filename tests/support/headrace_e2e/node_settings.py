"""Configuration files for the node's programs. Tested with Kubernetes 1.35.4, Debian's containerd 1.6.20 and cgroups v1."""

import json
from pathlib import Path
from typing import Any

import yaml

from headrace_e2e.enclosure import ADDRESS, BRIDGE, CGROUP, POD_RANGE
from headrace_e2e.requirements import cni_folder
from headrace_local.certs import KeyPair

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def containerd_toml(folder: Path, store: Path, pause_image: str) -> str:
    """
    Args:
        folder: the node's folder, with `cni` and `registries` in it.
        store: the folder that keeps images and their layers between runs.
        pause_image: the image that holds a pod's namespaces open.
    """
    return f"""\
version = 2
root = "{store}"
state = "/run/containerd"
# These need a file system or a kernel module that is rarely present, and log errors.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true  # root may lack CAP_SYS_RESOURCE, in a sandbox
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder()}"
    conf_dir = "{folder / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = true  # torch is in it
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder / "registries"}"
"""


def hosts_toml(registry: str) -> str:
    """Lets containerd pull from the registry without TLS."""
    return f'server = "http://{registry}"\n[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'


def cni_conflist() -> str:
    """Configures a bridge for the pods. It does not enforce NetworkPolicies."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,  # otherwise a pod cannot reach itself through its Service
        "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]]},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "headrace", "plugins": [bridge, {"type": "portmap", "snat": True}]})


def kubelet_yaml(ca: Path, serving: KeyPair, folder: Path) -> str:
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(ca)}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.cert),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": str(folder / "resolv.conf"),
        "volumePluginDir": str(folder / "volume-plugins"),  # the default folder is this machine's
        # The image store outlives the node (`image_store` keeps it small), so the kubelet must not act on a nearly full disk.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "logging": {"verbosity": 2},
    }
    return yaml.safe_dump(config)


def kube_proxy_yaml(kubeconfig: Path, node: str) -> str:
    """Uses iptables mode: in 1.35.4's nftables mode, an endpoint that goes and comes back while the proxy restarts stays lost."""
    config: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": node,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The kernel's connection limits apply to the whole machine, so leave them alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return yaml.safe_dump(config)
