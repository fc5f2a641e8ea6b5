"""A tiny S3 that lists and serves what a test tells it to, also what no decent server would: hostile keys, wrong sizes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class FakeS3:
    """Any bucket holds `objects`; requests are not authenticated."""

    objects: dict[str, bytes] = field(default_factory=dict)
    listed_sizes: dict[str, int] = field(default_factory=dict)
    """Sizes to lie about in listings."""
    listed_etags: dict[str, str] = field(default_factory=dict)
    answer_headers: dict[str, str] = field(default_factory=dict)
    """Added to every object that is served."""
    errors: list[tuple[int, str]] = field(default_factory=list)
    """(status, code) of the next answers, used up one by one; the last one stays if `keep_failing`."""
    keep_failing: bool = False
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""

    def environment(self) -> dict[str, str]:
        """For clients."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    def next_error(self) -> tuple[int, str] | None:
        """What to fail with, if anything."""
        if not self.errors:
            return None
        return self.errors[0] if self.keep_failing and len(self.errors) == 1 else self.errors.pop(0)

    def listing(self, prefix: str) -> str:
        """ListObjectsV2, all on one page."""
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{self.listed_sizes.get(key, len(content))}</Size>"
            f"<ETag>&quot;{self.listed_etags.get(key, md5(content, usedforsecurity=False).hexdigest())}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, content in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
            f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        )


@contextmanager
def fake_s3() -> Iterator[FakeS3]:
    """A server until the end of the block."""
    fake = FakeS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            key = unquote(url.path).lstrip("/").partition("/")[2]
            fake.requests.append(f"GET {key}")
            if error := fake.next_error():
                self._answer(error[0], f"<Error><Code>{error[1]}</Code><Message>told to</Message></Error>".encode())
            elif "list-type" in parse_qs(url.query, keep_blank_values=True):
                self._answer(200, fake.listing(parse_qs(url.query).get("prefix", [""])[0]).encode())
            elif key in fake.objects:
                self._answer(200, fake.objects[key], "application/octet-stream", fake.answer_headers)
            else:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def do_PUT(self) -> None:
            key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
            content = self.rfile.read(int(self.headers["Content-Length"]))
            fake.requests.append(f"PUT {key}")
            if error := fake.next_error():
                self._answer(error[0], f"<Error><Code>{error[1]}</Code><Message>told to</Message></Error>".encode())
                return
            fake.objects[key] = content
            self._answer(200, b"", headers={"ETag": f'"{md5(content, usedforsecurity=False).hexdigest()}"'})

        def do_DELETE(self) -> None:
            key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
            fake.requests.append(f"DELETE {key}")
            fake.objects.pop(key, None)
            self._answer(204, b"")

        def _answer(self, status: int, body: bytes, kind: str = "application/xml", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
