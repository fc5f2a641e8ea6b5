import pytest

from headrace_local.node.images import ImageNotFoundError, command_line, parse_image

IMAGES = {"trainer:dev": ("python", "-m", "trainer"), "busybox": ()}


def test_an_image_option_is_a_name_and_words_quoted_as_for_a_shell() -> None:
    assert parse_image("a/b:1=python -c 'x = 1'") == ("a/b:1", ("python", "-c", "x = 1"))


def test_an_image_may_have_no_entrypoint() -> None:
    assert parse_image("busybox=") == ("busybox", ())


@pytest.mark.parametrize("option", ["busybox", "=sh"])
def test_an_image_option_without_name_or_equals_sign_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=ARGV"):
        parse_image(option)


@pytest.mark.parametrize(
    ("container", "want"),
    [
        ({}, (["python", "-m", "trainer"], [])),
        ({"args": ["--x"]}, (["python", "-m", "trainer"], ["--x"])),
        ({"command": ["sh"], "args": ["-c", "ls"]}, ([], ["sh", "-c", "ls"])),
    ],
)
def test_command_replaces_the_entrypoint_and_args_follow(
    container: dict[str, list[str]], want: tuple[list[str], list[str]]
) -> None:
    assert command_line({"image": "trainer:dev", **container}, IMAGES) == want


def test_an_unknown_image_names_the_known_ones() -> None:
    with pytest.raises(ImageNotFoundError, match=r'"nginx" .* known images: busybox, trainer:dev'):
        command_line({"image": "nginx"}, IMAGES)
