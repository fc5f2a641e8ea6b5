"""Pulls 3,000 files of 60 KB from a real S3 server: the supervisor's pull against minio's fget_object, one file at a time.

    python tests/bench/bench_pull.py [--json FILE] [--files 3000] [--kilobytes 60] [--latency-ms 20] [--connections 8 16 32 64]

`cpu` is the client's own CPU time per file: on a busy machine it is the steadier figure. A proxy in a process of its own adds
the latency to every request.

Measured on 2 cores shared with other work (load 5), no latency, versitygw with keep-alive: one connection 476 files/s (1.2 ms CPU a
file), 16 connections 628/s (1.5 ms), 32 474/s (2.0 ms: threads wait for the interpreter lock). Without keep-alive, which is
versitygw's default, every file needs a new connection: 177/s.
"""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from headrace_local.binaries import find_binaries
from headrace_storage.places import open_store
from headrace_storage.pull import Pull
from headrace_storage.retry import Retry
from headrace_storage.stop import Stop


def measure(files: int, kilobytes: int, latency_ms: float, connections: list[int]) -> list[dict[str, Any]]:
    """One row for minio's client and one for each number of connections."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, _server(Path(folder)) as environment:
        _fill(environment, files, kilobytes)
        with _latency(environment, latency_ms) as slower:
            # One at a time is so slow that a tenth of the files must do.
            rows = [_measure("minio fget_object, one at a time", lambda to: _one_by_one(slower, to, files // 10), Path(folder))]
            for number in connections:
                rows.append(_measure(f"supervisor, {number} connections", lambda to, n=number: _pull(slower, to, n), Path(folder)))
    for row in rows:
        row["megabytes_per_second"] = row["files_per_second"] * kilobytes / 1000
    return rows


def _measure(name: str, pull: Callable[[Path], int], folder: Path) -> dict[str, Any]:
    target = folder / "pulled"
    target.mkdir()
    wall, cpu = time.perf_counter(), time.process_time()
    files = pull(target)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    shutil.rmtree(target)
    return {"name": name, "files_per_second": files / wall, "cpu_milliseconds_per_file": 1000 * cpu / files}


def _one_by_one(environment: dict[str, str], target: Path, files: int) -> int:
    client = _client(environment)
    for number in range(files):
        client.fget_object("bench", f"images/{number:05d}.jpg", str(target / f"{number}.jpg"))
    return files


def _pull(environment: dict[str, str], target: Path, connections: int) -> int:
    (target / "partial").mkdir()
    stop = Stop()
    store = open_store("s3://bench/", environment, connections)
    objects = store.list()
    Pull(store, target / "dataset", target / "partial", Retry(10, stop, print), connections).run(objects)
    stop.close()
    return len(objects)


def _fill(environment: dict[str, str], files: int, kilobytes: int) -> None:
    _client(environment).make_bucket("bench")
    store = open_store("s3://bench/", environment)
    content = os.urandom(kilobytes * 1000)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.write(f"images/{number:05d}.jpg", content), range(files)))


def _client(environment: dict[str, str]) -> Any:
    import minio

    return minio.Minio(
        urlsplit(environment["AWS_ENDPOINT_URL"]).netloc,
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        region="us-east-1",
    )


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, str]]:
    """Our own versitygw, and the environment to reach it."""
    port, secret = _free_port(), secrets.token_hex(16)
    (folder / "s3").mkdir()
    flags = ["--port", f"127.0.0.1:{port}", "--access", "bench", "--secret", secret, "--keep-alive", "--quiet"]
    server = subprocess.Popen(
        [str(find_binaries()["versitygw"]), *flags, "posix", str(folder / "s3")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(port)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": secret,
        }
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _latency(environment: dict[str, str], milliseconds: float) -> Iterator[dict[str, str]]:
    """The same through a proxy that delays every request."""
    if not milliseconds:
        yield environment
        return
    port = _free_port()
    target = urlsplit(environment["AWS_ENDPOINT_URL"]).port
    proxy = subprocess.Popen([sys.executable, __file__, "--proxy", f"{port},{target},{milliseconds}"])
    try:
        _await_port(port)
        yield environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    finally:
        proxy.terminate()
        proxy.wait()


async def _proxy(port: int, target: int, milliseconds: float) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        while data := await reader.read(1 << 18):
            if delay:
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
        both = forward(reader, to_server, milliseconds / 1000), forward(from_server, writer, 0)
        await asyncio.gather(*both, return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _await_port(port: int) -> None:
    limit = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.02)
        else:
            return


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="How fast a dataset is pulled.")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--kilobytes", type=int, default=60)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--proxy", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.proxy:
        port, target, milliseconds = options.proxy.split(",")
        asyncio.run(_proxy(int(port), int(target), float(milliseconds)))
        return
    rows = measure(options.files, options.kilobytes, options.latency_ms, options.connections)
    what = f"{options.files:,} files of {options.kilobytes} KB, {options.latency_ms:g} ms latency"
    title = f"{what}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    _print_table(title, rows)
    if options.json:
        options.json.write_text(json.dumps({"title": title, "rows": rows}, indent=1) + "\n")


def _print_table(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table("", "files/s", "MB/s", "cpu ms/file", title=title)
    for row in rows:
        speeds = f"{row['files_per_second']:.0f}", f"{row['megabytes_per_second']:.1f}"
        table.add_row(row["name"], *speeds, f"{row['cpu_milliseconds_per_file']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
