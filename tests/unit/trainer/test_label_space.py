import json

import pytest

from headrace_testing.head_cases import make_labels
from headrace_trainer.label_space import LabelSpace


@pytest.mark.parametrize("labels", [LabelSpace(), LabelSpace(classes=("cat",)), make_labels()], ids=["empty", "classes", "all"])
def test_it_survives_a_round_trip_through_json(labels: LabelSpace) -> None:
    assert LabelSpace.from_json(json.loads(json.dumps(labels.to_json()))) == labels


def test_empty_parts_are_not_written() -> None:
    assert LabelSpace(alphabet="ab").to_json() == {"alphabet": "ab"}


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(TypeError, match="colours"):
        LabelSpace.from_json({"colours": ["red"]})


def test_its_description_says_what_can_be_learned() -> None:
    assert LabelSpace().described == "no labels"
    assert LabelSpace(classes=("cat", "dog"), values=("age",)).described == "2 classes (cat, dog) and 1 value (age)"
    assert LabelSpace(classes=tuple("abcdefghij")).described == "10 classes (a, b, c, d, e, f, g, h and 2 more)"
