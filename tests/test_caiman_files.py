"""Files of CaImAn, written after the layout of its `save`; no original file was at hand."""

import h5py
import numpy as np
import pytest
import scipy.sparse

import lfadsx
from lfadsx import cli
from lfadsx.recordings.formats import format_of

RATE = 25.0
RNG = np.random.default_rng(0)
EVENTS = np.where(RNG.random((5, 1500)) < 0.7, 0.0, RNG.gamma(2.0, size=(5, 1500)))
ACCEPTED = np.array([3, 0, 4])


def save(path, **changes):
    """Writes what CaImAn writes: nested groups, sparse arrays by their parts, and text for what it has not computed."""
    footprints = scipy.sparse.csc_array(RNG.random((40, 5)) > 0.8)
    found = {f"A/{part}": getattr(footprints, part) for part in ("data", "indices", "indptr", "shape")}
    found |= {"C": EVENTS.cumsum(1), "S": EVENTS, "F_dff": EVENTS - 0.5, "YrA": np.zeros((5, 1500)), "R": "NoneType"}
    found |= {"idx_components": ACCEPTED, "idx_components_bad": np.array([1, 2]), "W": "NoneType"} | changes
    with h5py.File(path, "w") as file:
        for name, values in found.items():
            file[f"estimates/{name}"] = values
        file["dims"], file["dview"], file["params/data/fr"] = np.array([8, 5]), "NoneType", RATE
    return path


@pytest.mark.parametrize("kind", ["S", "F_dff", "C"])
def test_accepted_components_are_the_units(kind, tmp_path):
    path = save(tmp_path / "day.hdf5")
    trials = {"go": np.arange(2.0, 58.0, 2.0)}
    data = lfadsx.from_caiman(path, trials=trials, traces=kind, align="go", window=(-0.4, 0.6))
    values = {"S": EVENTS, "F_dff": EVENTS - 0.5, "C": EVENTS.cumsum(1)}[kind][ACCEPTED].T
    for split in data.splits.values():
        first = np.rint((trials["go"][split.trial_id] - 0.4) * RATE).astype(int)
        np.testing.assert_allclose(split.targets["spikes"], values[first[:, None] + np.arange(25)], rtol=1e-6)
    assert data.sessions[0].names("spikes") == ("3", "0", "4")
    assert data.source["day"]["likelihood"] == ("zero_inflated_gamma" if kind == "S" else "gaussian_by_channel")
    said = " ".join(finding.sentence for finding in data.findings)
    assert "2 of 5 components of 'day' are left out" in said and "counted from 0 s, 25 per second" in said


def test_what_caiman_has_not_computed(tmp_path):
    path = save(tmp_path / "day.hdf5", idx_components="NoneType", F_dff="NoneType")
    times = 1.0 + np.arange(1500) / 26.0  # the rate of the file is a setting, which may be wrong
    data = lfadsx.from_caiman(path, chop=1.0, frame_times=times)
    assert data.train.encoder_input.shape[1:] == (26, 5) and data.source["day"]["frame_rate"] == pytest.approx(26)
    assert any("were not evaluated" in finding.sentence for finding in data.findings)
    with pytest.raises(lfadsx.DataError, match="must hold 'estimates/F_dff'.*it holds S, C. Choose other `traces`"):
        lfadsx.from_caiman(path, chop=1.0, traces="F_dff")
    with pytest.raises(lfadsx.DataError, match="'idx_components' of 'day.hdf5' must name at least one of its 5"):
        lfadsx.from_caiman(save(path, idx_components=np.array([0, 5])), chop=1.0)
    with h5py.File(path, "w") as file:
        file["counts"] = np.ones((9, 4, 3))
    assert format_of(path) is None
    with pytest.raises(lfadsx.DataError, match="must be a file of CaImAn with the group 'estimates'"):
        lfadsx.from_caiman(path, chop=1.0)


def test_commands_read_files_of_caiman(tmp_path, capsys):
    path, out = save(tmp_path / "day.hdf5"), tmp_path / "day.h5"
    assert cli.main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("--chop 1")
    words = ["prepare", str(path), "--chop", "1", "--traces", "S", "--out", str(out)]
    assert cli.main(words) == 0 and "--likelihood zero_inflated_gamma" in capsys.readouterr().err
    assert lfadsx.read(out).train.encoder_input.shape[1:] == (25, 3)
