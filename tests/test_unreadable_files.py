"""Parts of files that cannot be read: each is named in one sentence, and nothing in a file is ever run."""

import os
import resource
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
from odd_files import TRIALS, split_in, write

import lfadsx
from lfadsx.data import hdf5_files, large_arrays, opening
from lfadsx.data.hdf5_files import open_npz
from lfadsx.errors import DataError


def test_links_that_lead_nowhere(tmp_path):
    cases = {
        "a.h5": (h5py.ExternalLink("gone.h5", "/x"), "is a link to '/x' of 'gone.h5', which cannot be found"),
        "b.h5": (h5py.SoftLink("/nothere"), "'train_data' of 'b.h5' is a link to '/nothere', .* Store the array"),
    }
    for name, (link, message) in cases.items():
        with h5py.File(tmp_path / name, "w") as file:
            file["train_data"], file["valid_data"] = link, TRIALS
        with pytest.raises(DataError, match=message):
            lfadsx.read(tmp_path / name)
    with h5py.File(split_in(tmp_path / "c.h5"), "a") as file:
        file["elsewhere"] = h5py.SoftLink("/nothere")  # nothing reads it
    (note,) = lfadsx.read(tmp_path / "c.h5").findings
    assert note.name == "unused keys" and "'elsewhere'" in note.sentence


def test_a_virtual_array_without_its_source(tmp_path):
    layout = h5py.VirtualLayout(TRIALS.shape, TRIALS.dtype)
    layout[:] = h5py.VirtualSource("parts.h5", "x", TRIALS.shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("train_data", layout)
    with pytest.raises(DataError, match="put together from 'parts.h5', which cannot be found"):
        lfadsx.read(tmp_path / "a.h5")
    write(tmp_path / "parts.h5", x=TRIALS)
    assert lfadsx.read(tmp_path / "a.h5").train.encoder_input.any()


def test_a_compression_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(TRIALS.shape)
        properties.set_filter(32099, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple(TRIALS.shape)
        h5py.h5d.create(file.id, b"train_data", h5py.h5t.NATIVE_INT64, space, properties)
    message = r"'train_data' of 'a.h5' is compressed with an unknown filter \(HDF5 filter 32099\).*pip install hdf5"
    with pytest.raises(DataError, match=message):
        lfadsx.read(tmp_path / "a.h5")


def test_references_and_text_of_other_programs(tmp_path):
    cell = np.empty(40, h5py.ref_dtype)
    with h5py.File(write(tmp_path / "a.h5", train_data=TRIALS), "a") as file:
        cell[:] = file["train_data"].ref
        file["train_condition"] = cell
    with pytest.raises(DataError, match=r"'train_condition' of 'a.h5' must hold numbers or text, but holds references"):
        lfadsx.read(tmp_path / "a.h5")
    latin = np.array(["Grün".encode("latin-1"), b"Rot"] * 20)
    data = lfadsx.read(write(tmp_path / "b.h5", train_data=TRIALS, train_condition=latin))
    assert set(data.train.condition) == {"Grün", "Rot"}
    filled = TRIALS.astype(float)
    filled[1, 2, 3] = -999
    data = lfadsx.read(write(tmp_path / "c.h5", train_data=(filled, {"_FillValue": -999.0})), missing=True)
    assert data.is_counts() and sum(int((~split.encoder_observed).sum()) for split in data.splits.values()) == 1


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "uint16"])
def test_large_arrays_are_read_in_blocks(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_files, "LARGE", 1)
    monkeypatch.setattr(large_arrays, "BLOCK", 4000)
    values = TRIALS.astype(kind)
    values[20, 1, 1] = 300
    file = write(tmp_path / "a.h5", train_data=values[:32], valid_data=values[32:])
    data = lfadsx.read(file)
    np.testing.assert_array_equal(data.train.encoder_input, values[:32])
    assert data.train.encoder_input.dtype == np.uint16 and data.is_counts()
    if kind.startswith("float"):
        values[25, 0, 0] = np.nan
        gaps = lfadsx.read(write(tmp_path / "b.h5", train_data=values[:32], valid_data=values[32:]), missing=True)
        assert gaps.is_counts() and not gaps.train.encoder_observed[25, 0, 0]
        real = lfadsx.read(write(tmp_path / "c.h5", train_data=values[:20] + 0.5, valid_data=values[32:]))
        np.testing.assert_array_equal(real.train.encoder_input, values[:20].astype(np.float32) + 0.5)
    if kind == "int64":
        with pytest.raises(DataError, match=r"is negative \(-1\)"):
            lfadsx.read(write(tmp_path / "d.h5", train_data=values - 1), kind="counts")
        with pytest.raises(DataError, match="the largest number of uint64"):
            wrapped = np.where(values == 300, np.iinfo(np.uint64).max, values.astype(np.uint64))
            lfadsx.read(write(tmp_path / "e.h5", train_data=wrapped))


def test_data_larger_than_memory_are_refused_in_words(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:  # 8 PB of zeros that take no room in the file
        file.create_dataset("train_data", (10**7, 10**4, 10**4), "f8", chunks=(1, 100, 100), fillvalue=0)
    with pytest.raises(DataError, match=r"'train_data' of 'a.h5' needs .* GiB of memory, and .* GiB are free. Store"):
        lfadsx.read(tmp_path / "a.h5")

    def full(*_, **__):
        raise MemoryError("Unable to allocate 8 GiB")

    monkeypatch.setattr("lfadsx.data.reading.with_findings", full)
    with pytest.raises(DataError, match="need more memory than is free .Unable to allocate 8 GiB.. Read fewer trials"):
        lfadsx.read(split_in(tmp_path / "b.h5"))


BIG = """
import resource, sys
import lfadsx
import h5py
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
data = lfadsx.read(sys.argv[1])
print(data.train.encoder_input.shape, data.train.encoder_input.dtype)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="limits memory as Linux does")
def test_eight_gigabytes_of_floats_are_read_in_six(tmp_path):
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        for key, n in (("train_data", 2000), ("valid_data", 100)):
            file.create_dataset(key, (n, 1000, 500), "f8", chunks=(10, 1000, 500), compression="gzip", fillvalue=0)
    command = [sys.executable, "-c", BIG, str(tmp_path / "huge.h5")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert done.stdout.strip() == "(2000, 1000, 500) uint8", done.stderr[-2000:]


def test_npz_files_are_opened_without_pickles(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, counts=TRIALS, names=np.array([{"a": 1}], object), label="text")
    with open_npz(path) as arrays:
        assert arrays["counts"].shape == TRIALS.shape and arrays["names"].is_pickled
        np.testing.assert_array_equal(arrays["counts"].read(), TRIALS)
        assert str(arrays["label"].read()) == "text"
        with pytest.raises(DataError, match="'names' of 'a.npz' must hold numbers or text, but holds Python objects"):
            arrays["names"].read()
    (tmp_path / "b.npz").write_text("not an archive")
    with pytest.raises(DataError, match="b.npz' is not an NPZ file. Write the"), open_npz(tmp_path / "b.npz"):
        pass
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("x.npy", b"broken")
    with pytest.raises(DataError, match="'x' of 'c.npz' cannot be read .* Save the array again"):
        with open_npz(tmp_path / "c.npz") as arrays:
            arrays["x"].read()
    with pytest.raises(DataError, match="must exist, but was not found"), open_npz(tmp_path / "none.npz"):
        pass


def test_a_flipped_byte_is_found_by_checksums(tmp_path):
    trials = {"cue": np.arange(2.0, 60.0, 2.0), "condition": np.array(["a", "b"] * 14 + ["a"])}
    units = [np.arange(0.1, 61, 0.11 * (unit + 1)) for unit in range(3)]
    data = lfadsx.from_spike_times(units, trials, align="cue", window=(-0.2, 0.3))
    (file,) = lfadsx.data.write_dataset(tmp_path / "a.h5", data)
    with h5py.File(file) as content:
        kept = {name: item for name, item in content.items() if item.shape}
        assert len(kept) > 6 and all(item.fletcher32 for item in kept.values())
        places = {name: item.id.get_chunk_info(0).byte_offset for name, item in kept.items()}
    whole = file.read_bytes()
    assert set(lfadsx.read(file).train.condition) == {"a", "b"}
    for name in ("train_encod_data", "train_condition", "target_index"):
        flipped = bytearray(whole)
        flipped[places[name] + 4] ^= 1
        file.write_bytes(flipped)
        with pytest.raises(DataError, match=f"'{name}'.* must be whole, but cannot be read .* the file is damaged"):
            lfadsx.read(file)


def test_a_file_opens_while_this_thread_loops_over_another_one(tmp_path, monkeypatch):
    one, other = split_in(tmp_path / "a.h5"), split_in(tmp_path / "b.h5")
    monkeypatch.setattr(opening, "MOST_SECONDS", 5.0)
    with h5py.File(one) as file:
        for _ in file.values():  # h5py keeps its lock between two items
            assert lfadsx.read(other).train.n_trials == 32


def test_limits_of_opening(tmp_path, monkeypatch):
    file = split_in(tmp_path / "a.h5")
    monkeypatch.setattr(opening, "MOST_BYTES", 10)
    with pytest.raises(DataError, match="a.h5' must have at most 10 bytes, got"):
        lfadsx.read(file)
    monkeypatch.undo()
    monkeypatch.setattr(opening, "MOST_SECONDS", 0.05)
    monkeypatch.setattr(opening.h5py, "File", lambda *_: time.sleep(0.5))
    with pytest.raises(DataError, match="a.h5' must open within 0.05 s, but did not"):
        lfadsx.read(file)
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(DataError, match="pipe.h5' must be a file, but is a pipe or a device"):
        lfadsx.read(tmp_path / "pipe.h5")
