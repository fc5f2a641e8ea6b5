"""The optimizer of a job, and its state by parameter name.

torch numbers an optimizer's state by the order in which parameters were handed over; an order that differs between two runs (a set
was enough) attaches one parameter's moments to another. Names cannot.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headrace_api.training import Optimizer


def build_optimizer(network: nn.Module, spec: Optimizer) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, over all parameters of `network` that are not frozen.

    Weight decay spares biases and the affine part of normalisation: every parameter of fewer than two dimensions. The fused
    implementations are the fastest on GPU and CPU, and honour `found_inf` (see step.py).
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
    """The optimizer's tensors by "<parameter>/<quantity>"; parameters that never had a gradient have none."""
    return {
        f"{name}/{quantity}": value
        for name, parameter in network.named_parameters()
        for quantity, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Attach what `state_tensors` gave, to the parameters of the same names.

    Raises ValueError, and changes nothing, for a parameter that `network` has not or a moment whose shape is not its parameter's.
    """
    parameters = dict(network.named_parameters())
    state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        name, quantity = key.rpartition("/")[::2]
        parameter = parameters.get(name)
        if parameter is None:
            raise ValueError(f"{key} is of no parameter of this network")
        if value.ndim == 0:  # the count of steps
            state[parameter][quantity] = value.to(parameter.device)
        elif value.shape == parameter.shape:
            # In the parameter's own memory layout: the fused kernels walk both side by side.
            state[parameter][quantity] = torch.empty_like(parameter, requires_grad=False).copy_(value)
        else:
            raise ValueError(f"{key} is {list(value.shape)}, its parameter {list(parameter.shape)}")
    optimizer.state.clear()
    optimizer.state.update(state)
