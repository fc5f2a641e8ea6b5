"""`headrace dataset check`: says whether a dataset can be read, and what is in it."""
