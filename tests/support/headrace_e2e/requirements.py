"""What this machine must have to run a real node, and what to do if something is missing.

`python -m headrace_e2e.requirements` exits with 1 and the reason if something is missing; with `--packages` it prints the
Debian packages to install.
"""

import os
import shutil
import sys
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where Debian puts the programs below; the PATH of a bare environment lacks the `sbin` folders."""
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""The Debian package of each program."""


class CannotRunNodeError(RuntimeError):
    """A real node cannot run here; the message says what is missing and how to fix it."""


def check() -> None:
    """
    Raises:
        CannotRunNodeError: something is missing; names all of it.
    """
    problems = []
    if not sys.platform.startswith("linux"):
        problems.append(f"a kubelet needs Linux, and this is {sys.platform}")
    elif os.geteuid() != 0:
        problems.append("a kubelet needs root: use sudo")
    if missing := missing_packages():
        problems.append(f"missing programs: apt-get install {' '.join(missing)}")
    if problems:
        raise CannotRunNodeError(
            f"{'; '.join(problems)}.\nOr let the tests use an existing cluster: E2E_KUBECONFIG=FILE E2E_REGISTRY=HOST:PORT "
            "E2E_HOST=ADDRESS (docs/e2e.md)."
        )


def missing_packages() -> list[str]:
    """Debian packages that a node needs and this machine lacks."""
    missing = {package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None}
    if not any((folder / "bridge").exists() for folder in CNI_FOLDERS):
        missing.add("containernetworking-plugins")
    return sorted(missing)


def cni_folder() -> Path:
    """The folder with the CNI plugins."""
    return next(folder for folder in CNI_FOLDERS if (folder / "bridge").exists())


def main(words: list[str]) -> str | None:
    """Returns the error, or None."""
    if words == ["--packages"]:
        print(*missing_packages())
    elif "E2E_KUBECONFIG" not in os.environ:
        try:
            check()
        except CannotRunNodeError as error:
            return f"error: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
