"""Damaged files and files of strangers: reading ends in the right values or in one of our errors, and runs nothing."""

import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from odd_files import TRIALS, split_in, write

import lfadsx
from benchmarks.reliability.damage import with_bomb
from benchmarks.reliability.fuzz import BAD, fuzz
from benchmarks.reliability.originals import FORMATS, originals
from benchmarks.reliability.worker import Reader, peak_gib
from lfadsx.damaged_files import readable
from lfadsx.data import probing
from lfadsx.data.hdf5_files import open_npz, open_to_read, open_to_write
from lfadsx.errors import CheckpointError, DataError, LfadsxError, RunError
from lfadsx.interop import settings_from_lfads_torch
from lfadsx.interop.yaml_settings import read_settings
from lfadsx.recordings.formats import read_recording
from lfadsx.results.results_file import read_posteriors
from lfadsx.training.recorded_data import recorded_data
from lfadsx.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("originals")


@pytest.fixture(scope="module")
def intact(folder):
    return originals(folder)


def test_damaged_files_of_every_format_end_well(intact, folder):
    reader = Reader(intact, folder)
    found = {(name, seed): reader.answer(seed, name) for name in FORMATS for seed in range(12)}
    assert {key: answer for key, answer in found.items() if answer["end"] in BAD} == {}
    assert {answer["end"] for answer in found.values()} >= {"clean_errors", "read_correctly"}


@pytest.mark.slow
def test_the_benchmark_counts_how_reading_ends(tmp_path):
    found = fuzz(500, tmp_path)
    assert [found[end] for end in BAD] == [0] * len(BAD) and found["tried"] == 500
    assert found["largest_gib"] < 2 and found["longest_s"] < 10


PROBE = """
import json, os, signal, sys, time
print("ready", flush=True)
for line in sys.stdin:
    path = os.path.basename(json.loads(line)[0])
    if "crash" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in path:
        time.sleep(60)
    print(json.dumps("memory" if "memory" in path else []), flush=True)
"""


@pytest.fixture
def prober(tmp_path, monkeypatch):
    """Another process that fails for some names in place of the one that opens files."""
    (tmp_path / "probe_process.py").write_text(PROBE)
    monkeypatch.setattr(probing, "__file__", str(tmp_path / "probing.py"))
    monkeypatch.setattr(probing, "_PROBER", probing._Prober())
    monkeypatch.setattr(probing, "_KNOWN", set())
    yield probing._PROBER
    probing._PROBER.stop()


def test_a_crash_or_hang_of_the_hdf5_library_is_an_error_of_the_file(tmp_path, prober, monkeypatch):
    for name in ("crash.h5", "memory.h5", "fine.h5", "crash_again.h5"):
        split_in(tmp_path / name)
    message = "crash.h5' must be whole, but the HDF5 library crashed on it or did not come to an end. Copy it again"
    with pytest.raises(DataError, match=message):
        lfadsx.read(tmp_path / "crash.h5")
    with pytest.raises(DataError, match="the HDF5 library needed more than 4 GiB of memory to open"):
        lfadsx.read(tmp_path / "memory.h5")
    assert lfadsx.read(tmp_path / "fine.h5").train.n_trials == 32
    monkeypatch.setattr(probing, "MOST_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(DataError, match="did not come to an end"):
        lfadsx.read(split_in(tmp_path / "hang.h5"))
    assert time.monotonic() - started < 30
    lfadsx.read(tmp_path / "fine.h5")
    assert prober._process is None, "a file that was tried is not tried again"
    os.utime(tmp_path / "fine.h5", (1, 1))
    lfadsx.read(tmp_path / "fine.h5")
    assert prober._process is not None, "a file that has changed is"
    with open_to_write(tmp_path / "crash_own.h5") as file:
        file["x"] = TRIALS
    with open_to_read(tmp_path / "crash_own.h5") as file:  # this process wrote it, so it is not tried
        assert file["x"].shape == TRIALS.shape


def test_files_are_opened_where_no_process_can_be_started(tmp_path, prober, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    assert lfadsx.read(split_in(tmp_path / "crash.h5")).train.n_trials == 32


def test_a_damaged_heap_of_texts_does_not_keep_this_process_busy(tmp_path):
    split_in(tmp_path / "a.h5", {"channel_names": [f"unit {i}" for i in range(8)]})
    content = bytearray((tmp_path / "a.h5").read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 80] = bytes(64)  # HDF5 2.0 does not return from reading this
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(DataError, match="a.h5"):
        lfadsx.read(tmp_path / "a.h5")
    lfadsx.read(split_in(tmp_path / "b.h5"))
    process = probing._PROBER._process
    if process is not None and sys.platform == "linux":
        with open(f"/proc/{process.pid}/maps") as maps:
            assert "jaxlib" not in maps.read(), "the other process imports little"


def test_an_hdf5_file_stays_in_its_folder(tmp_path):
    own, outside = tmp_path / "own", tmp_path / "secret.h5"
    own.mkdir()
    write(outside, x=TRIALS)
    write(own / "beside.h5", x=TRIALS)
    outside.with_suffix(".bin").write_bytes(TRIALS.tobytes())

    def linked(name, target):
        with h5py.File(own / name, "w") as file:
            file["train_data"] = h5py.ExternalLink(str(target), "/x")
        return own / name

    def virtual(name, target):
        layout = h5py.VirtualLayout(TRIALS.shape, TRIALS.dtype)
        layout[:] = h5py.VirtualSource(str(target), "x", TRIALS.shape)
        with h5py.File(own / name, "w") as file:
            file.create_virtual_dataset("train_data", layout)
        return own / name

    def raw(name):
        with h5py.File(own / name, "w") as file:
            file.create_dataset("train_data", TRIALS.shape, TRIALS.dtype, external=str(outside.with_suffix(".bin")))
        return own / name

    strange = [linked("a.h5", outside), linked("b.h5", "../secret.h5"), virtual("c.h5", outside), raw("d.h5")]
    strange.append(linked("h.h5", own / ".." / "secret.h5"))
    for path in strange:
        for _ in range(2):  # the second time the file is known
            with pytest.raises(DataError, match="'/train_data' of '..h5' must be stored in the file, or linked to"):
                lfadsx.read(path)
    for path in (linked("e.h5", "beside.h5"), virtual("f.h5", "beside.h5"), linked("g.h5", own / "beside.h5")):
        assert sum(split.n_trials for split in lfadsx.read(path).splits.values()) == len(TRIALS)


def test_links_in_a_circle_come_to_an_end(tmp_path):
    with h5py.File(split_in(tmp_path / "a.h5"), "a") as file:
        group = file.create_group("group")
        group["itself"], group["root"] = group, file["/"]
        file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")
    assert lfadsx.read(tmp_path / "a.h5").train.n_trials == 32


def test_sizes_are_checked_before_memory_is_taken(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("train_data", (2**20, 2**15, 2**15), "u1")  # not stored in chunks, nothing written
    with pytest.raises(DataError, match="'train_data' of 'a.h5' needs 1.05e.06 GiB of memory"):
        lfadsx.read(tmp_path / "a.h5")

    def npz(name, header, version=b"\x01\x00"):
        size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("counts.npy", b"\x93NUMPY" + version + size + header)
        return tmp_path / name

    lies = npz("lies.npz", b"{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624,)}\n")
    with pytest.raises(DataError, match="'counts' of 'lies.npz' needs .* GiB of memory"):
        with open_npz(lies) as arrays:
            arrays["counts"].read()
    with (
        pytest.raises(DataError, match="must have a header of at most 65536 bytes"),
        open_npz(npz("bomb.npz", b" " * 2**24, b"\x02\x00")),
    ):
        pass
    scipy.io.savemat(tmp_path / "lies.mat", {"spikes": np.ones((2, 3, 4))})
    content = bytearray((tmp_path / "lies.mat").read_bytes())
    place = content.index(np.array([2, 3, 4], "<i4").tobytes())
    content[place : place + 12] = np.array([2**15, 2**15, 2], "<i4").tobytes()
    (tmp_path / "lies.mat").write_bytes(content)
    with pytest.raises(DataError, match="lies.mat"):
        read_recording(tmp_path / "lies.mat", bin_width=0.01, axes="trial neuron time")


def test_a_chunk_that_inflates_beyond_its_shape_is_refused_before_memory_is_taken(intact, tmp_path):
    before = peak_gib()
    for name in ("hdf5 with gzip", "hdf5 of lfadsx"):
        path = shutil.copy(intact[name].path, tmp_path)
        assert with_bomb(Path(path), np.random.default_rng(0))
        with pytest.raises(DataError, match="one of its chunks inflates to far more than it can hold"):
            intact[name].read(Path(path))
    assert peak_gib() - before < 1
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "large.h5", "w") as file:  # an ordinary chunk of 2 MB
        data = rng.integers(0, 200, (160, 100, 128), dtype="u1")
        file.create_dataset("train_data", data=data, chunks=data.shape, compression="gzip", compression_opts=1)
    assert sum(split.n_trials for split in lfadsx.read(tmp_path / "large.h5").splits.values()) == 160


def test_numbers_of_an_npz_file_are_those_of_its_checksum(tmp_path):
    np.savez(tmp_path / "a.npz", counts=np.arange(600).reshape(20, 30))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content.replace(b"(20, 30)", b"(10, 30)"))
    with pytest.raises(DataError, match="'counts' of 'a.npz'"), open_npz(tmp_path / "a.npz") as arrays:
        arrays["counts"].read()


def test_faults_of_ours_keep_their_tracebacks(tmp_path):
    with pytest.raises(ZeroDivisionError), open_to_read(split_in(tmp_path / "a.h5")):
        _ = 1 / 0
    with pytest.raises(DataError, match="it fails, because it needs more memory than is free"), readable("it fails"):
        raise MemoryError("8 GiB")


@pytest.fixture
def run(intact, tmp_path):
    shutil.copytree(intact["run folder"].path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_damaged_manifest_is_an_error_of_the_checkpoint(run):
    manifest = run.path / "best" / "manifest.json"
    for content in ("{", "[]", "{}", '{"files": [], "shapes": {}}', "[" * 10**5, "\x00"):
        manifest.write_text(content)
        with pytest.raises(CheckpointError, match="manifest.json.*Restore the checkpoint from a copy"):
            run.load()
    run.load(which="last")


def test_a_manifest_names_only_files_of_its_folder(run):
    changed(run.path / "best" / "manifest.json", lambda found: found["files"].update({"../../secret": "0" * 64}))
    with pytest.raises(CheckpointError, match="The file ../../secret of the checkpoint .* is missing"):
        run.load()


def test_a_run_that_asks_for_too_much_builds_no_model(run):
    def widen(found):
        found["model"]["arguments"]["decoder"]["arguments"]["generator"]["arguments"]["n_units"] = 10**9

    assert run.info.model["arguments"]["decoder"]["arguments"]["generator"]["arguments"]["n_units"] == 5
    changed(run.path / "run.json", widen)
    with pytest.raises(LfadsxError, match="Sizes of a model must be at most 10000, as its arrays are, got 1000000000"):
        run.load()


@pytest.mark.parametrize("part", ["model", "data", "hyper", "train"])
def test_facts_that_a_run_lacks_are_named(run, part):
    changed(run.path / "run.json", lambda found: found.pop(part))
    with pytest.raises(RunError, match=f"run.json must describe a run, but does not .*{part}"):
        _ = run.info


def test_a_run_names_only_files_and_no_paths(run, tmp_path):
    def name_another(found):
        found["data"]["source"] = {"day1": {"file": "../../secret.h5", "sha256": "0" * 64}}

    changed(run.path / "run.json", name_another)
    with pytest.raises(RunError, match="must record its files by their names, got '../../secret.h5'"):
        recorded_data({"run": run.path}, {"run": run.info}, 1)


def test_a_posterior_without_its_facts_is_damaged(intact, tmp_path):
    content = intact["posterior"].path.read_bytes()
    (tmp_path / "a.h5").write_bytes(content)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file.attrs["seed"]
    with pytest.raises(DataError, match="The posterior in .* is damaged .*seed.*infer again"):
        read_posteriors(tmp_path / "a.h5")


def test_settings_cannot_grow_or_lead_out_of_their_folder(tmp_path):
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]" for a, b in zip(names, names[1:], strict=False)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(LfadsxError, match="must hold at most 100000 values, but holds more"):
        read_settings([tmp_path / "bomb.yaml"])
    (tmp_path / "circle.yaml").write_text("a: &a [*a]")
    with pytest.raises(LfadsxError, match="must hold at most 100000 values"):
        read_settings([tmp_path / "circle.yaml"])
    (tmp_path / "outside.yaml").write_text("defaults:\n- model: ../../secret\n")
    with pytest.raises(LfadsxError, match=r"must name files in folders beside it, got model/../../secret"):
        read_settings([tmp_path / "outside.yaml"])
    (tmp_path / "code.yaml").write_text("a: !!python/object/apply:os.system ['touch /tmp/run']")
    with pytest.raises(LfadsxError, match="must be a YAML file"):
        settings_from_lfads_torch(tmp_path / "code.yaml")
