"""One run in several processes: the same numbers as in one, stopped together, every file once."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from hosts_case import HUNDRED_STEPS, members, ragged_sessions, single

from benchmarks.reliability import hosts
from benchmarks.reliability.stand_in_hosts import Loopback
from lfadsx import cli, make_mesh, processes
from lfadsx.errors import LfadsxError
from lfadsx.parallel import meet
from lfadsx.pipeline import outcome
from lfadsx.processes import LOST
from lfadsx.training import checkpoint

WORKER = Path(__file__).with_name("host_worker.py")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def in_processes(n, out, *flags):
    """What every process has printed as its last line."""
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, WORKER, address, str(n), str(index), out, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONPATH": str(WORKER.parents[1])},
        )
        for index in range(n)
    ]
    ended = [one.communicate() for one in started]
    assert [one.returncode for one in started] == [0] * n, [text[-3000:] for _, text in ended]
    return [json.loads(text.splitlines()[-1]) for text, _ in ended]


def close(run, other, tolerance=1e-9):
    with jax.enable_x64(True):
        one, two = (checkpoint.read_arrays(checkpoint.numbered(folder / "checkpoints")[-1]) for folder in (run, other))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_two_processes_train_as_one_stop_together_and_compare_what_they_were_given(tmp_path):
    """Process 1 alone gets SIGTERM after 3 blocks: both save, and both resume; the end is that of one process."""
    found = in_processes(2, tmp_path / "two")
    for one in found:
        assert one["reasons"] == ["interrupted", "epochs"] and one["signal"] == 15
        assert one["error"].startswith("All processes must have the same") and "`train.seed` is 0" in one["error"]
    (first,), (second,) = (one["rows"] for one in found)
    assert first[1] == second[0] and first[0] == 0 and second[1] == 2 * first[1]  # each reads the rows of its device
    with jax.enable_x64(True):
        single(ragged_sessions(), mesh=make_mesh(2), out=tmp_path / "one")
    close(tmp_path / "one", tmp_path / "two" / "single")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3])
def test_members_and_trials_over_processes_equal_one_process(tmp_path, n):
    in_processes(n, tmp_path / "several", "--population")
    with jax.enable_x64(True):
        single(ragged_sessions(), out=tmp_path / "one")
        members(ragged_sessions(), out=tmp_path / "all")
    close(tmp_path / "one", tmp_path / "several" / "single")
    close(tmp_path / "all", tmp_path / "several" / "all")


@pytest.mark.slow
def test_a_hundred_steps_of_float32_in_two_processes_equal_one_process(tmp_path):
    in_processes(2, tmp_path / "two", "--float32")
    single(ragged_sessions(), HUNDRED_STEPS, out=tmp_path / "one")
    members(ragged_sessions(), HUNDRED_STEPS, out=tmp_path / "all")
    close(tmp_path / "one", tmp_path / "two" / "single", 1e-5)
    close(tmp_path / "all", tmp_path / "two" / "all", 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "members"])
@pytest.mark.parametrize(("numbers", "most"), [("float64", 1e-9), ("float32", 1e-5)])
def test_eight_devices_equal_one_and_their_checkpoint_resumes_on_fewer(tmp_path, kind, numbers, most):
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": str(WORKER.parents[1])}
    words = [sys.executable, WORKER.with_name("eight_devices.py"), kind, numbers, tmp_path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    apart = json.loads(done.stdout.splitlines()[-1])
    resumed = ["8 to 1", "8 to 2", "8 to 3"] if numbers == "float64" else []
    assert list(apart) == ["8", *resumed] and max(apart.values()) < most


SIZES = "--variant autonomous --factors 4 --generator-dim 8 --ic-dim 4 --ic-encoder-dim 6"
SHORT = "--epochs 4 --kl-ramp-epochs 1 --l2-ramp-epochs 1 --batch-size 16 --samples 4 --connect-timeout 900"
JOBS = {
    "fit": "fit --population 3 --search pbt --epochs-per-generation 2",
    "sweep": "sweep --seeds 2 --cd-rate 0.2,0.3 --ic-dim 2,4",
    "cv": "cv --folds 3",
    "controls": "controls",
}


def written(folder):
    """All files by name, with the numbers in them that must not depend on time or place."""

    def numbers(value, name=""):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from numbers(item, key)
        elif isinstance(value, list):
            for item in value:
                yield from numbers(item, name)
        elif isinstance(value, float) and "seconds" not in name:
            yield value

    def content(file):
        if file.suffix == ".json":
            return list(numbers(json.loads(file.read_text())))
        if file.suffix == ".h5":
            with h5py.File(file) as opened:
                found = []
                opened.visititems(
                    lambda name, item: found.extend(
                        np.ravel(item[()]) if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" else ()
                    )
                )
            return found
        return []

    of_orbax = {"checkpoints", "best", "last"}
    files = [file for file in folder.rglob("*") if file.is_file() and of_orbax.isdisjoint(file.parts)]
    return {str(file.relative_to(folder)): content(file) for file in files}


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_a_job_in_two_processes_writes_what_one_process_writes(tmp_path, job):
    command, *flags = JOBS[job].split()
    data = hosts.write_data(tmp_path)
    words = [sys.executable, "-m", "lfadsx.cli", command, data, *flags, *SIZES.split(), *SHORT.split()]
    address = f"127.0.0.1:{free_port()}"
    own = [("one", "--devices", "2")]
    own += [
        ("two", "--devices", "1", "--coordinator", address, "--num-processes", "2", "--process-id", str(index))
        for index in range(2)
    ]
    started = [
        subprocess.Popen(
            [*words, "--out", tmp_path / out, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=hosts.environment() | {"PYTHONPATH": str(WORKER.parents[1])},
        )
        for out, *flags in own
    ]
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], [text[-3000:] for _, text in said]
    first, second = written(tmp_path / "one"), written(tmp_path / "two")
    assert first.keys() == second.keys() and any(name.endswith(".json") for name in first)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-6, err_msg=name)
    # Process 1 prints nothing but lines of the library of exchanges.
    assert said[2][0] == "" and all("Gloo" in line for line in said[2][1].splitlines())


@pytest.mark.slow
def test_when_one_of_three_processes_dies_the_others_stop_and_the_run_resumes_on_any_number(tmp_path):
    network, data = Loopback(), hosts.write_data(tmp_path)
    begun = tmp_path / "begun"
    death = hosts.die(network, 3, data, begun, "killed", 1, hosts.EPOCHS // 2)
    assert death["codes"] == [LOST] * 2 and death["told"] and death["seconds"] < 60
    hosts.run_one(data, tmp_path / "one", 1)
    shutil.copytree(begun, tmp_path / "in two devices")
    hosts.run_one(data, tmp_path / "in two devices", 2)
    shutil.copytree(begun, tmp_path / "in two processes")
    for folder, n in ((tmp_path / "in two processes", 2), (begun, 3)):
        hosts.finish(hosts.start(network, n, data, folder))
    for folder in ("in two devices", "in two processes", "begun"):
        assert hosts.difference(tmp_path / "one", tmp_path / folder) < 1e-9


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--num-processes 2", "--num-processes must come with --coordinator HOST:PORT"),
        ("--coordinator localhost:1", "must come with --num-processes and --process-id"),
        ("--coordinator localhost --num-processes 2 --process-id 0", "must be HOST:PORT"),
        ("--coordinator localhost:1 --num-processes 2 --process-id 2", "must be from 0 to 1"),
        ("--coordinator auto", "Slurm"),
        ("--coordinator 127.0.0.1:1 --num-processes 2 --process-id 1 --connect-timeout 0", "reached within 0 s"),
    ],
)
def test_wrong_flags_of_processes_end_in_one_line(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    code = cli.main(["fit", "none.h5", "--out", str(tmp_path / "run"), *flags.split()])
    said = capsys.readouterr().err
    assert code == 2 and message in said and said.count("\n") == 1


def test_what_several_processes_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(outcome, "count", lambda: 2)
    with pytest.raises(LfadsxError, match="`out` must be given with several processes: a folder that all of them"):
        with outcome.folder_for(None):
            pass
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(LfadsxError, match="With 2 processes, `mesh` must have devices of all of them, got .* of 0"):
        meet(None)
    with pytest.raises(LfadsxError, match="got devices of 1. Give mesh=lfadsx.make_mesh()"):
        meet(make_mesh(1))


def test_a_single_task_of_a_scheduler_is_an_ordinary_run(monkeypatch, capsys):
    from lfadsx.cli.process_flags import Processes

    for tasks, said in (("1", ""), ("4", "4 tasks were started, and each trains by itself.")):
        monkeypatch.setenv("SLURM_NTASKS", tasks)
        monkeypatch.setenv("SLURM_PROCID", "0")
        Processes().connect()
        assert capsys.readouterr().err.startswith(said)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    Processes(coordinator="auto").connect()
