"""Which images are predicted, under what names, and that the network sees them as it did in evaluations."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headrace_api.errors import FatalError
from headrace_trainer.predict.inputs import Loaded, Unreadable, find_images, load_images


def image(path: Path, size: tuple[int, int] = (20, 30), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_folders_are_searched_and_named_files_are_always_taken(tmp_path: Path) -> None:
    image(tmp_path / "photos/b/two.png")
    image(tmp_path / "photos/a/one.JPG")
    (tmp_path / "photos/notes.txt").write_text("no image")
    odd = image(tmp_path / "scan.dat", format="PNG")
    sources = find_images([odd, tmp_path / "photos", tmp_path / "photos/a/one.JPG"])
    assert [source.name for source in sources] == ["scan.dat", "photos/a/one.JPG", "photos/b/two.png"]
    assert [source.output for source in sources] == ["scan", "photos/a/one", "photos/b/two"]


def test_in_folders_hidden_files_are_left_out_and_links_are_followed(tmp_path: Path) -> None:
    image(tmp_path / "photos/one.png")
    (tmp_path / "photos/._one.png").write_bytes(b"what a Mac says of one.png")
    image(tmp_path / "photos/.ipynb_checkpoints/one-checkpoint.png")
    image(tmp_path / "elsewhere/two.png")
    (tmp_path / "photos/more").symlink_to(tmp_path / "elsewhere")
    assert [source.name for source in find_images([tmp_path / "photos"])] == ["more/two.png", "one.png"]


def test_images_that_differ_only_in_their_suffix_keep_it(tmp_path: Path) -> None:
    for name in ("x.png", "x.jpg", "y.jpg"):
        image(tmp_path / name)
    assert [source.output for source in find_images([tmp_path])] == ["x.jpg", "x.png", "y.jpg"]


def test_a_path_with_a_detour_is_the_same_image(tmp_path: Path) -> None:
    file = image(tmp_path / "a/x.png")
    assert len(find_images([file, tmp_path / "a/../a/x.png"])) == 1


@pytest.mark.parametrize(
    ("place", "said"), [("nowhere", "there is no such file or folder"), (".", "no image in .*: supported files end in")]
)
def test_a_missing_image_is_reported(tmp_path: Path, place: str, said: str) -> None:
    with pytest.raises(FatalError, match=said):
        find_images([tmp_path / place])


def test_images_come_in_order_and_broken_ones_are_reported(tmp_path: Path) -> None:
    for number in range(12):
        image(tmp_path / f"{number:02}.png", size=(10 + number, 20))
    (tmp_path / "05.png").write_bytes(b"not an image")
    (tmp_path / "07.png").write_bytes((tmp_path / "07.png").read_bytes()[:60])
    found = list(load_images(find_images([tmp_path]), (32, 32), None, threads=3))
    assert [one.source.name for one in found] == [f"{number:02}.png" for number in range(12)]
    broken = [one for one in found if isinstance(one, Unreadable)]
    assert [one.source.name for one in broken] == ["05.png", "07.png"]
    assert "cannot identify image file" in broken[0].reason


def test_a_picture_is_upright_and_no_larger_than_requested(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # must be rotated by a quarter turn
    image(tmp_path / "turned.jpg", size=(100, 300), exif=exif)
    (one,) = load_images(find_images([tmp_path]), (64, 64), 150, threads=1)
    assert isinstance(one, Loaded)
    assert one.geometry.source == (300, 100)
    assert one.pixels.shape == (64, 64, 3)
    assert one.picture is not None
    assert one.picture.shape == (150, 50, 3)


def test_a_fault_of_the_machine_is_not_blamed_on_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "x.png")

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(MemoryError):
        list(load_images(find_images([tmp_path]), (32, 32), None, threads=1))
