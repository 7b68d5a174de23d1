"""The flip-flop data with their truth, and all scores of a trained model against it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import lfadsx
from benchmarks.dynamics.corners import compared, corners_of, model_points, teacher_points
from benchmarks.dynamics.measures import Pair, co_bps, cycle_consistency, mapped_r2
from lfadsx.datasets import FlipFlop, flip_flop_task
from lfadsx.evaluation.metrics import r2_pooled
from lfadsx.inference.posterior_inference import has_posterior


@dataclasses.dataclass(frozen=True)
class FlipFlopTruth:
    """What made the data, of training and of validation trials.

    Attributes:
        recipe: The simulation.
        latents: States of the teacher, (trial, time, unit).
        inputs: Noisy inputs, (trial, time, bit).
        pulses: The pulses in them, (trial, time, bit).
        numbers: `perm_neurons`, `orig_mean` and `orig_std` of the file: how neurons show the states.
        corners: Stable points of the teacher for zero input, one for each set of bits, shape (corner, unit).
    """

    recipe: FlipFlop
    latents: Pair
    inputs: Pair
    pulses: Pair
    numbers: dict[str, np.ndarray]
    corners: np.ndarray

    @classmethod
    def of(cls, recipe: FlipFlop, file: Path, **search: Any) -> FlipFlopTruth:
        """Reads the truth of a simulated file and searches the fixed points of its teacher."""
        with h5py.File(file) as found:
            latents, inputs, pulses = (
                Pair(*(np.asarray(found[key.format(split)]) for split in ("train", "valid")))
                for key in ("{}_latents", "input_{}_truth", "{}_pulses")
            )
            numbers = {name: np.asarray(found[name]) for name in ("perm_neurons", "orig_mean", "orig_std")}
        network = recipe.network()
        corners = corners_of(network, teacher_points(network, latents.valid, inputs.valid, **search))
        return cls(recipe, latents, inputs, pulses, numbers, corners)

    def kinds_of_pulses(self) -> dict[str, Pair]:
        """Returns all pulses, those that change their bit, and those that do not."""
        flips = Pair(*map(flip_flop_task.flips, self.pulses))
        return {
            "pulses": self.pulses,
            "flipping": self.pulses.times(flips),
            "not_flipping": self.pulses.times(Pair(1 - flips.train, 1 - flips.valid)),
        }


def input_scores(inferred: Pair, truth: FlipFlopTruth) -> dict[str, float]:
    """Returns the R2 of linear maps between true and inferred inputs, in both directions.

    `input_r2` is the benchmark's: from the true noisy inputs to the inferred ones. The others have pulses in the place
    of the noisy inputs: all, those that change their bit, and those that do not.
    """
    found = {}
    for name, true in {"input": truth.inputs, **truth.kinds_of_pulses()}.items():
        found[f"{name}_r2"] = mapped_r2(true, inferred)
        found[f"{name}_r2_back"] = mapped_r2(inferred, true)
    return found


def scores_of(model: lfadsx.LFADS, data: lfadsx.Dataset, truth: FlipFlopTruth, **search: Any) -> dict[str, float]:
    """Returns all scores of a trained model, from posterior means.

    Args:
        model: The model.
        data: Its data.
        truth: The truth of the data.
        search: Settings of `lfadsx.dynamics.fixed_points`.
    """
    group = data.input_group
    how: dict[str, Any] = {"n_samples": 0 if has_posterior(model) else 1}  # without a posterior all samples are alike
    posts = [lfadsx.infer(model, data, name, **how) for name in ("train", "valid")]
    states, factors = (Pair(*(getattr(post, name) for post in posts)) for name in ("generator_states", "factors"))
    rates, counts, n_known = posts[1].rates[group], data.valid.targets[group], data.n_known_inputs
    found = {
        "rate_r2": r2_pooled(rates, np.asarray(data.valid.truth)),
        "state_r2": mapped_r2(truth.latents, states),
        "state_r2_factors": mapped_r2(truth.latents, factors),
        "state_r2_back": mapped_r2(states, truth.latents),
        "co_bps": co_bps(rates, counts, truth.recipe.neurons - truth.recipe.held_out),
        "co_bps_published": co_bps(rates, counts, n_known),
        "cycle": cycle_consistency(states, np.log(posts[0].rates[group])),
    }
    if posts[0].inputs is not None:
        found |= input_scores(Pair(*(np.asarray(post.inputs) for post in posts)), truth)
    few = [Pair(*(values[:, ::10] for values in pair)) for pair in (states, truth.latents)]
    found |= compared(model_points(model, data, **search), truth.corners, *few)
    return {name: round(float(value), 4) for name, value in found.items()}
