"""Models and data sizes of speed benchmarks. Imports nothing, so that other programs' environments can use it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    """A model and the size of its data.

    Attributes:
        batch: Trials per step.
        bins: Bins that the encoders see.
        forward_bins: Bins after these that are predicted.
        neurons: Neurons that the encoders see.
        held_out: Further neurons that are reconstructed.
        ic_encoder: Units per direction of the encoder of the initial condition.
        input_encoder: Units per direction of the controller's encoder; with 0 both share one encoder.
        controller: Units of the controller.
        generator: Units of the generator.
        factors: Number of factors.
        inputs: Number of inferred inputs.
        ic_dim: Dimension of the initial condition.
    """

    batch: int
    bins: int
    forward_bins: int
    neurons: int
    held_out: int
    ic_encoder: int
    input_encoder: int
    controller: int
    generator: int
    factors: int
    inputs: int
    ic_dim: int = 64


WORKLOADS = {
    # The JAX tutorial, which has one encoder for both.
    "tutorial": Workload(128, 25, 0, 100, 0, 128, 0, 128, 128, 32, 1),
    # A small model, as in first looks and in searches on a small recording.
    "small": Workload(64, 50, 0, 50, 0, 64, 64, 64, 64, 20, 1),
    # Two data sets of the Neural Latents Benchmark, with the sizes of lfads-torch's configurations.
    "mc_maze": Workload(256, 35, 10, 137, 45, 64, 64, 64, 200, 100, 4),
    "mc_rtt": Workload(256, 120, 40, 98, 32, 100, 100, 80, 100, 40, 4),
    "large": Workload(256, 300, 0, 1000, 0, 128, 128, 128, 512, 64, 4),
    # Tiny, to check that a benchmark runs.
    "tiny": Workload(8, 5, 2, 6, 2, 4, 4, 4, 5, 3, 1, ic_dim=4),
}
