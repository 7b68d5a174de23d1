"""Results of inference with their labels, units and files."""
