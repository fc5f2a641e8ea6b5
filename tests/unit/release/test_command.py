from pathlib import Path

import pytest

from headrace_release import images
from headrace_release.__main__ import main


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Records what would be built, and builds nothing."""
    programs: list[tuple[str, ...]] = []
    monkeypatch.setattr("headrace_release.__main__.Engine.find", lambda wanted=None: wanted)
    monkeypatch.setattr(images, "build_images", lambda engine, plan, chosen: programs.append((plan.image(""), *chosen)) or {})
    return programs


def test_both_images_are_built_under_the_version_of_pyproject(built: list[tuple[str, ...]]) -> None:
    assert main(["images"]) == 0
    assert [programs[1:] for programs in built] == [("operator", "trainer")]


def test_you_can_build_one_image_under_your_own_tag(built: list[tuple[str, ...]]) -> None:
    assert main(["images", "--only", "trainer", "--tag", "mine", "--repository", "registry.example"]) == 0
    assert built == [("registry.example/headrace-:mine", "trainer")]


def test_an_unknown_engine_ends_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "--engine", "kaniko"]) == 1
    assert "error: ENGINE is 'kaniko'" in capsys.readouterr().err


def test_an_invalid_version_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("## Unreleased\n\n- new\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headrace_release.ship.refuse_changes", lambda root: None)
    assert main(["ship", "1.2"]) == 1
    assert "three numbers" in capsys.readouterr().err
