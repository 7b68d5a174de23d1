"""Measurements on a GPU; `benchmarks.gpu` starts each part as a process.

    python -m benchmarks.gpu_parts steps FOLDER --miniature

A part is a function from sizes to tasks, by name. A task returns one JSON line of figures, which is written at once. If
a task fails, its reason is recorded and the other tasks still run.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import lfadsx
from benchmarks import compile, population, posterior, scaling, train_step
from benchmarks.gpu import SKIPPED, write
from benchmarks.gpu_checks import CHECKS
from benchmarks.gpu_trace import summary
from benchmarks.speed import Trainer, machine, median_ms, peak_flops, peak_memory_mb
from benchmarks.workloads import WORKLOADS

Line = dict[str, Any]
Tasks = dict[str, Callable[[], Line]]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        configs: All workloads, the most valuable first.
        main: Workloads that are measured in detail.
        members: Sizes of populations.
        repeats: Timed blocks, of which the median counts.
        steps: Steps of a compiled block.
        samples: Posterior samples of a trial.
        waits: Workloads whose time from the import to the first step is measured, in separate processes.
        populations: Workloads of populations.
        unroll: Numbers of bins per iteration of a loop; whole steps use the first and the last but one.
        product: Rows of the matrices whose product gives the peak; 0: as `peak_flops` chooses.
        stream: Number of values that are read and written to measure the memory's rate.
        out: Folder for the trace.
    """

    configs: tuple[str, ...] = ("tutorial", "mc_maze", "small", "mc_rtt", "large")
    main: tuple[str, ...] = ("tutorial", "mc_maze")
    waits: tuple[str, ...] = ("tutorial",)
    populations: tuple[str, ...] = ("small", "mc_maze")
    members: tuple[int, ...] = (1, 4, 16, 64)
    repeats: int = 15
    steps: int = 4
    samples: int = 50
    unroll: tuple[int, ...] = (1, 2, 4, 8)
    product: int = 0
    stream: int = 2**29
    out: Path = Path("gpu_results")


MINIATURE = Sizes(
    configs=("tiny",),
    main=("tiny",),
    waits=(),
    populations=("tiny",),
    members=(1, 2),
    repeats=1,
    steps=2,
    samples=2,
    unroll=(1, 4, 8),
    product=128,
    stream=2**16,
)


class Skip(Exception):
    """A part cannot run here."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one part and returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS), help="part to measure")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--miniature", action="store_true", help="tiny sizes, also without a GPU")
    options = parser.parse_args(arguments)
    sizes = dataclasses.replace(MINIATURE if options.miniature else Sizes(), out=options.out)
    try:
        if jax.default_backend() == "cpu" and not options.miniature:
            raise Skip(f"JAX must see a GPU, and sees {jax.devices()}. On a CPU give --miniature.")
        failed = perform(PARTS[options.part](sizes), lambda line: write(options.out, {"part": options.part} | line))
    except Skip as reason:
        print(reason)
        return SKIPPED
    print(f"{len(failed)} tasks failed. The first: {failed[0]}" if failed else "All tasks are done.")
    return 1 if failed else 0


def perform(tasks: Tasks, emit: Callable[[Line], None]) -> list[str]:
    """Performs tasks one after the other, passes on their results, and returns the reasons of failed tasks."""
    failed = []
    for name, task in tasks.items():
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        try:
            line = task()
        except Skip:
            raise
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0]
            line = {"error": f"{type(error).__name__}: {first}"[:500]}
            failed.append(f"{name}: {line['error']}")
        emit({"task": name} | line | {"task_s": round(time.monotonic() - began, 1)})
    return failed


def facts(sizes: Sizes) -> Tasks:
    """The device, and the peaks of its products and of its memory, as measured."""
    products = {"float32": ("highest", jnp.float32), "tf32": ("high", jnp.float32), "bfloat16": (None, jnp.bfloat16)}
    tasks: Tasks = {"device": _device}
    for name, (precision, dtype) in products.items():
        tasks[f"product {name}"] = partial(_product, name, precision, dtype, sizes.product)
    return tasks | {"memory rate": partial(_memory_rate, sizes)}


def tests(sizes: Sizes) -> Tasks:
    """Correctness checks of the GPU."""
    return {check.__name__: check for check in CHECKS}


def steps(sizes: Sizes) -> Tasks:
    """Step and compile times of all workloads beside the bound; a step as `fit` takes it; a user's wait before it."""
    tasks: Tasks = {f"step {name}": partial(_step, sizes, name) for name in sizes.configs}
    tasks |= {f"fit {name}": partial(_fit, name) for name in sizes.main}
    return tasks | {f"wait {name}": partial(compile.measure, name) for name in sizes.waits}


def populations(sizes: Sizes) -> Tasks:
    """A member's step in populations whose members are all computed side by side."""
    return {f"{n} x {name}": partial(_population, sizes, name, n) for name in sizes.populations for n in sizes.members}


def posteriors(sizes: Sizes) -> Tasks:
    """Posterior samples of whole trials per second."""
    return {name: partial(_posterior, sizes, name) for name in sizes.configs}


def memory(sizes: Sizes) -> Tasks:
    """Memory of a training step. A peak never falls, so the workloads come in order of size."""
    return {name: partial(_memory, sizes, name) for name in sorted(sizes.configs, key=_volume)}


def precisions(sizes: Sizes) -> Tasks:
    """Step times by precision of products, and the distance of the output from float32."""
    kinds = ("float32", "tf32", "bfloat16")
    return {f"{name} {kind}": partial(_precision, sizes, name, kind) for name in sizes.main for kind in kinds}


def unroll(sizes: Sizes) -> Tasks:
    """Loops over time with some bins in each iteration: a GRU alone, then whole training steps."""
    name = sizes.main[0]
    tasks: Tasks = {f"gru {n}": partial(_gru_loop, sizes, name, n) for n in sizes.unroll}
    return tasks | {f"step {n}": partial(_unrolled_step, sizes, name, n) for n in (sizes.unroll[0], sizes.unroll[-2])}


def trace(sizes: Sizes) -> Tasks:
    """What limits a training step, by a trace."""
    return {name: partial(_trace, sizes, name) for name in sizes.main[:1]}


def torch(sizes: Sizes) -> Tasks:
    """Steps and posterior samples of lfads-torch beside ours, if its clone is there."""
    places = [os.environ.get("LFADS_TORCH"), "lfads-torch", "../lfads-torch"]
    clones = [place for place in places if place and (Path(place) / "lfads_torch" / "model.py").is_file()]
    if not clones:
        raise Skip("lfads-torch is in none of ./lfads-torch, ../lfads-torch and $LFADS_TORCH. Put a clone there.")
    python = os.environ.get("TORCH_PYTHON", sys.executable)
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"

    def theirs(what: str, name: str) -> str:
        words = [python, "-m", "benchmarks.torch_speed", what, "--config", name, "--device", device]
        return shlex.join([*words, "--repository", str(Path(clones[0]).resolve())])

    tasks: Tasks = {}
    for name in sizes.main:
        against = theirs("step", name)
        tasks[f"step {name}"] = partial(train_step.measure, name, sizes.steps, 1, sizes.repeats, against, 1)
        tasks[f"posterior {name}"] = partial(posterior.measure, name, sizes.samples, 1, 1, theirs("posterior", name))
    return tasks


PARTS: dict[str, Callable[[Sizes], Tasks]] = {
    "facts": facts,
    "tests": tests,
    "steps": steps,
    "populations": populations,
    "posterior": posteriors,
    "memory": memory,
    "precisions": precisions,
    "unroll": unroll,
    "trace": trace,
    "torch": torch,
}


def _device() -> Line:
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    try:
        words = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit"]
        found = subprocess.run([*words, "--format=csv,noheader"], capture_output=True, text=True, timeout=10)
        driver = found.stdout.strip() or found.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        driver = str(error)
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "memory_mb": round(stats.get("bytes_limit", 0) / 1e6),
        "nvidia_smi": driver,
        "python": sys.version.split()[0],
        "machine": machine(),
        "compile_cache": os.environ.get("JAX_COMPILATION_CACHE_DIR"),
    }


def _product(name: str, precision: str | None, dtype: Any, size: int) -> Line:
    with jax.default_matmul_precision(precision):
        return {"precision": name, "tflops": round(peak_flops(dtype=dtype, size=size) / 1e12, 3)}


def _memory_rate(sizes: Sizes) -> Line:
    """The rate at which numbers are read and written."""
    numbers, add = jnp.zeros(sizes.stream, jnp.float32), jax.jit(lambda x: x + 1)
    ms = _ms(lambda: add(numbers), sizes.repeats)
    return {"gb_per_s": round(2 * numbers.nbytes / ms / 1e6, 1)}


def _step(sizes: Sizes, name: str) -> Line:
    line = train_step.measure(name, sizes.steps, 1, sizes.repeats)
    del line["peak_memory_mb"]  # includes the large products; the part "memory" measures steps alone
    return line | {"share_of_peak": round(1 / line["times_bound"], 4) if line["times_bound"] else None}


def _fit(name: str) -> Line:
    """The time of a step within `lfadsx.fit`, with what the host does between steps."""
    found = scaling.point(WORKLOADS[name], "trials", 1)
    return {"config": name, "fit_ms_per_step": round(found["ms"] * WORKLOADS[name].batch / found["size"], 3)}


def _population(sizes: Sizes, name: str, n: int) -> Line:
    # All side by side, which is the default on a GPU.
    return population.measure(name, [n], at_once=n, repeats=sizes.repeats, steps=sizes.steps)[-1]


def _posterior(sizes: Sizes, name: str) -> Line:
    line = posterior.measure(name, sizes.samples, 3)
    del line["peak_memory_mb"]  # of all workloads so far
    return line


def _volume(name: str) -> int:
    load = WORKLOADS[name]
    return load.batch * (load.bins + load.forward_bins) * (load.neurons + load.held_out + load.generator)


def _memory(sizes: Sizes, name: str) -> Line:
    before = peak_memory_mb()
    trainer = Trainer(WORKLOADS[name], steps=sizes.steps)
    plan = trainer.lower().compile().memory_analysis()
    trainer.run()
    peak = peak_memory_mb()
    line = {"config": name, "peak_mb": round(peak, 1), "peak_is_of_this": peak > before}
    kinds = ("argument", "output", "temp", "generated_code")
    return line | {f"{kind}_mb": round(getattr(plan, f"{kind}_size_in_bytes", 0) / 1e6, 2) for kind in kinds}


def _precision(sizes: Sizes, name: str, kind: str) -> Line:
    trainer = Trainer(WORKLOADS[name], steps=sizes.steps)
    exact, trainer.program = (dataclasses.replace(trainer.program, precision=each) for each in ("float32", kind))
    trainer.run()
    ms = median_ms(trainer.run, sizes.repeats)
    expected, found = (_output(trainer, program) for program in (exact, trainer.program))
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    return {"config": name, "precision": kind, "ms_per_step": round(ms, 3), "error_of_output": float(f"{error:.3g}")}


def _output(trainer: Trainer, program: Any) -> np.ndarray:
    """The model's output for a batch, with products as a program has them."""
    trials = lfadsx.data.batch(trainer.data, "train", np.arange(WORKLOADS["tiny"].batch))

    def output(trials: Any) -> Any:
        return trainer.model(trials, trainer.model.draw(jax.random.key(0), trials)).params

    with program.products():
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.jit(output)(trials))])


def _gru_loop(sizes: Sizes, name: str, unroll: int) -> Line:
    """Forward and backward pass through a GRU of the generator's size."""
    load = WORKLOADS[name]
    n = load.generator
    weights = jax.random.normal(jax.random.key(0), (n, 3 * n)) / n**0.5
    inputs = jax.random.normal(jax.random.key(1), (load.bins + load.forward_bins, load.batch, 3 * n))

    def cost(weights: Any, inputs: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            keep, reset = jnp.split(jax.nn.sigmoid(x[:, : 2 * n] + state @ weights[:, : 2 * n]), 2, axis=1)
            new = jnp.tanh(x[:, 2 * n :] + (reset * state) @ weights[:, 2 * n :])
            state = keep * state + (1 - keep) * new
            return state, state

        return jnp.square(jax.lax.scan(step, jnp.zeros((load.batch, n)), inputs, unroll=unroll)[1]).mean()

    began = time.perf_counter()
    gradient = jax.jit(jax.grad(cost)).lower(weights, inputs).compile()
    compiled = time.perf_counter() - began
    ms = _ms(lambda: gradient(weights, inputs), sizes.repeats)
    line = {"config": name, "unroll": unroll, "ms": round(ms, 3), "us_per_bin": round(1e3 * ms / len(inputs), 2)}
    return line | {"compile_s": round(compiled, 2)}


def _unrolled_step(sizes: Sizes, name: str, unroll: int) -> Line:
    """A training step whose loops over time process some bins in each iteration."""
    original, n_bins, loops = jax.lax.scan, WORKLOADS[name].bins, 0

    def scan(f: Any, init: Any, xs: Any = None, length: int | None = None, **rest: Any) -> Any:
        nonlocal loops
        n = length if length is not None else len(jax.tree.leaves(xs)[0])
        over_time = n >= n_bins  # and not over steps or samples
        loops += over_time
        return original(f, init, xs, length, **{"unroll": unroll if over_time else 1} | rest)

    jax.clear_caches()  # otherwise the loops traced earlier would be reused
    with mock.patch.object(jax.lax, "scan", scan):
        trainer = Trainer(WORKLOADS[name], steps=sizes.steps)
        began = time.perf_counter()
        trainer.lower().compile()
        compiled = time.perf_counter() - began
        trainer.run()
        ms = median_ms(trainer.run, sizes.repeats)
    jax.clear_caches()
    line = {"config": name, "unroll": unroll, "loops": loops, "ms_per_step": round(ms, 3)}
    return line | {"compile_s": round(compiled, 2)}


def _trace(sizes: Sizes, name: str) -> Line:
    trainer = Trainer(WORKLOADS[name], steps=sizes.steps)
    trainer.run()
    ms = median_ms(trainer.run, sizes.repeats)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            trainer.run()
        (file,) = Path(folder).rglob("*.trace.json.gz")
        shutil.copy(file, sizes.out / "trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    return {"config": name} | summary(events, sizes.steps, ms)


def _ms(call: Callable[[], Any], repeats: int) -> float:
    """Returns the median of the milliseconds that a call takes once it is compiled."""

    def timed() -> float:
        began = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - began

    timed()
    return median_ms(timed, repeats)


if __name__ == "__main__":
    sys.exit(main())
