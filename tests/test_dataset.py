"""Facts of a data set (kinds, labels, held-out channels, rows, findings), and its parts."""

import dataclasses

import h5py
import making
import numpy as np
import pytest

import lfadsx
from lfadsx.data import read_split, write_dataset
from lfadsx.data.condition_labels import tidy_labels
from lfadsx.data.splits import random_names
from lfadsx.errors import DataError, LfadsxError
from lfadsx.models.compatibility import check_fits
from lfadsx.types import TargetGroup, TimeAxis

SPLIT = ["train", "valid", "test", "train", "train", "valid"] * 2


def counts(n_trials=12, n_bins=10, n_channels=6, seed=0):
    return np.random.default_rng(seed).poisson(1.0, (n_trials, n_bins, n_channels)) + 1


def write(path, attributes=None, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs.update(attributes or {})
    return path


def names(data):
    return [finding.name for finding in data.findings]


def finding(data, name):
    (found,) = [found for found in data.findings if found.name == name]
    return found


# Kinds


@pytest.mark.parametrize("values", [counts(), counts().astype(float), counts() > 1, counts().astype(np.int8)])
def test_whole_numbers_are_counts(values):
    data = lfadsx.from_arrays(values)
    assert data.groups == {"spikes": TargetGroup("counts", "counts per bin")} and data.is_counts()
    assert data.train.encoder_input.dtype == np.uint8


@pytest.mark.parametrize("wrong", [-1, 0.5, 1e30])
def test_anything_else_is_real_in_every_split(wrong):
    values = counts().astype(float)
    values[5, 2, 1] = wrong
    data = lfadsx.from_arrays(values, unit="mV", split=SPLIT)
    assert data.groups == {"spikes": TargetGroup("real", "mV")} and not data.is_counts()
    assert {split.encoder_input.dtype for split in data.splits.values()} == {np.dtype(np.float32)}
    with pytest.raises(DataError, match=r"'spikes' is .* at trial 5, bin 2, channel 1, but the data must be"):
        lfadsx.from_arrays(values, kind="counts")


def test_what_lies_in_gaps_and_padding_does_not_decide():
    values = [counts()[0, :n].astype(float) for n in (10, 8, 6)]
    values[0][3, 2] = np.nan
    assert lfadsx.from_arrays(values, missing=True).is_counts()
    observed = [np.ones(trial.shape, bool) for trial in values]
    observed[0][3, 2], values[0][3, 2] = False, 0.5
    assert lfadsx.from_arrays(values, observed=observed).is_counts()


def test_counts_may_be_read_as_real_numbers():
    data = lfadsx.from_arrays(counts(), kind="real")
    assert not data.is_counts() and data.train.targets["spikes"].dtype == np.float32


def test_each_target_group_has_a_kind_of_its_own():
    emg, licks = np.random.default_rng(0).standard_normal((12, 10, 2)), counts(n_channels=1)
    data = lfadsx.from_arrays(counts(), other_targets={"emg": emg, "licks": licks}, unit={"emg": "mV"})
    assert {name: group.kind for name, group in data.groups.items()} == dict(
        spikes="counts", emg="real", licks="counts"
    )
    assert data.groups["emg"].unit == "mV" and data.is_counts("licks") and not data.is_counts("emg")
    real = lfadsx.from_arrays(counts(), other_targets={"licks": licks}, kind={"licks": "real"})
    assert real.is_counts() and not real.is_counts("licks")
    with pytest.raises(DataError, match=r"`kind` or `unit` must be .*, got 'lick' .did you mean 'licks'"):
        lfadsx.from_arrays(counts(), other_targets={"licks": licks}, kind={"lick": "real"})
    with pytest.raises(DataError, match=r"kind of 'spikes' must be .*, got 'count' .did you mean 'counts'"):
        lfadsx.from_arrays(counts(), kind="count")
    with pytest.raises(LfadsxError, match="target group must be one of .* got 'eye'"):
        data.is_counts("eye")


def test_sessions_of_one_reading_share_a_kind(tmp_path):
    whole = write(tmp_path / "a.h5", train_data=counts().astype(float))
    broken = write(tmp_path / "b.h5", train_data=counts() + 0.5)
    data = lfadsx.read(whole, broken)
    assert not data.is_counts() and data.train.encoder_input.dtype == np.float32
    with pytest.raises(
        DataError, match=r"kind of 'spikes' of session 'a' is 'counts' and that of session 'b' is 'real'"
    ):
        lfadsx.concatenate(lfadsx.read(whole), lfadsx.read(broken))


def test_a_likelihood_of_counts_refuses_real_numbers():
    values = counts().astype(float)
    values[3, 2, 1] = 0.25
    data = lfadsx.from_arrays(values, split=SPLIT)
    model = making.outline(making.one_session(12, 10, 6))
    # Trial 3 of the arrays is trial 1 of the training trials.
    message = r"data of .spikes. must be counts .*, got 0.25 at trial 1, bin 2, channel 1.*Give integers .* gaussian_by"
    with pytest.raises(LfadsxError, match=message):
        check_fits(model, data)
    with pytest.raises(LfadsxError, match='read as real numbers. Read them as counts .kind="counts".'):
        check_fits(model, lfadsx.from_arrays(counts(), kind="real"))
    check_fits(model, lfadsx.from_arrays(counts()))


# Labels


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a", None, "b", float("nan"), "", " "], ["a", "", "b", "", "", ""]),
        (np.array(["a", "", "b"]), ["a", "", "b"]),
        ([b"a", None], ["a", ""]),
        ([1, None, 3], [1, np.nan, 3]),
        (np.array([0.0, np.nan, 2.0]), [0, np.nan, 2]),
        (np.array([1, np.nan, None], object), [1, np.nan, np.nan]),
        (np.array([3, 1]), [3, 1]),
        ([True, False], [True, False]),
        ([None, float("nan"), ""], None),
    ],
)
def test_missing_labels_are_said_in_one_way(given, kept):
    found = tidy_labels(given, "'condition'")
    if kept is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, kept)


def test_labels_are_numbers_or_text():
    with pytest.raises(DataError, match="'condition' must hold numbers only, or text only, got 'a' and 1"):
        lfadsx.from_arrays(counts(), condition=["a", 1] * 6)
    text = lfadsx.from_arrays(counts(), condition=["a", "b"] * 6, session="one")
    with pytest.raises(DataError, match="kind of condition labels of train of session 'one' is 'text' .* is 'numbers'"):
        lfadsx.concatenate(text, lfadsx.from_arrays(counts(), condition=[1, 2] * 6, session="two"))


@pytest.mark.parametrize("blank", [None, float("nan"), ""])
@pytest.mark.parametrize("where", ["train", "valid", "test"])
def test_trials_without_label_are_kept_and_said(blank, where, tmp_path):
    labels = np.array(["left", "right"] * 6, object)
    labels[SPLIT.index(where)] = blank
    data = lfadsx.from_arrays(counts(), condition=labels, split=SPLIT, session="a")
    split = data.splits[where]
    assert split.labelled.tolist() == [False] + [True] * (split.n_trials - 1)
    assert split.condition[0] == "" and set(split.condition[1:]) <= {"left", "right"}
    found = finding(data, "trials without condition")
    assert found.where == where and found.value == 1 and found.level == "note"
    assert "1 trials without" in repr(data)
    again = lfadsx.read(*write_dataset(tmp_path, data))
    np.testing.assert_array_equal(again.splits[where].condition, split.condition)


def test_trials_without_label_are_split_among_each_other():
    condition = np.r_[np.zeros(40), np.ones(40), np.full(20, np.nan)]
    chosen = random_names(condition, 100, 0.2, 0.1, seed=0)
    share = np.mean(chosen[np.isnan(condition)] == "valid")
    assert abs(20 * share - 4) <= 1.5
    whole = lfadsx.data.split(condition, by="conditions", valid_fraction=0.5)
    assert set(whole[80:]) == {"train"} and len(set(whole[:40])) == len(set(whole[40:80])) == 1
    with pytest.raises(DataError, match="No trial has a condition"):
        lfadsx.data.split([None, None], by="conditions")


def test_trials_without_label_are_scored_but_for_scores_by_condition():
    rng = np.random.default_rng(0)
    condition = np.repeat([0.0, 1.0, np.nan], 20)
    rates = np.where(condition == 1, 3.0, 1.0)[:, None, None] * np.ones((60, 10, 4))
    values = rng.poisson(rates)
    order = ["train", "valid"] * 30
    data = lfadsx.from_arrays(values, condition=condition, split=order, held_out=1)
    baselines = lfadsx.evaluation.baselines
    average = baselines.condition_average(data, data.valid, width=0.0)
    without = np.flatnonzero(~data.valid.labelled)
    np.testing.assert_allclose(average[without], baselines.time_course(data, data.valid, width=0.0)[without])
    assert average[data.valid.condition == 1].mean() > 2.5
    labelled = data.select(trials=lambda split: split.labelled)
    kept = baselines.condition_average(labelled, labelled.valid, width=0.0)
    np.testing.assert_allclose(kept.mean((1, 2)), average[data.valid.labelled].mean((1, 2)), rtol=0.05)


# Arrays of some splits only


def test_arrays_of_the_training_trials_only(tmp_path):
    arrays = {f"{split}_data": counts(seed=seed) for seed, split in enumerate(("train", "valid", "test"))}
    arrays |= {"train_condition": np.arange(12) % 2, "train_velocity": np.ones((12, 10, 2)), "train_truth": counts()}
    data = lfadsx.read(write(tmp_path / "a.h5", **arrays))
    assert data.train.condition is not None and data.test.condition is None and data.test.behaviour is None
    missing = {found.sentence.split("'")[1]: found for found in data.findings if found.name == "arrays missing"}
    assert set(missing) == {"condition", "behaviour", "truth"}
    assert missing["behaviour"].where == "valid and test"
    assert "2 columns (velocity), only in train" in repr(data)
    posterior_free = lfadsx.evaluation.baselines.fit_baselines(data, data.test, regression=False)
    assert "condition average" not in posterior_free and "time course" in posterior_free


def test_arrays_of_a_scored_split_only(tmp_path):
    arrays = {f"{split}_data": counts(seed=seed) for seed, split in enumerate(("train", "valid", "test"))}
    data = lfadsx.read(write(tmp_path / "a.h5", **arrays, test_condition=np.arange(12) % 2))
    assert data.train.condition is None and finding(data, "arrays missing").where == "train and valid"
    np.testing.assert_array_equal(lfadsx.data.fold_datasets.all_trials(data).condition[:24], np.full(24, np.nan))


def test_held_out_channels_that_a_split_lacks(tmp_path):
    arrays = {
        "train_encod_data": counts()[:, :, :4],
        "train_recon_data": counts(),
        "valid_encod_data": counts(4)[:, :, :4],
    }
    data = lfadsx.read(write(tmp_path / "a.h5", **arrays))
    assert "Co-smoothing is not scored" in finding(data, "arrays missing").sentence
    assert not data.valid.target_observed["spikes"][:, :, 4:].any()


# Held-out channels and names


@pytest.mark.parametrize(
    "held_out",
    [[1, 4], (4, 1), range(1, 5, 3), np.array([1, 4]), np.array([1, 4], np.uint8)]
    + [[False, True, False, False, True, False], np.array([0, 1, 0, 0, 1, 0], bool)],
)
def test_held_out_as_indices_or_mask(held_out):
    data = lfadsx.from_arrays(counts(), held_out=held_out)
    np.testing.assert_array_equal(data.sessions[0].target_index, [0, 2, 3, 5])
    assert data.held_out()["session"].tolist() == [1, 4]


@pytest.mark.parametrize("number", [2, np.int64(2), np.array(2)])
def test_held_out_as_a_number(number):
    assert lfadsx.from_arrays(counts(), held_out=number).held_out()["session"].tolist() == [4, 5]


def test_nothing_held_out():
    for nothing in (0, [], np.zeros(6, bool)):
        data = lfadsx.from_arrays(counts(), held_out=nothing, other_targets={"emg": counts(n_channels=2)})
        assert data.held_out()["session"].tolist() == [] and data.held_out("emg")["session"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ([-1], "`held_out` must hold indices from 0 to 5 for 6 channels, got -1"),
        ([1, 1], r"`held_out` holds the index 1 more than once. .* a mask must be boolean"),
        ([0, 1, 0, 0, 1, 0], "`held_out` holds the index 0 more than once"),
        ([True, False], "mask `held_out` must have one entry for each of the 6 channels, got 2"),
        (np.ones(6, bool), "`held_out` names all 6 channels. Leave at least one"),
        ([0.5], "`held_out` must hold integers .indices. or booleans .a mask., got float64"),
        (True, "`held_out` must be a number of channels, a list of indices or a boolean mask, got True"),
        (-1, "`held_out` must be from 0 to 5 for 6 channels, got -1"),
        ([[1, 2]], r"`held_out` must be one list .* got shape \(1, 2\)"),
        (["unit 1"], "`held_out` holds 'unit 1', but the channels have no names"),
    ],
)
def test_mistakes_in_held_out(held_out, message):
    with pytest.raises(DataError, match=message):
        lfadsx.from_arrays(counts(), held_out=held_out)


def test_names_of_channels_by_group():
    both = {"spikes": [f"unit {i}" for i in range(6)], "emg": ["biceps", "triceps"]}
    data = lfadsx.from_arrays(counts(), channel_names=both, other_targets={"emg": counts(n_channels=2)})
    assert data.channel_names("emg") == {"session": ("biceps", "triceps")}
    assert data.channel_names()["session"][2] == "unit 2"
    assert lfadsx.from_arrays(counts()).channel_names() == {"session": tuple("012345")}


# Time, rows, findings


def test_time_kind_names_and_rows_come_back_from_a_file(tmp_path):
    data = lfadsx.from_arrays(
        counts(),
        bin_width=0.02,
        start=-0.1,
        event="go cue",
        other_targets={"emg": counts(n_channels=2).astype(float)},
        kind={"emg": "real"},
        unit={"emg": "mV"},
        channel_names={"emg": ["biceps", "triceps"]},
        trial_id=[f"t{i}" for i in range(12)],
        test_fraction=0.2,
        session="a",
    )
    (file,) = write_dataset(tmp_path, data)
    again = lfadsx.read(file)
    assert again.time == data.time == TimeAxis(0.02, -0.1, "go cue")
    assert again.groups == data.groups and again.groups["emg"] == TargetGroup("real", "mV")
    assert again.channel_names("emg") == data.channel_names("emg")
    for name, split in data.splits.items():
        np.testing.assert_array_equal(again.splits[name].row, split.row)
        np.testing.assert_array_equal(split.trial_id, [f"t{i}" for i in split.row])
    other = lfadsx.read(file, start=0.5, event="reward", kind={"spikes": "real", "emg": "counts"})
    assert other.time == TimeAxis(0.02, 0.5, "reward") and not other.is_counts() and other.is_counts("emg")
    with pytest.raises(DataError, match="start of the first bin of session 'a' is -0.1 and that of session 'b' is 0.0"):
        lfadsx.concatenate(data, lfadsx.from_arrays(counts(), bin_width=0.02, session="b"))


def test_groups_that_a_file_says_wrong(tmp_path):
    file = write(tmp_path / "a.h5", {"target_groups": "counts"}, train_data=counts())
    with pytest.raises(DataError, match="attribute 'target_groups' of 'a.h5' cannot be read .* Give JSON such as"):
        lfadsx.read(file)


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({}, [[0, 1], [2], [3, 4]]),
        (dict(train_inds=[7, 1], valid_inds=[3], test_inds=[0, 9]), [[3, 1], [2], [0, 4]]),
        (dict(train_inds=[0, 1], valid_inds=[0], test_inds=[0, 1]), [[0, 1], [2], [3, 4]]),
        (dict(train_inds=[7, 1], valid_inds=[3]), [[0, 1], [2], [3, 4]]),
        (dict(train_inds=[b"x", b"y"], valid_inds=[b"z"], test_inds=[b"a", b"b"]), [[0, 1], [2], [3, 4]]),
        (dict(train_inds=[7, 1], valid_inds=[3], test_inds=[0, 9], train_row=[4, 3], valid_row=[2], test_row=[1, 0]),
         [[4, 3], [2], [1, 0]]),
    ],
)  # fmt: skip
def test_rows_of_a_file(tmp_path, keys, rows):
    arrays = dict(train_data=counts(2), valid_data=counts(1), test_data=counts(2))
    file = write(tmp_path / "a.h5", **arrays, **keys)
    assert [split.row.tolist() for split in lfadsx.read(file).splits.values()] == rows
    sessions = lfadsx.from_arrays(counts(), session="a").sessions
    assert [split.row.tolist() for split in read_split(file, sessions).values()] == rows


def test_rows_of_drawn_trials_and_of_several_sessions(tmp_path):
    data = lfadsx.read(write(tmp_path / "a.h5", data=counts(20)), valid_fraction=0.3)
    for split in data.splits.values():
        np.testing.assert_array_equal(split.encoder_input, counts(20)[split.row])
    both = lfadsx.concatenate(data, lfadsx.from_arrays(counts(5), session="b"))
    rows = np.concatenate([split.row for split in both.splits.values()])
    assert sorted(rows) == list(range(25))
    assert all((split.row[split.session == 1] >= 20).all() for split in both.splits.values())


def test_findings_about_odd_data(tmp_path):
    values = counts(20)
    values[:, :, 2] = 0
    values[4, 3, 1] = 255
    split = ["train"] * 14 + ["valid"] * 3 + ["test"] * 3
    values[18] = values[2]
    data = lfadsx.from_arrays(values, split=split, bin_width=10, channel_names=list("abcdef"))
    assert set(names(data)) == {"silent neurons", "long bins", "repeated trials"}
    assert (
        "1 of 6 channels of 'spikes' of session 'session' never have a count in training: c."
        in finding(data, "silent neurons").sentence
    )
    assert "bin_width=0.01" in finding(data, "long bins").remedy
    assert "train trial 2 and test trial 1" in finding(data, "repeated trials").sentence
    high = finding(lfadsx.from_arrays(values, split=split, bin_width=0.01), "high counts")
    assert high.value == 255 and "Channel 1 of session 'session' has 255 counts per bin in bin 3" in high.sentence
    assert names(lfadsx.from_arrays(counts(20))) == []
    note = finding(lfadsx.read(write(tmp_path / "a.h5", data=counts(), extra=1)), "unused keys")
    assert note.sentence == "Keys of 'a.h5' that nothing reads: 'extra'." and note.level == "note"


def test_constant_channels_of_real_numbers():
    values = counts() - 0.5
    values[:, :, 3] = 2.5
    assert "do not vary" in finding(lfadsx.from_arrays(values), "constant channels").sentence


def test_every_repr_has_at_most_20_lines():
    extra = {f"group {i}": counts(n_channels=2) for i in range(12)}
    along = dict(known_inputs=counts(), truth=counts(), true_inputs=counts(), behaviour=counts())
    data = lfadsx.from_arrays(
        counts(), other_targets=extra, condition=["a", ""] * 6, held_out=2, forward_bins=2, bin_width=0.01, **along
    )
    for value in (data, data.train, data.sessions[0], lfadsx.data.batch(data), making.forward(making.build(
        making.one_session()))(lfadsx.data.batch(making.one_session()))):  # fmt: skip
        assert 1 <= len(repr(value).splitlines()) <= 20
        assert max(map(len, repr(value).splitlines())) < 600
    text = repr(lfadsx.from_arrays(counts(), held_out=2, bin_width=0.01))
    assert "6 channels (2 held out)" in text and "10 of 10 ms" in text and "10 train, 2 valid" in text


# Parts


def whole(**changes):
    settings = dict(
        held_out=[1, 4],
        forward_bins=2,
        bin_width=0.1,
        start=-0.3,
        truth=counts(seed=1).astype(float),
        known_inputs=counts(n_channels=1, seed=2),
        behaviour=counts(n_channels=2, seed=3),
        condition=np.arange(12) % 3,
        interval=1.0 + np.arange(12),
        start_time=100.0 + 2 * np.arange(12),
        channel_names=list("abcdef"),
        split=SPLIT,
    )
    return lfadsx.from_arrays(counts(), **(settings | changes))


@pytest.mark.parametrize("form", ["mask", "indices", "function"])
def test_trials_are_chosen_in_the_order_of_the_input(form):
    data = whole()
    wanted = np.array([0, 1, 2, 3, 7, 9])
    mask = np.isin(np.arange(12), wanted)
    forms = {"mask": mask, "indices": wanted[::-1].tolist(), "function": lambda split: mask[split.row]}
    part = data.select(trials=forms[form])
    found = {name: split.row.tolist() for name, split in part.splits.items()}
    assert found == {"train": [0, 3, 9], "valid": [1, 7], "test": [2]}
    for split in part.splits.values():
        np.testing.assert_array_equal(split.targets["spikes"], counts()[split.row])
        np.testing.assert_array_equal(split.condition, split.row % 3)
        np.testing.assert_array_equal(split.interval, 1 + split.row)
        np.testing.assert_array_equal(split.start_time, 100 + 2 * split.row)
    again = part.select(trials=[0, 1, 4])  # counts the trials that are left
    assert [split.row.tolist() for split in again.splits.values()] == [[0], [1, 7]] and again.test is None


def test_trials_of_one_session():
    both = lfadsx.concatenate(whole(session="a"), whole(session="b"), whole(session="c", held_out=[0, 1, 2]))
    part = both.select(trials=lambda split: split.session == 2)
    assert [session.name for session in part.sessions] == ["c"] and set(part.train.session) == {0}
    assert part.train.encoder_input.shape[2] == 3 and list(part.source) == ["c"]


def test_mistakes_in_choosing_trials():
    with pytest.raises(DataError, match="must keep at least one of the 4 valid trials, got 0"):
        whole().select(trials=[0, 3])
    with pytest.raises(DataError, match="`trials` must hold indices from 0 to 11 for 12 trials, got 12"):
        whole().select(trials=[0, 12])
    with pytest.raises(DataError, match="mask `trials` must have one entry for each of the 12 trials, got 3"):
        whole().select(trials=[True] * 3)


@pytest.mark.parametrize("neurons", [[0, 1, 3], np.isin(np.arange(6), [0, 1, 3]), ["d", "b", "a"]])
def test_neurons_leave_encoder_and_targets_together(neurons):
    data = whole()
    part = data.select(neurons=neurons)
    np.testing.assert_array_equal(part.train.targets["spikes"], data.train.targets["spikes"][:, :, [0, 1, 3]])
    np.testing.assert_array_equal(part.train.encoder_input, data.train.targets["spikes"][:, :8, [0, 3]])
    np.testing.assert_array_equal(part.train.truth, data.train.truth[:, :, [0, 1, 3]])
    assert part.held_out() == {"session": np.array([1])} and part.channel_names()["session"] == ("a", "b", "d")
    index = part.sessions[0].target_index
    np.testing.assert_array_equal(part.train.targets["spikes"][:, :8, index], part.train.encoder_input)


def test_neurons_of_several_sessions():
    both = lfadsx.concatenate(making.ragged("a"), making.ragged("b", n_channels=4))
    part = both.select(neurons={"a": [0, 1, 2]})
    assert [session.n_targets["spikes"] for session in part.sessions] == [3, 4]
    assert part.train.targets["spikes"].shape[2] == 4 and part.train.encoder_input.shape[2] == 3
    alone = making.ragged("a").select(neurons=[0, 1, 2]).train
    first = part.train.session == 0
    np.testing.assert_array_equal(part.train.targets["spikes"][first, :, :3], alone.targets["spikes"])
    np.testing.assert_array_equal(part.train.target_observed["spikes"][first, :, :3], alone.target_observed["spikes"])
    np.testing.assert_array_equal(part.train.encoder_observed[first, :, :2], alone.encoder_observed)
    with pytest.raises(DataError, match="must be a dict by session, such as {'a'"):
        both.select(neurons=[0])
    with pytest.raises(DataError, match="session of `neurons` must be one of 'a', 'b', got 'c'"):
        both.select(neurons={"c": [0]})
    with pytest.raises(DataError, match="encoder would see no channel of session 'a'"):
        both.select(neurons={"a": [1, 4]})
    with pytest.raises(DataError, match="must be one of .* got 'z'|holds 'z', but the channels have no names"):
        whole().select(neurons=["z"])


@pytest.mark.parametrize(
    ("window", "first", "stop"),
    [((-0.3, 0.7), 0, 10), ((0.0, 0.3), 3, 6), ((-0.05, 0.35), 3, 6), ((None, 0.0), 0, 3), ((0.1, None), 4, 10)]
    + [((-9, 9), 0, 10)],
)
def test_a_window_keeps_whole_bins(window, first, stop):
    data = whole()
    part = data.select(window=window)
    np.testing.assert_array_equal(part.train.targets["spikes"], data.train.targets["spikes"][:, first:stop])
    np.testing.assert_array_equal(part.train.encoder_input, data.train.encoder_input[:, first:stop])
    np.testing.assert_array_equal(part.train.behaviour, data.train.behaviour[:, first:stop])
    assert set(part.train.target_length) == {stop - first}
    assert set(part.train.encoder_length) == {min(stop, 8) - first}
    assert part.time.start == pytest.approx(-0.3 + 0.1 * first) and part.bin_width == 0.1
    np.testing.assert_allclose(part.valid.start_time, 100 + 2 * part.valid.row + 0.1 * first, rtol=0, atol=1e-9)


def test_windows_of_unknown_bins_and_of_short_trials():
    trials = [counts()[0, :n] for n in (10, 10, 10, 4, 6, 10)]
    data = lfadsx.from_arrays(trials, split=["train", "valid", "train", "train", "valid", "test"])
    part = data.select(window=(4, 8))
    assert part.train.n_trials == 2 and part.valid.target_length.tolist() == [4, 2] and part.time == TimeAxis()
    assert "1 trials were left out" in finding(part, "trials dropped").sentence
    np.testing.assert_array_equal(part.valid.encoder_input[1, :2], trials[4][4:6])
    assert not part.valid.encoder_input[1, 2:].any()
    with pytest.raises(DataError, match=r"window \(3.2, 3.8\) holds no whole bin. .* between 0 and 10 bins"):
        data.select(window=(3.2, 3.8))
    with pytest.raises(DataError, match="encoder sees no bin of the train or valid trials"):
        whole().select(window=(0.5, 0.7))


def test_start_times_of_some_sessions_and_of_unknown_bins():
    unknown = lfadsx.from_arrays(counts(), start_time=np.arange(12), split=SPLIT)
    assert unknown.select(window=(2, None)).train.start_time is None
    np.testing.assert_array_equal(unknown.select(window=(0, 4)).valid.start_time, unknown.valid.row)
    both = lfadsx.concatenate(unknown, lfadsx.from_arrays(counts(), split=SPLIT, session="other"))
    np.testing.assert_array_equal(np.isnan(both.train.start_time), both.train.session == 1)
    assert both.train.start_time.dtype == np.float64
    for wrong, problem in ((np.inf, "must hold times in seconds, got inf"), ("a", "must hold")):
        with pytest.raises(DataError, match=problem):
            lfadsx.from_arrays(counts(), start_time=[wrong] * 12, split=SPLIT)


def test_a_window_and_one_of_its_windows_are_the_same_as_at_once():
    data = whole(start=0.0)
    twice, once = data.select(window=(0.1, 0.7)).select(window=(0.3, 0.6)), data.select(window=(0.3, 0.6))
    assert twice.time == once.time
    np.testing.assert_array_equal(twice.train.encoder_input, once.train.encoder_input)


def test_rebin_sums_counts_and_averages_the_rest():
    emg = np.random.default_rng(4).standard_normal((12, 10, 2))
    data = whole(truth_unit="Hz", other_targets={"emg": emg}, forward_bins=0)
    part = data.rebin(5)
    np.testing.assert_array_equal(part.valid.start_time, data.valid.start_time)
    assert part.bin_width == pytest.approx(0.5) and part.time.start == -0.3 and names(part) == names(data)
    cut = lambda values: values.reshape(values.shape[0], 2, 5, -1)  # noqa: E731
    np.testing.assert_array_equal(part.train.targets["spikes"], cut(data.train.targets["spikes"]).sum(2))
    np.testing.assert_array_equal(part.train.encoder_input, cut(data.train.encoder_input).sum(2))
    assert part.train.encoder_input.dtype == np.uint8
    for mine, theirs in (
        (part.train.targets["emg"], data.train.targets["emg"]),
        (part.train.behaviour, data.train.behaviour),
        (part.train.known_inputs, data.train.known_inputs),
        (part.train.truth, data.train.truth),
    ):
        np.testing.assert_allclose(mine, cut(theirs).mean(2), rtol=1e-5, atol=1e-6)
        assert mine.dtype == np.float32
    in_counts = whole(truth_unit="counts per bin", forward_bins=0)
    np.testing.assert_allclose(in_counts.rebin(5).train.truth, cut(in_counts.train.truth).sum(2), rtol=1e-6)


def test_rebin_of_large_counts_does_not_wrap():
    data = lfadsx.from_arrays(np.full((4, 6, 2), 200)).rebin(3)
    assert data.train.encoder_input.dtype == np.uint16 and set(data.train.encoder_input.ravel()) == {600}


def test_rebin_of_ragged_trials_with_gaps():
    data = making.ragged(lengths=(9, 9, 7, 7), forward_bins=2)
    part = data.rebin(2)
    np.testing.assert_array_equal(part.train.target_length, data.train.target_length // 2)
    np.testing.assert_array_equal(part.train.encoder_length, data.train.encoder_length // 2)
    assert part.train.n_bins == 4 and finding(part, "bins dropped").value == 4
    mask, values = data.train.target_observed["spikes"], data.train.targets["spikes"]
    both = mask[:, 0:8:2] & mask[:, 1:8:2]
    inside = np.arange(4) < part.train.target_length[:, None]
    np.testing.assert_array_equal(part.train.target_observed["spikes"], both & inside[:, :, None])
    expected = np.where(both & inside[:, :, None], values[:, 0:8:2] + values[:, 1:8:2], 0)
    np.testing.assert_array_equal(part.train.targets["spikes"], expected)
    assert part.bin_width is None


def test_rebin_keeps_aligned_components():
    data = lfadsx.align(making.one_session(n_trials=20, n_bins=8, n_channels=5), 2)
    part = data.rebin(4)
    old, new = data.sessions[0], part.sessions[0]
    components = (data.train.encoder_input - old.alignment_bias) @ old.alignment
    wide = (part.train.encoder_input - new.alignment_bias) @ new.alignment
    np.testing.assert_allclose(wide, components.reshape(10, 2, 4, 2).mean(2), atol=1e-10)


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (0, "at least 1, got 0"),
        (1.5, "got 1.5"),
        (9, "must be at most 8, .* got 9"),
    ],
)
def test_mistakes_in_rebin(n, message):
    with pytest.raises(DataError, match=message):
        whole().rebin(n)


def test_a_part_of_the_data_builds_a_model():
    data = making.several_sessions().select(trials=lambda split: split.session == 0, window=(0, 6)).rebin(2)
    model = making.outline(data)
    check_fits(model, data)


def test_concatenate_refuses_what_is_not_a_data_set():
    with pytest.raises(DataError, match="`concatenate` joins data sets, got list. Give them one by one"):
        lfadsx.concatenate([whole()])


def test_concatenate_keeps_groups_findings_and_units():
    with_emg = whole(session="b", other_targets={"emg": counts(n_channels=2) - 0.5}, unit={"emg": "mV"})
    silent = dataclasses.replace(with_emg)
    both = lfadsx.concatenate(whole(session="a"), silent)
    assert both.groups["emg"] == TargetGroup("real", "mV") and both.sessions[0].n_targets["emg"] == 0
    assert both.time == TimeAxis(0.1, -0.3) and len(both.findings) == 0
    other = whole(session="c", other_targets={"emg": counts(n_channels=2) - 0.5}, unit={"emg": "uV"})
    with pytest.raises(DataError, match="unit of 'emg' of session 'b' is 'mV' and that of session 'c' is 'uV'"):
        lfadsx.concatenate(with_emg, other)
