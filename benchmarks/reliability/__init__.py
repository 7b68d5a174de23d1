"""Benchmarks of what happens to damaged files and interrupted programs."""
