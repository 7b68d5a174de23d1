"""The benchmark of searches: compared models and scores."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import searches
from lfadsx.data import write_dataset
from lfadsx.datasets import chaotic_rnn


@pytest.mark.slow
@pytest.mark.parametrize("held_out", [4, 0])
def test_populations_are_compared_by_the_same_trials(tmp_path, monkeypatch, capsys, held_out):
    data = chaotic_rnn(conditions=6, trials_per_condition=4, duration=0.1, held_out=held_out, test_fraction=0.25)
    (file,) = write_dataset(tmp_path, data)
    flags = ["--searches", "ensemble", "pbt", "--population", "2", "--seeds", "0", "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", ["searches", str(file), *flags, "--out", str(tmp_path / "out")])
    searches.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    by_name = {line["model"]: line for line in lines}
    kinds = ["single model", searches.REFERENCE, "ensemble of 2 seeds", "pbt, best member", "pbt, ensemble of 2"]
    assert list(by_name) == kinds
    assert [by_name[kind]["epochs"] for kind in kinds] == [2, 4, 4, 4, 4]
    assert "gain" not in by_name[searches.REFERENCE]
    reference = by_name[searches.REFERENCE]["score"]
    for kind in kinds[2:]:
        line = by_name[kind]
        assert line["gain"] == pytest.approx(line["score"] - reference, abs=1e-9)
        assert line["low"] <= line["gain"] <= line["high"]
        assert line["split"] == "test" and np.isfinite(line["error"])


def test_an_interrupted_population_is_not_scored(tmp_path, monkeypatch, capsys):
    (file,) = write_dataset(tmp_path, chaotic_rnn(conditions=6, trials_per_condition=4, duration=0.1))
    monkeypatch.setattr(sys, "argv", ["searches", str(file), "--out", str(tmp_path / "out")])
    monkeypatch.setattr(searches, "trained", lambda *_: SimpleNamespace(reason="interrupted"))
    with pytest.raises(SystemExit, match=r"Stopped and saved in .*_ensemble_0\. Give the same command again"):
        searches.main()
    assert capsys.readouterr().out == ""
