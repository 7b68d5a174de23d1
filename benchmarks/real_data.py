"""Accuracy on recordings: fits a file with several seeds at the command line's defaults and prints the scores.

    python benchmarks/real_data.py recording.h5 --seeds 0 1 2 --out runs/benchmark

Each seed is an ordinary run folder. Each seed's row has the scores of the test split (valid if the file has no test
split), the difference from the best baseline with its 95 % bootstrap interval over trials, epochs and seconds. Rows of
the baselines follow, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import lfadsx
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.evaluation import format_table
from lfadsx.pipeline import fit_run
from lfadsx.training import ProgressBar


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    options = parser.parse_args()
    use_compilation_cache()
    data = lfadsx.data.read(*options.files)
    rows, table = [], []
    for seed in options.seeds:
        out = options.out / f"{options.files[0].parent.name}_{options.files[0].stem}_{seed}"
        train = lfadsx.TrainConfig(seed=seed)
        outcome = fit_run(data, out, train=train, figures=False, callbacks=[ProgressBar()])
        table = outcome.evaluation.table
        training = {"epochs": len(outcome.result.history["loss"]), "best_epoch": outcome.result.best_epoch}
        rows.append(
            {"seed": seed}
            | outcome.evaluation.scores
            | training
            | {"seconds": round(outcome.seconds, 1), "difference": outcome.evaluation.detail.get("difference")}
        )
    shown = [{k: v for k, v in row.items() if k not in ("split", "difference")} for row in rows]
    print(format_table([{"model": f"lfads, seed {row.pop('seed')}", **row} for row in shown]))
    print(format_table(table[1:]))
    print(json.dumps({"files": [str(file) for file in options.files], "seeds": rows, "baselines": table[1:]}))


if __name__ == "__main__":
    main()
