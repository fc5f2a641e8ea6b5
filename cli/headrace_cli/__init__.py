"""The `headrace` command, also a kubectl plugin. Data goes to stdout, everything else to stderr."""
