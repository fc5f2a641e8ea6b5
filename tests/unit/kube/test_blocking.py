"""The client without an event loop, against a server in a thread."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headrace_kube.blocking import BlockingClient
from headrace_kube.errors import NoClusterError, StatusError

ANSWERS = {"/there": 200, "/forbidden": 403}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"kind": "Thing"}'
        self.send_response(ANSWERS.get(self.path, 404))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing to stderr."""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        path = tmp_path / "kubeconfig"
        path.write_text(
            f"""
            current-context: x
            contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
            clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{server.server_port}"}}}}]
            users: [{{name: u, user: {{}}}}]
            """
        )
        yield path
        server.shutdown()
        thread.join()


def test_it_asks_again_and_again_over_one_connection(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # it connects past proxies
    with BlockingClient(kubeconfig, "tester") as client:
        assert client.request("GET", "/there") == {"kind": "Thing"}
        assert client.find("/there") == {"kind": "Thing"}


def test_find_reports_missing_objects_and_passes_other_refusals_on(kubeconfig: Path) -> None:
    with BlockingClient(kubeconfig, "tester") as client:
        assert client.find("/elsewhere") is None
        with pytest.raises(StatusError, match="403"):
            client.find("/forbidden")


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match="nowhere"):
        BlockingClient(tmp_path / "nowhere", "tester")
