"""`make release VERSION=1.2.3`, in two calls with a commit between them.

The first call writes the version and asks you to commit; the second, on that commit, builds everything that ships. So the revision
in the images' labels is the one with that version, and no program commits anything.
"""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from headrace_local.binaries import FOR_TESTS, find_binaries
from headrace_release import audit, changelog, images, inventory, version
from headrace_release.engine import Engine, run

CHECKS = ("make", "check", "test")
DIST = Path("dist")
LICENCES = Path("docs/licences.md")


class NotReadyError(Exception):
    """Something prevents a release; the message says what."""


def prepare(root: Path, wanted: str, console: Console) -> None:
    """The first call: writes the version into pyproject.toml, the chart and the changelog.

    Raises:
        NotReadyError: files differ from the commit. VersionError, ChangelogError: see there; nothing has been written then.
    """
    refuse_changes(root)
    file = root / changelog.FILE
    text = changelog.release(file.read_text(), wanted, datetime.now(UTC).date())
    version.write(root, wanted)
    file.write_text(text)
    console.print(f"written: version {wanted} in {version.PYPROJECT}, {version.CHART}, {version.CODE} and {changelog.FILE}. Now:")
    console.print(
        f"  make manifests && git commit --all --message 'Release {wanted}' && make release VERSION={wanted}", soft_wrap=True
    )


def ship(root: Path, plan: images.Plan, engine: Engine, console: Console, execute: Callable[[Sequence[str]], None] = run) -> None:
    """The second call: builds everything that ships, into dist/ and the engine's store.

    Raises:
        NotReadyError: files differ from the commit, or a package has a known vulnerability. EngineError: a step failed.
    """
    # 1. Ship only what is committed and has passed the checks.
    refuse_changes(root)
    notes = changelog.notes((root / changelog.FILE).read_text(), plan.version)
    execute(CHECKS)
    # 2. No package with a known vulnerability. If the database cannot be reached, the end says so again.
    folder = root / DIST
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    audited = audit.audit(folder / f"audit-{plan.version}.json")
    if audited.vulnerable:
        raise NotReadyError("packages with known vulnerabilities:\n" + "\n".join(audited.vulnerable))
    # 3. The images, and the chart that installs them.
    images.tell(console, engine, images.build_images(engine, plan, execute=execute))
    execute((helm(), "package", "charts/headrace", "--destination", str(folder)))
    # 4. Their contents, licences and changes.
    inventory.write_inventories(engine, plan, folder, execute)
    shutil.copy(root / LICENCES, folder / LICENCES.name)
    (folder / "notes.md").write_text(notes + "\n")
    for file in sorted(folder.iterdir()):
        console.print(f"  {file.relative_to(root)}", soft_wrap=True)
    console.print(f"vulnerabilities: {audited.words}", soft_wrap=True)
    push = " && ".join(f"{engine.name} push {plan.image(program)}" for program in images.PROGRAMS)
    console.print(f"to publish: git tag v{plan.version} && {push}", soft_wrap=True)


def refuse_changes(root: Path) -> None:
    """Raises NotReadyError if files differ from the commit that is checked out."""
    command = ("git", "status", "--porcelain")
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotReadyError(f"`{shlex.join(command)}` failed: {ended.stderr.strip()}")
    if ended.stdout:
        raise NotReadyError(f"files differ from the commit; commit or remove them first:\n{ended.stdout.rstrip()}")


def helm() -> str:
    """The installed helm, or headrace_local's own, which it downloads or builds if necessary.

    Raises:
        BinariesMissingError: it is not available.
    """
    if found := shutil.which("helm"):
        return found
    return str(find_binaries(wanted=[binary for binary in FOR_TESTS if binary.name == "helm"])["helm"])
