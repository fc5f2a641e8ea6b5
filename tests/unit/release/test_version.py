import shutil
from pathlib import Path

import pytest

from headrace_api import names
from headrace_release import changelog, version

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A pyproject.toml and the current code, and a chart."""
    for file in (version.PYPROJECT, version.CODE):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / version.CHART).parent.mkdir(parents=True)
    (tmp_path / version.CHART).write_text(
        f'name: headrace\nversion: {version.current(ROOT)}\nappVersion: "{version.current(ROOT)}"\n'
    )
    return tmp_path


def test_the_changelog_knows_the_version_of_pyproject() -> None:
    assert changelog.notes((ROOT / changelog.FILE).read_text(), version.current(ROOT))


def test_the_chart_has_the_version_of_pyproject() -> None:
    assert version.of_chart(ROOT) == dict.fromkeys(("version", "appVersion"), version.current(ROOT))


def test_the_code_has_the_version_of_pyproject() -> None:
    assert version.current(ROOT) == names.RELEASE


def test_a_new_version_is_written_everywhere(copy: Path) -> None:
    version.write(copy, "97.0.1")
    assert version.current(copy) == "97.0.1"
    assert version.of_chart(copy) == {"version": "97.0.1", "appVersion": "97.0.1"}
    assert 'RELEASE: Final = "97.0.1"\n' in (copy / version.CODE).read_text()


@pytest.mark.parametrize("wrong", ["1.2", "v1.2.3", "1.2.3-rc1", ""])
def test_a_version_has_three_numbers(copy: Path, wrong: str) -> None:
    with pytest.raises(version.VersionError, match="three numbers"):
        version.write(copy, wrong)


def test_a_version_is_higher_than_the_last(copy: Path) -> None:
    with pytest.raises(version.VersionError, match="is not later than"):
        version.write(copy, version.current(copy))


def test_a_chart_that_cannot_be_written_leaves_pyproject_as_it_is(copy: Path) -> None:
    before = version.current(copy)
    (copy / version.CHART).write_text("name: headrace\n")
    with pytest.raises(version.VersionError, match="0 lines"):
        version.write(copy, "97.0.1")
    assert version.current(copy) == before
