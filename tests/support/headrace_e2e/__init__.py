"""A real node on this machine (kubelet, containerd, Services, a registry, Prometheus), and what the end-to-end tests do with it."""
