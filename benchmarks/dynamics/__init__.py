"""Dynamics benchmarks: does a model find the latents, inputs and fixed points of a network that is known?"""
