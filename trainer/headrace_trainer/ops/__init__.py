"""Tensor functions and layers that heads share. Nothing here knows about heads or datasets."""
