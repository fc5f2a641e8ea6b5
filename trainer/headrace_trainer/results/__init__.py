"""How predictions are written down: files in the usual format of each kind. A head says which kind its own are."""
