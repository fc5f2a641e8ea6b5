"""Image files of every kind become upright RGB."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from headrace_trainer.data.picture import Picture
from headrace_trainer.data.targets.geometry import PAD_COLOR, letterbox, zoomed

HEIGHT, WIDTH = 48, 80


def gradient() -> np.ndarray:
    """Grey that grows from left to right and from top to bottom; uint8 [HEIGHT, WIDTH]."""
    return (np.arange(WIDTH) * 2 + np.arange(HEIGHT)[:, None]).astype(np.uint8)


def read(path: Path, at_least: tuple[int, int] = (10**6, 10**6)) -> np.ndarray:
    with Picture(path) as picture:
        image, _ = picture.pixels(at_least)
        assert image.mode == "RGB"
        return np.asarray(image)


def write(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("L", "png", 0),
        ("L", "jpg", 4),
        ("P", "png", 0),
        ("RGBA", "png", 0),
        ("LA", "png", 0),
        ("CMYK", "jpg", 6),
        ("RGB", "bmp", 0),
        ("CMYK", "tiff", 2),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, suffix: str, tolerance: int) -> None:
    path = write(
        tmp_path / f"image.{suffix}", Image.fromarray(gradient()).convert(mode), **({"quality": 100} if suffix == "jpg" else {})
    )
    want = np.repeat(gradient()[..., None], 3, axis=2).astype(int)
    assert np.abs(read(path).astype(int) - want).max() <= tolerance


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    path = write(tmp_path / "image.png", Image.fromarray(gradient().astype(np.uint16) * 256 + 17))
    np.testing.assert_array_equal(read(path), np.repeat(gradient()[..., None], 3, axis=2))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    path = write(tmp_path / "image.png", Image.fromarray(gradient() > 100))
    np.testing.assert_array_equal(read(path)[..., 0], np.where(gradient() > 100, 255, 0))


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].T,
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    path = write(tmp_path / f"image.{suffix}", Image.fromarray(gradient()).convert("RGB"), exif=exif, **options)
    want = UPRIGHT[orientation](gradient()).astype(int)
    with Picture(path) as picture:
        assert picture.size == want.shape
        pixels = np.asarray(picture.pixels(picture.size)[0]).astype(int)
    assert np.abs(pixels[..., 0] - want).max() <= 4


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_stored_pixels_are_available(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / f"image.{suffix}", Image.fromarray(gradient()).convert("RGB"), exif=exif)
    with Picture(path) as picture:
        assert (picture.size, picture.stored_size) == ((WIDTH, HEIGHT), (HEIGHT, WIDTH))
        picture.see_as_stored()
        assert picture.size == (HEIGHT, WIDTH)
        assert picture.pixels((HEIGHT, WIDTH))[0].size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = Image.fromarray(gradient()).convert("RGB").resize((WIDTH * 8, HEIGHT * 8))
    path = write(tmp_path / "image.jpg", large, exif=exif)
    want = (HEIGHT * 2, WIDTH * 2) if orientation == 1 else (WIDTH * 2, HEIGHT * 2)
    assert read(path, at_least=(want[0] - 5, want[1] - 5)).shape == (*want, 3)


def spots(size: tuple[int, int]) -> np.ndarray:
    """Four soft spots, one near each corner; uint8 [h, w] of `size` (h, w)."""
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    centres = [(y, x) for y in (60, size[0] - 60) for x in (60, size[1] - 60)]
    return sum(250 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2 / 20**2) for y, x in centres).astype(np.uint8)


def centre(canvas: np.ndarray) -> np.ndarray:
    """The centre of the bright pixels: row and column."""
    weights = np.where(canvas[..., 0] == PAD_COLOR[0], 0, canvas[..., 0].astype(float))
    return np.array([(weights.sum(axis=1 - axis) * np.arange(canvas.shape[axis])).sum() for axis in (0, 1)]) / weights.sum()


def quarters(canvas: np.ndarray) -> list[np.ndarray]:
    rows, columns = (side // 2 for side in canvas.shape[:2])
    return [canvas[:rows, :columns], canvas[:rows, columns:], canvas[rows:, :columns], canvas[rows:, columns:]]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("fraction", "canvas"), [(8, 120), (4, 240), (2, 480)])
def test_a_jpeg_decoded_small_is_in_the_same_place_as_one_decoded_at_full_size(
    tmp_path: Path, orientation: int, fraction: int, canvas: int
) -> None:
    """No fraction divides its sides evenly, and the decoder rounds up: 1001 pixels at 1/8 are 126."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "image.jpg", Image.fromarray(spots((977, 1001))).convert("RGB"), exif=exif, quality=95)
    with Image.open(path) as stored:
        whole = ImageOps.exif_transpose(stored)
    size = (whole.height, whole.width)
    for geometry in (letterbox(size, (canvas, canvas)), zoomed(size, (canvas, canvas), 1.01, (0.9, 0.1), flip=True)):
        with Picture(path) as picture:
            image, extent = picture.pixels(geometry.scaled)
            placed, want = geometry.place_image(image, extent), geometry.place_image(whole)
            assert max(image.size) == -(-1001 // fraction)
        for corner, wanted in zip(quarters(placed), quarters(want), strict=True):
            np.testing.assert_allclose(centre(corner), centre(wanted), atol=0.1)


def test_broken_exif_does_not_spoil_an_image(tmp_path: Path) -> None:
    path = write(tmp_path / "image.jpg", Image.fromarray(gradient()), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read(path).shape == (HEIGHT, WIDTH, 3)


def test_a_truncated_jpeg_is_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(buffer, "JPEG")
    path = tmp_path / "image.jpg"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(OSError, match="truncated"):
        read(path)
