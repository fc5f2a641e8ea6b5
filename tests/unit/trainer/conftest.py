"""What every test of the trainer needs."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same weights and images, whichever tests ran before it in its process."""
    torch.manual_seed(0)
