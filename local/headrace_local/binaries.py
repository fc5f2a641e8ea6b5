"""Finds the embedded cluster's programs, and those that only tests use, at pinned versions.

For each program, it looks in these places, in this order:

1. the folder that HEADRACE_BINARIES names, with whatever versions it has;
2. the cache, HEADRACE_CACHE or ~/.cache/headrace, by version and build flags;
3. the official releases (`releases.py`), with verified checksums;
4. a build with Go (`go_build.py`) from `gobuild/go.mod`, or from `gobuild_tests/go.mod` for the tests' programs.

Programs from 3 and 4 go into the cache. A rename puts them in place, so the cache never has half a program.
"""

import fcntl
import hashlib
import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from headrace_local import go_build, releases
from headrace_local.setup_progress import SetupProgress

GO_MODULE = Path(__file__).parent / "gobuild"
TESTS_GO_MODULE = Path(__file__).parent / "gobuild_tests"
"""A separate module: in one with Kubernetes, Helm and Prometheus would change the versions that Kubernetes was released with."""


@dataclass(frozen=True)
class Binary:
    """A program and how to get it."""

    name: str
    package: str
    """Its Go package."""
    module: str
    """The Go module that has the program's version in go.mod."""
    go_module: Path = GO_MODULE
    tags: str = ""
    """Go build tags."""

    @property
    def version(self) -> str:
        """The version in go.mod, without the `v`."""
        required = re.search(
            rf"^(?:\t|require ){re.escape(self.module)} v(\S+)", (self.go_module / "go.mod").read_text(), re.MULTILINE
        )
        if required is None:
            raise LookupError(f"{self.go_module / 'go.mod'} requires no {self.module}")
        return required[1]

    @property
    def variables(self) -> dict[str, str]:
        """Go variables to set when linking, as Kubernetes' own builds do. Without them it is v0.0.0, which Helm refuses."""
        if self.module != KUBERNETES:
            return {}
        major, minor, _ = self.version.split(".")
        values = {"gitVersion": f"v{self.version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        return {f"{package}.{name}": value for package in packages for name, value in values.items()}

    @property
    def cache_key(self) -> str:
        """A name that changes whenever a build would produce a different program."""
        flags = [*go_build.FLAGS, *go_build.LINKER_FLAGS, *self.variables]
        recipe = [platform.machine(), *flags, (self.go_module / "go.sum").read_text(), *filter(None, [self.tags])]
        digest = hashlib.sha256("\n".join(recipe).encode()).hexdigest()
        return f"{self.name}-{self.version}-{digest[:8]}"


KUBERNETES = "k8s.io/kubernetes"
ETCD = "go.etcd.io/etcd/server/v3"
VERSITYGW = "github.com/versity/versitygw"
PROMETHEUS = "github.com/prometheus/prometheus"
HELM = "helm.sh/helm/v4"
CRANE = "github.com/google/go-containerregistry"

BINARIES = (
    Binary("kube-apiserver", f"{KUBERNETES}/cmd/kube-apiserver", KUBERNETES),
    Binary("kube-controller-manager", f"{KUBERNETES}/cmd/kube-controller-manager", KUBERNETES),
    Binary("kube-scheduler", f"{KUBERNETES}/cmd/kube-scheduler", KUBERNETES),
    Binary("kubectl", f"{KUBERNETES}/cmd/kubectl", KUBERNETES),
    Binary("etcd", ETCD, ETCD),
    Binary("versitygw", f"{VERSITYGW}/cmd/versitygw", VERSITYGW),
)

FOR_TESTS = (
    # Most of Prometheus' dependencies are for service discovery, which promtool's checks do not need.
    Binary("promtool", f"{PROMETHEUS}/cmd/promtool", PROMETHEUS, TESTS_GO_MODULE, "remove_all_sd"),
    Binary("helm", f"{HELM}/cmd/helm", HELM, TESTS_GO_MODULE),
)
"""What `make test` needs in addition."""

FOR_E2E = (
    Binary("kubelet", f"{KUBERNETES}/cmd/kubelet", KUBERNETES),
    Binary("kube-proxy", f"{KUBERNETES}/cmd/kube-proxy", KUBERNETES),
    # Without the tag that embeds it, Prometheus has no web page. Building that needs Node.js, and the tests do not use it.
    Binary("prometheus", f"{PROMETHEUS}/cmd/prometheus", PROMETHEUS, TESTS_GO_MODULE, "remove_all_sd,enable_kubernetes_sd"),
    Binary("crane", f"{CRANE}/cmd/crane", CRANE, TESTS_GO_MODULE),
)
"""What `make e2e` needs in addition: a real node, Prometheus, and crane for its small registry."""

ALL = (*BINARIES, *FOR_TESTS, *FOR_E2E)
GROUPS = {"cluster": BINARIES, "tests": FOR_TESTS, "e2e": FOR_E2E}


class BinariesMissingError(RuntimeError):
    """A program cannot be found, downloaded or built; the message says what would help."""


def cache_folder() -> Path:
    """HEADRACE_CACHE, or ~/.cache/headrace."""
    named = os.environ.get("HEADRACE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "headrace"


def find_binaries(progress: SetupProgress | None = None, wanted: Sequence[Binary] = BINARIES) -> dict[str, Path]:
    """The wanted programs (by default the cluster's) by name; downloads or builds what is missing.

    Raises:
        BinariesMissingError: the named folder has no program, or neither the releases nor Go are available.
    """
    found = _from_named_folder(wanted)
    missing = [binary for binary in wanted if binary.name not in found]
    cache = cache_folder()
    found |= _from_cache(cache, missing)
    missing = [binary for binary in missing if binary.name not in found]
    if not missing:
        return found

    progress = progress or SetupProgress()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock", progress), progress:
        found |= _from_cache(cache, missing)  # another process may have just finished them
        missing = [binary for binary in missing if binary.name not in found]
        progress.say(f"Getting {', '.join(binary.name for binary in missing)} into {cache}")
        obstacles = _download(cache, missing, progress)
        found |= _from_cache(cache, missing)
        missing = [binary for binary in missing if binary.name not in found]
        if missing:
            _build(cache, missing, progress, obstacles)
            found |= _from_cache(cache, missing)
    return found


def _from_named_folder(wanted: Sequence[Binary]) -> dict[str, Path]:
    named = os.environ.get("HEADRACE_BINARIES")
    if not named:
        return {}
    folder = Path(named)
    found = {b.name: folder / b.name for b in ALL if os.access(folder / b.name, os.X_OK)}
    if not found:
        names = ", ".join(binary.name for binary in BINARIES)
        raise BinariesMissingError(f"HEADRACE_BINARIES={named} has none of the programs {names}")
    return {binary.name: found[binary.name] for binary in wanted if binary.name in found}


def _from_cache(cache: Path, wanted: list[Binary]) -> dict[str, Path]:
    paths = {binary.name: _cached(cache, binary) for binary in wanted}
    return {name: path for name, path in paths.items() if path.exists()}


def _cached(cache: Path, binary: Binary) -> Path:
    return cache / "binaries" / binary.cache_key / binary.name


def _download(cache: Path, wanted: list[Binary], progress: SetupProgress) -> list[str]:
    """Downloads what the releases have. Returns why each of the others is not available."""
    obstacles: list[str] = []
    unreachable: set[str] = set()
    for binary in wanted:
        release = releases.release_of(binary.name, binary.version)
        if release.site in unreachable:
            continue
        with (
            _into_cache(cache, binary) as target,
            progress.step(f"download {binary.name} {binary.version}") as step,
        ):
            try:
                releases.download(release, target, step)
            except releases.ReleaseUnavailableError as error:
                step.outcome = "not available"
                obstacles.append(str(error))
                if isinstance(error, releases.SiteUnreachableError):
                    unreachable.add(release.site)
    return obstacles


def _build(cache: Path, wanted: list[Binary], progress: SetupProgress, obstacles: list[str]) -> None:
    try:
        gos = {module: go_build.find_go(module, cache, progress) for module in dict.fromkeys(b.go_module for b in wanted)}
        go_build.check_disk(next(iter(gos.values())))
    except go_build.CannotBuildError as error:
        names = ", ".join(binary.name for binary in wanted)
        reasons = "\n".join(f"  - {reason}" for reason in [*obstacles, str(error)])
        raise BinariesMissingError(
            f"cannot get {names}:\n{reasons}\nAny one of these helps: network access to the release sites; "
            "Go in PATH; a folder with the programs, named by HEADRACE_BINARIES."
        ) from error
    for binary in wanted:
        with _into_cache(cache, binary) as target, progress.step(f"build {binary.name} {binary.version}") as step:
            go = gos[binary.go_module]
            go_build.build(go, binary.go_module, binary.package, target, step, tags=binary.tags, variables=binary.variables)


@contextmanager
def _into_cache(cache: Path, binary: Binary) -> Iterator[Path]:
    """A path to write to. When the block ends, the file there becomes the cached program."""
    final = _cached(cache, binary)
    partial = final.with_name(f"{final.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    try:
        yield partial
        if partial.exists():
            partial.chmod(0o755)
            partial.rename(final)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, progress: SetupProgress) -> Iterator[TextIO]:
    """Holds the file's lock, so that two set-ups at once do not build everything twice."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"Another process is setting up {path.parent}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
