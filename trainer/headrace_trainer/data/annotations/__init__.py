"""One image's annotations as the files hold them: compact, in pixels or fractions of the image, opened only when needed.

Formats make them; `render` turns them into targets (data/targets) under a geometry. Reading a mask file may raise BadSampleError.
"""

from headrace_trainer.data.annotations.base import Annotation, check_size
from headrace_trainer.data.annotations.boxes import BoxList
from headrace_trainer.data.annotations.instances import InstanceList, Rings, Runs, Shape
from headrace_trainer.data.annotations.keypoints import KeypointList
from headrace_trainer.data.annotations.labels import IdentityLabel, ImageLabel, LabelSet, TextLabel, ValueList
from headrace_trainer.data.annotations.maps import AnomalyLabel, DepthFile, one_channel, size_in_header
from headrace_trainer.data.annotations.quads import QuadList

__all__ = [
    "Annotation",
    "AnomalyLabel",
    "BoxList",
    "DepthFile",
    "IdentityLabel",
    "ImageLabel",
    "InstanceList",
    "KeypointList",
    "LabelSet",
    "QuadList",
    "Rings",
    "Runs",
    "Shape",
    "TextLabel",
    "ValueList",
    "check_size",
    "one_channel",
    "size_in_header",
]
