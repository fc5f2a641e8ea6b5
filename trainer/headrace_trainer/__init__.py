"""The trainer: a supervisor that talks to the outside world (no torch) and a worker that trains (no network, no secrets)."""
