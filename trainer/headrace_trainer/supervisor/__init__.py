"""PID 1 of a trainer: pulls, starts the worker, uploads, obeys SIGTERM, wipes. No torch, so it starts in well under a second."""
