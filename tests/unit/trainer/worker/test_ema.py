import pytest
import torch

from headrace_testing.steps import random_batch, small_network, small_training
from headrace_trainer.worker.ema import AveragedNetwork, decay_at


def test_decay_is_short_at_the_start_and_then_as_asked() -> None:
    assert [decay_at(0.9, iteration) for iteration in (1, 10, 79, 80, 1000)] == [2 / 11, 11 / 20, 80 / 89, 0.9, 0.9]


def test_average_equals_the_recurrence_written_out_in_double_precision() -> None:
    training = small_training(ema_decay=0.8)
    assert training.averaged is not None
    want = {name: p.detach().double() for name, p in training.network.named_parameters()}
    for iteration in range(1, 6):
        training.step(random_batch(iteration), iteration)
        decay = min(0.8, (1 + iteration) / (10 + iteration))
        for name, parameter in training.network.named_parameters():
            want[name] = decay * want[name] + (1 - decay) * parameter.detach().double()
    for name, average in training.averaged.network.named_parameters():
        torch.testing.assert_close(average.double(), want[name], rtol=1e-5, atol=1e-6)


def test_running_statistics_are_copied() -> None:
    training = small_training()
    assert training.averaged is not None
    training.step(random_batch(1), 1)
    buffers = dict(training.network.named_buffers())
    assert buffers["backbone.bn1.num_batches_tracked"] == 1
    for name, average in training.averaged.network.named_buffers():
        assert torch.equal(average, buffers[name]), name


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
