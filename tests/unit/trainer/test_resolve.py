"""Which head learns from which layer, if the job names no heads."""

import pytest

from headrace_api.dataset import Layer, Manifest
from headrace_api.errors import FatalError
from headrace_api.model import MOST_HEADS, Network
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.resolve import resolve_heads


def layers(*names: str) -> Manifest:
    return Manifest(
        version=1, layers=[Layer(name=name, task=Task.REGRESSION, format="csv", splits={"train": "table.csv"}) for name in names]
    )


@pytest.mark.parametrize(
    ("names", "want_heads"),
    [
        (["Cats & dogs"], ["cats-dogs"]),
        (["Cats", "cats!", "cats"], ["cats", "cats-2", "cats-3"]),
        (["数字", "形状"], ["head", "head-2"]),
        (["a-2", "a", "A"], ["a-2", "a", "a-3"]),
        (["x" * 70, "x" * 71], ["x" * 63, "x" * 60 + "-2"]),
    ],
    ids=["plain", "alike", "without a Latin letter", "a name that is taken", "too long"],
)
def test_heads_named_after_layers_have_unique_names(names: list[str], want_heads: list[str]) -> None:
    resolved = resolve_heads(Network(), layers(*names))
    assert [head.spec.name for head in resolved] == want_heads
    assert [head.spec.annotations for head in resolved] == names


def test_more_layers_than_a_model_may_have_heads_are_refused() -> None:
    """Otherwise the job would train, and its model/ would be unreadable: config.json lists the heads."""
    names = [f"layer {number}" for number in range(MOST_HEADS + 1)]
    assert len(resolve_heads(Network(), layers(*names[:-1]))) == MOST_HEADS
    with pytest.raises(FatalError, match=f"{MOST_HEADS + 1} layers, but a model has at most {MOST_HEADS} heads") as caught:
        resolve_heads(Network(), layers(*names))
    assert caught.value.reason is Reason.BAD_MODEL
