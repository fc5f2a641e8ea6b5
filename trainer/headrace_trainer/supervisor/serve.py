"""Serves /healthz, /readyz, /status and /metrics."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from headrace_trainer.supervisor.board import Board

_TEXT = "text/plain; charset=utf-8"


@contextmanager
def serving(board: Board, host: str, port: int) -> Iterator[str]:
    """Serve from separate threads until the block ends; yields the URL (port 0 picks a free one)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = _answer(board, self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Do not log requests: probes come every few seconds."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    server = Server((host, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="serve", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(board: Board, path: str) -> tuple[HTTPStatus, str, bytes]:
    match path:
        case "/healthz":
            return HTTPStatus.OK, _TEXT, b"ok\n"
        case "/readyz" if board.ready:
            return HTTPStatus.OK, _TEXT, b"the network is training\n"
        case "/readyz":
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"not learning yet: {board.status().message}\n".encode()
        case "/status":
            body = board.status().model_dump_json(by_alias=True, exclude_none=True)
            return HTTPStatus.OK, "application/json", body.encode()
        case "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(board.metrics.registry)
        case _:
            return HTTPStatus.NOT_FOUND, _TEXT, b"not found: try /healthz, /readyz, /status or /metrics\n"
