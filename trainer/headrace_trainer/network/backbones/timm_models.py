"""timm's architectures by level (https://github.com/huggingface/pytorch-image-models), if timm is installed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from torch import Tensor, nn

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.network.backbones.base import Backbone, channels_of, filled_up, in_words

PREFIX: Final = "timm/"


class TimmBackbone(Backbone):
    """timm's feature pyramid for `name` ("timm/<timm's name>"), up to `top_level`; weights start random.

    Images are zero-padded on the right and bottom to a multiple of the top level's stride, and features cropped to the image,
    because architectures round differently.
    """

    def __init__(self, name: str, top_level: int) -> None:
        super().__init__()
        self.name = name
        indices = _indices_by_level(name)
        if top_level not in indices:
            raise FatalError(
                Reason.BAD_MODEL, f"backbone.topLevel is {top_level}, but {name} has {in_words(indices)}: choose one of them"
            )
        self._levels = tuple(level for level in indices if level <= top_level)
        self.model = _create(name, out_indices=tuple(indices[level] for level in self._levels))
        self._ends: list[str] = self.model.feature_info.module_name()  # type: ignore[union-attr, operator]
        _cut_above(self.model, self._ends[-1])
        try:
            self.channels = channels_of(self)
        except AssertionError as error:  # timm's, or the one on a level's size
            raise FatalError(
                Reason.BAD_MODEL, f"{name} does not accept images of any size ({error}): choose an architecture that does"
            ) from error

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        height, width = images.shape[-2:]
        maps = self.model(filled_up(images, 2 ** self._levels[-1]))
        return {
            level: x[:, :, : -(-height // 2**level), : -(-width // 2**level)] for level, x in zip(self._levels, maps, strict=True)
        }

    def stages(self) -> Mapping[int, Sequence[nn.Module]]:
        parts = list(_parts(self.model))
        ends = set(getattr(self.model, "return_layers", ())) or set(self._ends)
        if not ends <= {name for name, _ in parts}:
            raise FatalError(
                Reason.BAD_MODEL,
                f"backbone.frozenLevels: timm does not report which parts of {self.name} compute which level; leave it at 0",
            )
        stages: dict[int, list[nn.Module]] = {level: [] for level in self._levels}
        levels = iter(self._levels)
        level = next(levels)
        for name, module in parts:
            stages[level].append(module)
            if name in ends:
                level = next(levels, level)
        return stages

    def name_in_checkpoint(self, name: str) -> str:
        return name.removeprefix("model.")


def _create(name: str, **options: Any) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise FatalError(
            Reason.BAD_MODEL,
            f"backbone {name} needs timm, which is not installed here ({error}): in a checkout of Headrace, "
            "pip install '.[timm]'; in a cluster, set spec.image to a trainer image that has it",
        ) from error
    try:
        created: nn.Module = timm.create_model(name.removeprefix(PREFIX), pretrained=False, features_only=True, **options)
    # timm also asserts, and raises RuntimeError for a name it does not know.
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, KeyError) as error:
        raise FatalError(
            Reason.BAD_MODEL, f"timm has no feature pyramid for {name}: {type(error).__name__}: {error}; choose another backbone"
        ) from error
    return created


def _indices_by_level(name: str) -> dict[int, int]:
    """The index of timm's feature for each level; the last if several have the same stride.

    Raises FatalError(BAD_MODEL) if the strides do not form levels, as with a plain vision transformer.
    """
    strides: list[int] = _create(name).feature_info.reduction()  # type: ignore[union-attr, operator]
    indices = {stride.bit_length() - 1: index for index, stride in enumerate(strides) if stride > 1}
    if len(indices) < 2 or any(2 ** (stride.bit_length() - 1) != stride for stride in strides):
        raise FatalError(
            Reason.BAD_MODEL, f"{name} has features with strides {strides}, which do not form levels: choose a pyramid network"
        )
    return dict(sorted(indices.items()))


_BLOCKS: Final = "blocks"
"""Name of the sequence of stages in timm's EfficientNets and MobileNets. In its other pyramids each stage is its own part."""


def _parts(pyramid: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of one of timm's pyramids by name, in the order in which they run."""
    for name, module in pyramid.named_children():
        if name == _BLOCKS:
            yield from ((f"{name}.{index}", stage) for index, stage in module.named_children())
        else:
            yield name, module


def _cut_above(pyramid: nn.Module, end: str) -> None:
    """Remove the stages above the part `end` if timm has not."""
    stages = getattr(pyramid, _BLOCKS, None)
    if isinstance(stages, nn.Sequential) and end.startswith(f"{_BLOCKS}."):
        setattr(pyramid, _BLOCKS, stages[: int(end.removeprefix(f"{_BLOCKS}.")) + 1])
