"""Tensor functions and layers that heads share. Nothing here knows of heads, datasets or metrics servers."""
