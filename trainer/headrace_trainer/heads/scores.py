"""What the numbers of a metric mean, declared beside the code that computes them."""

from dataclasses import dataclass
from typing import Final

from headrace_api.trainingjob import Better

LABEL_UNIT: Final = "unit of the labels"


@dataclass(frozen=True)
class Score:
    """One number of `Metric.compute`."""

    name: str
    better: Better = Better.HIGHER
    unit: str = ""
    """Empty for shares and other numbers without a unit."""


AVERAGE_PRECISION: Final = (Score("AP"), Score("AP50"), Score("AP75"))
"""COCO's: the mean over IoU thresholds from 0.50 to 0.95, and those of 0.50 and 0.75 alone."""
