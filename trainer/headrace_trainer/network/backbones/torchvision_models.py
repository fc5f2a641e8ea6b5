"""torchvision's architectures by level, without pooling and classifier: one table says which modules compute which level.

Parameters keep torchvision's names, so its checkpoints load. Differences: stages above the top level do not exist; in ResNets the
last normalisation of every residual branch starts at zero (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, 5.1), so that the
network starts shallow and learns faster from scratch; features of ConvNeXt and Swin are layer-normalised per level, as in their
authors' detectors, but without scale and shift: the convolution that follows provides them, and no parameter is left unused.

    ResNet           He et al. 2015, https://arxiv.org/abs/1512.03385
    ResNeXt          Xie et al. 2016, https://arxiv.org/abs/1611.05431
    Wide ResNet      Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146
    MobileNetV3      Howard et al. 2019, https://arxiv.org/abs/1905.02244
    RegNet           Radosavovic et al. 2020, https://arxiv.org/abs/2003.13678
    EfficientNetV2   Tan and Le 2021, https://arxiv.org/abs/2104.00298
    Swin             Liu et al. 2021, https://arxiv.org/abs/2103.14030, and V2, https://arxiv.org/abs/2111.09883
    ConvNeXt         Liu et al. 2022, https://arxiv.org/abs/2201.03545
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from headrace_trainer.network.backbones.base import Backbone, channels_of, filled_up


@dataclass(frozen=True)
class Family:
    """How a family of architectures splits into levels."""

    stages: Mapping[int, tuple[str, ...]]
    """Names of the modules that compute each level from the one below it, in order."""
    strides: Mapping[str, int] = field(default_factory=dict)
    """Modules on non-overlapping patches: their input is zero-padded right and bottom to a multiple of this, or they would drop the
    remainder."""
    channels_last: bool = False
    """Whether the modules return [B, H, W, C]."""
    normalised: bool = False
    """Whether features are layer-normalised over their channels."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the constructor."""


def _of_sequence(last: Mapping[int, int]) -> dict[int, tuple[str, ...]]:
    """Stages of an architecture whose `features` are one sequence, given the index of each level's last entry."""
    stages, start = {}, 0
    for level, end in last.items():
        stages[level] = tuple(f"features.{index}" for index in range(start, end + 1))
        start = end + 1
    return stages


def _each(names: Iterable[str], family: Family) -> dict[str, Family]:
    return dict.fromkeys(names, family)


# The last entry of `features` in MobileNetV3 and EfficientNetV2 widens the top for the classifier and is left out.
FAMILIES: Final[dict[str, Family]] = {
    **_each(
        (
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
            *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
        ),
        Family(
            {1: ("conv1", "bn1", "relu"), 2: ("maxpool", "layer1"), 3: ("layer2",), 4: ("layer3",), 5: ("layer4",)},
            options={"zero_init_residual": True},
        ),
    ),
    **_each(
        (f"regnet_{kind}_{size}" for kind in "xy" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf")),
        Family({1: ("stem",), **{level: (f"trunk_output.block{level - 1}",) for level in range(2, 6)}}),
    ),
    "mobilenet_v3_small": Family(_of_sequence({1: 0, 2: 1, 3: 3, 4: 8, 5: 11})),
    "mobilenet_v3_large": Family(_of_sequence({1: 1, 2: 3, 3: 6, 4: 12, 5: 15})),
    "efficientnet_v2_s": Family(_of_sequence({1: 1, 2: 2, 3: 3, 4: 5, 5: 6})),
    "efficientnet_v2_m": Family(_of_sequence({1: 1, 2: 2, 3: 3, 4: 5, 5: 7})),
    **_each(
        ("convnext_tiny", "convnext_small", "convnext_base"),
        Family(
            _of_sequence({2: 1, 3: 3, 4: 5, 5: 7}),
            strides={"features.0": 4, "features.2": 2, "features.4": 2, "features.6": 2},
            normalised=True,
        ),
    ),
    # Swin's patch merging layers pad by themselves.
    **_each(
        ("swin_t", "swin_s", "swin_v2_t"),
        Family(_of_sequence({2: 1, 3: 3, 4: 5, 5: 7}), strides={"features.0": 4}, channels_last=True, normalised=True),
    ),
}
"""By torchvision's name."""


class TorchvisionBackbone(Backbone):
    """The levels of `FAMILIES[name]` up to `top_level`; weights start random."""

    def __init__(self, name: str, top_level: int) -> None:
        super().__init__()
        self.name = name
        self._family = FAMILIES[name]
        if top_level not in self._family.stages:
            raise ValueError(f"{name} has the levels {', '.join(map(str, self._family.stages))}, not {top_level}")
        self._stages = {level: names for level, names in self._family.stages.items() if level <= top_level}
        whole = torchvision.models.get_model(name, weights=None, **self._family.options)
        for names in self._stages.values():
            for path in names:
                self._adopt(path, whole.get_submodule(path))
        self.channels = channels_of(self)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x, features = images, {}
        for level, names in self._stages.items():
            for path in names:
                x = self.get_submodule(path)(filled_up(x, self._family.strides.get(path, 1)))
            features[level] = self._as_feature(x)
        return features

    def stages(self) -> Mapping[int, Sequence[nn.Module]]:
        return {level: [self.get_submodule(path) for path in names] for level, names in self._stages.items()}

    def _adopt(self, path: str, module: nn.Module) -> None:
        """Register `module` under its original dotted name."""
        owner: nn.Module = self
        *parents, name = path.split(".")
        for parent in parents:
            if parent not in dict(owner.named_children()):
                owner.add_module(parent, nn.Module())
            owner = owner.get_submodule(parent)
        owner.add_module(name, module)

    def _as_feature(self, x: Tensor) -> Tensor:
        """A stage's output -> [B, C, H, W]."""
        if not self._family.normalised:
            return x
        x = x if self._family.channels_last else x.permute(0, 2, 3, 1)
        return F.layer_norm(x, x.shape[-1:]).permute(0, 3, 1, 2)
