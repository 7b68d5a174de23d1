"""EMG: muscles alone, as a target beside spikes, and seen by the encoders beside spikes.

Rectified EMG is positive, and its noise grows with its mean: a gamma likelihood fits. Three models are trained on
simulated reaches in which neurons and muscles follow the same latents, at the same true means:

* `muscles`: EMG alone, as the input group.
* `spikes`: encoders see spikes; the muscles are a further target group.
* `both`: encoders see spikes and muscles (`encoder_groups`).

    python examples/emg.py                   # some minutes on a CPU
    python examples/emg.py --quick           # tiny sizes, to check that it works
    python examples/emg.py emg.npz --bins 33 # your own EMG alone, array `emg` (muscle, time, trial)

Averages of EMG may be negative, so your own file has another likelihood: one variance for each muscle. `--bins` joins
bins of the file, to train on about a hundred.

Writes runs/emg: a run folder for each model, scores.txt and emg.png.
Figures need matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import lfadsx
from lfadsx.evaluation import format_table

BIN_WIDTH, SHAPE = 0.02, 6.0
"""Width of a bin in seconds; shape of the gamma noise, whose standard deviation is the mean / sqrt(SHAPE)."""


def simulate(n_trials: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Simulates reaches of 50 bins: spikes of 24 neurons, EMG of 8 muscles in mV, and the true means of the EMG."""
    rng = np.random.default_rng(seed)
    time, target = np.arange(50) * BIN_WIDTH, rng.uniform(0, 2 * np.pi, (n_trials, 1))
    onset, vigour = rng.uniform(0.2, 0.4, (n_trials, 1)), rng.uniform(0.6, 1.4, (n_trials, 1))
    bursts = [vigour * np.exp(-0.5 * ((time - onset - lag) / 0.08) ** 2) for lag in (0.0, 0.25)]
    latents = np.stack([burst * turn(target) for burst in bursts for turn in (np.cos, np.sin)], axis=-1)
    means = 0.02 + 0.2 * np.logaddexp(0, 4 * latents @ rng.normal(0, 1, (4, 8)) - 1)
    rates = np.exp(latents @ rng.normal(0, 1.2, (4, 24)) - 1.2)
    return {"spikes": rng.poisson(rates), "emg": rng.gamma(SHAPE, means / SHAPE), "means": means}


def data_sets(trials: dict[str, np.ndarray]) -> dict[str, lfadsx.Dataset]:
    """Makes the data sets of the three models: the same trials in the same splits."""
    n = len(trials["emg"])
    how = {"bin_width": BIN_WIDTH, "split": ["train"] * (n - 2 * (n // 5)) + ["valid"] * (n // 5) + ["test"] * (n // 5)}
    # The encoder never sees every fourth neuron, so that predictions of their spikes can be scored.
    beside = lfadsx.from_arrays(
        trials["spikes"], held_out=range(3, 24, 4), other_targets={"emg": trials["emg"]}, unit={"emg": "mV"}, **how
    )
    muscles = lfadsx.from_arrays(trials["emg"], group="emg", unit="mV", **how)
    return {"muscles": muscles, "spikes": beside, "both": beside}


def build(name: str, data: lfadsx.Dataset, quick: bool) -> lfadsx.LFADS:
    """Builds the model of a name; they differ in what the encoders see, and in the group that the likelihood is for."""
    units = 12 if quick else 48
    sizes = {"factors": 6, "ic_dim": 8, "ic_encoder_dim": units, "input_encoder_dim": units, "controller_dim": units}
    sizes |= {"generator_dim": 16 if quick else 64, "inferred_inputs": 2}
    if name == "averages":
        return lfadsx.build(data, likelihood="gaussian_by_channel", **sizes)
    if name == "muscles":
        return lfadsx.build(data, likelihood="gamma", **sizes)
    seen = ("spikes", "emg") if name == "both" else ("spikes",)
    return lfadsx.build(data, other_likelihoods=("emg=gamma",), encoder_groups=seen, **sizes)


def main(file: Path | None, bins: int, quick: bool, out: Path) -> None:
    """Trains the models, and prints how well they know the muscles and the neurons that they do not see."""
    out = out / "quick" if quick else out  # keeps a quick run apart from the full run
    if file is not None:
        own = lfadsx.from_array_file(file, map="values=emg", axes="channel time trial", split=(0.6, 0.2, 0.2))
        sets, truth = {"averages": own.rebin(bins)}, None
    else:
        trials = simulate(60 if quick else 400)
        sets, truth = data_sets(trials), trials["means"]
    settings = {"epochs": 40 if quick else 300, "batch_size": 20 if quick else 50, "learning_rate": 0.01}
    rows, courses = [], {}
    for name, data in sets.items():
        run = lfadsx.fit(build(name, data, quick), data, out=out / name, **settings)
        if run.reason == "interrupted":
            return
        # Every entry is predicted from the others: what an encoder sees it could copy.
        if "emg" in run.model.encoder_groups:
            predicted, _ = lfadsx.masked_rates(run.model, data, "test", group="emg", n_samples=16)
        else:
            predicted = lfadsx.infer(run.model, data, "test", n_samples=16).rates["emg"]
        test, scores = data.splits["test"], lfadsx.evaluate(run.model, data, n_samples=16).scores
        target = test.targets["emg"] if truth is None else truth[test.row]
        error, total = ((target - of) ** 2 for of in (predicted, target.mean((0, 1))))
        row = {"model": name, "emg_r2": float(np.mean(1 - error.sum((0, 1)) / total.sum((0, 1))))}
        rows.append(row | {"co_bps": scores.get("co_bps")})
        courses[name] = predicted[0]
        courses["EMG"], courses["true mean"] = test.targets["emg"][0], target[0]
    table = format_table(rows)
    print(f"\n{table}\nR2 of the muscles by the last model: {rows[-1]['emg_r2']:.3f}\nEverything is in {out}.")
    (out / "scores.txt").write_text(f"{table}\n")
    draw(courses).savefig(out / "emg.png", dpi=150)


def draw(courses: dict[str, np.ndarray]) -> Figure:
    """Draws four muscles in one test trial: the EMG, its true mean, and what each model expects."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    for muscle, ax in enumerate(figure.subplots(4, 1, sharex=True)):
        for name, values in courses.items():
            faint = {"color": "0.7"} if name == "EMG" else {}
            ax.plot(values[:, muscle], label=name, **faint)
        ax.set_ylabel(f"Muscle {muscle}")
    ax.set_xlabel("Bin")
    ax.legend(frameon=False, ncols=len(courses))
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS on EMG alone and beside spikes.")
    parser.add_argument("file", type=Path, nargs="?", help="an .npz file with EMG; by default data are simulated")
    parser.add_argument("--bins", type=int, default=1, help="bins of the file to join into one")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/emg"), help="folder to write")
    main(**vars(parser.parse_args()))
