"""Times of lfads-torch on our workloads, for comparison; runs in a separate environment, without lfadsx.

    python -m benchmarks.torch_speed step --config mc_maze --repository CLONE
    python -m benchmarks.torch_speed posterior --config mc_maze --repository CLONE

One step is augmentation, forward and backward pass, clipping and Adam on one batch; a posterior sample is one trial's
output of `predict_step`, added to the sums over samples. The last line is a JSON object with `ms_per_step` or
`samples_per_s`, as `benchmarks.train_step --against` and `benchmarks.posterior --against` expect.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.torch_lfads import SETTINGS, build, load
from benchmarks.workloads import WORKLOADS, Workload


def main() -> None:
    """Times lfads-torch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("step", "posterior"))
    parser.add_argument("--config", default="mc_maze", choices=list(WORKLOADS), help="workload")
    parser.add_argument("--repository", type=Path, required=True, help="clone of lfads-torch")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps or passes, of which the median counts")
    parser.add_argument("--device", default="cpu", help="device of torch")
    options = parser.parse_args()
    work = WORKLOADS[options.config]
    try:
        library = load(options.repository)
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    torch = library.torch
    torch.manual_seed(0)
    model = make_model(library, work).to(options.device)
    batch = make_batch(library, work, options.device)
    call = step(library, model, batch) if options.what == "step" else sample(library, model, batch)

    def timed() -> float:
        began = time.perf_counter()
        call()
        if options.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    timed()
    seconds = statistics.median(timed() for _ in range(options.repeats))
    found = {"ms_per_step": 1e3 * seconds} if options.what == "step" else {"samples_per_s": work.batch / seconds}
    print(
        json.dumps({"config": options.config, "torch": torch.__version__, "threads": torch.get_num_threads()} | found)
    )


def make_model(library: SimpleNamespace, work: Workload) -> Any:
    """Returns an untrained model of a workload. A shared encoder is replaced by two encoders of the same size."""
    settings = SETTINGS | {
        "fac_dim": work.factors,
        "gen_dim": work.generator,
        "ic_dim": work.ic_dim,
        "ic_enc_dim": work.ic_encoder,
    }
    n_recon = work.neurons + work.held_out
    return build(
        library,
        work.bins,
        work.neurons,
        settings,
        recon_seq_len=work.bins + work.forward_bins,
        ci_enc_dim=work.input_encoder or work.ic_encoder,
        con_dim=work.controller,
        co_dim=work.inputs,
        co_prior=library.priors.AutoregressiveMultivariateNormal(10.0, 0.1, work.inputs),
        readout=library.torch.nn.ModuleList([library.readout.FanInLinear(work.factors, n_recon)]),
    )


def make_batch(library: SimpleNamespace, work: Workload, device: str) -> dict[int, tuple[Any, tuple]]:
    """Returns a batch of spikes of constant rates."""
    torch, n_bins = library.torch, work.bins + work.forward_bins
    counts = np.random.default_rng(0).poisson(0.2, (work.batch, n_bins, work.neurons + work.held_out))
    data = torch.as_tensor(counts, dtype=torch.float32, device=device)
    none = torch.zeros(work.batch, 0, 0, device=device)
    inputs = torch.zeros(work.batch, n_bins, 0, device=device)
    seen = data[:, : work.bins, : work.neurons]
    return {0: (library.tuples.SessionBatch(seen, data, inputs, none, none), ())}


def step(library: SimpleNamespace, model: Any, batch: Any) -> Callable[[], None]:
    """Returns a call that takes one training step."""
    optimizer = library.torch.optim.Adam(model.parameters(), lr=SETTINGS["lr_init"])
    model.train()

    def call() -> None:
        optimizer.zero_grad()
        model.training_step(batch, 0).backward()
        library.torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["gradient_clip"])
        optimizer.step()

    return call


def sample(library: SimpleNamespace, model: Any, batch: Any) -> Callable[[], None]:
    """Returns a call that infers one posterior sample of every trial and adds it to the sums, as its averages do."""
    model.eval()
    sums: list[Any] = []

    def call() -> None:
        with library.torch.no_grad():
            output = model.predict_step(batch, 0)[0]
            sums[:] = [total + new for total, new in zip(sums, output, strict=True)] if sums else output

    return call


if __name__ == "__main__":
    main()
