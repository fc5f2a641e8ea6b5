"""What is wrong with a document, field by field, and how to fix it."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from headrace_api.dataset import Manifest
from headrace_api.trainingjob import TrainingJob
from headrace_api.wrong_fields import WrongField, wrong_fields, wrong_fields_in_words

LAYER = {"name": "things", "task": "object-detection", "format": "coco", "splits": {"all": "a.json"}}


def error_of(model: type[BaseModel], document: Any) -> ValidationError:
    with pytest.raises(ValidationError) as error:
        model.model_validate(document)
    return error.value


def wrong_of(model: type[BaseModel], document: Any) -> list[str]:
    return [str(one) for one in wrong_fields(error_of(model, document), model)]


def wrong_in(**layer: Any) -> list[str]:
    return wrong_of(Manifest, {"version": 1, "layers": [LAYER | layer]})


def wrong_fields_of(spec: dict[str, Any]) -> list[WrongField]:
    document = {"metadata": {"name": "j"}, "spec": {"project": "p", "dataset": {"uri": "s3://data/x/"}, **spec}}
    return wrong_fields(error_of(TrainingJob, document), TrainingJob)


def problems_of(spec: dict[str, Any]) -> list[str]:
    return list(map(str, wrong_fields_of(spec)))


def test_a_bound_is_named_with_the_value_and_the_fields_description() -> None:
    (one,) = wrong_fields_of({"training": {"batchSize": 0}})
    assert str(one) == "spec.training.batchSize: should be greater than or equal to 1, but is 0"
    assert one.description == "Images per step."


def test_a_misspelt_field_is_recognised() -> None:
    assert problems_of({"training": {"batchsize": 8}}) == [
        "spec.training.batchsize: there is no such field; did you mean 'batchSize'?"
    ]


def test_the_message_for_an_unknown_field_lists_the_known_ones() -> None:
    (line,) = problems_of({"dataset": {"uri": "s3://data/x/", "zzz": 1}})
    assert line == "spec.dataset.zzz: there is no such field; the fields here are: uri, maxBadImages"


def test_a_missing_field_says_what_it_is_for() -> None:
    (one,) = wrong_fields_of({"dataset": {}})
    assert str(one) == "spec.dataset.uri: is required"
    assert one.description == "Folder of the dataset, with or without a dataset.json at its root."


def test_inside_a_list_the_entry_is_numbered() -> None:
    (line,) = problems_of({"model": {"heads": [{"name": "a", "annotations": "x", "objectDetection": {"maxDetection": 5}}]}})
    assert line == "spec.model.heads.0.objectDetection.maxDetection: there is no such field; did you mean 'maxDetections'?"


def test_a_rule_across_fields_has_its_own_message() -> None:
    (line,) = problems_of({"model": {"heads": [{"name": "a", "annotations": "x"}]}})
    assert line.startswith("spec.model.heads.0: a head needs exactly one of these tasks: panopticSegmentation")


def test_every_problem_gets_a_line() -> None:
    assert len(problems_of({"training": {"batchSize": 0, "seed": -1, "precision": "float8"}, "stop": "maybe"})) == 4


def test_paths_are_those_of_the_yaml_however_the_field_was_given() -> None:
    (line,) = problems_of({"training": {"batch_size": 0}})
    assert line.startswith("spec.training.batchSize: ")


def test_a_refused_python_name_is_shown_as_it_was_written() -> None:
    with pytest.raises(ValidationError) as error:
        Manifest.model_validate({"version": 1, "val_share": 0.5}, by_alias=True, by_name=False)
    assert [one.path for one in wrong_fields(error.value, Manifest)] == ["val_share"]


def test_the_message_for_a_number_does_not_mention_parsers() -> None:
    assert problems_of({"training": {"batchSize": "many"}}) == ["spec.training.batchSize: should be a valid integer, but is 'many'"]


def test_a_very_long_value_is_cut_short() -> None:
    (line,) = problems_of({"project": "p" * 500})
    assert line.endswith("p…")
    assert len(line) < 160


def test_the_alternatives_of_a_field_are_in_one_sentence() -> None:
    assert wrong_in(classes=5) == ["layers.0.classes: should be a valid string or a valid list or an object, but is 5"]


def test_the_tag_of_a_union_is_not_part_of_the_path() -> None:
    class Stepped(BaseModel):
        kind: Literal["stepped"]
        iteration: int

    class Saved(BaseModel):
        kind: Literal["saved"]

    message: Any = Annotated[Stepped | Saved, Field(discriminator="kind")]
    with pytest.raises(ValidationError) as error:
        TypeAdapter(message).validate_python({"kind": "stepped", "iteration": "many"})
    assert wrong_fields_in_words(error.value, message) == "iteration: should be a valid integer, but is 'many'"


def test_an_entry_of_one_of_the_alternatives_has_a_path_without_it() -> None:
    assert "layers.0.classes.1: should be a valid string, but is 5" in wrong_in(classes=["cat", 5])


def test_an_invalid_key_is_named_once() -> None:
    assert wrong_in(splits={"training": "x"}) == ["layers.0.splits.training: should be 'train', 'val' or 'all', but is 'training'"]


def test_a_document_that_is_not_json_says_where() -> None:
    with pytest.raises(ValidationError) as error:
        Manifest.model_validate_json("{")
    assert wrong_fields_in_words(error.value, Manifest) == (
        "the document is not JSON: EOF while parsing an object at line 1 column 1"
    )


def test_a_document_that_is_not_an_object_is_named_as_such() -> None:
    assert wrong_of(Manifest, [1]) == ["the document should be an object with fields"]


def test_a_rule_for_the_whole_document_has_no_path() -> None:
    assert wrong_of(Manifest, {"version": 1, "layers": [LAYER, LAYER]}) == ["two layers share a name: things"]


def test_in_one_line_the_first_few_are_named() -> None:
    error = error_of(Manifest, {"version": 1, **{f"field{number}": 1 for number in range(9)}})
    line = wrong_fields_in_words(error, Manifest)
    assert line.startswith("field0: there is no such field; the fields here are: version, images, valShare, layers; field1: ")
    assert line.endswith("; and 4 more")


def test_a_name_that_is_not_a_field_is_cut_short_and_cannot_reach_the_terminal() -> None:
    (line,) = problems_of({"training": {"x" * 100_000: 1}})
    assert len(line) < 600
    (line,) = problems_of({"training": {"x\n\x1b[31m": 1}})
    assert line.isprintable()
