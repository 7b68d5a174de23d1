"""Continuous imaging: pieces of frames, gaps between them, and every reader without a table of trials."""

import numpy as np
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.recordings import cut, read_traces

RATE = 20.0
VALUES = np.random.default_rng(0).normal(size=(900, 4)).astype(np.float32)
TIMES = 3.0 + np.arange(900) / RATE + np.random.default_rng(1).uniform(-0.01, 0.01, 900)  # frames jitter


def pieces_of(data):
    """Yields first bin, start time and values of the bins of every piece, and its split."""
    for name, split in data.splits.items():
        hidden = split.target_observed.get("spikes")
        for row, n in enumerate(split.target_length):
            values = split.targets["spikes"][row, :n]
            known = values if hidden is None else np.where(hidden[row, :n], values, np.nan)
            yield int(split.first_bin[row]), float(split.start_time[row]), known, name


def check(data, values, times, frames, first=0):
    """Every piece holds the frames from its start on; pieces cover `frames` and no other, and splits share none."""
    owner = np.full(len(times), "", "<U5")
    for _, start, found, name in pieces_of(data):
        frame = int(np.argmin(np.abs(times - start)))
        own = slice(frame, frame + len(found))
        assert times[frame] == pytest.approx(start, abs=1e-9) and np.isin(owner[own], ["", name]).all()
        np.testing.assert_array_equal(found, values[own])
        owner[own] = name
    np.testing.assert_array_equal(owner != "", frames)
    assert min(begin for begin, *_ in pieces_of(data)) == first
    assert data.groups["spikes"].kind == "real" and data.time.event == "piece start"


def test_pieces_of_frames_never_cross_a_gap():
    values, there = VALUES.copy(), np.ones(900, bool)
    there[500:540] = False  # frames that the file lacks
    values[200:203] = np.nan
    values[50, 1] = np.nan  # of one unit: not observed, no gap
    observed = [[3.0, 40.0]]
    inside = (TIMES + 1 / RATE < 40.0) & np.isfinite(values).any(axis=1)
    data = lfadsx.from_traces(
        values[there], frame_times=TIMES[there], frame_rate=RATE, observed=observed, chop=1.0, overlap=0.25
    )
    inside[0] &= TIMES[0] >= 3.0
    check(data, values[there], TIMES[there], inside[there])
    for first, start, found, _ in pieces_of(data):
        assert len(found) <= 20 and first == pytest.approx((start - TIMES[inside][0]) * RATE, abs=0.5)
        assert not np.isnan(found).all(axis=1).any()
    hidden = [np.isnan(found).any() for _, start, found, _ in pieces_of(data) if start <= TIMES[50] < start + 0.95]
    assert hidden and all(hidden)
    facts = data.source["session"]
    assert facts["likelihood"] == "gaussian_by_channel" and facts["frame_rate"] == RATE and "frame_delay_s" not in facts


@pytest.mark.parametrize("asked", [None, 20.0, 21.0])
def test_times_in_the_file_win_over_the_rate_that_is_given(asked):
    times = 3.0 + np.round(np.arange(900) / 20.3, 2) + (np.arange(900) >= 400) * 7.4 / 20.3  # rounded, with a pause
    data = lfadsx.from_traces(VALUES, frame_times=times, frame_rate=asked, chop=1.0)
    assert data.source["session"]["frame_rate"] == pytest.approx(20.3, rel=1e-3)
    assert data.bin_width == pytest.approx(1 / 20.3, rel=1e-3)
    check(data, VALUES, times, np.ones(900, bool))
    said = [finding.sentence for finding in data.findings if finding.name == "times of frames"]
    assert len(said) == (asked is not None) and all(f"`frame_rate` {asked:g} is not used" in one for one in said)


def test_a_rate_without_times_is_said():
    data = lfadsx.from_traces(VALUES, frame_rate=RATE, chop=1.0)
    (said,) = [finding for finding in data.findings if finding.name == "times of frames"]
    assert "counted from 0 s, 20 per second" in said.sentence and "Give the time of each frame" in said.remedy


def test_joined_pieces_stand_on_the_frames():
    data = lfadsx.from_traces(VALUES, frame_rate=RATE, chop=1.0, bin_width=0.05)
    first, start = data.train.first_bin, data.train.start_time
    np.testing.assert_allclose(start, first / RATE, atol=1e-9)
    assert {split.n_bins for split in data.splits.values()} == {20}


def test_long_trials_of_imaging_are_cut_into_frames_of_their_window():
    go = np.arange(4.0, 44.0, 2.5)
    recording = read_traces(VALUES, {"go": go}, frame_times=TIMES, frame_rate=RATE)
    whole = cut(recording, align="go", window=(0.0, 2.0))
    data = cut(recording, align="go", window=(0.0, 2.0), chop=0.7, overlap=0.2)
    assert data.source["session"]["frame_delay_s"] == whole.source["session"]["frame_delay_s"]
    for name, split in data.splits.items():
        trials = whole.splits[name]
        for row, (trial, first) in enumerate(zip(split.trial_id, split.first_bin, strict=True)):
            own = trials.targets["spikes"][np.flatnonzero(trials.trial_id == trial)[0]]
            np.testing.assert_array_equal(split.targets["spikes"][row], own[first : first + 14])
            assert split.start_time[row] in TIMES


def test_imaging_that_cannot_be_cut():
    with pytest.raises(lfadsx.DataError, match="`trials` must hold the times of an event, got None.*Give `chop`"):
        lfadsx.from_traces(VALUES, frame_rate=RATE)
    with pytest.raises(lfadsx.DataError, match="longest run of observed bins has 0"):
        lfadsx.from_traces(np.full((99, 2), np.nan), frame_rate=RATE, chop=1.0)
    with pytest.raises(lfadsx.DataError, match=r"at least two bins, got 0.06 s with bins of 0.05 s"):
        lfadsx.from_traces(VALUES, frame_rate=RATE, chop=0.06)


def test_files_of_continuous_imaging(recordings, tmp_path, capsys):
    calcium = recordings / "formats" / "calcium"
    arrays = dict(np.load(calcium / "calcium.npz"))
    whole = np.isfinite(arrays["dff"]).any(axis=1)
    data = lfadsx.from_array_file(calcium / "calcium.npz", map="traces=dff", chop=1.0, overlap=0.2)
    check(data, arrays["dff"].astype(np.float32), arrays["frame_time_s"], whole)
    out = tmp_path / "day.h5"
    words = ["prepare", str(calcium / "suite2p"), "--frame-rate", "30.02", "--chop", "1", "--out", str(out)]
    assert cli.main(words) == 0 and "--likelihood zero_inflated_gamma" in capsys.readouterr().err
    events = np.nan_to_num(arrays["events"]).astype(np.float32)
    check(lfadsx.read(out), events, np.arange(len(events)) / 30.02, np.ones(len(events), bool))
    assert cli.main(["inspect", str(calcium / "suite2p"), "--frame-rate", "30.02"]) == 0
    command = capsys.readouterr().out.split("into pieces, for example with:\n")[1].split()
    assert command[:2] == ["lfadsx", "prepare"] and command[-4:] == ["--chop", "1", "--frame-rate", "30.02"]


def test_counts_and_traces_in_one_file(tmp_path):
    both = {"counts": np.ones((90, 4), int), "dff": VALUES, "frame_rate": RATE, "lengths": np.full(9, 10)}
    np.savez(tmp_path / "day.npz", **both)
    assert lfadsx.from_array_file(tmp_path / "day.npz", bin_width=0.01).is_counts()
    assert not lfadsx.from_array_file(tmp_path / "day.npz", map="traces=dff", chop=1.0).is_counts()
    del both["lengths"]
    np.savez(tmp_path / "day.npz", **both)
    assert not lfadsx.from_array_file(tmp_path / "day.npz", chop=1.0).is_counts()
    chosen = lfadsx.from_array_file(tmp_path / "day.npz", map="counts=counts", bin_width=0.01, chop=0.1)
    assert chosen.is_counts() and chosen.train.n_bins == 10
