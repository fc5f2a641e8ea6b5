"""Makes a base for the images if no registry is reachable: Debian and its Python, from packages, with mmdebstrap.

There are two images: the base of Headrace's images, and the same with venv and pip, for building them.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from headrace_local.setup_progress import SetupProgress
from headrace_release.engine import Engine, run

SUITE = "bookworm"
"""Debian 12: its Python is 3.11, the oldest that Headrace runs on, and its C library runs every wheel of the lock file."""
BASE = f"localhost/headrace-base:{SUITE}"
BUILDER = f"localhost/headrace-base:{SUITE}-build"
PACKAGES = ("python3", "ca-certificates", "libstdc++6")
"""torch links libstdc++; S3 over TLS needs the CA certificates."""
BUILDER_PACKAGES = (*PACKAGES, "python3-venv")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
KEPT = "/usr/share/doc/*/copyright"


def root_command(packages: Sequence[str], tar: Path, mirror: str | None) -> tuple[str, ...]:
    """The command that writes a root file system: essential packages and these, without apt, its lists, manuals and translations.

    It includes Debian's security updates: mmdebstrap adds their archive unless you name a mirror.
    """
    rules = (*(f"path-exclude={path}" for path in LEFT_OUT), f"path-include={KEPT}")
    options = ("--variant=essential", f"--include={','.join(packages)}", *(f"--dpkgopt={rule}" for rule in rules))
    return ("mmdebstrap", "--quiet", *options, SUITE, str(tar), *([mirror] if mirror else []))


def make_base_images(
    engine: Engine, mirror: str | None, renew: bool = False, execute: Callable[[Sequence[str]], None] = run
) -> None:
    """Makes both images and imports them into the engine. It keeps existing ones unless `renew` is set: a new base is a different
    image, so everything built on it must be built again.

    Raises:
        EngineError: mmdebstrap is missing or failed, or the engine failed.
    """
    with tempfile.TemporaryDirectory() as folder, SetupProgress() as progress:
        for image, packages in ((BASE, PACKAGES), (BUILDER, BUILDER_PACKAGES)):
            if not renew and engine.has(image):
                progress.say(f"{image} exists (RENEW=1 makes it again with Debian's newest packages)")
                continue
            tar = Path(folder, "root.tar")
            with progress.step(f"make {image} from Debian packages"):
                execute(root_command(packages, tar, mirror))
                for command in engine.import_commands(tar, image):
                    execute(command)
