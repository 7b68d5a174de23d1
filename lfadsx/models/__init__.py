"""Whole models: the parts in order, builders of the usual compositions, and how a model is written down."""
