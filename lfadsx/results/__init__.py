"""What inference returns: values that know what they are, and the files that they are written to."""
