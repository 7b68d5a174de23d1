"""Whole models: composition of parts, builders, checks, initial values and descriptions."""
