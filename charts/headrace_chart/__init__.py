"""Generates the Helm chart's files from the model of its values and from the programs."""
