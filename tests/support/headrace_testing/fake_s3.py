"""A tiny S3 that lists and serves what a test wants, including what no decent server would: hostile keys, wrong sizes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """False sizes for listings."""
    listed_etags: dict[str, str] = field(default_factory=dict)
    answer_headers: dict[str, str] = field(default_factory=dict)
    """Added to every object that is served."""
    errors: list[tuple[int, str]] = field(default_factory=list)
    """(status, code) of the next answers, used up one by one; the last one stays if `keep_failing`."""
    error_body: bytes | None = None
    """The body of those answers, instead of S3's XML."""
    keep_failing: bool = False
    held_puts: dict[str, threading.Event] = field(default_factory=dict)
    """Keys whose PUT is answered only once the event is set."""
    slow_gets: set[str] = field(default_factory=set)
    """Keys that are served ten bytes at a time, 500 a second."""
    refuse_deletes: bool = False
    """Refuses deletions, as for keys without s3:DeleteObject."""
    page_size: int = 1000
    """Objects per page of a listing."""
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""

    def environment(self) -> dict[str, str]:
        """How clients reach it."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    def next_error(self) -> tuple[int, str] | None:
        """The error to answer with, if any."""
        if not self.errors:
            return None
        return self.errors[0] if self.keep_failing and len(self.errors) == 1 else self.errors.pop(0)

    def body_of(self, code: str) -> bytes:
        """The body of an answer with the error `code`."""
        xml = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
        return xml if self.error_body is None else self.error_body

    def listing(self, prefix: str, after: str = "") -> str:
        """A page of ListObjectsV2; the continuation token is the last key of the previous page."""
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > after]
        page = keys[: self.page_size]
        more = len(page) < len(keys)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{self.listed_sizes.get(key, len(self.objects[key]))}</Size>"
            f"<ETag>&quot;{self.listed_etags.get(key, md5(self.objects[key], usedforsecurity=False).hexdigest())}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
            f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
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
                self._answer(error[0], fake.body_of(error[1]))
            elif "list-type" in (query := parse_qs(url.query, keep_blank_values=True)):
                self._answer(200, fake.listing(query["prefix"][0], query.get("continuation-token", [""])[0]).encode())
            elif key in fake.slow_gets:
                self._answer_slowly(fake.objects[key])
            elif key in fake.objects:
                self._answer(200, fake.objects[key], "application/octet-stream", fake.answer_headers)
            else:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def do_PUT(self) -> None:
            key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
            content = self.rfile.read(int(self.headers["Content-Length"]))
            fake.requests.append(f"PUT {key}")
            if held := fake.held_puts.get(key):
                held.wait(60)
            if error := fake.next_error():
                self._answer(error[0], fake.body_of(error[1]))
                return
            fake.objects[key] = content
            self._answer(200, b"", headers={"ETag": f'"{md5(content, usedforsecurity=False).hexdigest()}"'})

        def do_DELETE(self) -> None:
            key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
            fake.requests.append(f"DELETE {key}")
            if fake.refuse_deletes:
                self._answer(403, b"<Error><Code>AccessDenied</Code><Message>told to</Message></Error>")
                return
            fake.objects.pop(key, None)
            self._answer(204, b"")

        def _answer_slowly(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # the client hung up
                for start in range(0, len(body), 10):
                    self.wfile.write(body[start : start + 10])
                    time.sleep(0.02)

        def _answer(self, status: int, body: bytes, kind: str = "application/xml", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

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
