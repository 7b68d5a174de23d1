"""Folders of CSV tables and of Phy: columns, labels, traps of their files, and mistakes."""

import numpy as np
import pytest

import lfadsx
from lfadsx.recordings import read_csv, read_phy
from lfadsx.recordings.phy_clusters import sample_rate
from lfadsx.recordings.tables import read_table, typed


def csv_folder(path, **files):
    tables = {
        "spikes": "unit,time\n"
        + "\n".join(f"{unit},{0.1 * i + 0.01 * unit:.3f}" for unit in (1, 2) for i in range(120)),
        "trials": "trial_id,go_cue,side\n" + "\n".join(f"{i},{i + 0.5},{'lr'[i % 2]}" for i in range(1, 11)),
    }
    for name, text in (tables | files).items():
        (path / f"{name}.csv").write_text(text)
    return path


def phy_folder(path, **files):
    np.save(path / "spike_times.npy", np.arange(0, 600_000, 500, dtype=np.uint64)[:, None])
    np.save(path / "spike_clusters.npy", np.tile([4, 9, 2], 400).astype(np.int32))
    (path / "params.py").write_text("sample_rate = 30000.0\n")
    events = [
        f"{30_000 * i + 15_000 * late},{'stop' if late else 'start'},{i}" for i in range(1, 15) for late in (0, 1)
    ]
    (path / "events.csv").write_text("\n".join(["sample,event,trial_id", *events]))
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["1", "2"], np.array([1, 2])),
        (["1", ""], np.array([1.0, np.nan])),
        (["1.5", "NaN"], np.array([1.5, np.nan])),
        (["a", ""], np.array(["a", ""])),
        (["none", "1"], np.array(["none", "1"])),
        (["", ""], np.array([np.nan, np.nan])),
    ],
)
def test_columns_have_the_kind_of_their_fields(fields, expected):
    found = typed(fields)
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_other_programs(tmp_path, delimiter):
    text = f'\ufeffname{delimiter}value\r\n"a{delimiter}b"{delimiter}1\r\n\r\nc{delimiter}2\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    table = read_table(tmp_path / "t.csv")
    assert table["name"].tolist() == [f"a{delimiter}b", "c"] and table["value"].tolist() == [1, 2]


def test_units_and_signals_of_csv(tmp_path):
    folder = csv_folder(
        tmp_path,
        units="unit,area\n2,M1\n7,PMd\n1,M1",
        hand="time,x,label\n" + "\n".join(f"{0.05 * i},{i},a" for i in range(240)),
        notes="who,what\nme,nothing",
    )
    recording = read_csv(folder)
    assert recording.unit_id.tolist() == [2, 7, 1] and [len(own) for own in recording.spikes] == [120, 0, 120]
    assert recording.signals["hand"].columns == ("x",)
    assert [finding.sentence for finding in recording.findings] == [
        f"Tables of {tmp_path.name!r} that nothing reads: notes.csv."
    ]
    data = lfadsx.from_csv(folder, align="go_cue", window=(0, 0.3), condition="side", behaviour="hand")
    assert data.train.behaviour.shape == (data.train.n_trials, 30, 1)
    assert set(data.train.condition) == {"l", "r"}


def test_units_by_text_and_spikes_of_others(tmp_path):
    spikes = "neuron,time\n" + "\n".join(f"{unit},{0.1 * i}" for unit in ("a", "b", "c") for i in range(100))
    recording = read_csv(csv_folder(tmp_path, spikes=spikes, units="neuron\nb\na"))
    assert recording.unit_id.tolist() == ["b", "a"]
    assert recording.findings[0].value == 100 and "units.csv does not name" in recording.findings[0].sentence


def test_csv_in_milliseconds_and_in_samples(tmp_path):
    expected = lfadsx.from_csv(csv_folder(tmp_path), align="go_cue", window=(-0.2, 0.4)).train.targets["spikes"]
    for factor, options in ((1000, {"time_unit": "ms"}), (1000, {"clock_hz": 1000}), (10_000, {"clock_hz": 10_000})):
        spikes = [f"{u},{round(factor * (0.1 * i + 0.01 * u))}" for u in (1, 2) for i in range(120)]
        trials = [f"{i},{round(factor * (i + 0.5))}" for i in range(1, 11)]
        csv_folder(tmp_path, spikes="\n".join(["unit,time", *spikes]), trials="\n".join(["trial_id,go_cue", *trials]))
        data = lfadsx.from_csv(tmp_path, align="go_cue", window=(-0.2, 0.4), **options)
        np.testing.assert_array_equal(data.train.targets["spikes"], expected)


def test_other_numbers_keep_their_unit(tmp_path):
    rows = [f"{i},{1000 * i},{i % 2 / 2}" for i in range(1, 11)]
    csv_folder(tmp_path, trials="\n".join(["trial_id,cue,contrast", *rows]))
    recording = read_csv(tmp_path, time_unit="ms", align="cue")
    assert recording.events == ("cue",) and recording.trials["cue"].tolist() == list(range(1, 11))
    assert set(recording.trials["contrast"]) == {0.0, 0.5}


def test_events_lie_inside_their_trials(tmp_path):
    rows = [f"{i},{i}.0,{i}.25,{i}.75,1,{100 + i}.5" for i in range(1, 11)]
    table = "\n".join(["trial,start_time,cue,end,success,score", *rows])
    recording = read_csv(csv_folder(tmp_path, trials=table))
    assert set(recording.events) == {"start", "start_time", "cue", "end", "stop"}
    assert recording.trials["trial_id"].tolist() == list(range(1, 11))


def test_mistakes_in_csv_are_explained(tmp_path):
    for files, message in (
        ({"spikes": "unit,when\n1,2"}, "'spikes.csv' must have one of the columns time"),
        ({"trials": "a,b\n1"}, "must have 2 fields, as the header has, got 1 in row 2"),
        ({"trials": "a,a\n1,2"}, "must have different names, got 'a' twice"),
        ({"trials": ""}, "must name the columns"),
        ({"recorded": "start\n1"}, "must have the columns start and stop"),
        ({"hand": "time,x\n1,a"}, "must have a column of numbers beside 'time'"),
    ):
        with pytest.raises(lfadsx.DataError, match=message):
            read_csv(csv_folder(tmp_path, **files))
        for name in files:
            (tmp_path / f"{name}.csv").unlink()
    with pytest.raises(lfadsx.DataError, match="must be a folder with spikes.csv"):
        read_csv(tmp_path / "nowhere")
    (tmp_path / "spikes.csv").unlink()
    with pytest.raises(lfadsx.DataError, match="must exist, but was not found"):
        read_csv(tmp_path)


def test_phy_without_labels_takes_all_clusters(tmp_path):
    recording = read_phy(phy_folder(tmp_path))
    assert recording.unit_id.tolist() == [2, 4, 9]
    assert recording.spikes[1].dtype == np.int64 and recording.clock_hz == 30_000
    assert recording.findings == ()


def test_phy_takes_labels_of_kilosort_where_a_person_set_none(tmp_path):
    labels = "cluster_id\tKSLabel\n4\tgood\n9\tmua\n2\tgood\n"
    recording = read_phy(phy_folder(tmp_path, cluster_KSLabel__tsv=labels))
    assert recording.unit_id.tolist() == [2, 4]
    (tmp_path / "cluster_group.tsv").write_text("cluster_id\tgroup\n4\tgood\n77\tgood\n")
    recording = read_phy(tmp_path)
    assert recording.unit_id.tolist() == [4, 77] and len(recording.spikes[1]) == 0
    assert "has 2 unsorted, 2 good" in recording.findings[0].sentence


def test_phy_drops_negative_samples(tmp_path):
    phy_folder(tmp_path)
    np.save(tmp_path / "spike_times.npy", np.arange(-1000, 599_000, 500))
    recording = read_phy(tmp_path)
    assert recording.findings[0].value == 2 and min(own[0] for own in recording.spikes) == 0


def test_phy_with_events_in_seconds_and_by_trial(tmp_path):
    expected = lfadsx.from_phy(phy_folder(tmp_path)).train.targets["spikes"]
    rows = [f"{i},{i}.0,{i}.5" for i in range(1, 15)]
    (tmp_path / "trials.csv").write_text("\n".join(["trial_id,start,stop", *rows]))
    data = lfadsx.from_phy(tmp_path, events=tmp_path / "trials.csv", event_times="seconds")
    np.testing.assert_array_equal(data.train.targets["spikes"], expected)


def test_params_are_read_and_never_run(tmp_path):
    (tmp_path / "params.py").write_text("import sys\nsys.exit(1)\nsample_rate = 25000\nopen('x', 'w')\n")
    assert sample_rate(tmp_path / "params.py") == 25_000
    for text in ("sample_rate = 10 ** 5\n", "sample_rate = open('x')", "rate = 3", "sample_rate = (", "\0"):
        (tmp_path / "params.py").write_text(text)
        with pytest.raises(lfadsx.DataError, match="must have a line such as sample_rate = 30000.0"):
            sample_rate(tmp_path / "params.py")


def test_mistakes_in_phy_are_explained(tmp_path):
    phy_folder(tmp_path, cluster_group__tsv="cluster_id\tgroup\n4\tmua\n")
    with pytest.raises(
        lfadsx.DataError, match="must keep at least one cluster, but column 'group' has 2 unsorted, 1 mua"
    ):
        read_phy(tmp_path)
    with pytest.raises(lfadsx.DataError, match="`label_column` must be one of 'group'"):
        read_phy(tmp_path, label_column="KSLabel")
    np.save(tmp_path / "spike_clusters.npy", np.zeros(3, int))
    with pytest.raises(lfadsx.DataError, match="has 3 entries and 'spike_times.npy' has 1200"):
        read_phy(tmp_path)
    np.save(tmp_path / "spike_clusters.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(lfadsx.DataError, match="cannot be read as an array"):
        read_phy(tmp_path)
    (tmp_path / "spike_clusters.npy").unlink()
    with pytest.raises(lfadsx.DataError, match="spike_templates.npy.*must exist"):
        read_phy(tmp_path)
    with pytest.raises(lfadsx.DataError, match="must be a folder of Kilosort or Phy"):
        read_phy(tmp_path / "nowhere")
