"""A real node on this machine (kubelet, containerd, Services, registry, Prometheus), and how the end-to-end tests use it."""
