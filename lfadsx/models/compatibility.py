"""Whether a data set fits a model, said before anything is compiled."""

from __future__ import annotations

from lfadsx.data.dataset import Dataset
from lfadsx.data.target_kinds import first_not_count
from lfadsx.errors import LfadsxError
from lfadsx.models.lfads import LFADS
from lfadsx.modules import IdentityReadin, LinearReadin, LinearReadout


def check_fits(model: LFADS, data: Dataset) -> None:
    """Raises LfadsxError if the data do not fit the model.

    Args:
        model: The model.
        data: All splits are checked.
    """
    check_parts(model)
    check_shapes(model, data)
    _check_counts(model, data)


def check_shapes(model: LFADS, data: Dataset) -> None:
    """Raises LfadsxError if sessions, channels, target groups or known inputs are not those of the model."""
    _check_readin(model, data)
    _check_groups(model, data)
    _check_known(model, data)


def check_parts(model: LFADS) -> None:
    """Raises LfadsxError if a part was exchanged for one of another width than the maps beside it were made for."""
    decoder = model.decoder
    widths = [
        ("the generator's state", decoder.generator.n_state, "the map to factors", decoder.factor_map.n_in),
    ]
    ends, n_params = model.ic_encoder.n_ends, model.ic_prior.n_params
    made_for = model.ic_posterior
    if made_for is not None:
        widths.append(("the ends of the initial condition's encoder", ends, "its posterior", made_for.n_in))
    n_made_for = 0 if made_for is None else made_for.n_out
    widths.append(("the parameters of the initial condition's prior", n_params, "its posterior", n_made_for))
    if decoder.controller is not None and decoder.input_prior is not None and decoder.input_posterior is not None:
        posterior = decoder.input_posterior
        widths += [
            ("the controller's state", decoder.controller.n_state, "the inputs' posterior", posterior.n_in),
            ("the parameters of the inputs' prior", decoder.input_prior.n_params, "their posterior", posterior.n_out),
        ]
    for name, width, beside, expected in widths:
        if width != expected:
            raise LfadsxError(
                f"The width of {name} is {width}, but {beside} was made for {expected}. Give the new part the width of "
                "the old one, or compose the model anew from its parts."
            )


def _check_readin(model: LFADS, data: Dataset) -> None:
    sizes = tuple((session.name, session.n_channels) for session in data.sessions)
    readin = model.readin
    if isinstance(readin, IdentityReadin) and [n for _, n in sizes] != [readin.n_features]:
        raise LfadsxError(
            f"The model's encoders see {readin.n_features} channels of one session, but the data have {dict(sizes)}. "
            "Build the model for these data, or give it a linear read-in."
        )
    if isinstance(readin, LinearReadin) and readin.n_channels != sizes:
        raise LfadsxError(
            f"The model's read-in is for {dict(readin.n_channels)} channels, but the data have {dict(sizes)}. Build "
            "the model for these data."
        )


def _check_groups(model: LFADS, data: Dataset) -> None:
    if set(model.readout) != set(data.train.targets):
        raise LfadsxError(
            f"The model reads out {sorted(model.readout)}, but the data hold {sorted(data.train.targets)}. Give one "
            "read-out and one likelihood for each target group."
        )
    for group, readout in model.readout.items():
        sizes = tuple((session.name, session.n_targets[group]) for session in data.sessions)
        if isinstance(readout, LinearReadout) and readout.n_targets != sizes:
            raise LfadsxError(
                f"The model's read-out of {group!r} is for {dict(readout.n_targets)} channels, but the data have "
                f"{dict(sizes)}. Build the model for these data."
            )


def _check_known(model: LFADS, data: Dataset) -> None:
    wanted = model.known_inputs_to
    if wanted != "none" and data.n_known_inputs == 0:
        raise LfadsxError(
            f"The model gives known inputs to its {wanted}, but the data have none. Give them as known_inputs "
            "(trial, bin, input), or build a model without."
        )
    width = _n_known(model)
    if wanted != "none" and width is not None and width != data.n_known_inputs:
        raise LfadsxError(
            f"The model gives {width} known inputs to its {wanted}, and the data have {data.n_known_inputs}. Give the "
            "inputs that it was built for, or build a model for these."
        )


def _n_known(model: LFADS) -> int | None:
    """Number of known inputs that the model was built for; None where a part of one's own does not say."""
    if model.known_inputs_to == "generator":
        return getattr(model.decoder.generator, "n_known", None)
    n_in, n_features = getattr(model.ic_encoder, "n_in", None), getattr(model.readin, "n_features", None)
    if n_in is None and model.input_encoder is not None:
        n_in = getattr(model.input_encoder, "n_in", None)
    return None if n_in is None or n_features is None else n_in - n_features


def _check_counts(model: LFADS, data: Dataset) -> None:
    for group, likelihood in model.likelihood.items():
        if not likelihood.counts or data.is_counts(group):
            continue
        found = first_not_count(data, group)
        if found is None:
            raise LfadsxError(
                f"The data of {group!r} were read as real numbers, and the likelihood is of counts. Read them as "
                'counts (kind="counts"), or use a Gaussian likelihood.'
            )
        split, value, place = found
        raise LfadsxError(
            f"The {split} data of {group!r} hold {value:g} at {place}, which is not a count, and the likelihood is of "
            "counts. Give whole numbers of 0 or more, or use a Gaussian likelihood (--likelihood gaussian)."
        )
