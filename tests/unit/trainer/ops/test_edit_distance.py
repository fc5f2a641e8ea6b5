import random

import pytest
import torch

from headrace_trainer.ops.edit_distance import edit_distance


def padded(texts: list[str], length: int) -> torch.Tensor:
    return torch.tensor([[ord(c) for c in text] + [-1] * (length - len(text)) for text in texts])


def by_the_book(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    if a[-1] == b[-1]:
        return by_the_book(a[:-1], b[:-1])
    return 1 + min(by_the_book(a[:-1], b), by_the_book(a, b[:-1]), by_the_book(a[:-1], b[:-1]))


CASES = [
    ("", "", 0),
    ("", "abc", 3),
    ("abc", "", 3),
    ("kitten", "sitting", 3),
    ("abc", "abc", 0),
    ("abcd", "bcde", 2),
    ("ab", "ba", 2),
]


@pytest.mark.parametrize(("found", "truth", "want"), CASES)
def test_known_distances(found: str, truth: str, want: int) -> None:
    assert edit_distance(padded([found], 9), padded([truth], 8)).tolist() == [want]


def test_a_batch_of_random_texts_equals_the_recursion() -> None:
    rng = random.Random(0)
    found, truth = (["".join(rng.choices("ab", k=rng.randint(0, 6))) for _ in range(60)] for _ in range(2))
    want = [by_the_book(a, b) for a, b in zip(found, truth, strict=True)]
    assert edit_distance(padded(found, 6), padded(truth, 9)).tolist() == want


def test_nothing_to_compare_with() -> None:
    assert edit_distance(padded(["ab"], 2), torch.zeros(1, 0, dtype=torch.int64)).tolist() == [2]
    assert edit_distance(torch.zeros(1, 0, dtype=torch.int64), padded(["ab"], 2)).tolist() == [2]
