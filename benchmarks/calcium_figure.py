"""Calcium imaging without trials, from an array to joined event rates and their figure.

    python -m benchmarks.calcium_figure hvc.npz --overlap 0.9 --epochs 200

The file holds deconvolved events, (neuron, frame) or (frame, neuron). They are cut into pieces of 1 s that overlap, a
model with the likelihood for events is trained on them, and what it infers is joined on the time axis of the recording.
Writes calcium.png. The figure in docs is of 22 s of song bird HVC, 75 neurons at 30 Hz (Mackevicius et al. 2019), by
the command above.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import lfadsx


def main() -> None:
    """Trains and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", default="neural", help="name of the array of events")
    parser.add_argument("--frame-rate", type=float, default=30.0)
    parser.add_argument("--overlap", type=float, default=0.5, help="of pieces, in seconds; more where data are few")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("docs/assets"), help="folder of the figure")
    options = parser.parse_args()
    with np.load(options.file) as file:
        events = file[options.key]
    data = lfadsx.from_traces(events, frame_rate=options.frame_rate, chop=1.0, overlap=options.overlap)
    print(data, *data.findings, sep="\n")
    model = lfadsx.inferred_input(data, likelihood="zero_inflated_gamma", factors=10, inferred_inputs=1)
    run = lfadsx.fit(model, data, epochs=options.epochs, patience=options.epochs)
    post = lfadsx.infer(run.model, data, "all")
    print(lfadsx.join(post)["session"])
    lfadsx.plotting.joined_rates(post, data).savefig(options.out / "calcium.png", dpi=110)


if __name__ == "__main__":
    main()
