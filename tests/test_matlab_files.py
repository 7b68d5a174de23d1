"""MATLAB files: layouts of laboratories, times in other units, unreadable content, and mistakes."""

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

import lfadsx
from lfadsx.recordings import read_matlab
from lfadsx.recordings.matlab_tables import in_milliseconds

N_TRIALS, N_UNITS = 12, 3
START = 2.0 * np.arange(N_TRIALS) + 1
STOP, GO = START + 1.5, START + 0.5
ID = np.arange(N_TRIALS) + 101
CONDITION = ["left", "right"] * (N_TRIALS // 2)
SPIKES = [np.unique(np.random.default_rng(unit).integers(0, 260_000, 500)) / 10_000 + 5e-5 for unit in range(N_UNITS)]
CUE = dict(align="go", window=(-0.3, 0.6))


def struct(rows):
    """A 1 x n struct array."""
    array = np.zeros((1, len(rows)), [(name, object) for name in rows[0]])
    for k, row in enumerate(rows):
        for name, value in row.items():
            array[0, k][name] = value
    return array


def cell(rows):
    """A cell array of rows of vectors, each n x 1."""
    out = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        for j, values in enumerate(row):
            out[i, j] = np.reshape(values, (-1, 1))
    return out


def inside(first, last):
    """Spikes by trial, then by unit."""
    return [[t[(t >= a) & (t < b)] for t in SPIKES] for a, b in zip(first, last, strict=True)]


def trials(spikes, scale=1.0, suffix="", relative=True, **left_out):
    """Rows of a struct array of trials; `left_out` names fields that are not there."""
    rows = []
    for k in range(N_TRIALS):
        zero = START[k] if relative else 0.0
        row = {
            "trialID": ID[k],
            f"startTime{suffix}": scale * START[k],
            f"stopTime{suffix}": scale * (STOP[k] - zero),
            f"go{suffix}": scale * (GO[k] - zero),
            "condition": CONDITION[k],
            f"spikes{suffix}": cell([[scale * (own - zero) for own in spikes[k]]]),
        }
        rows.append({name: value for name, value in row.items() if name not in left_out})
    return struct(rows)


def save(path, **variables):
    scipy.io.savemat(path / "day1.mat", variables)
    return path / "day1.mat"


def counts(data):
    splits = list(data.splits.values())
    order = np.argsort(np.concatenate([split.row for split in splits]))
    return np.concatenate([split.targets["spikes"] for split in splits])[order]


@pytest.fixture(scope="module")
def expected():
    table = {"trial_id": ID, "go": GO, "start": START, "stop": STOP, "condition": CONDITION}
    return lfadsx.from_spike_times(SPIKES, table, **CUE)


@pytest.mark.parametrize(
    "options",
    [{}, {"scale": 1000, "suffix": "Ms"}, {"relative": False}, {"startTime": True}],
    ids=["s", "ms", "of the session", "no start"],
)
def test_trials(tmp_path, expected, options):
    own = {"align": "go" + options.get("suffix", "")}
    data = lfadsx.from_matlab(save(tmp_path, trials=trials(inside(START, STOP), **options)), **CUE | own)
    np.testing.assert_array_equal(counts(data), counts(expected))
    assert data.sessions[0].name == "day1" and data.sessions[0].names("spikes") == ("1", "2", "3")
    assert set(data.train.condition) == {"left", "right"} and set(data.train.trial_id) < set(ID)


def test_milliseconds_without_a_name_that_says_so(tmp_path, expected):
    path = save(tmp_path, trials=trials(inside(START, STOP), scale=1000))
    with pytest.raises(lfadsx.DataError, match="must be seconds, but the median interval.*time_unit=0.001"):
        read_matlab(path)
    np.testing.assert_array_equal(counts(lfadsx.from_matlab(path, time_unit=0.001, **CUE)), counts(expected))


def test_windows_stay_inside_trials_whose_end_is_not_stored(tmp_path):
    recording = read_matlab(save(tmp_path, trials=trials(inside(START, STOP), stopTime=True)))
    last = [max(own.max() for own in row) for row in inside(START, STOP)]
    np.testing.assert_allclose(recording.times("stop"), last)
    assert "trial ends unknown" in {finding.name for finding in recording.findings}


def test_one_unit_one_trial_and_one_spike(tmp_path):
    rows = [
        {"startTime": a, "stopTime": 1.5, "spikes": s[0][:, None] - a}
        for a, s in zip(START, inside(START, STOP), strict=True)
    ]
    recording = read_matlab(save(tmp_path, trials=struct(rows)))
    assert recording.n_units == 1 and recording.n_trials == N_TRIALS
    one = {"startTime": 1.0, "stopTime": 2.0, "spikes": cell([[[0.5], []]])}
    recording = read_matlab(save(tmp_path, trials=struct([one])))
    assert recording.n_trials == 1 and [own.tolist() for own in recording.spikes] == [[0.5], []]


def test_units_of_a_session(tmp_path, expected):
    rows = [
        {"unitID": 7 + 2 * k, "area": "M1", "depth": 3.5, "spikeTimes": own[:, None]} for k, own in enumerate(SPIKES)
    ]
    table = {"trial_id": ID[:, None], "start": START[:, None], "stop": STOP[:, None], "go": GO[:, None]}
    path = save(tmp_path, units=struct(rows), trials=table | {"condition": cell_of_text(CONDITION)}, observed=[[0, 30]])
    recording = read_matlab(path)
    assert recording.unit_id.tolist() == [7, 9, 11] and recording.unit_columns["area"].tolist() == ["M1"] * 3
    assert recording.observed.tolist() == [[0, 30]] and not recording.within_trials
    np.testing.assert_array_equal(counts(lfadsx.from_matlab(path, **CUE)), counts(expected))
    with pytest.raises(lfadsx.DataError, match="needs a table of trials beside 'units'"):
        lfadsx.from_matlab(save(tmp_path, units=struct(rows)))


def cell_of_text(texts):
    out = np.empty((len(texts), 1), object)
    out[:, 0] = texts
    return out


@pytest.mark.parametrize("by_unit", [True, False])
def test_cells_around_an_event(tmp_path, expected, by_unit):
    around = [[own - go for own in row] for row, go in zip(inside(GO - 0.3, GO + 0.6), GO, strict=True)]
    around = cell(around)
    table = {name: v[:, None] for name, v in {"trialID": ID, "start": START, "stop": STOP, "go": GO}.items()}
    path = save(tmp_path, times=around.T if by_unit else around, trials=table)
    with pytest.raises(
        lfadsx.DataError, match="must be named, because they go from -0.29865 to 0.59655 s.*one of start, stop, go"
    ):
        read_matlab(path)
    data = lfadsx.from_matlab(path, relative_to="go", **CUE)
    np.testing.assert_array_equal(counts(data), counts(expected))
    note = data.findings[0].sentence
    assert "from -0.3 to 0.6 s of 'go'" in note
    with pytest.raises(lfadsx.DataError, match="At least two trials"):
        lfadsx.from_matlab(path, relative_to="go", align="go", window=(-0.4, 0.6))
    wider = lfadsx.from_matlab(path, relative_to="go", extent=(-0.4, 0.6), align="go", window=(-0.4, 0.6))
    assert wider.train.n_bins == 100


def test_cells_whose_axes_are_not_clear(tmp_path):
    around = cell(inside(np.zeros(N_TRIALS), np.ones(N_TRIALS)))
    path = save(tmp_path, times=around)
    with pytest.raises(lfadsx.DataError, match="The axes of 'times', 12 x 3, must be told apart"):
        read_matlab(path)
    assert read_matlab(path, axes="trial unit").n_units == 3
    assert read_matlab(path, axes="unit trial").n_units == 12


@pytest.mark.parametrize("order", ["trial neuron time", "neuron time trial", "time trial neuron"])
def test_axes_of_counts(tmp_path, order):
    values = np.random.default_rng(0).poisson(0.4, (8, 10, 5)).astype(float)
    turned = values.transpose([("trial", "time", "neuron").index(word) for word in order.split()])
    unknown = save(tmp_path, counts=turned)
    with pytest.raises(lfadsx.DataError, match="must be told apart.*axes='trial neuron time'"):
        read_matlab(unknown)
    with pytest.raises(lfadsx.DataError, match="need the width of their bins"):
        read_matlab(unknown, axes=order)
    np.testing.assert_array_equal(counts(lfadsx.from_matlab(unknown, axes=order, bin_width=0.02)), values)
    known = save(tmp_path, counts=turned, unitID=np.arange(5), trialID=np.arange(8))
    np.testing.assert_array_equal(counts(lfadsx.from_matlab(known, bin_width=0.02)), values)


def test_counts_on_the_grid_of_their_bins(tmp_path):
    values = np.random.default_rng(0).poisson(0.4, (8, 5, 10))
    path = save(tmp_path, counts=values, timeMs=np.arange(-45.0, 50, 10), unitID=np.arange(5))
    data = lfadsx.from_matlab(path, window=(-0.03, 0.05), bin_width=0.02)
    assert data.time.start == -0.03 and data.time.event == "zero"  # times are the middles of bins
    np.testing.assert_array_equal(counts(data), values[:, :, 2:].reshape(8, 5, 4, 2).sum(3).transpose(0, 2, 1))
    for wrong in ({"bin_width": 0.015}, {"window": (-0.035, 0.05)}):
        with pytest.raises(lfadsx.DataError, match="must fit the bins of the counts, which are 0.01 s wide from -0.05"):
            lfadsx.from_matlab(path, **wrong)


def test_rates_are_not_counts(tmp_path):
    path = save(tmp_path, rates=np.full((8, 5, 10), 2.5), unitID=np.arange(5), trialID=np.arange(8))
    with pytest.raises(lfadsx.DataError, match="'rates' is fractional"):
        read_matlab(path, bin_width=0.01)


def test_what_python_cannot_read_is_named(tmp_path):
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        table = file.create_dataset("behaviour", data=np.zeros(6, np.uint32))
        table.attrs["MATLAB_class"] = np.bytes_("table")
        file.create_group("big").attrs["MATLAB_sparse"] = np.uint64(3)
    with pytest.raises(
        lfadsx.DataError, match=r"'behaviour' is of class table; in MATLAB use table2struct\(x\)"
    ) as error:
        read_matlab(tmp_path / "new.mat")
    assert "use full(x)" in str(error.value)
    path = save(tmp_path, spikes=scipy.sparse.csc_matrix(np.eye(3)))
    with pytest.raises(lfadsx.DataError, match="'spikes' is of class sparse"):
        read_matlab(path)


def test_cells_without_end_and_damaged_files(tmp_path):
    path = tmp_path / "loop.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        loop = file.create_dataset("loop", (1, 1), h5py.ref_dtype)
        loop[0, 0] = loop.ref
    with pytest.raises(lfadsx.DataError, match="at most 20 levels"):
        read_matlab(path)
    whole = save(tmp_path, trials=trials(inside(START, STOP))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(lfadsx.DataError, match="cannot be read as a MATLAB file"):
        read_matlab(path)
    path.write_text("trial,spikes\n1,2\n")
    with pytest.raises(lfadsx.DataError, match="cannot be read as a MATLAB file"):
        read_matlab(path)
    with pytest.raises(lfadsx.DataError, match="must exist, but was not found"):
        read_matlab(tmp_path / "nowhere.mat")
    with pytest.raises(lfadsx.DataError, match="Found 'x'"):
        read_matlab(save(tmp_path, x=np.eye(2)))


def test_names_that_say_milliseconds():
    assert all(map(in_milliseconds, ("spikeTimesMs", "go_cue_ms", "tMS", "time_msec")))
    assert not any(map(in_milliseconds, ("items", "rms", "start", "forms", "Ms2")))


def test_a_raster_is_not_taken_for_spike_times(tmp_path):
    bins = (np.random.default_rng(0).random((3, 1500)) < 0.02).astype(float)
    rows = [{"startTime": a, "stopTime": 1.5, "spikes": bins[:1]} for a in START]
    with pytest.raises(lfadsx.DataError, match="only 0 and 1, as a raster of bins does"):
        read_matlab(save(tmp_path, trials=struct(rows)))


def test_samples_of_each_trial_are_a_signal(tmp_path):
    rows = []
    for k, own in enumerate(inside(START, STOP)):
        n = 0 if k == 3 else 1 if k == 4 else 15
        times = 0.1 * np.arange(n)
        rows.append(
            {
                "startTime": START[k],
                "stopTime": 1.5,
                "spikes": cell([[times_of - START[k] for times_of in own]]),
                "handTime": times[None] if k % 2 else times[:, None],
                "handVel": np.stack([times, -times], axis=1),
                "unit_light": np.arange(n)[:, None],
            }
        )
    rows[5]["startTime"] = np.nan
    recording = read_matlab(save(tmp_path, trials=struct(rows)))
    hand = recording.signals["handVel"]
    assert hand.values.shape == (9 * 15 + 1, 2) and set(recording.signals) == {"handVel", "unit_light"}
    assert set(hand.trial) == set(range(N_TRIALS)) - {3, 5}
    np.testing.assert_allclose(hand.times[hand.trial == 7], START[7] + 0.1 * np.arange(15))
    assert all(not np.any(own == 5) for own in recording.spike_trial)


def test_trials_without_ids_of_their_own_are_numbered(tmp_path):
    rows = trials(inside(START, STOP), trialID=True)
    assert read_matlab(save(tmp_path, trials=rows)).trials["trial_id"].tolist() == list(range(1, N_TRIALS + 1))
    rows = trials(inside(START, STOP))
    for row in rows[0]:
        row["trialID"] = 1.0
    assert read_matlab(save(tmp_path, trials=rows)).trials["trial_id"].tolist() == list(range(1, N_TRIALS + 1))


@pytest.mark.parametrize("name", ["condition", "position", "direction", "reward_size"])
def test_numbers_are_not_taken_for_events_by_their_ending(tmp_path, name):
    rows = trials(inside(START, STOP), scale=1000, suffix="Ms")
    wider = np.zeros(rows.shape, [*((field, object) for field in rows.dtype.names if field != name), (name, object)])
    for k, row in enumerate(rows[0]):
        for field in row.dtype.names:
            wider[0, k][field] = row[field]
        wider[0, k][name] = float(k % 3 + 1)
    recording = read_matlab(save(tmp_path, trials=wider))
    assert name not in recording.events and recording.trials[name].tolist() == [k % 3 + 1 for k in range(N_TRIALS)]
    assert "goMs" in recording.events


def test_times_from_an_event_in_trials_without_a_clock(tmp_path, expected):
    rows = [
        {"trialID": ID[k], "condition": CONDITION[k], "spikes": cell([[own - GO[k] for own in spikes]])}
        for k, spikes in enumerate(inside(GO - 0.35, GO + 0.7))
    ]
    path = save(tmp_path, trials=struct(rows))
    recording = read_matlab(path)
    assert recording.events == ("start", "zero", "stop") and recording.trial_clocks
    assert np.allclose(recording.trials["start"], -0.35) and (recording.trials["stop"] < 0.7).all()
    data = lfadsx.from_matlab(path, align="zero", window=(-0.3, 0.6))
    np.testing.assert_array_equal(counts(data), counts(expected))


def test_cells_without_a_table_of_trials(tmp_path, expected):
    around = [[own - go for own in row] for row, go in zip(inside(GO - 0.3, GO + 0.6), GO, strict=True)]
    data = lfadsx.from_matlab(save(tmp_path, times=cell(around)), axes="trial unit", align="zero", window=(-0.3, 0.6))
    np.testing.assert_array_equal(counts(data), counts(expected))


def rasters():
    """Counts in bins of 1 ms, unit x time, of trials of different length."""
    length = 1200 + 10 * np.arange(N_TRIALS)
    place = [[np.floor((own - a) * 1000).astype(int) for own in SPIKES] for a in START]
    return [
        np.stack([np.bincount(own[(own >= 0) & (own < n)], minlength=n) for own in units])
        for units, n in zip(place, length, strict=True)
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_rasters_of_each_trial(tmp_path, expected, turned):
    arrays = [raster.T if turned else raster for raster in rasters()]
    rows = [{"data": own, "go": 500.0, "condition": c} for own, c in zip(arrays, CONDITION, strict=True)]
    path = save(tmp_path, D=struct(rows))
    with pytest.raises(lfadsx.DataError, match="need the width of their bins.*`time_unit`, such as 0.001"):
        read_matlab(path)
    recording = read_matlab(path, time_unit=0.001)
    np.testing.assert_allclose(recording.trials["stop"], 1.2 + 0.01 * np.arange(N_TRIALS))
    data = lfadsx.from_matlab(path, time_unit=0.001, **CUE)
    np.testing.assert_array_equal(counts(data), counts(expected))
    cells = np.empty((1, N_TRIALS), object)
    cells[0] = arrays
    data = lfadsx.from_matlab(save(tmp_path, raster=cells), time_unit=0.001, align="start", window=(0.2, 1.1))
    np.testing.assert_array_equal(counts(data), counts(expected))


def test_rasters_of_one_length_and_of_rates(tmp_path):
    arrays = [raster[:, :1200] for raster in rasters()]
    path = save(tmp_path, D=struct([{"data": own} for own in arrays]))
    with pytest.raises(lfadsx.DataError, match="both have one size in all trials. Give axes='unit time'"):
        read_matlab(path, time_unit=0.001)
    assert read_matlab(path, time_unit=0.001, axes="unit time").n_units == 3
    known = save(tmp_path, D=struct([{"data": own} for own in arrays]), unitID=np.arange(3))
    assert read_matlab(known, time_unit=0.001).n_units == 3
    with pytest.raises(lfadsx.DataError, match="must hold counts, but trial 0 holds 0.5"):
        read_matlab(save(tmp_path, D=struct([{"data": own + 0.5} for own in rasters()])), time_unit=0.001)
