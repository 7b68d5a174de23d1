"""Your own arrays: trials of different length, with conditions and behaviour, from memory.

`lfadsx.from_arrays` makes a data set from a list with one array (time, neuron) per trial. Trials may differ in
length: they are padded, and the padding changes no result. Behaviour is given as a list in the same way.

    python examples/arrays_of_your_own.py                 # simulated reaches; a few minutes on a CPU
    python examples/arrays_of_your_own.py --quick         # tiny sizes, to check that it works
    python examples/arrays_of_your_own.py my_session.npz  # your own file

A file holds all trials one after the other: `spikes_concat` (time, neuron), `cursor_concat` (time, 2) with
positions in metres, `lengths` (trial,) in bins, and `condition` (trial,). The brain-machine interface session of
Golub, Yu & Chase (2015, eLife) can be written in this form; its bins are about 33 ms long.

Writes runs/arrays_of_your_own: checkpoints, posterior.h5, scores.txt and summary.png.
The figure needs matplotlib: pip install "lfadsx[plot]".
"""

import argparse
from pathlib import Path

import numpy as np

import lfadsx

BIN_WIDTH = 0.033
"""Width of a bin in seconds."""

Trials = list[np.ndarray]


def read_npz(file: Path) -> tuple[Trials, Trials, np.ndarray]:
    """Reads spikes and cursor positions of every trial, and the conditions."""
    with np.load(file) as arrays:
        starts = np.cumsum(arrays["lengths"])[:-1]  # first bin of each trial, without trial 0
        spikes = np.split(arrays["spikes_concat"], starts)
        cursor = np.split(arrays["cursor_concat"], starts)
        return spikes, cursor, arrays["condition"]


def simulate(n_trials: int, n_neurons: int = 24, seed: int = 0) -> tuple[Trials, Trials, np.ndarray]:
    """Simulates reaches of 10 to 30 bins to eight targets; neurons are tuned to velocity."""
    rng = np.random.default_rng(seed)
    tuning = rng.normal(0.0, 4.0, (2, n_neurons))  # log rate per m/s
    condition = np.arange(n_trials) % 8
    spikes, cursor = [], []
    for number in condition:
        length = int(rng.integers(10, 31))
        angle = 2 * np.pi * number / 8 + rng.normal(0.0, 0.1)
        duration = length * BIN_WIDTH
        speed = 0.1 * (1 - np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)) / duration  # each reach covers 0.1 m
        velocity = speed[:, None] * [np.cos(angle), np.sin(angle)]
        spikes.append(rng.poisson(np.exp(velocity @ tuning - 0.7)))
        cursor.append(np.cumsum(velocity, axis=0) * BIN_WIDTH)
    return spikes, cursor, condition


def make_dataset(spikes: Trials, cursor: Trials, condition: np.ndarray) -> lfadsx.Dataset:
    """Wraps the arrays: a fifth of the trials for validation, a fifth for test; every fourth neuron is held out."""
    n_neurons = spikes[0].shape[1]
    return lfadsx.from_arrays(
        spikes,
        # The encoder never sees these neurons. A model that only copies its input cannot predict their spikes.
        held_out=range(3, n_neurons, 4),
        condition=condition,  # every condition is split in the same proportions
        behaviour=[np.gradient(position, BIN_WIDTH, axis=0) for position in cursor],
        behaviour_name="cursor velocity (m/s)",
        behaviour_lag=0.0,  # seconds that behaviour lags behind the rates
        bin_width=BIN_WIDTH,
        valid_fraction=0.2,
        test_fraction=0.2,
        seed=0,
    )


def main(file: Path | None, quick: bool, out: Path) -> None:
    """Trains on the arrays, infers the test trials, and prints lengths and scores."""
    out = out / "quick" if quick else out  # keeps a quick run apart from the full run
    data = make_dataset(*(read_npz(file) if file else simulate(60 if quick else 400)))
    for name, split in data.splits.items():
        length = split.target_length
        print(f"{name}: {split.n_trials} trials of {length.min()} to {length.max()} bins, median {np.median(length):g}")

    units = 12 if quick else 32
    model = lfadsx.inferred_input(
        data,
        factors=8,
        generator_dim=16 if quick else 48,
        ic_dim=8,
        ic_encoder_dim=units,
        input_encoder_dim=units,
        controller_dim=units,
        inferred_inputs=2,
    )
    epochs, batch_size = (60, 12) if quick else (300, 50)
    ramps = {"kl_ramp_epochs": epochs // 5, "l2_ramp_epochs": 0}
    # The run folder `out` keeps checkpoints: after Ctrl-C the same command resumes.
    run = lfadsx.fit(
        model, data, learning_rate=0.01, epochs=epochs, batch_size=batch_size, patience=100, out=out, **ramps
    )
    if run.reason == "interrupted":
        return

    # The posterior, trial by trial. Arrays are as long as the longest trial, with NaN after the end of shorter trials.
    post = lfadsx.infer(run.model, data, n_samples=16 if quick else 64)
    post.save(out / "posterior.h5")
    trial = int(np.argmin(post.length))
    rates = post.rates_hz()[trial, : post.length[trial]]
    print(
        f"\nThe shortest {post.split} trial has {len(rates)} bins; rates from {rates.min():.1f} to {rates.max():.1f} Hz"
    )

    score = lfadsx.evaluate(run.model, data)
    print(f"\n{score}\nBits per spike of held-out neurons: {score.scores['co_bps']:.3f}\nEverything is in {out}.")
    (out / "scores.txt").write_text(f"{score}\n")
    lfadsx.plotting.summary(post, data, history=run.history, table=score.table).savefig(out / "summary.png", dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains LFADS on arrays with trials of different length.")
    parser.add_argument("file", type=Path, nargs="?", help="an .npz file; by default data are simulated")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/arrays_of_your_own"), help="folder to write")
    main(**vars(parser.parse_args()))
