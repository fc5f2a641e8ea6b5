"""Names the labels behind a loss that is not finite: advice about learning rates helps nobody whose table holds 1e30.

Labels reach a loss in pixels or in their own units. Beyond `_EXTREME` no unit makes sense, and a float32 square overflows soon.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason
from headrace_trainer.data.annotations import ValueList
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.head_labels.head_data import HeadData

_EXTREME: Final = 1e12
_FAR: Final = 1e6
"""How many times the middle half's width a value may be away from the median before it is taken for a mistake."""


class NotFiniteError(FatalError):
    """FatalError(LOSS_NOT_FINITE): `what` was not finite `iteration`; `advice` is what helps if no label is to blame."""

    def __init__(self, what: str, iteration: int, advice: str) -> None:
        super().__init__(Reason.LOSS_NOT_FINITE, f"{what}; {advice}")
        self.what = what
        self.iteration = iteration

    def blaming(self, labels: str) -> FatalError:
        """The same, with `labels` as the cause."""
        return FatalError(self.reason, f"{self.what}, because of {labels}: correct or remove the label")


def extreme_labels(batch: Batch, heads: Iterable[HeadData]) -> str:
    """The labels of `batch` that no unit explains: "the value 1e+30 in layer 'sizes' for images/3.png"; "" if there are none."""
    found = []
    for head in heads:
        for values in batch.targets[head.spec.name].values():
            if not values.is_floating_point() or not values.numel():
                continue
            largest = values.reshape(len(values), -1).abs().amax(dim=1)
            for row in (batch.labelled[head.spec.name] & ~(largest <= _EXTREME)).nonzero()[:, 0].tolist():
                found.append(f"the value {largest[row].item():.4g} in layer '{head.layer}' for {batch.names[row]}")
    return first_few(list(dict.fromkeys(found)), 3)


def far_values(dataset: Dataset, say: Callable[[str], None]) -> None:
    """Warn about a regression value far from all others, such as 1e30: beside it the others are all the same, and nothing is
    learnt."""
    for head in dataset.heads:
        images = [(image, label.values) for image, label in dataset.train.of(head).items() if isinstance(label, ValueList)]
        for column, name in enumerate(head.labels.values):
            known = [(image, float(values[column])) for image, values in images if np.isfinite(values[column])]
            if not known:
                continue
            low, middle, high = np.quantile([value for _, value in known], (0.25, 0.5, 0.75))
            image, farthest = max(known, key=lambda one: abs(one[1] - middle))
            if high > low and abs(farthest - middle) > _FAR * (high - low):
                say(
                    f"WARNING: head '{head.spec.name}': layer '{head.layer}' has {name} = {farthest:.4g} for {image}, while half "
                    f"of all values are between {low:.4g} and {high:.4g}: beside it nothing can be learnt from them; if it is a "
                    "mistake, correct or remove it"
                )
