"""A cluster of one real node on this machine: headrace_local's control plane and S3, kubelet, containerd, Services, a registry."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from headrace_e2e import cri, gpus, node_settings, requirements
from headrace_e2e.enclosure import ADDRESS, Enclosure
from headrace_local.certs import KeyPair
from headrace_local.cluster import Cluster
from headrace_local.http_check import answers
from headrace_local.kubeconfig import certificate_user, write_kubeconfig

NODE = "node-1"
REGISTRY_PORT = 5000
START_SECONDS = 120


class KubeletCluster(Cluster):
    """Everything runs in an enclosure, so nothing is left when it ends.

    The registry runs from the start. `start_node` needs one image from it, so push that first.
    Pulled images and the registry's blobs stay in the cache, so a machine pushes and pulls torch only once.
    """

    def __init__(self, binaries: Mapping[str, Path], store: Path) -> None:
        """
        Args:
            store: see `image_store`, whose lock the caller holds.

        Raises:
            CannotRunNodeError: this machine lacks something that a node needs; says what.
        """
        requirements.check()
        super().__init__(binaries=binaries, contract=False, address=ADDRESS)
        self.programs = binaries
        self.store = store
        self.host = ADDRESS
        """An address of this machine that pods can reach."""
        self.registry = f"{ADDRESS}:{REGISTRY_PORT}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self.enclosure.leave()

    def _start(self, binaries: Mapping[str, Path], timer: Any) -> None:
        (self.folder / "logs").mkdir(parents=True)
        holder = self.processes.start(
            "enclosure", Enclosure.HOLDER, log=self.folder / "logs/enclosure.log", cwd=self.folder, env={"PATH": requirements.PATH}
        )
        self.enclosure = Enclosure(holder, self.folder / "root")
        self.enclosure.furnish()
        self.prefix = self.enclosure.prefix
        super()._start(binaries, timer)
        self.start_registry()

    @property
    def pods_folder(self) -> Path:
        """The kubelet's folder of pods, on this machine's disk."""
        return self.folder / "root/var/lib/kubelet/pods"

    def start_registry(self) -> None:
        """Starts the registry, also after `stop_registry`, which keeps blobs but loses tags."""
        blobs = self.store / "registry"
        blobs.mkdir(parents=True, exist_ok=True)
        argv = [str(self.programs["crane"]), "registry", "serve", f"--address={self.registry}", f"--disk={blobs}"]
        self._registry = self.run_component("registry", argv)
        self.wait_until(lambda: answers(f"http://{self.registry}/v2/"), "the registry answers", 20)

    def stop_registry(self) -> None:
        """Stops the registry; nothing listens at its address after this."""
        self._registry.kill()

    def start_node(self, pause_image: str) -> None:
        """Starts the node and returns once it accepts pods.

        Args:
            pause_image: an image whose program sleeps, to hold each pod's namespaces open.
        """
        path = {"PATH": requirements.PATH}
        self._write_node_files(pause_image)
        self._start_containerd(path)
        kubelet = [
            str(self.programs["kubelet"]),
            f"--config={self.folder / 'kubelet.yaml'}",
            f"--kubeconfig={self.node_kubeconfig(NODE)}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
            "--root-dir=/var/lib/kubelet",
        ]
        self.run_component("kubelet", kubelet, path)
        self.run_component("kube-proxy", [str(self.programs["kube-proxy"]), f"--config={self.folder / 'kube-proxy.yaml'}"], path)
        self.wait_until(self._node_is_ready, f"node {NODE} is ready", START_SECONDS)

    def _write_node_files(self, pause_image: str) -> None:
        serving = KeyPair(*self.serving_certificate(NODE, ADDRESS))
        proxy_user = certificate_user(self._authority().client("kube-proxy", "system:kube-proxy"))
        proxy = write_kubeconfig(self.folder / "kubeconfigs/kube-proxy", self.api_url, self.ca_file, proxy_user)
        files = {
            "containerd.toml": node_settings.containerd_toml(self.folder, self.store / "containerd", pause_image),
            f"registries/{self.registry}/hosts.toml": node_settings.hosts_toml(self.registry),
            "cni/10-bridge.conflist": node_settings.cni_conflist(),
            "kubelet.yaml": node_settings.kubelet_yaml(self.ca_file, serving, self.folder),
            "kube-proxy.yaml": node_settings.kube_proxy_yaml(proxy, NODE),
            "resolv.conf": "",  # pods need no DNS: endpoints are addresses
        }
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)

    def _start_containerd(self, path: Mapping[str, str]) -> None:
        """A killed run leaves containers in the store, which containerd reads when it starts: this deletes them and restarts it."""
        socket = self.folder / "root" / node_settings.CONTAINERD_SOCKET.removeprefix("/")
        while True:
            daemon = self.run_component("containerd", ["containerd", f"--config={self.folder / 'containerd.toml'}"], path)
            self.wait_until(lambda: cri.serves(socket), "containerd serves the kubelet", 30)
            left = self._ctr("containers", "list", "--quiet").split()
            if not left:
                return
            for container in left:
                self._ctr("containers", "delete", container)
            daemon.stop(10)

    def _ctr(self, *words: str) -> str:
        return self.enclosure.run("ctr", f"--address={node_settings.CONTAINERD_SOCKET}", "--namespace=k8s.io", *words)

    def _node_is_ready(self) -> bool:
        conditions = [condition for node in gpus.nodes(self) for condition in node["status"].get("conditions", [])]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
