"""Which proxy to use for an API server."""

import pytest

from headrace_kube.proxies import proxy_for

PROXY = "http://proxy:3128"

CASES: list[tuple[str, str, str | None]] = [
    ("https://10.96.0.1:443", "", PROXY),
    ("https://10.96.0.1:443", "10.96.0.1", None),
    ("https://10.96.0.1:443", "localhost, 10.96.0.0/12", None),
    ("https://10.112.0.1:443", "10.96.0.0/12", PROXY),
    ("https://[fd00::1]:443", "fd00::/8", None),
    ("https://[fd00::1]:443", "[fd00::1]:443", None),
    ("https://10.96.0.1", "10.96.0.1:443", None),
    ("https://10.96.0.1:6443", "10.96.0.1:443", PROXY),
    ("https://api.cluster.example:6443", "example", None),
    ("https://api.cluster.example:6443", "cluster.example", None),
    ("https://api.cluster.example:6443", ".Cluster.Example", None),
    ("https://api.cluster.example:6443", "*.cluster.example", None),
    ("https://api.cluster.example:6443", "api.cluster.example:6443", None),
    ("https://api.cluster.example:6443", "api.cluster.example:443", PROXY),
    ("https://api.cluster.example:6443", "ster.example", PROXY),
    ("https://api.cluster.example:6443", "10.96.0.0/12,,other", PROXY),
    ("https://api.cluster.example:6443", "*", None),
    ("https://127.0.0.1:6443", "", None),
    ("https://localhost:6443", "", None),
    ("http://10.96.0.1:8080", "", None),
]


@pytest.mark.parametrize(("server", "no_proxy", "want"), CASES)
def test_no_proxy_names_addresses_ranges_and_domains(server: str, no_proxy: str, want: str | None) -> None:
    assert proxy_for(server, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == want


def test_lower_case_names_count_if_there_are_no_upper_case_ones() -> None:
    server = "https://10.96.0.1:443"
    assert proxy_for(server, {"https_proxy": "proxy:3128"}) == PROXY
    assert proxy_for(server, {"https_proxy": PROXY, "no_proxy": "10.96.0.1"}) is None
    assert proxy_for(server, {"https_proxy": "http://small", "HTTPS_PROXY": PROXY}) == PROXY
    assert proxy_for("http://10.96.0.1:80", {"HTTP_PROXY": PROXY}) == PROXY
