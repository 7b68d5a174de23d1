"""Nothing that was written is lost: full disks, folders that vanish, damaged checkpoints, and two writers."""

import contextlib
import dataclasses
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.data.hdf5_files import open_to_write
from lfadsx.errors import CheckpointError, DataError, RunError
from lfadsx.files import atomic_path, remove_leftovers, write_text
from lfadsx.training import AbstractCallback, CsvLog, checkpoint, run_lock
from lfadsx.training.run_lock import locked

CONFIG = lfadsx.TrainConfig(
    epochs=5,
    batch_size=8,
    kl_ramp_epochs=1,
    l2_ramp_epochs=1,
    validate_every=1,
    schedule="constant",
    checkpoints=(0.0, 2),
)


@contextlib.contextmanager
def little_room(n_bytes=3000):
    """No file may become larger, which fails like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refuses(number):
    """Fails as the operating system does."""

    def fail(path, *given, **how):
        raise OSError(number, os.strerror(number), str(path))

    return fail


# Files


def write_array(path):
    with open_to_write(path) as file:
        file["x"] = np.random.default_rng(0).random(10_000)


def write_archive(path):
    with atomic_path(path) as partial:
        np.savez(partial, x=np.zeros(10_000))


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.txt", lambda path: write_text(path, "x" * 9000)), ("a.h5", write_array), ("a.npz", write_archive)],
)
def test_a_file_that_has_no_room_stays_as_it_was(tmp_path, name, write):
    (tmp_path / name).write_text("before")
    with little_room(), pytest.raises((RunError, DataError), match=rf"{name} cannot be written \(File too large"):
        write(tmp_path / name)
    assert (tmp_path / name).read_text() == "before" and len(list(tmp_path.iterdir())) == 1
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 3000


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "No space left on device.. Free space there and repeat the command: what was saved before is"),
        (errno.EROFS, "Read-only file system.. Get permission to write there and repeat the command"),
        (errno.ENOENT, "No such file or directory.. Its folder was deleted or renamed. Put the folder back"),
        (errno.EIO, "Input/output error.. Check the disk and repeat the command"),
    ],
)
def test_the_error_says_what_to_do(tmp_path, monkeypatch, number, remedy):
    monkeypatch.setattr("lfadsx.files.os.fsync", lambda descriptor: refuses(number)(tmp_path / "a.txt"))
    with pytest.raises(RunError, match=f"a.txt cannot be written .{remedy}"):
        write_text(tmp_path / "a.txt", "x")


def test_errors_of_other_files_and_of_ours_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        (tmp_path.parent / "missing" / "input.nwb").read_text()
    with pytest.raises(ValueError, match="ours"), atomic_path(tmp_path / "a.txt"):
        raise ValueError("ours")


def test_temporary_files_of_killed_processes_are_deleted(tmp_path):
    (tmp_path / "figures").mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, stay = {f".{dead.pid}.run.json", f"figures/.{dead.pid}.psths.png"}, {f".{os.getpid()}.a.h5", ".lock", "1.csv"}
    for name in left | stay:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {file.name for file in tmp_path.rglob("*.*")} == stay


# Checkpoints


def saved(folder, *steps):
    for step in steps:
        checkpoint.save_numbered(folder, step, {"x": jnp.arange(3.0) + step}, {"step": step}, keep=2)
    return checkpoint.numbered(folder)


def flip(folder):
    (file,) = [path for path in folder.rglob("_METADATA")]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "flipped bit": (flip, "arrays/_METADATA .* is damaged"),
    "cut manifest": (lambda folder: os.truncate(folder / "manifest.json", 20), "manifest.json cannot be read"),
    "empty manifest": (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json .* is damaged"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
    "missing file": (lambda folder: (folder / "meta.json").unlink(), "meta.json .* is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(tmp_path, caplog, kind):
    damage, said = DAMAGE[kind]
    older, newest = saved(tmp_path, 90, 300)
    damage(newest)
    _, meta = checkpoint.restore_newest(tmp_path, {"x": jnp.zeros(3)})
    assert meta["step"] == 90
    with pytest.raises(CheckpointError, match=said):
        checkpoint.check(newest)
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(newest) in line and "The run resumes from the checkpoint before it" in line
    # The damaged one, of a later step, does not push out what was saved since.
    assert [int(path.name) for path in saved(tmp_path, 100)] == [90, 100]
    for path in checkpoint.numbered(tmp_path):
        damage(path)
    with pytest.raises(CheckpointError, match="must be undamaged, but all 2 are damaged. Restore one from a copy"):
        checkpoint.restore_newest(tmp_path, {"x": jnp.zeros(3)})


def test_a_checkpoint_is_there_while_it_is_replaced(tmp_path):
    """A kill between the two renames leaves the replaced one, a kill while writing leaves a part."""
    best = tmp_path / "best"
    checkpoint.save(best, {"x": jnp.arange(3.0)}, {"step": 1})
    best.rename(tmp_path / ".best.replaced")
    (tmp_path / ".best.partial").mkdir()
    np.testing.assert_array_equal(checkpoint.read_arrays(best)["x"], np.arange(3))
    assert checkpoint.read_meta(best) == {"step": 1}
    checkpoint.save(best, {"x": jnp.ones(3)}, {"step": 2})
    np.testing.assert_array_equal(checkpoint.read_arrays(best)["x"], np.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


# Runs


class At(AbstractCallback):
    """Does something after an epoch."""

    def __init__(self, epoch, does):
        self.epoch, self.does = epoch, does

    def on_epoch_end(self, progress):
        if progress.epoch == self.epoch:
            self.does()


@pytest.fixture(scope="module")
def fit():
    data = making.several_sessions()

    def fit(out, *callbacks):
        model = lfadsx.inferred_input(data, **making.SIZES, rngs=nnx.Rngs(0))
        return lfadsx.fit(model, data, config=CONFIG, out=out, callbacks=callbacks, progress=False)

    return fit


@pytest.fixture(scope="module")
def whole(fit):
    return fit(None)


def same(one, other):
    for a, b in ((one.last, other.last), (one.model, other.model)):
        assert all(map(np.array_equal, *(checkpoint.by_name(nnx.state(m)).values() for m in (a, b))))


@pytest.mark.parametrize("case", ["full", "no permission", "renamed", "deleted", "clock"])
def test_a_run_that_cannot_be_written_says_so_and_resumes(fit, whole, tmp_path, monkeypatch, case):
    out, moved = tmp_path / "run", tmp_path / "moved"
    clean, back = contextlib.ExitStack(), time.time() - 1e9
    clock = time.time
    does, said, there = {
        "full": (lambda: clean.enter_context(little_room()), "best cannot be written .File too large", out),
        "no permission": (
            lambda: clean.enter_context(pytest.MonkeyPatch.context()).setattr(
                checkpoint, "put_on_disk", refuses(errno.EACCES)
            ),
            "best cannot be written .Permission denied.. Get permission",
            out,
        ),
        "renamed": (lambda: out.rename(moved), "must stay in place during a run, but it was deleted, renamed", moved),
        "deleted": (lambda: shutil.rmtree(out), "must stay in place during a run, but it was deleted, renamed", out),
        "clock": (lambda: monkeypatch.setattr(time, "time", lambda: clock() - back), None, out),
    }[case]
    with clean:
        if said is None:
            same(whole, fit(out, At(3, does)))
            return
        with pytest.raises(RunError, match=said):
            fit(out, At(3, does))
    steps = [int(path.name) for path in checkpoint.numbered(there / "checkpoints")]
    assert steps == ([] if case == "deleted" else [1, 2]) and (case in ("renamed", "deleted")) == (not out.exists())
    same(whole, fit(there))


def test_a_run_folder_that_is_renamed_during_a_save_is_said(fit, tmp_path, monkeypatch):
    def renames(*given, **how):
        (tmp_path / "run").rename(tmp_path / "moved")
        raise ValueError("an error of Orbax")

    monkeypatch.setattr(checkpoint, "_write_arrays", renames)
    with pytest.raises(RunError, match="must stay in place during a run, but it was deleted, renamed"):
        fit(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_history_that_cannot_be_written_says_so(fit, tmp_path):
    with pytest.raises(RunError, match="history.csv cannot be written .No such file .*Put the folder back"):
        fit(tmp_path / "run", At(2, lambda: shutil.rmtree(tmp_path / "run")), CsvLog(tmp_path / "run" / "history.csv"))


def test_an_interruption_between_the_models_and_the_state_loses_no_model(fit, whole, tmp_path, monkeypatch):
    """Killed while the last state is saved: the models are there, and the resumed run saves both again."""
    original = checkpoint.save_numbered

    def dies(folder, step, *given, **how):
        if step == CONFIG.epochs:
            raise KeyboardInterrupt
        original(folder, step, *given, **how)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save_numbered", dies)
        fit(tmp_path)
    same(whole, fit(tmp_path))
    loaded = lfadsx.load(tmp_path, which="last")
    same(whole, dataclasses.replace(whole, last=loaded))


def test_a_damaged_model_says_what_else_there_is(fit, tmp_path):
    fit(tmp_path)
    flip(tmp_path / "best")
    with pytest.raises(CheckpointError, match='undamaged models: load with which="last" or which=4 or which=5'):
        lfadsx.load(tmp_path)
    for name in ("last", "checkpoints"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(CheckpointError, match="holds no other undamaged model"):
        lfadsx.load(tmp_path)


# Two writers

HOLDS = """
import fcntl, json, os, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(json.dumps({"pid": os.getpid(), "host": "node7"}))
file.flush()
print("held", flush=True)
time.sleep(600)
"""


def test_a_run_that_ends_before_it_wrote_leaves_no_folder(tmp_path):
    (tmp_path / "here").mkdir()
    for place in ("new/folds", "here/folds"):
        with pytest.raises(KeyError), locked(tmp_path / place):
            raise KeyError
    with pytest.raises(KeyError), locked(tmp_path / "kept" / "folds"):
        (tmp_path / "kept" / "notes.txt").write_text("of the user")
        raise KeyError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "kept", "notes.txt"]


def test_a_second_writer_is_refused_until_the_first_is_dead(fit, tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path / ".lock")], stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"held\n"
        said = rf"{tmp_path} is in use by process {first.pid} on node7. Wait .* `kill {first.pid}`, or give another"
        with pytest.raises(RunError, match=said) as raised:
            fit(tmp_path)
        assert "\n" not in str(raised.value) and not (tmp_path / "run.json").exists()
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    with locked(tmp_path), locked(tmp_path), locked(tmp_path / "best_member"):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
        refused = in_thread(lambda: locked(tmp_path).__enter__())
        assert isinstance(refused, RunError) and f"process {os.getpid()}" in str(refused)


def in_thread(does):
    """The exception with which a function ends in another thread, None for none."""
    raised = []

    def call():
        try:
            does()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_without_locks_a_heartbeat_tells_whether_the_first_writer_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock.fcntl, "flock", refuses(errno.ENOLCK))
    monkeypatch.setattr(run_lock, "BEAT", 0.05)
    monkeypatch.setattr(run_lock, "SILENCE", 0.5)
    file, here = tmp_path / ".heartbeat", run_lock._owner()["host"]
    with locked(tmp_path):
        run_lock.check_held(tmp_path)
        refused = in_thread(lambda: locked(tmp_path).__enter__())
        assert isinstance(refused, RunError) and f"in use by process {os.getpid()} on {here}" in str(refused)
    assert not file.exists()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid, host, least, most in ((dead.pid, here, 0, 0.4), (1, "node7", 0.5, 30)):
        file.write_text(json.dumps({"pid": pid, "host": host, "token": "other", "beats": 3}))
        began = time.monotonic()
        with locked(tmp_path):
            assert least <= time.monotonic() - began < most
            file.write_text(json.dumps({"pid": pid, "host": host, "token": "other", "beats": 9}))
            with pytest.raises(RunError, match="taken over by another process"):
                run_lock.check_held(tmp_path)
        file.unlink()


def test_a_read_only_start_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lfadsx.files.os.access", lambda path, mode: False)
    with pytest.raises(RunError, match=r"cannot be written, because .* is not writable. Give another path"):
        locked(tmp_path / "run").__enter__()
    assert not (tmp_path / "run").exists()


def test_hdf5_files_are_whole(tmp_path):
    """What interrupts the writer leaves the file of before."""
    write_array(tmp_path / "a.h5")
    with pytest.raises(KeyboardInterrupt), open_to_write(tmp_path / "a.h5") as file:
        file["y"] = 1
        raise KeyboardInterrupt
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["x"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "right"),
    [
        (["kill", "--kills", "4", "--per-run", "4"], {"kills": 4, "resumed": 4, "lost_saves": 0, "torn_files": []}),
        (["disk", "--cases", "full disk", "second writer"], {"unexplained": [], "not_resumed": []}),
        (["soak", "--minutes", "1"], {"benchmark": "soak"}),
    ],
)
def test_the_benchmarks_of_reliability(words, right):
    """Real processes are killed, and run on a real disk that is full."""
    name, *others = words
    command = [sys.executable, "-m", f"benchmarks.reliability.{name}", *others]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    found = json.loads(done.stdout.splitlines()[-1])
    assert right.items() <= found.items() and found.get("identical") == found.get("runs"), found


def test_writes_that_end_after_another_one_failed_print_nothing(monkeypatch):
    """The hook stays after a failure, passes on all other exceptions, and is taken away after a success."""
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    with checkpoint._said_once():
        pass
    assert sys.unraisablehook == heard.append
    with pytest.raises(OSError, match="full"), checkpoint._said_once():
        raise OSError("full")
    late, other = (SimpleNamespace(exc_value=RuntimeError(text)) for text in ("Event loop is closed", "other"))
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert heard == [other]
