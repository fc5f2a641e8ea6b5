"""`make demo`: jobs of two projects on a cluster of their own, watched with a user's eyes, every claim checked."""

from headrace_local.demo.story import main

__all__ = ["main"]
