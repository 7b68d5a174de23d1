"""One run in several processes: the same numbers as in one, stopped together, every file once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hosts_case import members, ragged_sessions, single

from lfadsx import cli, make_mesh
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


def close(run, other):
    with jax.enable_x64(True):
        one, two = (checkpoint.read_arrays(checkpoint.numbered(folder / "checkpoints")[-1]) for folder in (run, other))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-9, atol=1e-9, err_msg=name)


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
@pytest.mark.parametrize("kind", ["single", "members"])
def test_eight_devices_equal_one_and_their_checkpoint_resumes_on_fewer(tmp_path, kind):
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": str(WORKER.parents[1])}
    words = [sys.executable, WORKER.with_name("eight_devices.py"), kind, tmp_path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    apart = json.loads(done.stdout.splitlines()[-1])
    assert list(apart) == ["8", "8 to 1", "8 to 2", "8 to 3"] and max(apart.values()) < 1e-9


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


def test_a_single_task_of_a_scheduler_is_an_ordinary_run(monkeypatch, capsys):
    from lfadsx.cli.process_flags import Processes

    for tasks, said in (("1", ""), ("4", "4 tasks were started, and each trains by itself.")):
        monkeypatch.setenv("SLURM_NTASKS", tasks)
        monkeypatch.setenv("SLURM_PROCID", "0")
        Processes().connect()
        assert capsys.readouterr().err.startswith(said)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    Processes(coordinator="auto").connect()
