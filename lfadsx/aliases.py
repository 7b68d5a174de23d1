"""Settings that mean the same in other LFADS programs, by their names there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfadsx.errors import LfadsxError

ALIASES = {
    "fac_dim": "factors",
    "gen_dim": "generator_dim",
    "ic_enc_dim": "ic_encoder_dim",
    "ci_enc_dim": "input_encoder_dim",
    "ci_lag": "controller_lag",
    "con_dim": "controller_dim",
    "co_dim": "inferred_inputs",
    "ic_prior_var": "ic_prior_variance",
    "co_prior_tau": "input_prior_tau",
    "co_prior_nvar": "input_prior_variance",
    "lr_init": "learning_rate",
    "lr_decay": "learning_rate_factor",
    "lr_patience": "plateau_patience",
    "kl_ic_weight": "kl_ic_scale",
    "kl_co_weight": "kl_co_scale",
    "kl_start_epoch": "kl_ramp_start",
    "kl_increase_epoch": "kl_ramp_epochs",
    "l2_start_epoch": "l2_ramp_start",
    "l2_increase_epoch": "l2_ramp_epochs",
    "max_epochs": "epochs",
}
"""Names here by names of lfads-torch and, in lower case, of AutoLFADS. Names that are equal are left out."""


def without_aliases(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings by their names here.

    Example:
        >>> from lfadsx.aliases import without_aliases
        >>> without_aliases({"fac_dim": 20, "ic_dim": 8})
        {'factors': 20, 'ic_dim': 8}

    Raises:
        LfadsxError: If a setting is given by both of its names.
    """
    for alias, name in ALIASES.items():
        if alias in settings and name in settings:
            raise LfadsxError(f"`{alias}` is another name of `{name}`, and both are given. Give one of them.")
    return {ALIASES.get(name, name): value for name, value in settings.items()}
