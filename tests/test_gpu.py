"""The figures of a GPU, in miniature on a CPU: every part runs, and none takes the others with it."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu, gpu_checks
from benchmarks.gpu_parts import MINIATURE, PARTS, Skip, perform
from benchmarks.gpu_trace import summary

ROOT = Path(__file__).parents[1]


def read(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def drive(parts, codes, out, seconds=60.0):
    """Runs parts that are lines of Python instead of figures."""
    gpu.run(parts, lambda part: [sys.executable, "-c", codes[part.name]], out, seconds)
    return {line["part"]: line for line in read(out)}


def test_no_part_takes_the_others_with_it(tmp_path):
    codes = {
        "raises": "print('some words'); raise ValueError('no such figure')",
        "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "hangs": "print('at it', flush=True); import time; time.sleep(60)",
        "cannot": f"print('There is no clone.'); raise SystemExit({gpu.SKIPPED})",
        "works": "print('fine')",
    }
    parts = [gpu.Part(name, 2 if name == "hangs" else 20, 0) for name in codes]
    lines = drive(parts, codes, tmp_path)
    assert list(lines) == list(codes)
    assert [line["status"] for line in lines.values()] == ["failed", "failed", "failed", "skipped", "done"]
    assert lines["raises"]["reason"] == "ValueError: no such figure (exit status 1)"
    assert lines["dies"]["reason"] == "It printed nothing. (signal 9)"
    assert lines["hangs"]["reason"] == "Stopped after 2 s. Last line of the log: at it"
    assert lines["cannot"]["reason"] == "There is no clone."
    log = (tmp_path / "log.txt").read_text()
    assert log.index("===== raises") < log.index("some words") < log.index("===== dies") < log.index("fine")


def test_the_deadline_shortens_a_part_and_skips_those_that_do_not_fit(tmp_path):
    sleep = "import time; time.sleep(30)"
    parts = [gpu.Part("long", 100, 1), gpu.Part("large", 100, 50), gpu.Part("small", 100, 0)]
    lines = drive(parts, {"long": sleep, "large": "", "small": ""}, tmp_path, seconds=2.0)
    assert lines["long"]["status"] == "failed" and 1.9 < lines["long"]["seconds"] < 10
    assert lines["large"] == {
        "part": "large",
        "status": "skipped",
        "reason": "0 of 2 s are left, and this part needs 50 s.",
    }
    assert lines["small"]["status"] == "skipped" or lines["small"]["seconds"] < 1


@pytest.mark.slow
def test_the_processes_that_a_part_started_end_with_it(tmp_path):
    child = f"import time; time.sleep(3); open({str(tmp_path / 'late')!r}, 'w')"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(30)"
    drive(
        [gpu.Part("parent", 1, 0), gpu.Part("after", 20, 0)],
        {"parent": code, "after": "import time; time.sleep(4)"},
        tmp_path,
    )
    assert not (tmp_path / "late").exists()


def test_all_parts_fit_before_the_shell_script_ends_them():
    assert [part.name for part in gpu.PARTS] == list(PARTS)
    assert all(part.least < part.limit for part in gpu.PARTS)
    assert gpu.DEADLINE + 10 < 475 <= 8 * 60 - 5
    assert "timeout -k 5 475" in (ROOT / "benchmarks" / "gpu.sh").read_text()


@pytest.mark.slow
def test_the_script_from_another_folder(tmp_path):
    """Facts come before lfads-torch, whose clone is missing; figures and reasons are in the folder."""
    environment = {name: value for name, value in os.environ.items() if name != "LFADS_TORCH"}
    environment |= {"PYTHON": sys.executable}
    words = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "new/out", "--miniature", "--parts", "torch", "facts"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = read(tmp_path / "new" / "out")
    tasks = [line.get("task") for line in lines]
    products = ["product float32", "product tf32", "product bfloat16"]
    assert tasks == ["device", *products, "memory rate", None, None]
    assert lines[0]["platform"] == "cpu" and all(line["tflops"] > 0 for line in lines[1:4])
    assert (lines[-2]["part"], lines[-2]["status"]) == ("facts", "done")
    assert (lines[-1]["part"], lines[-1]["status"]) == ("torch", "skipped")
    assert "Put a clone there" in lines[-1]["reason"]
    assert [json.loads(line) for line in done.stdout.splitlines()] == lines[-2:]


def test_figures_of_full_size_are_refused_on_a_cpu(tmp_path, capsys):
    from benchmarks.gpu_parts import main

    assert main(["steps", str(tmp_path)]) == gpu.SKIPPED
    assert "JAX must see a GPU, and sees [CpuDevice" in capsys.readouterr().out


def test_a_task_that_fails_leaves_its_reason():
    def fails():
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand a long dump")

    lines = []
    failed = perform({"a": lambda: {"x": 1}, "b": fails, "c": lambda: {"x": 3}}, lines.append)
    assert [line["task"] for line in lines] == ["a", "b", "c"] and (lines[0]["x"], lines[2]["x"]) == (1, 3)
    assert lines[1]["error"] == "RuntimeError: RESOURCE_EXHAUSTED: out of memory"
    assert failed == ["b: RuntimeError: RESOURCE_EXHAUSTED: out of memory"]


FIGURES = {
    "steps": (["step tiny", "fit tiny"], {"ms_per_step", "compile_s", "bound_ms", "share_of_peak"}),
    "populations": (["1 x tiny", "2 x tiny"], {"ms_per_member_step", "relative_to_one"}),
    "posterior": (["tiny"], {"samples_per_s"}),
    "memory": (["tiny"], {"peak_mb", "peak_is_of_this", "temp_mb", "argument_mb"}),
    "precisions": (["tiny float32", "tiny tf32", "tiny bfloat16"], {"ms_per_step", "error_of_output"}),
    "unroll": (["gru 1", "gru 4", "gru 8", "step 1", "step 4"], {"ms", "us_per_bin", "compile_s"}),
    "trace": (["tiny"], {"busy_ms_per_step", "gap_share", "limited_by", "longest", "kernels_per_step"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_part_in_miniature(name, tmp_path):
    tasks, keys = FIGURES[name]
    lines = []
    assert perform(PARTS[name](dataclasses.replace(MINIATURE, out=tmp_path)), lines.append) == []
    assert [line["task"] for line in lines] == tasks and keys <= set(lines[0])
    json.dumps(lines)
    if name == "unroll":
        assert lines[3]["loops"] == lines[4]["loops"] > 0
    if name == "precisions":
        assert lines[0]["error_of_output"] == 0
    if name == "trace":
        assert (tmp_path / "trace.json.gz").stat().st_size > 0


def test_lfads_torch_is_timed_where_its_clone_is(tmp_path, monkeypatch):
    monkeypatch.setenv("LFADS_TORCH", str(tmp_path))
    with pytest.raises(Skip):
        PARTS["torch"](MINIATURE)
    (tmp_path / "lfads_torch").mkdir()
    (tmp_path / "lfads_torch" / "model.py").touch()
    tasks = PARTS["torch"](MINIATURE)
    assert list(tasks) == ["step tiny", "posterior tiny"]
    assert f"torch_speed step --config tiny --device cpu --repository {tmp_path}" in tasks["step tiny"].args[4]


@pytest.mark.slow
@pytest.mark.parametrize("check", gpu_checks.CHECKS, ids=lambda check: check.__name__)
def test_a_check_on_a_cpu(check, monkeypatch):
    monkeypatch.setattr(gpu_checks, "of_cpu", outcomes_here)
    assert check()


def outcomes_here():
    kinds = ("float32", "float64")
    return {f"{kind}_{name}": value for kind in kinds for name, value in gpu_checks.outcomes(kind).items()}


def test_a_check_finds_what_differs(monkeypatch):
    expected = {"float32_rates": np.array([1.0, 2.0]), "float32_output": np.array([3.0])}
    found = {"rates": np.array([1.0, 2.001]), "output": np.array([3.0])}
    monkeypatch.setattr(gpu_checks, "of_cpu", lambda: expected)
    monkeypatch.setattr(gpu_checks, "outcomes", lambda precision: found)
    assert gpu_checks.tf32_near_cpu()["rates"] == pytest.approx(0.001 / 5**0.5)
    with pytest.raises(AssertionError, match="'output': 0.0} must be at most 0.0001"):
        gpu_checks.float32_as_on_cpu()
    found["output"] = np.array([np.nan])
    with pytest.raises(AssertionError, match="nan"):
        gpu_checks.tf32_near_cpu()


def test_kernels_and_gaps_of_a_trace():
    named = {
        "process_name": {3: "/device:GPU:0", 7: "/host:CPU"},
        "thread_name": {1: "Stream #7(Compute)", 2: "XLA Ops"},
    }
    events = [
        {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": text}}
        for pid, text in named["process_name"].items()
    ]
    events += [
        {"ph": "M", "name": "thread_name", "pid": 3, "tid": tid, "args": {"name": text}}
        for tid, text in named["thread_name"].items()
    ]
    spans = [
        (3, 1, "cutlass_gemm", 0, 100),
        (3, 1, "loop_fusion", 300, 50),
        (3, 1, "cutlass_gemm", 600, 100),
        (3, 1, "MemcpyD2D", 950, 50),
        (3, 2, "while", 0, 1000),  # derived from the kernels
        (7, 1, "python", 0, 5000),
    ]
    events += [{"ph": "X", "pid": p, "tid": t, "name": n, "ts": ts, "dur": dur} for p, t, n, ts, dur in spans]
    found = summary(events, steps=2, ms_per_step=0.25)
    assert (found["traced_ms_per_step"], found["busy_ms_per_step"], found["kernels_per_step"]) == (0.5, 0.15, 2.0)
    assert (found["traced_gap_share"], found["gap_share"]) == (0.7, 0.4)
    assert found["share_by_kind"] == {"products": 0.667, "others": 0.167, "copies": 0.167}
    assert found["longest"][0] == {"kernel": "cutlass_gemm", "share": 0.667, "per_step": 1.0}
    assert found["limited_by"] == "products"
    assert summary(events, steps=2, ms_per_step=0.45)["limited_by"] == "launches"
    with pytest.raises(ValueError, match="no kernels"):
        summary(events[:4], steps=2, ms_per_step=1.0)
