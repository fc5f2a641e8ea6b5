"""A layer of tables in any format: its task's description says how to read rows."""

from collections.abc import Sequence

from headrace_api.dataset import Layer
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, bad_layer
from headrace_trainer.data.tables.reader import Table
from headrace_trainer.tasks import describe


def read_tables(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """All splits of a layer whose files are `tables`. Raises FatalError(BAD_DATASET) if tables cannot hold its task."""
    read = describe(layer.task).table
    if read is None:
        raise bad_layer(layer, f"a table cannot hold {layer.task.words}")
    return read(layer, files, tables)
