import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from headrace_api.heads import TextRecognition
from headrace_api.tasks import Task
from headrace_testing.head_cases import ALPHABET, make_features, make_head, make_labels
from headrace_testing.memorising import Memoriser
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.heads.text_recognition import TextRecognitionHead, TextRecognitionMetric
from headrace_trainer.label_space import LabelSpace

TASK = Task.TEXT_RECOGNITION
DIGITS = "0123456789"


def indices(texts: list[str], alphabet: str = ALPHABET, length: int = 8) -> Tensor:
    return torch.tensor([[alphabet.index(c) for c in text] + [-1] * (length - len(text)) for text in texts])


def scores_of(found: list[str], truth: list[str], labelled: list[bool] | None = None) -> dict[str, float]:
    metric = TextRecognitionMetric()
    everyone = torch.tensor(labelled or [True] * len(truth))
    metric.update({"text": indices(found, length=12)}, {"text": indices(truth)}, everyone)
    return metric.compute()


def test_the_error_rate_is_of_characters_and_the_exact_match_of_texts() -> None:
    scores = scores_of(["abc", "ab", "e"], ["abc", "abcd", "abc"])
    assert scores["CER"] == pytest.approx((0 + 2 + 3) / 10)
    assert scores["characterAccuracy"] == pytest.approx(0.5)
    assert scores["exactMatch"] == pytest.approx(1 / 3)


def test_an_answer_longer_than_the_truth_has_an_error_rate_above_one_and_an_accuracy_of_zero() -> None:
    scores = scores_of(["bbbbbbb"], ["aa"])
    assert scores["CER"] == pytest.approx(3.5)
    assert scores["characterAccuracy"] == 0


def test_without_a_character_in_the_truth_there_is_no_error_rate() -> None:
    scores = scores_of(["ab", ""], ["", ""])
    assert math.isnan(scores["CER"])
    assert math.isnan(scores["characterAccuracy"])
    assert scores["exactMatch"] == 0.5


def test_unlabelled_texts_have_no_effect() -> None:
    assert scores_of(["abc", "e"], ["abc", "abc"], [True, False])["exactMatch"] == 1


@pytest.mark.parametrize(("there", "want"), [((3, 4, 5), 3), ((2, 3), 3), ((4, 5, 6), 4), ((1, 2), 2), ((5,), 5)], ids=str)
def test_the_level_looked_at_is_the_third_or_the_one_nearest_to_it(there: tuple[int, ...], want: int) -> None:
    assert REGISTRY[TASK](TextRecognition(), dict.fromkeys(there, 16), make_labels()).levels == (want,)


@pytest.mark.parametrize(("level", "width", "want"), [(1, 96, 48), (2, 96, 24), (3, 96, 24), (5, 96, 24), (3, 33, 10), (5, 33, 16)])
def test_columns_are_four_pixels_wide_or_as_the_level_has_them(level: int, width: int, want: int) -> None:
    head = make_head(TASK, levels=(level,))
    assert isinstance(head, TextRecognitionHead)
    logits = head(make_features(2, (40, width), levels=(level,)))["logits"]
    assert logits.shape == (2, want, 1 + len(ALPHABET))
    assert head.columns(width) == want


def test_columns_are_in_the_order_of_the_image() -> None:
    """A column's output changes with the features above it, and hardly with those at the other end."""
    head = make_head(TASK)
    features = make_features(1, (32, 256))
    (column,) = head(features)["logits"][:, 1].square().sum(dim=1)
    column.backward()
    gradient = features[3].grad
    assert gradient is not None
    assert gradient[..., :4].abs().mean() > 10 * gradient[..., -16:].abs().mean()


def test_a_text_with_too_many_characters_is_not_learned_but_the_others_are() -> None:
    head = make_head(TASK)
    features = make_features(2, (32, 32))  # 8 columns
    targets = {"text": indices(["aaaaaaaa", "abc"])}
    loss = head.loss(head(features), targets, torch.tensor([True, True]))["text"]
    loss.backward()
    assert torch.isfinite(loss)
    assert loss > 0
    gradient = features[3].grad
    assert gradient is not None
    assert not gradient[0].any()
    assert gradient[1].any()


@pytest.mark.parametrize("too_long", ["aaaaaaaa", "abcdeabcd", "aabbc" + "c"])
def test_a_text_with_too_many_characters_does_not_dilute_the_loss_of_the_others(too_long: str) -> None:
    head = make_head(TASK)
    outputs = head(make_features(2, (32, 32)))  # 8 columns
    text = indices([too_long, "abc"], length=9)
    both = head.loss(outputs, {"text": text}, torch.tensor([True, True]))["text"]
    alone = head.loss(outputs, {"text": text}, torch.tensor([False, True]))["text"]
    assert both == alone


def test_the_rows_of_an_image_are_told_apart() -> None:
    """The same stroke at the top and at the bottom: an apostrophe and a comma."""
    head = make_head(TASK).eval()
    high, low = torch.zeros(2, 1, 32, 8, 8)
    high[:, :, 1], low[:, :, 6] = 1, 1
    with torch.no_grad():
        assert not torch.allclose(head({3: high})["logits"], head({3: low})["logits"], atol=1e-3)


def lines(count: int = 8, size: tuple[int, int] = (32, 96)) -> tuple[Tensor, Tensor]:
    """Images of strings of digits, of any size and anywhere in the image, with their indices."""
    rng = np.random.default_rng(0)
    height, width = size
    images, texts = [], []
    for _ in range(count):
        text = "".join(rng.choice(list(DIGITS), rng.integers(3, 7)))
        font = ImageFont.load_default(int(rng.integers(14, 22)))
        left, top, right, bottom = font.getbbox(text)
        image = Image.new("RGB", (width, height), tuple(rng.integers(0, 110, 3).tolist()))
        place = rng.uniform(1, (width - (right - left) - 1, height - (bottom - top) - 1)) - (left, top)
        ImageDraw.Draw(image).text(tuple(place), text, font=font, fill=tuple(rng.integers(150, 256, 3).tolist()))
        images.append(np.asarray(image, np.float32) / 255 + rng.normal(0, 0.1, (height, width, 3)).astype(np.float32))
        texts.append(text)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return (pixels - 0.45) / 0.225, indices(texts, DIGITS)


def test_a_handful_of_images_is_memorised() -> None:
    images, texts = lines()
    memoriser = Memoriser(TASK, TextRecognition(), LabelSpace(alphabet=DIGITS), bottom_level=3)
    memoriser.train(images, {"text": texts}, iterations=80, peak=0.002)
    scores = memoriser.scores(images, {"text": texts})
    assert scores["CER"] <= 0.05
    assert scores["exactMatch"] >= 0.75
