"""Reads run folders: what ran, with which settings and data, and how well. Needs storage, and neither Kubernetes nor torch."""
