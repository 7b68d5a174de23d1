"""Accuracy on simulated data, beside classical methods, floors and the optimum.

    python -m benchmarks.accuracy integrator_rnn --seeds 3
    python -m benchmarks.accuracy chaotic_rnn_inputs_g1p5 --split test

Trains with the settings of the example of that name, one run folder for each seed. The same command resumes a stopped
benchmark. Prints a table with a row for each seed, for the baselines, the optimum, the ceiling and the floors. The
optimum is inference with the true generator (see docs/accuracy.md); no inference exceeds the ceiling. Then prints the
paired differences from the baselines, and one JSON object for each seed. `chaotic_rnn_multisession`,
`chaotic_rnn_multisession_new_session` and `chaotic_rnns_labeled` compare models instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from example_tools.peak_times import peak_errors
from flax import nnx

import lfadsx
from benchmarks import comparisons
from benchmarks.classical import baselines
from benchmarks.optimum import ceiling, optimum, spread
from benchmarks.peers import read_latents
from benchmarks.settings import Settings, settings_of, simulated, with_changes
from lfadsx.cli.terminal import use_compilation_cache, use_devices
from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.splits import choose
from lfadsx.datasets.lorenz import Lorenz
from lfadsx.evaluation import format_table, ratio, resample
from lfadsx.evaluation.metrics import (
    align,
    r2_by_channel,
    r2_floors,
    r2_of_trials,
    r2_per_trial,
    r2_pooled,
)
from lfadsx.inference import infer_trials
from lfadsx.parallel import make_mesh
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import Posterior
from lfadsx.training import FitResult, ProgressBar

SAMPLES = 128
"""Posterior samples of the averages."""
TRAIN_TRIALS = 2000
"""Largest number of training trials for the regressions of inputs and states."""
BESIDE = {
    "pca": "PCA, 2 components",
    "pca_chosen": "PCA, chosen",
    "shuffled": "truth of another trial",
    "ramp": "straight ramp",
}
"""Rows whose squared correlations are added to a seed's figures, by the ending of their JSON keys."""
EVERY = slice(None)
COVERAGE_TRIALS = 100
"""Number of trials whose single samples are kept, to measure the coverage of their intervals."""
COMPARISONS = {
    "chaotic_rnn_multisession": comparisons.stitching,
    "chaotic_rnn_multisession_new_session": comparisons.new_session,
    "chaotic_rnns_labeled": comparisons.labels,
}
"""Benchmarks that compare models with each other."""


def arguments() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of the data set, as in `lfadsx simulate`")
    parser.add_argument("--seeds", type=int, default=1, help="number of model seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--data-seed", type=int, help="seed of the data; the original's by default")
    parser.add_argument("--split", choices=("valid", "test"), help="split that is scored; test where there is one")
    parser.add_argument("--epochs", type=int, help="number of epochs other than the example's")
    changes = "settings of model, hyperparameters or training other than the example's, as in factors=50"
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help=changes)
    trials = "trials of optimum and ceiling, spread over the split; 0 for neither, -1 for all, which may take hours"
    parser.add_argument("--optimum-trials", type=int, default=20, metavar="N", help=trials)
    parser.add_argument("--devices", type=int, default=1, help="devices to spread the trials of a step over")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"))
    latents = "files of `benchmarks.peers`, whose latents are scored as the factors are (lorenz only)"
    parser.add_argument("--latents", type=Path, nargs="+", default=[], metavar="FILE", help=latents)
    return parser


def main() -> None:
    """Runs a benchmark."""
    parser = arguments()
    options = parser.parse_args()
    use_compilation_cache()
    use_devices(options.devices)
    try:
        settings = with_changes(settings_of(options.name, options.epochs), options.set)
    except ValueError as error:
        parser.error(str(error))
    if options.latents and settings.recipe != "lorenz":
        parser.error(f"--latents are scored against the states of lorenz, which {options.name} lacks. Leave them out.")
    folder = options.out / options.name
    files, data = simulated(settings, folder, options.data_seed)
    split = options.split or ("test" if "test" in data.splits else "valid")
    if split not in data.splits:
        parser.error(f"--split is test and {options.name} has no test split. Give valid.")
    tag = f"_data{options.data_seed}" if options.data_seed is not None else ""
    changes = "".join(f"_{change}" for change in options.set).replace("/", ".")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    asked = {"split": split, "data_seed": options.data_seed, "set": options.set}
    if options.name in COMPARISONS:
        run = functools.partial(train, devices=options.devices)
        lines = COMPARISONS[options.name](settings, data, folder / f"compared{tag}{changes}", split, seeds, run)
        print(format_table(lines))
        for line in lines:
            print(json.dumps({"name": options.name} | asked | line))
        return
    truth = Truth(data, split, settings.model.likelihood)
    try:  # checked before the long training
        peers = [truth.score_latents_of(file) for file in options.latents]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    n_trials, few = truth.split.n_trials, options.optimum_trials
    few = n_trials if few < 0 else min(few, n_trials)
    some = spread(n_trials, few)
    rows, errors = [], []
    for seed in seeds:
        result = train(settings, data, folder / f"seed{seed}{tag}{changes}", seed, options.devices)
        found, of_some, rates = truth.score_model(result, some)
        rows.append({"model": f"lfads, seed {seed}", **found, "seconds": round(result.seconds, 1)})
        errors.append(truth.errors(rates))
        if 0 < few < n_trials:
            rows.append({"model": f"lfads, seed {seed}, {few} trials", **of_some})
    others = {name: rates for name, rates in baselines(data, split).items() if rates is not None}
    rows += [{"model": name, **truth.score_rates(rates)} for name, rates in others.items()] + peers
    best, limits = {}, {"optimum": optimum, "ceiling": ceiling} if few else {}
    for name, find in limits.items():
        kept = folder / f"{name}_{split}{tag}_{few}.json"
        found = remembered(kept, functools.partial(find, files[0], data, split, trials=few))
        if found:
            best |= {name: {n: v for n, v in found.items() if "floor" not in n and n != "ess_min"}}
            rows.append({"model": f"{name}, {few} trials", **best[name]})
    rows += truth.floors()
    print(f"\n{settings.recipe}: {truth.split.n_trials} {split} trials")
    print(format_table(rows))
    print(format_table(truth.differences(errors, {name: truth.errors(rates) for name, rates in others.items()})))
    for seed in seeds:
        print(json.dumps(summary(options.name, seed, rows, best, few) | asked))


def train(
    settings: Settings, data: Dataset, out: Path, seed: int, devices: int = 1, model: lfadsx.LFADS | None = None
) -> FitResult:
    """Trains the given model or a new one, or resumes its run."""
    model = model or lfadsx.build(data, settings.model, rngs=nnx.Rngs(seed))
    config = dataclasses.replace(settings.train, seed=seed)
    mesh = make_mesh(devices) if devices > 1 else None
    result = lfadsx.fit(model, data, hyper=settings.hyper, config=config, out=out, mesh=mesh, callbacks=[ProgressBar()])
    if result.reason == "interrupted":  # an interrupted training has no valid score
        raise SystemExit("Stopped and saved. Give the same command again to go on from there.")
    return result


class Truth:
    """The truth of a split and the scores against it, by the protocol of docs/accuracy.md.

    Args:
        data: The data set.
        name: The split that is scored.
        likelihood: Likelihood of the model.
    """

    def __init__(self, data: Dataset, name: str, likelihood: str) -> None:
        self.data, self.name, self.likelihood = data, name, likelihood
        self.split, self.group = data.splits[name], data.input_group
        rows = np.random.default_rng(0).permutation(data.train.n_trials)[:TRAIN_TRIALS]
        self.train_rows = np.sort(rows)
        self.train = choose(data.train, self.train_rows)
        source = data.source[data.sessions[0].name].get("made_from", {})
        self.lorenz = None
        if source.get("simulation") == "lorenz":
            self.lorenz = Lorenz(**{k: v for k, v in source.items() if k in Lorenz.__dataclass_fields__})

    def score_model(self, result: FitResult, some: np.ndarray) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
        """Returns the scores of a trained model on all trials, its scores on some trials, and its rates."""
        model, labels = result.model, Labels.of(self.data)
        posterior, train = (infer_trials(model, labels, s, SAMPLES, 0) for s in (self.split, self.train))
        found = self._scores(posterior, train, spread(self.split.n_trials)) | self._coverage(model, train)
        of_some = self._scores(posterior, train, some) if len(some) else {}
        if posterior.inputs is not None:
            # Of the validation trials, at the epoch of the selected model.
            chosen = result.history["valid_kl_inputs"][result.best_epoch - 1]
            found["kl_inputs_per_bin"] = float(chosen) / self.split.n_bins
        return found, of_some, posterior.rates[self.group]

    def _scores(self, posterior: Posterior, train: Posterior, rows: np.ndarray) -> dict[str, float]:
        """Scores of rates, inputs and states on some trials."""
        found = self.score_rates(posterior.rates[self.group][rows], rows)
        if posterior.inputs is not None and self._has_inputs():
            found |= self._score_inputs(posterior.inputs[rows], train.inputs, rows)
        if self.lorenz is not None:
            found |= self.score_latents(posterior.factors[rows], train.factors, rows)
        return found

    def score_rates(self, rates: np.ndarray, rows: np.ndarray | slice = EVERY) -> dict[str, float]:
        """Returns R2 of rates of some trials in counts per bin, shape (trial, time, neuron)."""
        truth = self.split.truth[rows]
        by_neuron = r2_by_channel(rates, truth)
        return {
            "rates_r2": r2_per_trial(rates, truth),
            "rates_r2_pooled": r2_pooled(rates, truth),
            "rates_r2_by_neuron": float(np.nanmean(by_neuron)),
        }

    def score_latents(
        self, latents: np.ndarray, train_latents: np.ndarray, rows: np.ndarray | slice = EVERY
    ) -> dict[str, float]:
        """Returns R2 of the states of a Lorenz system from latents, and of latents from states.

        Args:
            latents: Of the scored trials, shape (trial, time, latent).
            train_latents: Latents of the trials `self.train`, on which the regressions are fitted.
            rows: Which trials of the split are scored.
        """
        states = self.lorenz.run(self.lorenz.starts())
        truth, train_truth = states[self.split.condition[rows]], states[self.train.condition]
        r2 = r2_by_channel(align(latents, fit_on=(train_latents, train_truth)), truth)
        back = r2_by_channel(align(truth, fit_on=(train_truth, train_latents)), latents)
        found = {f"state_{number}_r2": value for number, value in enumerate(r2.tolist(), 1)}
        return found | {"factors_from_states_r2": float(np.nanmean(back))}

    def score_latents_of(self, path: Path) -> dict[str, Any]:
        """Returns the row of another program, from its file of latents; see `benchmarks.peers`.

        Raises:
            ValueError: If trials or bins of the file differ from the data.
        """
        splits = {name: self.data.splits[name] for name in ("train", self.name)}
        found = read_latents(path, {name: (split.n_trials, split.n_bins) for name, split in splits.items()})
        scores = self.score_latents(found.latents[self.name], found.latents["train"][self.train_rows])
        return {"model": found.program, **scores, "seconds": round(found.seconds, 1)}

    def errors(self, rates: np.ndarray) -> np.ndarray:
        """Returns figures of each trial, shape (2, trial): mean squared correlation, and squared error over SST."""
        truth = self.split.truth
        total = ((truth - truth.mean((0, 1))) ** 2).sum((1, 2)).mean()
        return np.stack([np.nanmean(r2_of_trials(rates, truth), 1), -((rates - truth) ** 2).sum((1, 2)) / total])

    def differences(self, models: list[np.ndarray], others: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        """Returns, for each baseline, the model's lead in both figures with its 95 % interval over trials."""
        rows = []
        model, ones = np.mean(models, axis=0), np.ones(self.split.n_trials)
        for name, other in others.items():
            row: dict[str, Any] = {"lfads minus": name}
            for figure, lead in zip(("rates_r2", "rates_r2_pooled"), model - other, strict=True):
                interval = resample(ratio(lead, ones), len(ones), n=2000)
                row |= {figure: interval.value, f"{figure}_low": interval.low, f"{figure}_high": interval.high}
            rows.append(row)
        return rows

    def floors(self) -> list[dict[str, Any]]:
        """Returns the squared correlation of estimates that ignore the trial's data."""
        rows = [{"model": "truth of another trial"}, {"model": "straight ramp"}]
        known = {"rates_r2": self.split.truth} | ({"inputs_r2": self.split.true_inputs} if self._has_inputs() else {})
        for figure, truth in known.items():
            found = r2_floors(truth)
            rows[0][figure], rows[1][figure] = found.shuffled, found.ramp
        return rows

    def _has_inputs(self) -> bool:
        return self.split.true_inputs is not None and bool(np.any(self.split.true_inputs))

    def _score_inputs(self, inputs: np.ndarray, train_inputs: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        truth, train_truth = self.split.true_inputs[rows], self.train.true_inputs
        aligned = align(inputs, fit_on=(train_inputs, train_truth))
        found = {"inputs_r2": r2_per_trial(aligned, truth), "inputs_r2_pooled": r2_pooled(aligned, truth)}
        if np.count_nonzero(truth[0]) == 1:  # pulses
            one = np.s_[:, :, 0]
            peaks = peak_errors(inputs[one], truth[one], fit_on=(train_inputs[one], train_truth[one]))
            found |= {"pulse_within_2": peaks.share, "pulse_by_chance": peaks.chance}
        return found

    def _coverage(self, model: lfadsx.LFADS, train: Posterior) -> dict[str, float]:
        """Returns the share of true rates and inputs inside the central intervals of posterior samples."""
        part: Split = choose(self.split, spread(self.split.n_trials, COVERAGE_TRIALS))
        samples = infer_trials(model, Labels.of(self.data), part, SAMPLES, 1, samples=True).samples
        pairs = {"rates": (samples["rates"], part.truth)}
        if train.inputs is not None and self._has_inputs():  # on the scale of the truth, as the scores of inputs
            fit_on = (train.inputs, self.train.true_inputs)
            aligned = np.stack([align(sample, fit_on=fit_on) for sample in samples["inputs"]])
            pairs["inputs"] = (aligned, part.true_inputs)
        return {
            f"{name}_coverage_{share}": _share_inside(values, truth, share)
            for name, (values, truth) in pairs.items()
            for share in (50, 90)
        }


def _share_inside(samples: np.ndarray, truth: np.ndarray, share: float) -> float:
    """Share of true values inside central intervals of the samples; the intervals' coverage is in per cent."""
    low, high = np.quantile(samples, [0.5 - share / 200, 0.5 + share / 200], axis=0)
    return float(((low <= truth) & (truth <= high)).mean())


def remembered(path: Path, compute: Callable[[], dict]) -> dict:
    """Computes something once and keeps it in a JSON file."""
    if not path.exists():
        began = time.monotonic()
        found = compute()
        if found:
            found |= {"seconds": round(time.monotonic() - began, 1)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1))
    return json.loads(path.read_text())


def summary(
    name: str, seed: int, rows: list[dict[str, Any]], best: dict[str, dict[str, float]], n_best: int
) -> dict[str, Any]:
    """Returns the figures of one seed, of optimum, ceiling, PCA and the floors, ready for JSON.

    Optimum, ceiling and the seed's figures that end in `_same_trials` are computed on `n_best` trials.
    """
    by_name = {row["model"]: row for row in rows}
    own = {key: value for key, value in by_name[f"lfads, seed {seed}"].items() if key != "model"}
    found = {"name": name, "seed": seed, **own}
    if best:
        same = by_name.get(f"lfads, seed {seed}, {n_best} trials", by_name[f"lfads, seed {seed}"])
        found |= {"optimum_trials": n_best}
        found |= {f"{key}_same_trials": value for key, value in same.items() if "_r2" in key or "pulse" in key}
    found |= {f"{key}_{limit}": value for limit, scores in best.items() for key, value in scores.items()}
    for short, model in BESIDE.items():
        row = by_name.get(model, {})
        found |= {f"{key}_{short}": value for key, value in row.items() if key.endswith("_r2")}
    return found


if __name__ == "__main__":
    main()
