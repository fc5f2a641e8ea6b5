"""The optimizer of a job, and its state by parameter name.

torch numbers an optimizer's state by the order of its parameters; if the order differs between two runs (iterating a set was
enough), one parameter gets another's moments. Names rule that out.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headrace_api.training import Optimizer


def build_optimizer(network: nn.Module, spec: Optimizer) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, on all parameters of `network` that are not frozen.

    Parameters with fewer than two dimensions, such as biases and normalisation scales, get no weight decay. The fused
    implementations are the fastest on GPU and CPU and honour `found_inf` (see step.py).
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if spec.adamw is not None:
        adamw = spec.adamw
        return torch.optim.AdamW(groups, lr=adamw.learning_rate, weight_decay=adamw.weight_decay, fused=True)
    assert spec.sgd is not None, "the contract gives exactly one optimizer"
    return torch.optim.SGD(
        groups,
        lr=spec.sgd.learning_rate,
        momentum=spec.sgd.momentum,
        nesterov=spec.sgd.momentum > 0,
        weight_decay=spec.sgd.weight_decay,
        fused=True,
    )


def peak_learning_rate(spec: Optimizer) -> float:
    """The learning rate that the schedule's factor multiplies."""
    chosen = spec.adamw or spec.sgd
    assert chosen is not None, "the contract gives exactly one optimizer"
    return chosen.learning_rate


def state_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The optimizer's tensors by "<parameter>/<quantity>"; none for parameters that never had a gradient."""
    return {
        f"{name}/{quantity}": value
        for name, parameter in network.named_parameters()
        for quantity, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Restore the result of `state_tensors` for the parameters of the same names.

    Raises ValueError, changing nothing, if `network` lacks a parameter or a moment's shape differs from its parameter's.
    """
    parameters = dict(network.named_parameters())
    state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        name, quantity = key.rpartition("/")[::2]
        parameter = parameters.get(name)
        if parameter is None:
            raise ValueError(f"{key} belongs to no parameter of this network")
        if value.ndim == 0:  # the count of steps
            state[parameter][quantity] = value.to(parameter.device)
        elif value.shape == parameter.shape:
            # In the parameter's memory layout: the fused kernels traverse both together.
            state[parameter][quantity] = torch.empty_like(parameter, requires_grad=False).copy_(value)
        else:
            raise ValueError(f"{key} has shape {list(value.shape)}, its parameter has {list(parameter.shape)}")
    optimizer.state.clear()
    optimizer.state.update(state)
