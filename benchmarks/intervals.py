"""Coverage of intervals of rates, before and after calibration, one JSON line for each trained model.

    python -m benchmarks.intervals chaotic_60 kiani --seeds 0 1 2
    python -m benchmarks.intervals --files lorenz_default=runs/accuracy/lorenz/data/lorenz.h5 --seeds 0 1 2
    python -m benchmarks.intervals --runs lorenz=runs/accuracy/lorenz/seed0

A set is one of `benchmarks.data_sets.SETS` or a file by a name of yours, trained with the default settings; with
--runs, the model of a run folder of `benchmarks.accuracy` is scored on its data. A line has the spread that calibration
added (kappa) with its standard error, and coverage of the 50 % and 90 % intervals: of true rates, where there are any,
and of held-out counts in windows of 10 bins. Rates, and so their scores, do not change. Lines that the file holds are
skipped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from flax import nnx

import lfadsx
from benchmarks.data_sets import SETS
from benchmarks.defaults import lines
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--files", nargs="*", default=[], metavar="NAME=FILE", help="data files besides the sets")
    parser.add_argument("--runs", nargs="*", default=[], metavar="NAME=FOLDER", help="trained models instead of sets")
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/intervals.jsonl"))
    options = parser.parse_args()
    use_compilation_cache()
    done = {(line["set"], line["seed"]) for line in lines(options.file)}
    files = dict(text.split("=") for text in options.files)
    for name in (*options.sets, *files):
        for seed in options.seeds:
            if (name, seed) in done:
                continue
            data = lfadsx.read(files[name]) if name in files else SETS[name]()
            run = lfadsx.fit(lfadsx.build(data, rngs=nnx.Rngs(seed)), data, progress=False, seed=seed)
            keep(options.file, {"set": name, "seed": seed} | coverage(run.model, data))
    for text in options.runs:
        name, folder = text.split("=")
        seed = lfadsx.RunFolder(folder).info.train["seed"]
        if (name, seed) in done:
            continue
        data = lfadsx.read(*sorted((Path(folder).parent / "data").glob("*.h5")))
        keep(options.file, {"set": name, "seed": seed} | coverage(lfadsx.load(folder), data))


def coverage(model: lfadsx.LFADS, data: Dataset) -> dict[str, Any]:
    """Returns the coverage of the raw and of the calibrated posterior, R2 of the rates, and the time in seconds."""
    began = time.monotonic()
    calibration = lfadsx.calibrate(model, data)
    found: dict[str, Any] = {"kappa": calibration.kappa, "error": calibration.error}
    found["seconds"] = round(time.monotonic() - began, 1)
    split = "test" if "test" in data.splits else "valid"
    train = lfadsx.infer(model, data, "train", n_samples=1)
    raw = lfadsx.infer(model, data, split)
    for name, post in {"raw": raw, "calibrated": raw.calibrated(calibration)}.items():
        scores = lfadsx.evaluate(model, data, split, posteriors={"train": train, split: post}, baselines={})
        own = scores.detail["intervals"]
        found[name] = {of: own[of] for of in ("truth", "held_out_counts") if of in own}
    return found | {"rates_r2_pooled": scores.detail["rates"].get("r2_pooled"), "co_bps": scores.scores.get("co_bps")}


def keep(file: Path, line: dict[str, Any]) -> None:
    """Adds a line to the file and prints it."""
    line = json.loads(json.dumps(line, default=float), parse_float=lambda number: round(float(number), 4))
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
