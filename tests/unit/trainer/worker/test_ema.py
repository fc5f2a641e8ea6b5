import pytest
import torch

from headrace_testing.steps import random_batch, small_network, small_training
from headrace_trainer.worker.ema import AveragedNetwork, decay_at


def test_decay_is_short_at_the_start_and_then_as_configured() -> None:
    assert [decay_at(0.9, iteration) for iteration in (1, 10, 79, 80, 1000)] == [2 / 11, 11 / 20, 80 / 89, 0.9, 0.9]


def test_average_equals_the_recurrence_written_out_in_double_precision() -> None:
    """For weights and running statistics alike."""
    training = small_training(ema_decay=0.8)
    assert training.averaged is not None
    want = {name: tensor.double() for name, tensor in training.network.state_dict().items() if tensor.is_floating_point()}
    assert "backbone.bn1.running_var" in want
    for iteration in range(1, 6):
        training.step(random_batch(iteration), iteration)
        decay = min(0.8, (1 + iteration) / (10 + iteration))
        for name, tensor in training.network.state_dict().items():
            if name in want:
                want[name] = decay * want[name] + (1 - decay) * tensor.double()
    averages = training.averaged.network.state_dict()
    for name, tensor in want.items():
        torch.testing.assert_close(averages[name].double(), tensor, rtol=1e-5, atol=1e-6)


def test_counts_are_copied() -> None:
    training = small_training()
    assert training.averaged is not None
    for iteration in (1, 2):
        training.step(random_batch(iteration), iteration)
    counts = {name: buffer for name, buffer in training.averaged.network.named_buffers() if not buffer.is_floating_point()}
    assert "backbone.bn1.num_batches_tracked" in counts
    assert all(count == 2 for count in counts.values())


def test_averaged_network_never_trains() -> None:
    averaged = AveragedNetwork(small_network(), 0.9)
    assert not any(module.training for module in averaged.network.modules())
    assert not any(parameter.requires_grad for parameter in averaged.network.parameters())


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_average_of_constant_weights_stays_exactly_there(decay: float) -> None:
    network = small_network()
    averaged = AveragedNetwork(network, decay)
    for iteration in range(1, 20):
        averaged.update(iteration)
    for parameter, average in zip(network.parameters(), averaged.network.parameters(), strict=True):
        assert torch.equal(parameter, average)
