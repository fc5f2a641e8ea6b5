from collections.abc import Sequence

import pytest

from headrace_release.base_image import BASE, BUILDER, make_base_images
from headrace_release.engine import Engine


class Holding(Engine):
    """An engine that has some images."""

    def has(self, image: str) -> bool:
        return image == BASE


@pytest.mark.parametrize(("renew", "want_made"), [(False, [BUILDER]), (True, [BASE, BUILDER])])
def test_an_existing_image_is_kept_unless_you_ask_to_renew_it(renew: bool, want_made: list[str]) -> None:
    ran: list[Sequence[str]] = []
    make_base_images(Holding("docker"), None, renew, ran.append)
    assert [command[-1] for command in ran if command[:2] == ("docker", "import")] == want_made
    assert len([command for command in ran if command[0] == "mmdebstrap"]) == len(want_made)
