"""Files of results: there and back, units, and no half-written file."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

import lfadsx
from lfadsx.errors import DataError, LfadsxError
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import read_posterior, read_posteriors, write_posteriors
from lfadsx.types import TargetGroup, TimeAxis

COUNTS = TargetGroup("counts", "counts per bin")


def posterior(n_trials=3, **changes):
    rng = np.random.default_rng(n_trials)

    def draw(*shape):
        return rng.random((n_trials, *shape), dtype=np.float32)

    rates = draw(5, 4)
    rates[0, 3:] = np.nan
    values = Posterior(
        rates={"spikes": rates},
        rates_std={"spikes": draw(5, 4)},
        factors=draw(5, 2),
        initial_condition=draw(3),
        ic_mean=draw(3),
        ic_std=draw(3),
        initial_state=draw(6),
        generator_states=draw(5, 6),
        inputs=draw(5, 1),
        inputs_std=draw(5, 1),
        input_mean=draw(5, 1),
        input_std=draw(5, 1),
        controller_states=draw(5, 4),
        encoding=draw(5, 8),
        trial_id=np.arange(n_trials) + 40,
        session=np.zeros(n_trials, np.int32),
        length=np.full(n_trials, 5, np.int32),
        n_samples=16,
        seed=7,
        split="test",
        sessions=("monday", "tuesday"),
        time=TimeAxis(0.02, -0.06, "go cue"),
        groups={"spikes": COUNTS},
        held_out=np.array([[False, True, False, True], [True, False, False, False]]),
        behaviour_lag=0.1,
        version="0.1.0",
        source={"monday": {"bytes": 3}},
    )
    return dataclasses.replace(values, **changes)


def assert_equal(left, right):
    """Compares all fields, types included; text may have another width."""
    for field in dataclasses.fields(Posterior):
        a, b = getattr(left, field.name), getattr(right, field.name)
        assert type(a) is type(b), field.name
        if not isinstance(a, dict | np.ndarray):
            assert a == b, field.name
            continue
        a, b = (value if isinstance(value, dict) else {"": value} for value in (a, b))
        assert a.keys() == b.keys(), field.name
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=field.name)
            if isinstance(a[name], np.ndarray):
                assert a[name].dtype.kind == b[name].dtype.kind, field.name
                assert a[name].dtype == b[name].dtype or a[name].dtype.kind == "U", field.name


def test_round_trip(tmp_path):
    samples = {"rates": np.ones((2, 3, 5, 4), np.float32), "inputs": np.zeros((2, 3, 5, 1), np.float32)}
    posteriors = {
        "valid": posterior(samples=samples, split="valid"),
        "test": posterior(4, n_samples=0, source={}),
        "train": posterior(6, split="train", seed=2),
    }
    write_posteriors(tmp_path / "new" / "out.h5", posteriors)
    found = read_posteriors(tmp_path / "new" / "out.h5")
    assert list(found) == ["valid", "test", "train"]
    for name, values in posteriors.items():
        assert_equal(values, found[name])


def test_text_missing_conditions_ragged_trials_and_several_sessions(tmp_path):
    behaviour = np.ones((3, 5, 2), np.float32)
    behaviour[1, 2:] = np.nan
    known = posterior(
        trial_id=np.array(["a", "bç", "d e"]),
        condition=np.array(["left", "", "right"]),
        channel_names=np.array([["one", "two", "", "four"], ["5", "", "", ""]]),
        session=np.array([1, 0, 1], np.int32),
        length=np.array([5, 2, 4], np.int32),
        behaviour=behaviour,
        behaviour_name="force",
        row=np.array([4, 0, 2]),
        start_time=np.array([3600.0001, np.nan, -2.5]),
        time=TimeAxis(),
    )
    known.save(tmp_path / "a.h5")
    assert_equal(known, read_posterior(tmp_path / "a.h5"))
    numbers = posterior(condition=np.array([1.5, np.nan, -1.0]))
    numbers.save(tmp_path / "b.h5", compression=None)
    assert_equal(numbers, read_posterior(tmp_path / "b.h5"))
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["test/factors"].compression is None
        assert "channel_names" not in file["test"] and "behaviour" not in file["test"]


def test_round_trip_without_controller(tmp_path):
    names = ("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding", "held_out")
    bare = posterior(**dict.fromkeys(names))
    bare.save(tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert not set(names) & set(file["test"])
    assert_equal(bare, read_posterior(tmp_path / "out.h5"))


def test_several_target_groups(tmp_path):
    """Whatever they are called, also like an array of the file."""
    first, more = posterior(), ("emg", "factors", "samples")
    ones = {name: np.full((3, 5, 2), i) for i, name in enumerate(more)}
    both = posterior(
        rates=first.rates | ones,
        rates_std=first.rates_std | ones,
        variance=ones,
        groups={"spikes": COUNTS, "emg": TargetGroup("real", "mV"), "factors": TargetGroup("real"), "samples": COUNTS},
    )
    both.save(tmp_path / "out.h5")
    assert_equal(both, read_posterior(tmp_path / "out.h5"))
    with h5py.File(tmp_path / "out.h5") as file:
        emg = file["test/targets/emg"]
        assert set(emg) == {"rates", "rates_std", "variance"}
        assert emg["rates"].attrs["unit"] == "mV" and emg["variance"].attrs["unit"] == "squared mV"
        assert list(emg["rates"].attrs["dims"]) == ["trial", "time", "emg_channel"]
        assert file["test/targets/factors/rates"].attrs["unit"] == "units of the data"
        assert "rates_hz" in file["test/targets/samples"]


def test_every_array_is_described(tmp_path):
    values = posterior(samples={"rates": np.ones((2, 3, 5, 4), np.float32)}, condition=np.arange(3))
    write_posteriors(tmp_path / "out.h5", {"valid": posterior(2, split="valid"), "test": values})
    with h5py.File(tmp_path / "out.h5") as file:
        group, arrays = file["test"], []
        file.visititems(lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None)
        assert len(arrays) > 40
        for array in arrays:
            assert len(array.attrs["dims"]) == array.ndim and array.attrs["unit"] and array.attrs["description"]
        np.testing.assert_allclose(group["rates_hz"], values.rates["spikes"] / 0.02)
        np.testing.assert_allclose(group["log_rates"][1:], np.log(values.rates["spikes"][1:]))
        np.testing.assert_allclose(group["time"], [-0.05, -0.03, -0.01, 0.01, 0.03], atol=1e-9)
        assert group["time"].attrs["unit"] == "s" and "go cue" in group["time"].attrs["description"]
        assert group["rates_hz"].attrs["unit"] == "Hz"
        assert group["rates_counts"].attrs["unit"] == "counts per bin"
        assert list(group["factors"].attrs["dims"]) == ["trial", "time", "factor"]
        assert file.attrs["bin_width_s"] == 0.02 and file.attrs["lfadsx_version"] == "0.1.0"
        assert file.attrs["start_s"] == -0.06 and file.attrs["event"] == "go cue"
        assert file.attrs["n_samples"] == 16 and file.attrs["seed"] == 7 and file.attrs["format_version"] == 2
        assert list(file.attrs["sessions"]) == ["monday", "tuesday"] and group.attrs["split"] == "test"
        assert json.loads(file.attrs["source"]) == {"monday": {"bytes": 3}}


def test_no_hz_without_bin_width_and_for_real_numbers(tmp_path):
    posterior(time=TimeAxis()).save(tmp_path / "a.h5")
    real = posterior(groups={"spikes": TargetGroup("real")})
    real.save(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert "rates_hz" not in a["test"] and "bin_width_s" not in a.attrs
        assert a["test/time"].attrs["unit"] == "bins"
        assert "rates" in b["test"] and not {"rates_hz", "log_rates", "rates_counts"} & set(b["test"])
    assert_equal(real, read_posterior(tmp_path / "b.h5"))


def test_the_split_that_is_read(tmp_path):
    parts = {"train": posterior(6, split="train"), "valid": posterior(2, split="valid")}
    write_posteriors(tmp_path / "a.h5", parts)
    assert_equal(parts["valid"], read_posterior(tmp_path / "a.h5"))
    assert_equal(parts["train"], read_posterior(tmp_path / "a.h5", "train"))
    joined = read_posterior(tmp_path / "a.h5", "all")
    assert joined.split == "all" and joined.n_trials == 8
    np.testing.assert_array_equal(joined.factors, np.concatenate([part.factors for part in parts.values()]))
    write_posteriors(tmp_path / "b.h5", parts | {"test": posterior(3)})
    assert lfadsx.read_posterior(tmp_path / "b.h5").split == "test"
    rows = {name: dataclasses.replace(part, row=np.arange(part.n_trials) * 3) for name, part in parts.items()}
    write_posteriors(tmp_path / "c.h5", rows)
    np.testing.assert_array_equal(read_posterior(tmp_path / "c.h5", "all").row, [0, 0, 3, 3, 6, 9, 12, 15])
    with pytest.raises(LfadsxError, match="must be one of 'train', 'valid', 'all', got 'vaild' .did you mean 'valid'"):
        read_posterior(tmp_path / "a.h5", "vaild")


def test_a_file_of_format_version_1_is_read(tmp_path):
    """It had no labels of trials, and other target groups beside the arrays."""
    emg = np.ones((3, 5, 2), np.float32)
    both = posterior(rates=posterior().rates | {"emg": emg}, rates_std=posterior().rates_std | {"emg": emg})
    both = dataclasses.replace(both, groups={"spikes": COUNTS, "emg": TargetGroup("real")})
    both.save(tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5", "a") as file:
        file.attrs["format_version"] = 1
        for name in ("groups", "start_s", "event", "split", "behaviour_name", "behaviour_lag"):
            del file.attrs[name]
        file.move("test/targets/emg", "test/emg")
        for name in ("targets", "time", "held_out"):
            del file["test"][name]
    old = dataclasses.replace(both, time=TimeAxis(0.02), held_out=None, behaviour_lag=0.0)
    assert_equal(old, read_posterior(tmp_path / "out.h5"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    posterior().save(tmp_path / "out.h5")
    broken = posterior(encoding=np.array([object()] * 3))
    with pytest.raises(TypeError):
        broken.save(tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    assert_equal(posterior(), read_posterior(tmp_path / "out.h5"))


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written .* Name a file in a folder that you may write to"):
        posterior().save(tmp_path / "file" / "out.h5")
    with pytest.raises(DataError, match="cannot be written"):
        posterior().save(tmp_path)


def test_files_of_another_format(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="must be a file of posteriors of format version 1 or 2, got version None"):
        read_posterior(tmp_path / "a.h5")
    with pytest.raises(DataError, match="The file .* must exist, but was not found"):
        read_posterior(tmp_path / "b.h5")
