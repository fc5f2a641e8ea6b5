"""From images on disk to the tensors of a training step."""
