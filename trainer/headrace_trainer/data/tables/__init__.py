"""Tables of labels, which CSV and JSON lines share: reading their cells, and what rows become."""
