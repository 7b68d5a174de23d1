"""Names in run folders of format 1 (before 0.1.0), with their current names; to be deleted at 0.1.0."""

from __future__ import annotations

from typing import Any

ARGUMENTS = {"n_hidden": "n_units", "n_known": "n_known_inputs", "n_inferred": "n_inferred_inputs"}
"""Current names of arguments of parts."""
JOINED = {
    "kl_floors": ("kl_ic_floor", "kl_co_floor"),
    "adam": ("adam_b1", "adam_b2", "adam_eps"),
    "checkpoints": ("checkpoint_minutes", "checkpoints_to_keep"),
}
"""Former settings of a run that are now one setting."""
IN_STEPS = {
    "kl_ramp_start": "kl_ramp_start_step",
    "kl_ramp_epochs": "kl_ramp_steps",
    "l2_ramp_start": "l2_ramp_start_step",
    "l2_ramp_epochs": "l2_ramp_steps",
}
"""Former settings in steps, used if not 0, by settings in epochs."""
GONE = ("plateau_factor", "learning_rate_decay", "kl_ceiling", "max_skipped_steps", "score_smoothing")
GONE += ("selection_samples",)


def translated(run: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of a `run.json` of format 1 with current names."""
    train, top = dict(run["train"]), run["train"]["kl_ceiling"]
    hyper = {name: value * (top if name.startswith("kl_") else 1.0) for name, value in run["hyper"].items()}
    new: dict[str, Any] = {name: [train.pop(old) for old in parts] for name, parts in JOINED.items()}
    new["kl_floors"] = [floor / (top or 1.0) for floor in new["kl_floors"]]
    factor = "learning_rate_decay" if train["schedule"] == "exponential" else "plateau_factor"
    new["learning_rate_factor"] = train[factor]
    steps = {name: train.pop(old) for name, old in IN_STEPS.items()}
    new |= (steps | {"ramp_unit": "steps"}) if any(steps.values()) else {"ramp_unit": "epochs"}
    kept = {name: value for name, value in train.items() if name not in GONE}
    return run | {"train": kept | new, "hyper": hyper, "model": _part(run["model"]), "data": _data(run["data"])}


def _part(value: Any) -> Any:
    """Returns the description of a part, or one of its arguments, with current names."""
    if not isinstance(value, dict):
        return value
    if "group" in value:
        return {"group": {name: _part(item) for name, item in value["group"].items()}}
    if "part" not in value:
        return value
    own: dict[str, Any] = {ARGUMENTS.get(name) or name: _part(item) for name, item in value["arguments"].items()}
    if value["part"] == "LFADS" and own["readin"]["part"] == "IdentityReadin":  # it did not record its session's name
        name = own["readout"]["group"][own["input_group"]]["arguments"]["n_targets"][0][0]
        own["readin"]["arguments"] = {"n_channels": [[name, own["readin"]["arguments"]["n_features"]]]}
    return {"part": value["part"], "arguments": own}


def _data(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the description of the data; channel names were a list for the input group, or None."""
    group = data["input_group"]
    named = [s | {"channel_names": {group: s["channel_names"]} if s["channel_names"] else {}} for s in data["sessions"]]
    return data | {"sessions": named}
