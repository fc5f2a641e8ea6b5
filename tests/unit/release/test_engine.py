from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from headrace_release.engine import Engine, EngineError


def only(*names: str) -> Callable[[Sequence[str]], bool]:
    return lambda command: command[0] in names


def test_docker_without_its_daemon_is_passed_over() -> None:
    assert Engine.find(works=only("podman", "buildah")) == Engine("podman")


def test_the_engine_you_ask_for_is_used() -> None:
    assert Engine.find("buildah", works=only("docker", "buildah")) == Engine("buildah")


def test_if_no_engine_works_the_error_lists_what_was_tried() -> None:
    with pytest.raises(EngineError, match="`docker info`, `podman info`, `buildah info` failed"):
        Engine.find(works=only())


def test_the_error_for_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(EngineError, match="ENGINE is 'kaniko'; it can be docker, podman, buildah"):
        Engine.find("kaniko", works=only())


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_a_build_names_its_arguments_and_lends_the_ca(name: str) -> None:
    command = Engine(name).build_command("operator", "an-image:1", {"BASE": "debian"}, Path("/ca.crt"))
    text = " ".join(command)
    assert command[:2] == (name, "build")
    assert "--build-arg BASE=debian --secret id=ca,src=/ca.crt --tag an-image:1 --target operator ." in text


def test_a_list_is_written_to_a_folder_without_a_tag() -> None:
    command = Engine("docker").build_command("operator-list", "", {}, None, output=Path("/out"))
    assert command == ("docker", "build", "--output", "type=local,dest=/out", "--target", "operator-list", ".")
