"""What each head learns from its layer: its label space, and labels converted from another task."""
