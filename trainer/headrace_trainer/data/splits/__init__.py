"""Which images belong to which split, and whether a split has something to learn from."""
