"""`make demo`: runs jobs of two projects on their own cluster, watches them as a user would, and checks every claim."""

from headrace_local.demo.story import main

__all__ = ["main"]
