from collections.abc import Sequence

from headrace_release import base_image
from headrace_release.engine import Engine
from headrace_release.images import Plan, build_images


def test_our_own_base_brings_its_builder() -> None:
    given = Plan("1.0.0", "", base=base_image.BASE).arguments({})
    assert given == {"BASE": base_image.BASE, "BUILDER": base_image.BUILDER, "VERSION": "1.0.0"}


def test_another_base_is_its_own_builder_unless_one_is_named() -> None:
    assert "BUILDER" not in Plan("1.0.0", "", base="python:3.12").arguments({})
    assert Plan("1.0.0", "", base="python:3.12", builder="python:3.12-full").arguments({})["BUILDER"] == "python:3.12-full"


def test_the_package_index_of_this_shell_is_used() -> None:
    assert (
        Plan("1.0.0", "").arguments({"UV_DEFAULT_INDEX": "https://index.example/"})["UV_DEFAULT_INDEX"] == "https://index.example/"
    )


def test_both_images_are_built_under_their_names() -> None:
    commands: list[Sequence[str]] = []
    took = build_images(Engine("docker"), Plan("1.0.0", "abc", repository="registry.example/team"), execute=commands.append)
    assert list(took) == ["registry.example/team/headrace-operator:1.0.0", "registry.example/team/headrace-trainer:1.0.0"]
    assert [command[command.index("--target") + 1] for command in commands] == ["operator", "trainer"]


def test_a_base_for_building_has_everything_that_the_shipped_one_has() -> None:
    assert set(base_image.PACKAGES) < set(base_image.BUILDER_PACKAGES)
