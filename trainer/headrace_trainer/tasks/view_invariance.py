"""View invariance: what two views of an image share, learnt without labels.

Targets of a batch:

    label      int64   [B]        class or identity if the head names a layer that has one, else -1; only for scoring
"""

from collections.abc import Mapping
from typing import Final

from headrace_trainer.data.targets import NO_LABEL, ImageOnly
from headrace_trainer.tasks.description import (
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    no_warnings,
    rows_by_name,
)


def _layout(_: Shapes) -> Mapping[str, Field]:
    return {"label": Field((), NO_LABEL, "int64")}


DESCRIPTION: Final = TaskDescription[ImageOnly](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={},
    one_label=True,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=None,
)
