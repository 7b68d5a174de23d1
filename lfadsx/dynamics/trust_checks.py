"""Trust checks: are the dynamics those of the generator, or do its inputs make them, or does nothing show them?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from lfadsx import thresholds
from lfadsx.dynamics.generator_step import StepMap
from lfadsx.dynamics.readable_directions import Observability, observability
from lfadsx.dynamics.visited import Visited
from lfadsx.dynamics.without_inputs import Autonomy, autonomy
from lfadsx.findings import Finding

COMPONENTS = 20
"""Most principal components of the states that predict inputs."""
SOON = 10
"""Number of bins after which roll-outs without inputs are judged."""


@dataclasses.dataclass(frozen=True)
class Trust:
    """What speaks for and against the dynamics of a generator, without knowing the truth.

    Attributes:
        shown: Share of the variance of the visited states that what is read later shows: the cycle consistency.
        leakage: R2 of the inferred inputs of a bin, predicted from the state before it by linear regression on other
            trials; None without inferred inputs that vary, or with one trial.
        alone: R2 of what is observed `SOON` bins after the start of roll-outs without inputs; NaN in trials of a bin.
        held: The same if nothing moved.
        bins: The number of bins, fewer than `SOON` in short trials.
    """

    shown: float
    leakage: float | None
    alone: float
    held: float
    bins: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is conspicuous."""
        return tuple(_findings(self))

    @classmethod
    def mean(cls, checked: Sequence[Trust]) -> Trust:
        """Returns the mean of checks, such as those of several seeds."""
        leakage = [one.leakage for one in checked if one.leakage is not None]
        shown, alone, held = np.mean([(one.shown, one.alone, one.held) for one in checked], axis=0).tolist()
        return cls(shown, float(np.mean(leakage)) if leakage else None, alone, held, checked[0].bins)


def trust(
    system: StepMap, visited: Visited, *, read: Observability | None = None, alone: Autonomy | None = None
) -> Trust:
    """Measures whether trained dynamics can be trusted: what nothing shows, and what the inputs do in their place.

    * **Invention**: states that vary, but never show in the factors, now or later, are not supported by data.
    * **Leakage**: inputs that follow from the state do what the dynamics should.
    * **Autonomy gap**: a generator whose roll-outs without inputs predict worse than if nothing moved needs its inputs
      all the time.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.2)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> system = lfadsx.dynamics.step_map(model, data)
        >>> found = lfadsx.dynamics.trust(system, lfadsx.dynamics.visit(model, data, system))
        >>> found.leakage is None, round(found.alone, 3)  # a model without inputs
        (True, 1.0)

    Args:
        system: The system.
        visited: The states that it visits.
        read: Result of `observability`, if it exists already.
        alone: Result of `autonomy`, if it exists already.

    Raises:
        LfadsxError: If there are fewer than 2 visited states.

    Source: the three failures of Versteeg et al. 2025, Computation-through-Dynamics Benchmark; the measures are ours.
    """
    read = observability(system, visited) if read is None else read
    leakage = _leakage(visited, visited.inputs[:, :, : system.n_inferred])
    most = min(SOON, visited.states.shape[1] - 1)
    if not most:
        return Trust(read.shown, leakage, np.nan, np.nan, 0)
    alone = autonomy(system, visited, most) if alone is None else alone
    last = min(SOON, len(alone.bins)) - 1
    return Trust(read.shown, leakage, float(alone.alone[last]), float(alone.held[last]), last + 1)


def _leakage(visited: Visited, inputs: Float[np.ndarray, "trial time input"]) -> float | None:
    """Returns R2 of inputs predicted from the states before them, for each half of the trials by the other half."""
    if not inputs.size:
        return None
    _, vectors = np.linalg.eigh(np.atleast_2d(np.cov(visited.points.T)))
    states = (visited.before - visited.centre) @ vectors[:, ::-1][:, :COMPONENTS]
    states = np.concatenate([states, np.ones((*states.shape[:2], 1))], axis=2)
    even, error, total = np.arange(len(inputs)) % 2 == 0, 0.0, 0.0
    for half in (even, ~even):
        x, u = (of[~half][visited.inside[~half]] for of in (states, inputs))
        new, true = (of[half][visited.inside[half]] for of in (states, inputs))
        if not len(u) or not len(true):
            continue
        weights = np.linalg.lstsq(x, u, rcond=None)[0]
        error += float(((true - new @ weights) ** 2).sum())
        total += float(((true - true.mean(0)) ** 2).sum())
    return 1 - error / total if total else None


def _findings(found: Trust) -> Iterator[Finding]:
    """Yields what exceeds its threshold."""
    if found.shown < thresholds.LEAST_SHOWN:
        sentence = (
            f"Only {100 * found.shown:.0f} % of the variance of the generator's states ever shows in the factors."
        )
        remedy = "Do not interpret the number of dimensions, and use a smaller generator_dim to find the dynamics."
        yield Finding("note", "unread states", found.shown, thresholds.LEAST_SHOWN, "generator", sentence, remedy)
    # Inputs that follow from the state are harmless where they do nearly nothing.
    needed = found.alone < thresholds.MOST_ALONE
    if found.leakage is not None and found.leakage > thresholds.MOST_LEAKAGE and needed:
        sentence = f"The state predicts the inferred inputs of the next bin with R2 {found.leakage:.2f}, so the inputs "
        sentence += "may do what the dynamics should."
        remedy = "Raise kl_co_scale or lower inferred_inputs, and see whether scores stay as good."
        limit = thresholds.MOST_LEAKAGE
        yield Finding("note", "input leakage", found.leakage, limit, "inferred inputs", sentence, remedy)
    gap = found.held - found.alone
    if found.held > thresholds.LEAST_HELD and gap > thresholds.MOST_AUTONOMY_GAP:
        sentence = f"Without inputs the generator predicts the factors {found.bins} bins later with R2 "
        sentence += f"{found.alone:.2f}; if nothing moved, it would be {found.held:.2f}."
        remedy = "The inputs hold the state in place: raise kl_co_scale or lower inferred_inputs."
        yield Finding("note", "autonomy gap", gap, thresholds.MOST_AUTONOMY_GAP, "generator", sentence, remedy)
