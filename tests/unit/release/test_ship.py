import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from headrace_release import ship, version
from headrace_release.changelog import ChangelogError
from headrace_release.engine import Engine
from headrace_release.images import Plan

PYPROJECT = 'version = "0.1.0"\n'
CHART = 'name: headrace\nversion: "0.1.0"\nappVersion: "0.1.0"\n'
CHANGELOG = "# Changelog\n\n## Unreleased\n\n- new\n\n## 0.1.0 (2026-01-02)\n\n- first\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit with the files that a release writes."""
    (tmp_path / "charts/headrace").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[project]\n" + PYPROJECT)
    (tmp_path / version.CHART).write_text(CHART)
    (tmp_path / version.CODE).parent.mkdir(parents=True)
    (tmp_path / version.CODE).write_text('RELEASE: Final = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message", "first")):
        subprocess.run(("git", *words), cwd=tmp_path, check=True)
    return tmp_path


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_the_first_call_writes_the_version_everywhere(repository: Path) -> None:
    ship.prepare(repository, "0.2.0", quiet())
    assert version.current(repository) == "0.2.0"
    assert set(version.of_chart(repository).values()) == {"0.2.0"}
    assert version.IN_CODE.findall((repository / version.CODE).read_text()) == ["0.2.0"]
    assert "## 0.2.0 (" in (repository / "CHANGELOG.md").read_text()


def test_the_first_call_writes_nothing_if_nothing_is_new(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text(CHANGELOG.replace("- new\n", ""))
    subprocess.run(("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-aqm", "empty"), cwd=repository, check=True)
    with pytest.raises(ChangelogError):
        ship.prepare(repository, "0.2.0", quiet())
    assert version.current(repository) == "0.1.0"


def test_files_that_differ_from_the_commit_are_refused_by_name(repository: Path) -> None:
    (repository / "forgotten.txt").write_text("x")
    for call in (
        lambda: ship.prepare(repository, "0.2.0", quiet()),
        lambda: ship.ship(repository, Plan("0.1.0", ""), Engine("docker"), quiet()),
    ):
        with pytest.raises(ship.NotReadyError, match=r"forgotten\.txt"):
            call()


def test_checks_that_fail_stop_the_release_before_anything_is_built(repository: Path) -> None:
    commands = []

    def fail(command: object) -> None:
        commands.append(command)
        raise RuntimeError("checks failed")

    with pytest.raises(RuntimeError, match="checks failed"):
        ship.ship(repository, Plan("0.1.0", ""), Engine("docker"), quiet(), fail)
    assert commands == [ship.CHECKS]
    assert not (repository / "dist").exists()
