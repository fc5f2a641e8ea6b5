"""ResNet by level (He et al. 2015, https://arxiv.org/abs/1512.03385), as torchvision builds it, without pooling and classifier.

Level 1 is the stem's convolution, level 2 max-pooling and `layer1`, ..., level 5 `layer4`. Parameters keep torchvision's names,
so that its checkpoints fit. Differences: stages above the top level do not exist, and the last normalisation of every residual
branch starts at zero (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, 5.1): the network starts shallow and learns sooner
from scratch.
"""

import torchvision
from torch import Tensor, nn

STAGES = 5
"""Levels of a whole ResNet."""


class ResNet(nn.Module):
    """float32 [B, 3, H, W] -> {level: [B, channels[level], ceil(H / 2^level), ceil(W / 2^level)]}, levels 1 to `top_level`.

    `name` is resnet18, resnet34, resnet50 or resnet101; weights start random.
    """

    channels: dict[int, int]

    def __init__(self, name: str, top_level: int) -> None:
        super().__init__()
        if not 2 <= top_level <= STAGES:
            raise ValueError(f"top_level of a ResNet is 2 to {STAGES}, not {top_level}")
        whole = torchvision.models.get_model(name, weights=None, zero_init_residual=True)
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        expansion = whole.layer1[0].expansion
        self.channels = {1: 64}
        self._stages: list[str] = []
        for level in range(2, top_level + 1):
            stage = f"layer{level - 1}"
            self.add_module(stage, getattr(whole, stage))
            self._stages.append(stage)
            self.channels[level] = 64 * 2 ** (level - 2) * expansion

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x = self.relu(self.bn1(self.conv1(images)))
        features = {1: x}
        x = self.maxpool(x)
        for level, stage in enumerate(self._stages, start=2):
            x = self.get_submodule(stage)(x)
            features[level] = x
        return features
