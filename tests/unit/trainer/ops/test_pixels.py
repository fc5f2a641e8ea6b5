import torch

from headrace_trainer.ops.pixels import IMAGE_MEAN, IMAGE_STD, denormalise, normalise


def test_normalise_takes_bytes_and_fractions_alike() -> None:
    images = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8)
    want = (images / 255 - torch.tensor(IMAGE_MEAN).view(3, 1, 1)) / torch.tensor(IMAGE_STD).view(3, 1, 1)
    assert normalise(images).dtype == torch.float32
    torch.testing.assert_close(normalise(images), want)
    torch.testing.assert_close(normalise(images / 255), want)


def test_denormalise_is_the_inverse() -> None:
    images = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(denormalise(normalise(images)), images)
