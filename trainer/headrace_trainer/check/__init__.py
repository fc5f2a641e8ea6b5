"""`headrace dataset check`: whether a dataset can be read, and what is in it."""
