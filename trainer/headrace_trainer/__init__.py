"""The trainer: a supervisor that speaks to the world (no torch) and a worker that learns (no network, no secrets)."""
