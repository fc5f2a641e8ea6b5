"""Downloads the official release binaries and verifies each against its published checksum."""

import hashlib
import http.client
import os
import platform
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from headrace_local.setup_progress import Step, megabytes

T = TypeVar("T")

# An offline machine must move on to the build within seconds.
CONNECT_SECONDS = 4.0
CHUNK = 1 << 20


class ReleaseUnavailableError(RuntimeError):
    """The file is not available there; the caller tries another source."""


class SiteUnreachableError(ReleaseUnavailableError):
    """The site does not answer at all, so it will not have other files either."""


class ChecksumMismatchError(RuntimeError):
    """The downloaded file is not the published one. A person must look into it before going on."""


@dataclass(frozen=True)
class Release:
    """Where one program of one version is published."""

    program: str
    site: str
    """Base URL; HEADRACE_{KUBERNETES,ETCD,VERSITYGW,PROMETHEUS,HELM,CRANE}_URL names a mirror."""
    path: str
    checksum_path: str
    """A file with `<sha256>  <file name>` lines, or with the bare sha256."""

    @property
    def url(self) -> str:
        return f"{self.site}/{self.path}"

    @property
    def checksum_url(self) -> str:
        return f"{self.site}/{self.checksum_path}"


def release_of(program: str, version: str) -> Release:
    """The release of a program for Linux on this machine's processor."""
    machine = platform.machine()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    match program:
        case "etcd":
            site = os.environ.get("HEADRACE_ETCD_URL", "https://github.com/etcd-io/etcd/releases/download")
            return Release(program, site, f"v{version}/etcd-v{version}-linux-{arch}.tar.gz", f"v{version}/SHA256SUMS")
        case "versitygw":
            site = os.environ.get("HEADRACE_VERSITYGW_URL", "https://github.com/versity/versitygw/releases/download")
            title = {"amd64": "x86_64"}.get(arch, arch)  # here goreleaser's template uses uname's spelling
            archive = f"v{version}/versitygw_v{version}_Linux_{title}.tar.gz"
            return Release(program, site, archive, f"v{version}/checksums.txt")
        case "promtool" | "prometheus":
            site = os.environ.get("HEADRACE_PROMETHEUS_URL", "https://github.com/prometheus/prometheus/releases/download")
            numbers = version.split(".")  # the Go module 0.316.0 is the release 3.16.0
            name = f"{int(numbers[1]) // 100}.{int(numbers[1]) % 100}.{numbers[2]}"
            return Release(program, site, f"v{name}/prometheus-{name}.linux-{arch}.tar.gz", f"v{name}/sha256sums.txt")
        case "helm":
            site = os.environ.get("HEADRACE_HELM_URL", "https://get.helm.sh")
            name = f"helm-v{version}-linux-{arch}.tar.gz"
            return Release(program, site, name, f"{name}.sha256sum")
        case "crane":
            site = os.environ.get("HEADRACE_CRANE_URL", "https://github.com/google/go-containerregistry/releases/download")
            title = {"amd64": "x86_64"}.get(arch, arch)
            archive = f"v{version}/go-containerregistry_Linux_{title}.tar.gz"
            return Release(program, site, archive, f"v{version}/checksums.txt")
        case _:
            site = os.environ.get("HEADRACE_KUBERNETES_URL", "https://dl.k8s.io/release")
            path = f"v{version}/bin/linux/{arch}/{program}"
            return Release(program, site, path, f"{path}.sha256")


def download(release: Release, target: Path, step: Step) -> None:
    """Writes the program to `target`, which is complete only once this returns.

    Raises:
        ReleaseUnavailableError: no connection within seconds, or the site does not have the file.
        ChecksumMismatchError: the file differs from its published checksum.
    """
    archive = target.with_name(f"{target.name}.download")
    try:
        expected = _published_checksum(release)
        actual = _fetch(release.url, archive, step)
        if actual != expected:
            raise ChecksumMismatchError(
                f"{release.url} has SHA-256 {actual}, but {release.checksum_url} says {expected}; "
                "nothing was installed. Retry; if it happens again, something on this network changes downloads."
            )
        if release.path.endswith(".tar.gz"):
            _extract(archive, release.program, target)
        else:
            archive.rename(target)
    finally:
        archive.unlink(missing_ok=True)


def _published_checksum(release: Release) -> str:
    text = _within(CONNECT_SECONDS, release.site, lambda: _read(release.checksum_url))
    name = release.path.rpartition("/")[2]
    for line in text.splitlines():
        checksum, _, file_name = line.strip().partition(" ")
        if len(checksum) == 64 and file_name.strip().lstrip("*") in ("", name):
            return checksum.lower()
    raise ReleaseUnavailableError(f"{release.checksum_url} has no SHA-256 for {name}")


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as response:
        text: str = response.read(1 << 20).decode(errors="replace")
        return text


def _fetch(url: str, target: Path, step: Step) -> str:
    """Downloads to `target` and returns the SHA-256 of the content."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=30) as response, target.open("wb") as file:
            length = response.headers.get("Content-Length")
            step.count(megabytes, int(length) if length else None)
            while chunk := response.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                step.advance(file.tell())
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise ReleaseUnavailableError(f"{url}: {error}") from error
    return digest.hexdigest()


def _extract(archive: Path, program: str, target: Path) -> None:
    """Extracts only the file with the program's name."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.rpartition("/")[2] == program:
                content = tar.extractfile(member)
                assert content is not None
                with target.open("wb") as file:
                    while chunk := content.read(CHUNK):
                        file.write(chunk)
                return
    raise ReleaseUnavailableError(f"{archive.name} has no file named {program}")


def _within(seconds: float, site: str, read: Callable[[], T]) -> T:
    """Runs `read` with a limit that also covers what the library's timeout does not: the resolver's own retries."""
    outcome: list[T] = []
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            outcome.append(read())
        except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True, name=f"probe-{urlsplit(site).hostname}")
    thread.start()
    thread.join(seconds)
    if outcome:
        return outcome[0]
    if errors and isinstance(errors[0], urllib.error.HTTPError):
        raise ReleaseUnavailableError(f"{errors[0].url}: {errors[0]}")
    raise SiteUnreachableError(f"{site}: {errors[0] if errors else f'no answer within {seconds:g} s'}")
