"""Text recognition: the text that an image of one line shows.

Targets of a batch (L characters, padded):

    text       int64   [B, L]     indices into the alphabet, then -1 as padding
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from headrace_api.dataset import Layer
from headrace_api.first_few import first_few
from headrace_trainer.data.annotations import Annotation, TextLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.tables.labels import annotations_in
from headrace_trainer.data.tables.reader import ImageRows, Table, as_text, only_row
from headrace_trainer.data.targets import Array, Text
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.tasks.description import Counted, Field, Shapes, TaskDescription, no_obstacle, no_warnings

NO_CHARACTER: Final = -1
"""Padding."""
_NAMED_CHARACTERS: Final = 8


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {"text": Field((shapes.most,), NO_CHARACTER, "int64")}


def _rows(target: Text, shapes: Shapes) -> Mapping[str, Array]:
    alphabet = shapes.labels.alphabet
    return {"text": np.array([alphabet.index(character) for character in target.text], np.int64)}


def _label_space(labels: LabelSpace, layer: LayerData, _: Mapping[str, Annotation]) -> LabelSpace:
    return replace(labels, alphabet=layer.alphabet or "")


def _learnable(layer: LayerData, problems: Problems) -> LayerData:
    """Drop texts with characters that dataset.json does not list: they count as bad. If it lists none, allow all that occur."""
    texts = {image: _text(annotation) for by_image in layer.splits.values() for image, annotation in by_image.items()}
    if layer.alphabet is None:
        return replace(layer, alphabet="".join(sorted(set().union(*texts.values()))))
    strange = {image: missing for image, text in texts.items() if (missing := sorted(set(text) - set(layer.alphabet)))}
    for image, missing in strange.items():
        shown = first_few(missing, _NAMED_CHARACTERS, " ")
        problems.bad(image, f"the text '{texts[image]}' has characters that are not in the alphabet: {shown}")
    splits = {
        split: {image: annotation for image, annotation in by_image.items() if image not in strange}
        for split, by_image in layer.splits.items()
    }
    return replace(layer, splits=splits)


def _text(annotation: Annotation) -> str:
    assert isinstance(annotation, TextLabel), "readers produce text labels for a layer of texts"
    return annotation.text


def _table(layer: Layer, _: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    tables = [table.labelled("text") for table in tables]

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        return TextLabel(as_text(table.cell(row, "text"), f"{row.where}: {table.name('text')}"))

    return LayerData(ClassTable((), ()), annotations_in(tables, make), alphabet=layer.alphabet)


DESCRIPTION: Final = TaskDescription[Text](
    counted=Counted("characters", negatives=False, most_learnt=None),
    layout=_layout,
    rows=_rows,
    shows_pixels=False,
    made_from={},
    one_label=False,
    label_space=_label_space,
    learnable=_learnable,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=True,
    table=_table,
)
