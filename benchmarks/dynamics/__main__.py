"""Dynamics benchmarks: does a model find the latents, inputs and fixed points of a network that is known?

    python -m benchmarks.dynamics nbff --inputs known inferred --seeds 0 1 2
    python -m benchmarks.dynamics nbff --inputs inferred --trials 400 --bins 250 --set kl_co_scale=0.3
    python -m benchmarks.dynamics nbff --inputs known --trials 400 --bins 250 --set generator=neural_ode generator_dim=8
    python -m benchmarks.dynamics nbff --optimum 20        # what an observer who knows the teacher infers
    python -m benchmarks.dynamics nbff --summary           # the table; trains nothing
    python -m benchmarks.dynamics nbff --quick             # tiny, to check that it runs

`nbff` is the 3-bit flip-flop of the Computation-through-Dynamics benchmark: `lfadsx simulate nbff`. There is one JSON
line for each model, of validation trials and posterior means, with linear maps fitted on training trials:

* `rate_r2`: R2 of the true rates; `co_bps`: bits per spike of the held-out neurons; `co_bps_published`: the same with
  the benchmark's slip, which counts neurons from the number of known inputs on as held out.
* `state_r2`: R2 of the map from true latents to all generator states, the benchmark's; `state_r2_factors`: to the
  factors; `state_r2_back`: from generator states to true latents.
* `cycle`: share of the generator states' variance in directions that the log rates show well.
* `input_r2`: R2 of the map from true noisy inputs to inferred ones, the benchmark's; `pulses_r2`, `flipping_r2`,
  `not_flipping_r2`: from the pulses alone; all `..._back` in the other direction.
* `shown`, `information_left`, `leakage`, `alone`, `held`, `findings`: the trust checks of the library, without truth. A
  second table has how often their findings agree with what the truth says of the models.
* `stable`, `saddles`, `corners`, `corner_error`: fixed points, and how many of the teacher's 8 stable ones are found.

Lines that the file holds are skipped. Settings are those of `examples/nbff.py`, changed by --set.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lfadsx
from benchmarks.defaults import lines
from benchmarks.dynamics.flip_flop_optimum import optimum_scores
from benchmarks.dynamics.flip_flop_scores import FlipFlopTruth, scores_of
from benchmarks.dynamics.verdicts import agreement, checks_of
from benchmarks.settings import Settings, settings_of, with_changes
from lfadsx.cli.terminal import use_compilation_cache, use_devices
from lfadsx.config import HyperParams, ModelConfig
from lfadsx.datasets import FlipFlop
from lfadsx.evaluation import format_table

KNOWN: dict[str, Any] = dict(variant="external_input", inferred_inputs=0, ic_dim=0)
KNOWN_HYPER: dict[str, Any] = dict(cd_rate=0.0)
"""Settings with known inputs other than those of the example. All trials start in one state, so that nothing is
inferred, and there is no encoder that could copy spikes."""
SEARCH: dict[str, Any] = dict(n_starts=256, same=0.3)
"""Settings of the search for fixed points. Around its corners the teacher is so slow that points close to each other
stand still; they are one."""
COLUMNS = (
    "rate_r2",
    "state_r2",
    "state_r2_factors",
    "co_bps",
    "co_bps_published",
    "cycle",
    "input_r2",
    "pulses_r2_back",
    "shown",
    "information_left",
    "leakage",
)
"""Columns of the table."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=["nbff"])
    parser.add_argument("--inputs", nargs="+", choices=["known", "inferred"], default=["known", "inferred"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--trials", type=int, default=FlipFlop.trials)
    parser.add_argument("--bins", type=int, default=FlipFlop.bins)
    parser.add_argument("--set", dest="changes", nargs="+", default=[], metavar="NAME=VALUE", help="other settings")
    parser.add_argument("--epochs", type=int, help="number of epochs other than the example's")
    parser.add_argument("--optimum", type=int, metavar="TRIALS", help="scores of the optimum in so many trials")
    parser.add_argument("--particles", type=int, default=2000, help="particles of the optimum")
    parser.add_argument("--out", type=Path, default=Path("runs/dynamics"), help="folder of the runs, which resume")
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/dynamics.jsonl"))
    parser.add_argument("--summary", action="store_true", help="print the table; trains nothing")
    parser.add_argument("--quick", action="store_true", help="tiny data and few epochs; gives no scores worth reading")
    options = parser.parse_args()
    if options.quick:
        folder = tempfile.TemporaryDirectory()
        options.trials, options.bins, options.epochs, options.out = 20, 60, 2, Path(folder.name)
        options.file = options.out / "quick.jsonl"
    if not options.summary:
        use_compilation_cache()
        use_devices(1, 64)
        for line in results(options):
            options.file.parent.mkdir(parents=True, exist_ok=True)
            with options.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    print(format_table(table(options.file)))
    print(format_table(agreement(lines(options.file))))


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields the lines that the file does not hold yet."""
    search = SEARCH | ({"n_starts": 16, "adam_steps": 50} if options.quick else {})
    done = {(line["inputs"], line["seed"], *_what(line)) for line in lines(options.file)}
    size = {"trials": options.trials, "bins": options.bins}
    own = size | {"epochs": options.epochs, "changes": " ".join(options.changes)}
    if options.optimum:
        own |= {"changes": f"{options.optimum} trials, {options.particles} particles"}
        if ("optimum", 0, *_what(own)) not in done:
            data, truth = simulated(False, size, search)
            found = optimum_scores(truth, data, options.optimum, options.particles)
            yield {"inputs": "optimum", "seed": 0} | own | found
        return
    for inputs in options.inputs:
        todo = [seed for seed in options.seeds if (inputs, seed, *_what(own)) not in done]
        if not todo:
            continue
        settings = settings_for(inputs, options.epochs, options.changes)
        data, truth = simulated(inputs == "known", size, search)
        for seed in todo:
            began = time.monotonic()
            model = lfadsx.build(data, settings.model, seed=seed)
            train = dataclasses.replace(settings.train, seed=seed)
            name = "_".join(map(str, (inputs, *own.values(), f"seed{seed}"))).replace(" ", "_")
            run = lfadsx.fit(
                model, data, hyper=settings.hyper, config=train, progress=False, out=options.out / "nbff" / name
            )
            if run.reason == "interrupted":  # the same command resumes the run
                return
            found = scores_of(run.model, data, truth, **search) | checks_of(run.model, data)
            seconds = {"seconds": round(run.seconds), "seconds_in_all": round(time.monotonic() - began)}
            yield {"inputs": inputs, "seed": seed} | own | found | seconds


def settings_for(inputs: str, epochs: int | None, changes: list[str]) -> Settings:
    """Returns the settings of the example, for inferred or for known inputs, with changes."""
    settings = settings_of("nbff", epochs)
    if inputs == "known":
        model: ModelConfig = dataclasses.replace(settings.model, **KNOWN)
        hyper: HyperParams = dataclasses.replace(settings.hyper, **KNOWN_HYPER)
        settings = dataclasses.replace(settings, model=model, hyper=hyper)
    return with_changes(settings, changes)


def simulated(known: bool, size: dict[str, Any], search: dict[str, Any]) -> tuple[lfadsx.Dataset, FlipFlopTruth]:
    """Returns the data, with inputs known or not, and their truth."""
    recipe = FlipFlop(known_inputs=known, **size)
    with tempfile.TemporaryDirectory() as folder:
        [session] = recipe.simulate()
        file = session.write(Path(folder) / "nbff.h5")
        return lfadsx.read(file), FlipFlopTruth.of(recipe, file, **search)


def table(file: Path) -> list[dict[str, Any]]:
    """Returns a row for each line of the file."""
    return [
        {"inputs": line["inputs"], "seed": line["seed"]}
        | {name: line.get(name) for name in ("trials", "bins", "changes", *COLUMNS, "corners")}
        for line in lines(file)
    ]


def _what(line: dict[str, Any]) -> tuple[Any, ...]:
    """Returns what sets a line apart from others of the same inputs and seed."""
    return tuple(line[name] for name in ("trials", "bins", "epochs", "changes"))


if __name__ == "__main__":
    main()
