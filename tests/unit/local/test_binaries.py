"""Programs come from the nearest place that has them, complete and verified; otherwise the error says what to do."""

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import threading
import urllib.request
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace_local import go_build, releases
from headrace_local.binaries import BINARIES, GO_MODULE, BinariesMissingError, find_binaries
from headrace_local.releases import ChecksumMismatchError, release_of
from headrace_local.setup_progress import Step, Unit

NAMES = {binary.name for binary in BINARIES}
SITES = {"HEADRACE_KUBERNETES_URL": "kubernetes", "HEADRACE_ETCD_URL": "etcd", "HEADRACE_VERSITYGW_URL": "versitygw"}

# Stands in for Go: records its arguments, and "compiles" a package to a program that prints the package's name.
FAKE_GO = """
    #!{python}
    import os, sys
    words = sys.argv[1:]
    if words[0] == "version":
        print("go version go{version} linux/amd64")
    elif words[0] == "env":
        print({gocache!r})
    elif words[0] == "list":
        print("go: downloading example.com/module v1.0.0", file=sys.stderr)
        print("uncompiled example.com/module", "", "uncompiled " + words[-1], sep="\\n")
    else:
        package, target = words[-1], words[words.index("-o") + 1]
        with open({calls!r}, "a") as calls:
            print(package, file=calls)
        print("example.com/module", package, sep="\\n", file=sys.stderr)
        if package.endswith({fails!r}):
            sys.exit("undefined: everything")
        with open(target, "w") as file:
            file.write("#!/bin/sh\\necho " + package + "\\n")
"""


@dataclass
class Machine:
    """The machine that `find_binaries` sees: an empty cache, no network, no Go; tests add what they want."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    sites: Path = field(init=False)

    def __post_init__(self) -> None:
        self.sites = self.root / "sites"
        self.path = self.root / "path"
        self.path.mkdir()
        self.monkeypatch.setenv("HEADRACE_CACHE", str(self.root / "cache"))
        self.monkeypatch.delenv("HEADRACE_BINARIES", raising=False)
        self.monkeypatch.setenv("PATH", str(self.path))
        for variable in SITES:
            self.monkeypatch.setenv(variable, "http://127.0.0.1:9/nothing-listens-here")
        # Neither uv (not in PATH now) nor pip can reach an index.
        self.monkeypatch.setattr(go_build.sys, "executable", shutil.which("false", path=os.defpath))

    def have_go(self, version: str = "1.99.0", fails: str = "nothing") -> None:
        go = self.path / "go"
        text = FAKE_GO.format(
            python=sys.base_prefix + "/bin/python3",
            version=version,
            gocache=str(self.root),
            calls=str(self.root / "calls"),
            fails=fails,
        )
        go.write_text(textwrap.dedent(text).lstrip())
        go.chmod(0o755)

    def built(self) -> list[str]:
        calls = self.root / "calls"
        return [line.rpartition("/")[2] for line in calls.read_text().splitlines()] if calls.exists() else []

    def publish(self, name: str, content: bytes) -> Path:
        """Publishes a release with its checksum on the local site. Returns the published file."""
        version = next(binary.version for binary in BINARIES if binary.name == name)
        release = release_of(name, version)
        file = self.sites / release.path
        file.parent.mkdir(parents=True, exist_ok=True)
        packed = content
        if release.path.endswith(".tar.gz"):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
                for member, data in ((f"{name}-folder/README.md", b"read"), (f"{name}-folder/{name}", content)):
                    info = tarfile.TarInfo(member)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            packed = buffer.getvalue()
        file.write_bytes(packed)
        digest = hashlib.sha256(packed).hexdigest()
        bare = release.checksum_path.endswith(".sha256")
        (self.sites / release.checksum_path).write_text(digest if bare else f"{'0' * 64}  other\n{digest}  {file.name}\n")
        return file


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def site(machine: Machine) -> Iterator[str]:
    """A web server for what the machine publishes."""
    machine.sites.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: object) -> None:
            super().__init__(*words, directory=str(machine.sites))  # type: ignore[arg-type]

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        for variable in SITES:
            machine.monkeypatch.setenv(variable, url)
        yield url
        server.shutdown()
        thread.join()


def said_by(path: Path) -> str:
    return subprocess.run([path], capture_output=True, text=True, check=True, env={"PATH": os.defpath}).stdout.strip()


def test_versions_are_those_of_go_mod() -> None:
    versions = {binary.name: binary.version for binary in BINARIES}
    assert versions["kube-apiserver"] == versions["kubectl"] == "1.35.4"
    assert versions["etcd"] == "3.6.5"
    assert versions["versitygw"] == "1.8.0"


def test_the_named_folder_comes_first(machine: Machine) -> None:
    machine.have_go()
    folder = machine.root / "mine"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text("mine")
        (folder / name).chmod(0o755)
    machine.monkeypatch.setenv("HEADRACE_BINARIES", str(folder))
    assert find_binaries() == {name: folder / name for name in NAMES}
    assert machine.built() == []


def test_a_named_folder_without_any_program_is_an_error(machine: Machine) -> None:
    machine.monkeypatch.setenv("HEADRACE_BINARIES", "/no/such/folder")
    with pytest.raises(BinariesMissingError, match="HEADRACE_BINARIES=/no/such/folder has none of the programs"):
        find_binaries()


def test_programs_missing_from_the_named_folder_come_from_elsewhere(machine: Machine) -> None:
    machine.have_go()
    folder = machine.root / "mine"
    folder.mkdir()
    (folder / "etcd").write_text("mine")
    (folder / "etcd").chmod(0o755)
    machine.monkeypatch.setenv("HEADRACE_BINARIES", str(folder))
    found = find_binaries()
    assert found["etcd"] == folder / "etcd"
    assert set(found) == NAMES
    assert "v3" not in machine.built()  # etcd's package is .../server/v3


def test_without_network_everything_is_built_once_and_then_cached(machine: Machine) -> None:
    machine.have_go()
    first = find_binaries()
    assert set(first) == NAMES
    assert said_by(first["kubectl"]) == "k8s.io/kubernetes/cmd/kubectl"
    assert len(machine.built()) == len(NAMES)
    assert find_binaries() == first
    assert len(machine.built()) == len(NAMES)


def test_a_build_that_failed_resumes_where_it_was(machine: Machine) -> None:
    machine.have_go(fails="kubectl")
    with pytest.raises(go_build.BuildFailedError, match=r"go build .*kubectl` failed in .*:\nundefined: everything$"):
        find_binaries()
    done = machine.built()[:-1]
    assert done
    machine.have_go()
    assert set(find_binaries()) == NAMES
    assert [machine.built().count(name) for name in done] == [1] * len(done)
    assert not list((machine.root / "cache").rglob("*.partial"))


def test_a_build_counts_the_packages_that_go_has_yet_to_compile(machine: Machine) -> None:
    machine.have_go()
    words: list[str] = []

    class Recorded(Step):
        def tell(self, activity: str) -> None:
            super().tell(activity)
            words.append(self.words)

        def count(self, unit: Unit, total: int | None) -> None:
            super().count(unit, total)
            words.append(self.words)

        def advance(self, done: int) -> None:
            super().advance(done)
            words.append(self.words)

    go_build.build(machine.path / "go", GO_MODULE, "example.com/cmd", machine.root / "cmd", Recorded())
    assert words == ["downloading modules, 1 so far", "0 of 2 packages", "0 of 2 packages", "1 of 2 packages", "linking"]


def test_two_at_once_build_once(machine: Machine) -> None:
    machine.have_go()
    results: list[dict[str, Path]] = []
    threads = [threading.Thread(target=lambda: results.append(find_binaries())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert len(machine.built()) == len(NAMES)


def test_releases_are_preferred_to_a_build(machine: Machine, site: str) -> None:
    machine.have_go()
    for name in NAMES:
        machine.publish(name, f"#!/bin/sh\necho released {name}\n".encode())
    found = find_binaries()
    assert {name: said_by(path) for name, path in found.items()} == {name: f"released {name}" for name in NAMES}
    assert machine.built() == []
    assert not list((machine.root / "cache").rglob("*.download"))


def test_programs_missing_from_the_releases_are_built(machine: Machine, site: str) -> None:
    machine.have_go()
    machine.publish("etcd", b"#!/bin/sh\necho released\n")
    found = find_binaries()
    assert said_by(found["etcd"]) == "released"
    assert set(machine.built()) == NAMES - {"etcd"}


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd", "versitygw"])
def test_a_download_that_differs_from_its_checksum_is_refused(machine: Machine, site: str, name: str) -> None:
    machine.have_go()
    for each in NAMES:
        machine.publish(each, b"#!/bin/sh\n")
    file = machine.publish(name, b"#!/bin/sh\n")
    file.write_bytes(file.read_bytes() + b"tampered")
    with pytest.raises(ChecksumMismatchError, match=rf"{file.name} has SHA-256 \w+, but .* nothing was installed"):
        find_binaries()
    assert not list((machine.root / "cache").rglob(name))
    assert not list((machine.root / "cache").rglob("*.partial"))


def test_a_site_that_never_answers_costs_seconds(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(releases, "CONNECT_SECONDS", 0.1)

    def urlopen(*_: object, **__: object) -> None:
        hanging.wait(30)
        raise OSError("too late to matter")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    machine.have_go()
    assert set(find_binaries()) == NAMES
    hanging.set()


def test_without_go_and_without_an_index_the_error_says_what_to_do(machine: Machine) -> None:
    with pytest.raises(BinariesMissingError) as refusal:
        find_binaries()
    said = str(refusal.value)
    assert "cannot get kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, etcd, versitygw" in said
    assert "Go is not in PATH, but Go 1.25.0 or newer is needed" in said
    assert "install --target" in said
    assert "Connection refused" in said
    assert "HEADRACE_BINARIES" in said


def test_a_go_that_is_too_old_is_named(machine: Machine) -> None:
    machine.have_go(version="1.19.8")
    with pytest.raises(BinariesMissingError, match=r"path/go is Go 1\.19\.8, but Go 1\.25\.0 or newer is needed"):
        find_binaries()


def test_a_full_disk_is_noticed_before_the_build(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.have_go()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(go_build.shutil, "disk_usage", lambda _: usage(10**11, 98 * 10**9, 2 * 10**9))
    with pytest.raises(BinariesMissingError, match=r"needs about 6\.4 GB, but .* has 2\.0 GB free"):
        find_binaries()
    assert machine.built() == []
