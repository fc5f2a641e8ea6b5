import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace_release.engine import Engine, run
from headrace_release.images import PROGRAMS, Plan
from headrace_release.inventory import write_inventories

RECORD = "Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: MIT\n"


class Builder:
    """Stands in for the image engine: exports the record of one package per image. Everything else really runs."""

    def __call__(self, command: Sequence[str]) -> None:
        if command[0] != "docker":
            return run(command)
        target = command[command.index("--target") + 1]
        folder = Path(command[command.index("--output") + 1].removeprefix("type=local,dest="))
        record = folder / "lib" / "python3.99" / "site-packages" / f"only_{target.replace('-', '_')}-1.0.dist-info" / "METADATA"
        record.parent.mkdir(parents=True)
        record.write_text(RECORD.format(name=f"only-{target}"))
        return None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "headrace"\nversion = "1.2.3"\n')
    (tmp_path / "requirements.lock").write_text(f"a-package==1.0 \\\n    --hash=sha256:{'a' * 64}\n")
    (tmp_path / "dist").mkdir()
    return tmp_path


def test_each_list_has_what_is_in_its_image_and_nothing_of_this_machine(project: Path) -> None:
    lock, *lists = write_inventories(Engine("docker"), Plan("1.2.3", ""), project / "dist", Builder())
    assert [component["name"] for component in json.loads(lock.read_text())["components"]] == ["a-package"]
    for program, file in zip(PROGRAMS, lists, strict=True):
        found = json.loads(file.read_text())
        assert found["bomFormat"] == "CycloneDX"
        assert [component["name"] for component in found["components"]] == [f"only-{program}-list"]
        assert found["metadata"]["component"]["version"] == "1.2.3"
