"""Unusual arrays and files are understood, noted, warned about or refused, each in one sentence."""

import datetime

import h5py
import numpy as np
import pytest
from odd_files import TRIALS, levels, sentence, split_in, write

import lfadsx
from lfadsx.errors import DataError

RNG = np.random.default_rng(0)


# Arrays with meaning beyond their values


def test_masked_entries_are_missing():
    values = TRIALS.copy()
    values[:, 5:8] = 99
    mask = np.zeros(values.shape, bool)
    mask[:, 5:8] = True
    for masked in (np.ma.masked_array(values, mask), np.ma.masked_array(values.astype(float), mask)):
        data = lfadsx.from_arrays(masked)
        assert data.train.encoder_input.max() < 99 and type(data.train.encoder_input) is np.ndarray
        assert not data.train.encoder_observed[:, 5:8].any() and data.train.encoder_observed[:, 8:].all()
        assert "hides 960 entries" in sentence(data, "masked entries")
    trials = [np.ma.masked_array(values[i, : 20 - i % 3], mask[i, : 20 - i % 3]) for i in range(40)]
    data = lfadsx.from_arrays(trials, condition=np.ma.masked_array([1, 2] * 20, [True, False] * 20))
    assert data.is_counts() and data.train.encoder_input.max() < 99
    assert set(data.train.condition[data.train.labelled]) == {2.0}


def test_an_inverted_mask_is_suspected():
    observed = RNG.random(TRIALS.shape) < 0.05
    found = lfadsx.from_arrays(TRIALS, observed=observed).findings
    assert all("are the inverse" in own.remedy for own in found if own.name == "few entries observed")
    assert {own.where for own in found if own.name == "few entries observed"} == {"train", "valid"}
    with pytest.raises(
        DataError, match="'observed' must be True where an entry is observed, else False, got 7. Give a boolean"
    ):
        lfadsx.from_arrays(TRIALS, observed=np.full(TRIALS.shape, 7))


class WithUnit:
    """Stands for an array of a package of units."""

    def __init__(self, values, units, factor=1.0):
        self.magnitude, self.units, self._factor = values, units, factor

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.magnitude, dtype)

    def to(self, unit):
        assert unit == "s"
        return WithUnit(np.asarray(self.magnitude) * self._factor, "s")


def test_units_are_converted_or_refused():
    data = lfadsx.from_arrays(
        WithUnit(TRIALS, "counts"), bin_width=WithUnit(10, "ms", 1e-3), start=np.timedelta64(-250, "ms")
    )
    assert data.is_counts() and data.bin_width == 0.01 and data.time.start == -0.25
    assert (
        lfadsx.from_arrays(TRIALS, behaviour=TRIALS, behaviour_lag=datetime.timedelta(seconds=0.1)).behaviour_lag == 0.1
    )
    with pytest.raises(DataError, match="carries the unit 'Hz'. Convert them to counts and give plain numbers"):
        lfadsx.from_arrays(WithUnit(TRIALS, "Hz"))


def test_other_collections_of_trials():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    ragged = [TRIALS[i, : 12 + i % 6] for i in range(40)]
    expected = lfadsx.from_arrays(ragged).train.encoder_input
    for trials in (dict(enumerate(ragged)), [scipy_sparse.csr_array(trial) for trial in ragged]):
        np.testing.assert_array_equal(lfadsx.from_arrays(trials).train.encoder_input, expected)
    speed = [np.arange(float(len(trial))) for trial in ragged]
    assert lfadsx.from_arrays(ragged, behaviour=speed).train.behaviour.shape[1:] == (17, 1)
    with pytest.raises(
        DataError, match=r"Trial 5 of 'spikes' must have at least one bin, got shape \(0, 8\). Leave it"
    ):
        lfadsx.from_arrays([*ragged[:5], np.zeros((0, 8), int), *ragged[5:]])
    with pytest.raises(DataError, match=r"look like \(channel, time\): transpose each trial"):
        lfadsx.from_arrays([trial.T for trial in ragged])


# Order of axes


def test_reversed_axes_are_suspected_and_read_on_request(tmp_path):
    file = write(tmp_path / "a.h5", train_data=TRIALS[:32, :, :6].transpose(2, 1, 0))
    data = lfadsx.read(file)
    assert levels(data)["order of axes"] == "warning" and "more channels than trials" in sentence(data, "order of axes")
    right = lfadsx.read(file, axes="channel time trial")
    assert "order of axes" not in levels(right) and right.train.encoder_input.shape[1:] == (20, 6)
    assert right.source["a"]["axes"] == "channel time trial"
    with h5py.File(file, "a") as content:
        content.attrs["axes"] = "neurons, bins, trials"
    said = lfadsx.read(file)
    np.testing.assert_array_equal(said.train.encoder_input, right.train.encoder_input)
    with pytest.raises(DataError, match="`axes` must name trial, time and channel once each, got 'time trial'"):
        lfadsx.read(file, axes="time trial")


def test_files_of_matlab_are_recognised(tmp_path):
    matlab = {"MATLAB_class": np.bytes_("double")}
    file = write(tmp_path / "a.mat", train_data=(TRIALS.astype(float).T, matlab))
    assert "MATLAB wrote 'a.mat', which reverses axes" in sentence(lfadsx.read(file), "order of axes")
    right = write(tmp_path / "b.mat", train_data=(TRIALS[:32], matlab), valid_data=(TRIALS[32:], matlab))
    assert "order of axes" not in levels(lfadsx.read(right)) and lfadsx.read(right).sessions[0].name == "b"
    both = write(tmp_path / "c.mat", train_data=(TRIALS[:32].T, matlab), valid_data=(TRIALS[32:].T, matlab))
    ids = write(tmp_path / "d.mat", train_data=(TRIALS.T, matlab), train_inds=np.arange(1, 41.0)[:, None])
    with pytest.raises(DataError, match="'train_inds' of 'd.mat' has 40 trials and .* has 8. .*channel time trial"):
        lfadsx.read(ids)
    with pytest.raises(DataError, match='has 8 channels .* 32. .* `axes="channel time trial"`.*h5writeatt'):
        lfadsx.read(both)


def test_exchanged_time_and_channels_are_suspected(tmp_path):
    swapped = TRIALS.transpose(0, 2, 1)
    file = write(tmp_path / "a.h5", train_data=swapped[:32], valid_data=swapped[32:])
    assert levels(lfadsx.read(file))["order of axes"] == "warning"
    wide = np.concatenate([TRIALS, RNG.poisson(RNG.uniform(0.1, 3.0, 20), (40, 20, 20))], axis=2)
    assert levels(lfadsx.from_arrays(wide)) == {"order of axes": "note"}
    assert levels(lfadsx.from_arrays(wide, channel_names=list(map(str, range(28))))) == {}


# Facts of other writers


def test_vectors_of_matlab_have_two_dimensions(tmp_path):
    ids, condition = np.arange(1, 41.0), np.arange(40) % 4 + 1.0
    file = split_in(
        tmp_path / "a.h5",
        train_inds=ids[None, :32],
        valid_inds=ids[None, 32:],
        train_condition=condition[:32, None],
        valid_condition=condition[32:, None],
        train_length=np.full((1, 32), 20.0),
        valid_length=np.full((1, 8), 20.0),
        target_index=np.arange(8.0)[:, None],
    )
    data = lfadsx.read(file)
    np.testing.assert_array_equal(data.valid.trial_id, ids[32:])
    np.testing.assert_array_equal(data.train.condition, condition[:32])
    assert data.train.trial_id.dtype.kind == "i" and data.findings == ()


@pytest.mark.parametrize("value", [0.01, np.array([0.01]), "0.01", "10 ms", np.bytes_("10ms"), np.array([[0.01]])])
def test_a_bin_width_may_be_stored_in_many_ways(value, tmp_path):
    assert lfadsx.read(split_in(tmp_path / "a.h5", {"bin_width_s": value})).bin_width == 0.01


def test_single_facts_of_other_writers(tmp_path):
    text = np.array(["go cue"], dtype=h5py.string_dtype())
    facts = {"bin_width_s": 0.01, "behaviour_lag_s": np.array([0.1]), "event": text, "lfadsx_source": "mine"}
    names = np.array([[f"n{i}" for i in range(8)]], dtype=h5py.string_dtype())
    file = split_in(
        tmp_path / "a.h5",
        facts | {"truth_unit": "hz", "channel_names": names},
        train_truth=TRIALS[:32] * 1.0,
        valid_truth=TRIALS[32:] * 1.0,
    )
    data = lfadsx.read(file)
    assert data.behaviour_lag == 0.1 and data.time.event == "go cue" and data.truth_unit == "Hz"
    assert data.sessions[0].names("spikes")[1] == "n1" and data.source["a"]["made_from"] == "mine"
    assert levels(data) == {"foreign source": "note"}
    joined = lfadsx.read(split_in(tmp_path / "b.h5", {"channel_names": ", ".join(f"n{i}" for i in range(8))}))
    assert joined.sessions[0].names("spikes")[7] == "n7"
    as_text = split_in(tmp_path / "c.h5", train_truth=TRIALS[:32], conversion_factor=np.bytes_("5"))
    assert lfadsx.read(as_text).truth_unit == "counts per bin"
    nothing = split_in(tmp_path / "d.h5", {"bin_width_s": h5py.Empty("f8")})
    assert lfadsx.read(nothing).bin_width is None


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"bin_width_s": float("nan")}, "bin width of 'a.h5' must be finite, got nan"),
        ({"bin_width_s": "ten"}, "must be a number of seconds, got the text 'ten'. Store it as a number"),
        ({"bin_width_s": [0.01, 0.02]}, r"must be one number, got shape \(2,\). Store it as a scalar"),
        ({"behaviour_lag_s": float("inf")}, "'behaviour_lag_s' of 'a.h5' must be finite, got inf"),
    ],
)
def test_single_facts_that_cannot_be_meant(facts, message, tmp_path):
    with pytest.raises(DataError, match=message):
        lfadsx.read(split_in(tmp_path / "a.h5", facts))


def test_empty_arrays_of_matlab_are_left_out(tmp_path):
    empty = (np.zeros(2, np.uint64), {"MATLAB_empty": 1})
    for number, nothing in enumerate((h5py.Empty("f8"), empty)):
        data = lfadsx.read(write(tmp_path / f"{number}.h5", train_data=TRIALS, valid_data=nothing))
        assert data.valid.n_trials == 8 and "'valid_data'" in sentence(data, "empty keys")


def test_keys_and_attributes_that_look_like_ours(tmp_path):
    with pytest.raises(DataError, match="unknown key 'val_data' that looks like 'valid_data'. Rename it"):
        lfadsx.read(write(tmp_path / "a.h5", train_data=TRIALS, val_data=TRIALS))
    data = lfadsx.read(
        split_in(tmp_path / "b.h5", {"bin_size": 10, "mouse": "M1"}, **{f"extra{i}": i for i in range(12)})
    )
    assert "'bin_size' of 'b.h5' is not read, but looks like 'bin_width_s'" in sentence(data, "unknown attributes")
    assert all(f"'extra{i}'" in sentence(data, "unused keys") for i in range(12))


def test_a_target_index_that_counts_from_1(tmp_path):
    arrays = {"train_encod_data": TRIALS[:32, :, :4], "valid_encod_data": TRIALS[32:, :, :4]}
    arrays |= {"train_recon_data": TRIALS[:32], "valid_recon_data": TRIALS[32:]}
    data = lfadsx.read(write(tmp_path / "a.h5", **arrays, target_index=np.arange(1, 5.0)))
    assert "seems to count from 1" in sentence(data, "target index")


def test_ids_that_lack_or_repeat(tmp_path):
    some = lfadsx.read(split_in(tmp_path / "a.h5", train_inds=np.arange(100, 132)))
    assert "The valid trials of 'a.h5' have no ids" in sentence(some, "some ids")
    shared = split_in(tmp_path / "b.h5", train_inds=np.arange(100, 132), valid_inds=np.arange(130, 138))
    assert "2 trial ids of 'b.h5' are in train and in valid, such as 130" in sentence(lfadsx.read(shared), "shared ids")
    numbered = split_in(tmp_path / "c.h5", train_inds=np.arange(32), valid_inds=np.arange(8))
    assert lfadsx.read(numbered).findings == ()
    gaps = split_in(tmp_path / "d.h5", train_condition=[0, 1, 5, 9] * 8, valid_condition=[0, 1, 5, 9] * 2)
    assert lfadsx.read(gaps).findings == ()


def test_sessions_of_one_name_name_the_flag(tmp_path):
    (tmp_path / "d1").mkdir()
    files = [split_in(tmp_path / "spikes.h5"), split_in(tmp_path / "d1" / "spikes.h5")]
    with pytest.raises(DataError, match="2 sessions are called 'spikes'. .*--session-names"):
        lfadsx.read(*files)
    assert [own.name for own in lfadsx.read(*files, sessions=["d0", "d1"]).sessions] == ["d0", "d1"]


def test_labels_in_a_cell_of_matlab_are_read_as_text(tmp_path):
    labels, path = ["left", "right", "", "left"] * 5, tmp_path / "cell.h5"
    with h5py.File(path, "w") as file:
        texts = file.create_group("#refs#")
        for split in ("train", "valid"):
            data = file.create_dataset(f"{split}_data", data=np.ones((5, 30, 20)))
            data.attrs["MATLAB_class"] = np.bytes_("double")
            references = []
            for row, label in enumerate(labels):
                codes = np.array([[ord(letter)] for letter in label] or [0, 0], np.uint16)
                text = texts.create_dataset(f"{split}{row}", data=codes)
                text.attrs["MATLAB_class"] = np.bytes_("char")
                if not label:
                    text.attrs["MATLAB_empty"] = 1
                references.append(text.ref)
            file.create_dataset(f"{split}_condition", data=np.array([references], h5py.ref_dtype))
    data = lfadsx.read(path, axes="channel time trial")
    assert data.train.condition.tolist() == labels and data.train.targets["spikes"].shape == (20, 30, 5)


def test_spike_times_in_place_of_counts_are_recognised(tmp_path):
    times = [[RNG.random(5 + neuron) for neuron in range(8)] for _ in range(10)]
    with pytest.raises(DataError, match="sequences of different length.*`from_spike_times`"):
        lfadsx.from_arrays(times)
    with h5py.File(tmp_path / "times.h5", "w") as file:
        array = file.create_dataset("train_data", (10, 8), h5py.vlen_dtype("f8"))
        for trial in range(10):
            array[trial] = times[trial]
    with pytest.raises(DataError, match="'train_data' of 'times.h5' must hold counts.*`lfadsx.from_spike_times`"):
        lfadsx.read(tmp_path / "times.h5")
