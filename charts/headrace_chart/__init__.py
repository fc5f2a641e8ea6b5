"""What is generated for the Helm chart: the model of its values, and the files that are made from it and from the programs."""
