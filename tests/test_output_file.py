"""Files of posterior averages: there and back, units, and no half-written file."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

from lfadsx.errors import DataError
from lfadsx.inference import read_posterior, write_posterior
from lfadsx.types import Posterior

ABOUT = dict(bin_width=0.02, sessions=["monday", "tuesday"], version="0.1.0", source={"monday": {"bytes": 3}})


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
    )
    return dataclasses.replace(values, **changes)


def assert_equal(left, right):
    for field in dataclasses.fields(Posterior):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, dict):
            assert a.keys() == b.keys(), field.name
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], err_msg=field.name)
        elif a is None:
            assert b is None, field.name
        else:
            np.testing.assert_array_equal(a, b, err_msg=field.name)


def test_round_trip(tmp_path):
    samples = {"rates": np.ones((2, 3, 5, 4), np.float32), "inputs": np.zeros((2, 3, 5, 1), np.float32)}
    posteriors = {"valid": posterior(samples=samples), "test": posterior(4), "train": posterior(6)}
    write_posterior(tmp_path / "new" / "out.h5", posteriors, **ABOUT)
    found = read_posterior(tmp_path / "new" / "out.h5")
    assert list(found) == ["valid", "test", "train"]
    for name, values in posteriors.items():
        assert_equal(values, found[name])
        assert found[name].factors.dtype == np.float32


def test_round_trip_without_controller_and_with_text_ids(tmp_path):
    names = ("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding")
    bare = posterior(trial_id=np.array(["a", "bc", "d"]), **dict.fromkeys(names))
    write_posterior(tmp_path / "out.h5", {"test": bare}, **ABOUT)
    with h5py.File(tmp_path / "out.h5") as file:
        assert not set(names) & set(file["test"])
    assert_equal(bare, read_posterior(tmp_path / "out.h5")["test"])


def test_several_target_groups(tmp_path):
    first = posterior()
    both = posterior(
        rates={"spikes": first.rates["spikes"], "emg": -np.ones((3, 5, 2))},
        rates_std={"spikes": first.rates_std["spikes"], "emg": np.ones((3, 5, 2))},
    )
    write_posterior(tmp_path / "out.h5", {"test": both}, **ABOUT)
    assert_equal(both, read_posterior(tmp_path / "out.h5")["test"])
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file["test/emg"]) == {"rates", "rates_std"}
        assert file["test/emg/rates"].attrs["unit"] == "units of the data"


def test_units_dimensions_and_attributes(tmp_path):
    values = posterior()
    write_posterior(tmp_path / "out.h5", {"test": values}, **ABOUT)
    with h5py.File(tmp_path / "out.h5") as file:
        group = file["test"]
        np.testing.assert_allclose(group["rates_hz"], values.rates["spikes"] / 0.02)
        np.testing.assert_allclose(group["log_rates"][1:], np.log(values.rates["spikes"][1:]))
        assert group["rates_hz"].attrs["unit"] == "Hz"
        assert group["rates_counts"].attrs["unit"] == "counts per bin"
        assert list(group["factors"].attrs["dims"]) == ["trial", "time", "factor"]
        for dataset in group.values():
            assert len(dataset.attrs["dims"]) == dataset.ndim and dataset.attrs["unit"]
        assert file.attrs["bin_width_s"] == 0.02 and file.attrs["lfadsx_version"] == "0.1.0"
        assert file.attrs["n_samples"] == 16 and file.attrs["seed"] == 7 and file.attrs["format_version"] == 1
        assert list(file.attrs["sessions"]) == ["monday", "tuesday"]
        assert json.loads(file.attrs["source"]) == {"monday": {"bytes": 3}}


def test_no_hz_without_bin_width_and_for_real_numbers(tmp_path):
    write_posterior(tmp_path / "a.h5", {"test": posterior()}, **(ABOUT | {"bin_width": None}))
    write_posterior(tmp_path / "b.h5", {"test": posterior()}, **ABOUT, count_groups=())
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert "rates_hz" not in a["test"] and "bin_width_s" not in a.attrs
        assert "rates" in b["test"] and not {"rates_hz", "log_rates", "rates_counts"} & set(b["test"])
    assert_equal(posterior(), read_posterior(tmp_path / "b.h5")["test"])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_posterior(tmp_path / "out.h5", {"test": posterior()}, **ABOUT)
    broken = posterior(rates={"factors": np.ones((3, 5, 2))})
    with pytest.raises(DataError, match="target group is called 'factors', like a result"):
        write_posterior(tmp_path / "out.h5", {"test": broken}, **ABOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    assert_equal(posterior(), read_posterior(tmp_path / "out.h5")["test"])


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written .* Name a file in a folder that you may write to"):
        write_posterior(tmp_path / "file" / "out.h5", {"test": posterior()}, **ABOUT)
    with pytest.raises(DataError, match="cannot be written"):
        write_posterior(tmp_path, {"test": posterior()}, **ABOUT)


def test_files_of_another_format(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="has the format version None and version 1 is read here. Name a file"):
        read_posterior(tmp_path / "a.h5")
    with pytest.raises(DataError, match="There is no file"):
        read_posterior(tmp_path / "b.h5")
