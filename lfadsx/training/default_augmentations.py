"""Which augmentations a run has: those whose hyperparameter is above 0, or may become so."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS
from lfadsx.modules.augmentations import AbstractAugmentation
from lfadsx.modules.changed_values import AmplitudeNoise, SpikeJitter, TemporalShift
from lfadsx.modules.hidden_entries import CoordinatedDropout, NeuronDropout, SampleValidation
from lfadsx.search import AbstractStrategy, Space

SWITCHES = ("sv_rate", "neuron_dropout_rate", "temporal_shift", "amplitude_noise")
"""Hyperparameters that switch an augmentation on. At 0 it is no part of the compiled program and costs nothing."""


def switched_on(hypers: Sequence[HyperParams], strategy: AbstractStrategy) -> frozenset[str]:
    """Returns the names of `SWITCHES` that are above 0 for a member, or in the space of the search."""
    space = getattr(strategy, "space", None)
    searched = space.ranges if isinstance(space, Space) else {}
    return frozenset(name for name in SWITCHES if name in searched or any(getattr(own, name) > 0 for own in hypers))


def check_off(off: Collection[str], hypers: Sequence[HyperParams]) -> None:
    """Raises LfadsxError if a search raises a hyperparameter whose augmentation is not part of the program."""
    for name in off:
        value = max(float(getattr(own, name)) for own in hypers)
        if value > 0:
            raise LfadsxError(
                f"`{name}` must stay 0, because no member started with it above 0; the search gives {value:g}. Put it "
                "into the `space` of the search, or start a member with a value above 0."
            )


def default_augmentations(
    model: LFADS, data: Dataset, config: TrainConfig, switches: frozenset[str] = frozenset()
) -> tuple[AbstractAugmentation, ...]:
    """Returns coordinated dropout and the augmentations that are switched on.

    Args:
        model: The model. Entries of all groups that its encoders see are hidden; only the input group is changed.
        data: The data.
        config: Run settings; `spike_jitter` switches spike jitter on.
        switches: Names of hyperparameters, see `switched_on`.

    Raises:
        LfadsxError: If spikes are to be jittered and the data are not counts, or counts are to get noise.
    """
    group, *others = model.encoder_groups
    counts = data.is_counts(group)
    if config.spike_jitter and not counts:
        raise LfadsxError(
            f"`spike_jitter` must be 0 for real-valued data such as those of {group!r}, got {config.spike_jitter}."
        )
    if "amplitude_noise" in switches and counts:
        raise LfadsxError(
            f"`amplitude_noise` must be 0, and not be searched, for counts such as those of {group!r}. Leave it out; "
            "`spike_jitter` moves spikes instead."
        )
    jitter = (SpikeJitter(config.spike_jitter, group),) if config.spike_jitter else ()
    more = {
        "sv_rate": SampleValidation(group, others=others),
        "neuron_dropout_rate": NeuronDropout(others),
        "temporal_shift": TemporalShift(group),
        "amplitude_noise": AmplitudeNoise(),
    }
    # Keys follow the order: an augmentation that is switched on changes no number of those before it.
    return (*jitter, CoordinatedDropout(group, others), *(more[name] for name in SWITCHES if name in switches))
