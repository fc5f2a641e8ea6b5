"""Writes predictions to files, each kind in its usual format. A head says which kind it predicts."""
