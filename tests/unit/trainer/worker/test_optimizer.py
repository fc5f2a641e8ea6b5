import pytest
import torch
from torch import nn

from headrace_api.training import AdamW, Optimizer, Sgd
from headrace_trainer.worker.optimizer import build_optimizer, load_state_tensors, state_tensors

ADAMW = Optimizer(adamw=AdamW(learning_rate=0.01, weight_decay=0.1))
SGD = Optimizer(sgd=Sgd(learning_rate=0.01, weight_decay=0.1))


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).to(memory_format=torch.channels_last)


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        network(torch.randn(2, 3, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("spec", [ADAMW, SGD], ids=["adamw", "sgd"])
def test_weight_decay_spares_biases_and_normalisation(spec: Optimizer) -> None:
    network = small_network()
    decays = {id(p): group["weight_decay"] for group in build_optimizer(network, spec).param_groups for p in group["params"]}
    want = {"0.weight": 0.1, "0.bias": 0, "1.weight": 0, "1.bias": 0, "2.weight": 0.1, "2.bias": 0}
    assert {name: decays[id(p)] for name, p in network.named_parameters()} == want


@pytest.mark.parametrize("spec", [ADAMW, SGD], ids=["adamw", "sgd"])
def test_state_goes_back_to_the_parameters_it_came_from(spec: Optimizer) -> None:
    network = small_network()
    optimizer = build_optimizer(network, spec)
    train(network, optimizer, steps=3, seed=1)
    # Another network with the same weights, whose optimizer got the parameters in another order.
    twin = small_network()
    twin.load_state_dict(network.state_dict())
    other = build_optimizer(twin, spec)
    for group in other.param_groups:
        group["params"].reverse()

    load_state_tensors(other, twin, {name: tensor.clone() for name, tensor in state_tensors(optimizer, network).items()})

    for (name, parameter), twin_parameter in zip(network.named_parameters(), twin.parameters(), strict=True):
        state, twin_state = optimizer.state[parameter], other.state[twin_parameter]
        assert state.keys() == twin_state.keys(), name
        for quantity in state:
            torch.testing.assert_close(twin_state[quantity], state[quantity], rtol=0, atol=0)
            if quantity != "step":
                assert twin_state[quantity].stride() == twin_parameter.stride(), f"{name}/{quantity}: layout of its parameter"
    train(network, optimizer, steps=2, seed=2)
    train(twin, other, steps=2, seed=2)
    for (name, tensor), twin_tensor in zip(network.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(tensor, twin_tensor), name


def test_state_of_another_shape_is_refused() -> None:
    network = small_network()
    optimizer = build_optimizer(network, ADAMW)
    with pytest.raises(ValueError, match=r"0\.weight/exp_avg has shape \[4, 3, 3, 1\], its parameter has \[4, 3, 3, 3\]"):
        load_state_tensors(optimizer, network, {"0.weight/exp_avg": torch.zeros(4, 3, 3, 1)})
