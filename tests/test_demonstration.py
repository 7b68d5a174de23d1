"""The demonstration: its data, its last lines, and that it finds the inputs."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lfadsx import cli, pipeline
from lfadsx.data import read, write_dataset
from lfadsx.datasets import IntegratorRNN, integrator
from lfadsx.pipeline import Outcome


def test_the_data_are_those_of_the_recipe(tmp_path):
    data = integrator(trials=40, held_out=20, seed=3)
    recipe = IntegratorRNN(trials=40, input_std=0.4, train_fraction=0.8, test_fraction=0.1, seed=3)
    (session,) = recipe.simulate()
    for name, split in data.splits.items():
        np.testing.assert_array_equal(split.encoder_input, session.arrays[f"{name}_data"][:, :, :80])
        np.testing.assert_array_equal(split.truth, session.arrays[f"{name}_truth"])
        np.testing.assert_array_equal(split.true_inputs, session.arrays[f"input_{name}_truth"])
    (file,) = write_dataset(tmp_path, data)
    made_from = read(file).source["integrator"]["made_from"]
    assert made_from == {"simulation": "integrator_rnn", **dataclasses.asdict(recipe)}


def test_without_a_test_split():
    data = integrator(trials=20, valid_fraction=0.2, test_fraction=0.0)
    assert data.test is None and (data.train.n_trials, data.valid.n_trials) == (16, 4)


def test_the_last_lines_name_scores_report_and_commands_that_exist(tmp_path, capsys, monkeypatch):
    scored: Any = SimpleNamespace(detail={"inputs": {"r2_pooled": 0.861}, "rates": {"r2_pooled": 0.894}})
    monkeypatch.setattr(pipeline, "fit_run", lambda *args, **settings: Outcome("table", evaluation=scored))
    assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert "table" in said.out and "input 0.86, rates 0.89." in said.err
    assert any(str(tmp_path / "report.md") in line and str(tmp_path / "integrator.h5") in line for line in lines)
    monkeypatch.chdir(tmp_path)
    commands = [line.split()[1:] for line in lines if line.startswith("  lfadsx ")]
    assert [words[0] for words in commands] == ["fit", "prepare"]
    for words in commands:
        assert cli.main(words) == 2  # the file is the reader's own
        assert "my_recording" in capsys.readouterr().err


@pytest.mark.slow
def test_inputs_and_rates_are_found(tmp_path):
    from benchmarks.demonstration import scores_and_leads

    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 0
    scores, leads = scores_and_leads(tmp_path / "demo")
    assert scores["inputs_r2_pooled"] > 0.5 and scores["inputs_r2_pooled, share"] > 0.8
    assert len(leads) == 8
    for name, lead in leads.items():
        assert lead.low > 0, name
