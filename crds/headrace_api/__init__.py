"""The contract of Headrace: what users write, what the programs tell each other, and where things are.

The operator, the trainer, the command line and the embedded cluster all import this package and never each other. It imports
pydantic and no other Headrace package; the CRD's YAML is generated from it (`python -m headrace_api.crd`).
"""
