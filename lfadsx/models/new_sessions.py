"""New sessions for a trained model: new read-ins and read-outs, all other parts unchanged."""

from __future__ import annotations

import glob
from typing import Any

from flax import nnx

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.models.adjoint import set_adjoint
from lfadsx.models.compatibility import n_channels_of, n_targets_of
from lfadsx.models.initialization import TrainingSums, initialise_from
from lfadsx.models.lfads import LFADS
from lfadsx.modules import Standardiser


def with_sessions(model: LFADS, data: Dataset, *, rngs: nnx.Rngs) -> LFADS:
    """Returns a trained model for other sessions: known sessions keep their maps, new sessions get new ones.

    The read-out of a new session is initialised with the mean rates of its neurons, and its read-in at random; or both
    with its alignment if all sessions have one. All other parts stay the same. Few trials are therefore enough to add a
    session if only its maps train, with the patterns of `session_patterns`. Sessions that are not in the data are left
    out of the new model.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> monday, tuesday = (lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1, neurons=n, session=day)
        ...     for n, day in ((50, "monday"), (30, "tuesday")))
        >>> trained = lfadsx.autonomous(monday, generator_dim=8, rngs=nnx.Rngs(0))
        >>> model = lfadsx.with_sessions(trained, tuesday, rngs=nnx.Rngs(1))
        >>> config = lfadsx.TrainConfig(epochs=1, train=lfadsx.session_patterns(["tuesday"]))
        >>> lfadsx.fit(model, tuesday, config=config).reason
        'epochs'

    Args:
        model: The trained model, which does not change.
        data: Data set with the sessions of the new model, known and new ones.
        rngs: Source of the new weights.

    Raises:
        LfadsxError: If your own read-in or read-out has no method `with_sessions`, or a known session has another
            number of neurons.
    """
    _check_feedback(model, data)
    new: Any = nnx.clone(model)
    channels = n_channels_of(data.sessions)
    new.readin = model.readin.with_sessions(channels, rngs=rngs)
    targets = {group: n_targets_of(data.sessions, group) for group in model.readout}
    new.readout = nnx.Dict({group: model.readout[group].with_sessions(n, rngs=rngs) for group, n in targets.items()})
    if model.standardiser is not None:
        new.standardiser = Standardiser(channels)
    if model.seen_groups is not None:
        own = {group: seen.with_sessions(targets[group], rngs=rngs) for group, seen in model.seen_groups.items()}
        new.seen_groups = nnx.Dict(own)
    initialise_from(new, TrainingSums(data), align=all(session.n_components for session in data.sessions))
    new.readin.keep_sessions(model.readin)
    for group, readout in new.readout.items():
        readout.keep_sessions(model.readout[group])
    if model.standardiser is not None:
        new.standardiser.keep_sessions(model.standardiser)
    for group, seen in (model.seen_groups or {}).items():
        new.seen_groups[group].keep_sessions(seen)
    set_adjoint(new, model.adjoint)
    return new


def session_patterns(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Returns patterns for `TrainConfig.train` that train only the read-ins and read-outs of some sessions.

    Example:
        >>> from lfadsx import session_patterns
        >>> session_patterns(["tuesday"])
        ('readin/*/tuesday', 'seen_groups/*/tuesday', 'readout/*/tuesday')

    Args:
        names: Names of the sessions.
    """
    return tuple(f"{part}/*/{glob.escape(name)}" for part in ("readin", "seen_groups", "readout") for name in names)


def _check_feedback(model: LFADS, data: Dataset) -> None:
    decoder, widths = model.decoder, [session.n_targets[model.input_group] for session in data.sessions]
    if decoder.controller is not None and decoder.feedback == "rates" and widths != [decoder.n_rates]:
        raise LfadsxError(
            f"With feedback = 'rates' the data must have one session of {decoder.n_rates} channels, got {widths}. Only "
            "models with feedback = 'factors' or 'none' can be given other sessions."
        )
