"""The methods paragraph of a run: data, model, training, results and software."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfadsx.damaged_files import read_json
from lfadsx.errors import RunError
from lfadsx.files import write_text
from lfadsx.findings import Finding
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_info import RunInfo

MEASURES = {
    "bits_per_spike": "bits per spike of neurons that the encoder saw (reconstruction)",
    "co_bps": "bits per spike of held-out neurons (co-smoothing)",
    "masked_bps": "bits per spike of entries hidden from the encoder",
    "fp_bps": "bits per spike of forward-predicted bins",
    "r2": "R2 of entries that the encoder saw (reconstruction)",
    "co_r2": "R2 of held-out channels",
    "masked_r2": "R2 of entries hidden from the encoder",
    "fp_r2": "R2 of forward-predicted bins",
    "velocity_r2": "R2 of decoded behaviour",
    "readout_r2": "R2 of behaviour by the read-out of the model",
    "timing_r": "correlation of neural speed and produced interval",
    "psth_r2": "R2 to the PSTHs of the data",
    "rates_r2": "squared correlation with the true rates",
    "inputs_r2": "squared correlation with the true inputs",
}
"""Descriptions of the measures in the table of scores."""


def finished_metrics(folder: RunFolder) -> dict[str, Any]:
    """Returns the content of a finished run's metrics.json.

    Raises:
        RunError: If the folder holds no finished run.
    """
    _ = folder.info  # raises RunError if the folder holds no run
    if not folder.metrics.is_file():
        raise RunError(
            f"The run {folder.path} must be finished, but has no metrics.json. Resume it with its fit command."
        )
    return read_json(folder.metrics, "Resume the run with its fit command.", error=RunError)


def write_methods(folder: RunFolder, metrics: Mapping[str, Any]) -> Path:
    """Writes `report.md`: the methods paragraph and the findings."""
    findings = [Finding(**finding) for finding in metrics.get("findings", [])]
    listed = "\n".join(f"- {finding}" for finding in findings) or "None."
    return write_text(folder.report, f"# Methods\n\n{methods(folder.info, metrics)}\n\n# Findings\n\n{listed}\n")


def methods(info: RunInfo, metrics: Mapping[str, Any]) -> str:
    """Returns a paragraph for the methods section of a paper, from the contents of `metrics.json`."""
    return "\n\n".join([_data(info), _model(info), _training(info, metrics), _scores(metrics), _software(info)])


def _data(info: RunInfo) -> str:
    data = info.data
    trials = ", ".join(f"{n} {name}" for name, n in data["n_trials"].items())
    group = data["input_group"]
    neurons = ", ".join(
        f"{s['name']}: {s['n_channels']} seen by the encoder of {s['n_targets'][group]} reconstructed"
        for s in data["sessions"]
    )
    width = "of unknown width" if data["bin_width"] is None else f"of {1000 * data['bin_width']:g} ms"
    return (
        f"Data. {trials} trials of up to {max(data['n_bins'].values())} bins {width}; channels of each session: "
        f"{neurons}. Source: {_source(data['source'])}."
    )


def _source(source: Any) -> str:
    if isinstance(source, dict):
        return "; ".join(f"{key} {_source(value)}" for key, value in source.items())
    if isinstance(source, list):
        return ", ".join(_source(value) for value in source)
    return str(source)


def _model(info: RunInfo) -> str:
    parts = info.model["arguments"]
    decoder = parts["decoder"]["arguments"]
    generator = decoder["generator"]
    text = (
        f"Model. LFADS with {decoder['n_factors']} factors; generator {_sized(generator)}, encoder of the initial "
        f"condition {_sized(parts['ic_encoder'])}"
    )
    if (bias := parts.get("bias_prior")) is not None:
        text += f", a bias of {bias['arguments']['dim']} constant inputs for each trial ({bias['part']})"
    if decoder["controller"] is not None:
        prior = decoder["input_prior"]
        text += (
            f", controller {_sized(decoder['controller'])} with {prior['arguments']['dim']} inferred inputs "
            f"({prior['part']})"
        )
        if parts["input_encoder"] is not None:
            text += f" and a separate encoder {_sized(parts['input_encoder'])}"
    if others := (parts.get("seen_groups") or {}).get("group"):
        text += f"; the encoders also see {', '.join(others)}"
    likelihoods = ", ".join(
        f"{item['part']} likelihood for {group}" for group, item in parts["likelihood"]["group"].items()
    )
    return f"{text}; {likelihoods}."


def _sized(part: dict[str, Any]) -> str:
    size = part["arguments"].get("n_units")
    return part["part"] if size is None else f"{part['part']} of {size} units"


def _training(info: RunInfo, metrics: Mapping[str, Any]) -> str:
    train, hyper, outcome = info.train, info.hyper, metrics["training"]
    rates = ", ".join(f"{name} {value:g}" for name, value in hyper.items() if value)
    score = (
        "none: the ramps had not ended" if not outcome["best_epoch"] else f"{outcome['best_score']:.4f} nats per trial"
    )
    floors, length = train["kl_floors"], f"{train['kl_ramp_epochs']} {train['ramp_unit']}"
    bias = "" if info.model["arguments"].get("bias_prior") is None else " and of the bias"
    ramps = f"the KL weight of the initial condition{bias} rose over {length} from {floors[0]:g} to 1"
    if info.model["arguments"]["decoder"]["arguments"]["controller"] is not None:
        ramps += f", and the KL weight of inputs from {floors[1]:g}"
    settings = (
        f"{train['schedule']} learning rate, batches of at most {train['batch_size']} trials, seed {train['seed']}"
    )
    chosen = outcome["best_epoch"] or outcome["epochs"]
    steps = f"{outcome['epochs']} epochs ({outcome['reason']}), {outcome['skipped_steps']} steps skipped"
    return (
        f"Training. Adam on the weighted evidence bound, {settings}; {ramps}; hyperparameters: {rates}. It stopped "
        f"after {steps}, in {outcome['seconds']:.0f} s. The model of epoch {chosen} was selected by the negative log "
        f"likelihood of entries of validation trials that were hidden from the encoders ({score})."
    )


def _scores(metrics: Mapping[str, Any]) -> str:
    found = [f"{text}: {metrics[name]:.4f}" for name, text in MEASURES.items() if metrics.get(name) is not None]
    results = "; ".join(found) or "No scores were computed; see the findings"
    return f"Results on {metrics['split']} trials. {results}."


def _software(info: RunInfo) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    return f"Software. {packages}; {info.device}; started {info.created} with `{info.command}`."
