"""Choosing sizes: the rule of one standard error, the grid, sweeps, and both commands end to end."""

import csv
import dataclasses
import json
import os
import signal
from typing import get_args, get_origin, get_type_hints

import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import HyperParams, ModelConfig, TrainConfig, cli
from lfadsx.cli.command_flags import parse
from lfadsx.cli.selection_commands import Sweep
from lfadsx.data import from_arrays, write_dataset
from lfadsx.dynamics import Trust
from lfadsx.errors import RunError
from lfadsx.evaluation import ratio
from lfadsx.evaluation.measures import hidden_entries
from lfadsx.inference import masked_rates
from lfadsx.pipeline import sweep
from lfadsx.pipeline.selection import Ranking, Trained, rank
from lfadsx.pipeline.sweep_grid import architecture, count_parameters, grid
from lfadsx.search import Fixed
from lfadsx.training import AbstractCallback, load
from lfadsx.training.members import member_runner

SIZES = {name: value for name, value in making.SIZES.items() if name != "readin_dim"}
MODEL = ModelConfig(**SIZES, variant="autonomous")  # compiles fastest
INPUTS = dataclasses.replace(MODEL, variant="inferred_input")
TRAIN = TrainConfig(epochs=2, batch_size=16, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=1)
QUICK = dict(config=TRAIN, n_samples=4, figures=False)
FLAGS = [
    *("--generator-dim", "5", "--ic-dim", "4", "--ic-encoder-dim", "4", "--input-encoder-dim", "3", "--samples", "4"),
    *("--controller-dim", "4", "--epochs", "2", "--kl-ramp-epochs", "1", "--l2-ramp-epochs", "1", "--batch-size", "16"),
    *("--validate-every", "1", "--devices", "1"),
]


def recording(n_trials=24, n_neurons=6, *, held_out=1, session="monday", seed=0, **changes):
    """Spikes of a few conditions with behaviour and, by default, one neuron held out, all three splits."""
    rng = np.random.default_rng(seed)
    condition = np.arange(n_trials) % 3
    course = np.sin(np.linspace(0, 6, 8)[None, :] + 2 * condition[:, None])
    rates = np.exp(0.5 * course[:, :, None] * rng.standard_normal(n_neurons))
    settings = dict(
        held_out=held_out,
        condition=condition,
        behaviour=course[:, :, None] + 0.1 * rng.standard_normal((n_trials, 8, 1)),
        bin_width=0.02,
        test_fraction=0.2,
        session=session,
    )
    return from_arrays(rng.poisson(rates), **(settings | changes))


@pytest.fixture(scope="module")
def data():
    return recording()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(write_dataset(tmp_path_factory.mktemp("data") / "monday.h5", recording())[0])


# One standard error


def made(means, spread=0.0, n=200, common=1.0):
    """Bits of models on trials that differ in difficulty by `common`, and from model to model by `spread`."""
    rng = np.random.default_rng(0)
    trials = common * rng.standard_normal(n)
    noise = rng.standard_normal((len(means), 1, n))
    noise -= noise.mean(-1, keepdims=True)
    return [mean + trials[None] + spread * own for mean, own in zip(means, noise, strict=True)], np.ones(n)


def ranked(saved, spikes):
    """The ranking of models by the bits of their seeds, each (seed, trial)."""
    return rank([[ratio(seed, spikes) for seed in own] for own in saved], len(spikes))


def test_the_simplest_model_within_one_standard_error_of_the_best_is_chosen():
    # Differences have a standard error of 0.14 * sqrt(2 / 200), about 0.014.
    saved, spikes = made([0.97, 0.99, 0.992, 1.0], spread=0.14)
    found = ranked(saved, spikes)
    assert found.best == 3
    np.testing.assert_allclose(found.differences, [-0.03, -0.01, -0.008, 0], atol=1e-9)
    np.testing.assert_allclose(found.difference_errors[:3], 0.014, rtol=0.2)
    assert found.choose([(1,), (2,), (3,), (4,)]) == 1
    assert found.choose([(4,), (3,), (2,), (1,)]) == 3
    # With equal numbers of parameters: fewer factors, then fewer inputs, then the better score.
    assert found.choose([(1, 1), (2, 8), (2, 4), (2, 16)]) == 2
    assert found.choose([(1,), (2,), (2,), (2,)]) == 3


def test_how_hard_trials_are_for_all_models_makes_no_model_as_good_as_the_best():
    saved, spikes = made([0.9, 1.0], spread=0.01, common=5.0)
    found = ranked(saved, spikes)
    assert found.errors.min() > 0.3 > 0.1 > found.difference_errors[0]
    assert found.choose([(1,), (2,)]) == 1


def test_errors_know_what_another_seed_would_change():
    saved, spikes = made([0.95, 1.0])
    assert ranked(saved, spikes).choose([(1,), (2,)]) == 1
    seeds = np.array([-0.1, 0.0, 0.1])[:, None]
    found = ranked([own + seeds for own in saved], spikes)
    np.testing.assert_allclose(found.difference_errors[0], np.sqrt(2) * 0.1 / np.sqrt(3), rtol=1e-6)
    assert found.choose([(1,), (2,)]) == 0


def test_models_that_did_not_train_are_never_chosen():
    saved, spikes = made([0.95, 1.0])
    found = ranked([np.zeros((0, 200)), *saved], spikes)
    assert np.isnan(found.scores[0]) and found.choose([(0,), (1,), (2,)]) == 2
    with pytest.raises(ValueError, match="At least one of the 2 models must have finite losses.*Lower learning_rate"):
        ranked([np.zeros((0, 200))] * 2, spikes)


def test_a_ranking_holds_one_number_for_each_model():
    zero = np.zeros(2)
    assert Ranking(zero, zero, zero, zero, 0).choose([(2,), (1,)]) == 1


# The grid


def test_clean_dynamics_come_before_few_parameters():
    """Of models as good as the best, those whose checks find nothing; among them the smallest. Others never."""
    clean, invented = Trust(0.97, 0.1, 0.9, 0.2, 10), Trust(0.6, 0.1, 0.9, 0.2, 10)
    ranking = Ranking(
        np.array([1.0, 0.99, 0.99, 0.99, 0.5]),
        *np.full((1, 5), 0.02),
        np.array([0.0, -0.01, -0.01, -0.01, -0.5]),
        np.full(5, 0.02),
        0,
    )
    models = [
        Trained({}, "", HyperParams(), (0,), (), n, (), 0.0, trust)
        for n, trust in ((300, invented), (100, invented), (200, clean), (250, clean), (50, clean))
    ]
    assert ranking.choose([one.complexity for one in models]) == 2
    assert ranking.choose([dataclasses.replace(one, trust=None).complexity for one in models]) == 1


def test_members_share_a_list_of_hyperparameters():
    strategy = Fixed((HyperParams(cd_rate=0.1), HyperParams(cd_rate=0.4)))
    strategy.check(6)
    hyper = strategy.start(np.random.default_rng(0), 6, HyperParams(learning_rate=1.0))
    np.testing.assert_array_equal(hyper.cd_rate, [0.1] * 3 + [0.4] * 3)
    np.testing.assert_array_equal(hyper.learning_rate, [HyperParams().learning_rate] * 6)
    with pytest.raises(ValueError, match="must be a multiple of the 2 sets of hyperparameters, got 5"):
        strategy.check(5)
    with pytest.raises(ValueError, match="`cd_rate` must be .*, got 1.0"):
        Fixed((HyperParams(cd_rate=1.0),))


def test_the_grid_has_every_combination_once():
    found = grid({"factors": (4, 8, 4), "ic_dim": (2, 3)})
    assert found == [{"factors": f, "ic_dim": i} for f in (4, 8) for i in (2, 3)]
    assert architecture(INPUTS, {"inferred_inputs": 0}).variant == "autonomous"
    with pytest.raises(ValueError, match="`inferred_inputs` must be 0 for the variant 'autonomous', got 2"):
        architecture(ModelConfig(variant="autonomous"), {"inferred_inputs": 2})


def test_trained_parameters_are_counted_without_a_model(data):
    for patterns in (("*",), ("readout/*",)):
        train = dataclasses.replace(TRAIN, train=patterns)
        flat = making.flat(nnx.state(lfadsx.build(data, MODEL, rngs=nnx.Rngs(0)), nnx.Param))
        expected = sum(v.size for name, v in flat.items() if patterns == ("*",) or name.startswith("readout/"))
        assert count_parameters(data, MODEL, train, {}) == expected


# Sweep


def marked(found, mark):
    """The row of a sweep that is the best or the chosen one."""
    return next(row for row in found.rows if row[mark])


@pytest.fixture(scope="module")
def swept(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps") / "sweep"
    before = member_runner(None).train._cache_size()
    settings = dict(sizes={"factors": (2, 3)}, hypers={"dropout_rate": (0.1, 0.4)}, seeds=2, model=MODEL)
    found = sweep(data, out, **settings, **QUICK)
    return out, found, member_runner(None).train._cache_size() - before, settings


def test_an_architecture_is_compiled_once(swept):
    _, found, n_compiled, _ = swept
    assert len(found.rows) == 4 and n_compiled == 2


def test_a_sweep_writes_its_table_and_the_chosen_model(swept, data):
    out, found, _, _ = swept
    with (out / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["factors"], row["dropout_rate"]) for row in rows] == [
        ("2", "0.1"),
        ("2", "0.4"),
        ("3", "0.1"),
        ("3", "0.4"),
    ]
    assert [row["is_best"] for row in rows].count("True") == [row["is_chosen"] for row in rows].count("True") == 1
    best, chosen = marked(found, "is_best"), marked(found, "is_chosen")
    assert best["difference"] == 0 and best["masked_bps"] == max(row["masked_bps"] for row in found.rows)
    assert chosen["difference"] >= -chosen["difference_error"]
    written = json.loads((out / "sweep.json").read_text())
    numbers = found.rows.index(best), found.rows.index(chosen)
    assert (written["best"], written["chosen"], written["measure"]) == (*numbers, "masked_bps")
    # The chosen run is an ordinary run: its score of hidden entries agrees with its row.
    model = load(out / "chosen")
    assert found.evaluation.scores["split"] == "test"
    names = {path.name for path in (out / "chosen").iterdir()}
    assert {"run.json", "history.csv", "metrics.json", "posterior.h5", "report.md", "best", "last"} <= names
    info = json.loads((out / "chosen" / "run.json").read_text())
    assert info["hyper"]["dropout_rate"] == pytest.approx(chosen["dropout_rate"])
    assert model.decoder.n_factors == chosen["factors"]
    statistics = hidden_entries(data, "valid", *masked_rates(model, data, "valid", seed=TRAIN.seed))
    single = statistics["masked_bps"](np.ones(data.valid.n_trials))
    assert abs(single - chosen["masked_bps"]) < 0.2


@pytest.mark.slow
def test_finished_groups_are_not_trained_again_and_new_ones_are(swept, data):
    out, found, n_compiled, settings = swept
    before = member_runner(None).train._cache_size()
    again = sweep(data, out, **settings, **QUICK)
    assert [row["masked_bps"] for row in again.rows] == [row["masked_bps"] for row in found.rows]
    assert member_runner(None).train._cache_size() == before
    times = {path: path.stat().st_mtime_ns for path in out.glob("factors_*/checkpoints/*")}
    more = sweep(data, out, **settings | {"sizes": {"factors": (2, 4)}}, **QUICK)
    assert [row["factors"] for row in more.rows] == [2, 2, 4, 4]
    assert {path: path.stat().st_mtime_ns for path in times} == times and (out / "factors_4").is_dir()
    with pytest.raises(RunError, match="other settings"):
        sweep(data, out, **settings | {"seeds": 3}, **QUICK)


class Interrupt(AbstractCallback):
    """Stops the run after its first epoch, as Ctrl-C would."""

    def on_epoch_end(self, progress):
        if progress.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_where_it_stopped(swept, data, tmp_path):
    _, found, _, settings = swept
    stopped = sweep(data, tmp_path, **settings, **QUICK, callbacks=[Interrupt()])
    assert stopped.evaluation is None and stopped.signal == signal.SIGINT and not (tmp_path / "sweep.csv").exists()
    again = sweep(data, tmp_path, **settings, **QUICK)
    assert [row["masked_bps"] for row in again.rows] == [row["masked_bps"] for row in found.rows]


@pytest.mark.slow
def test_real_data_are_compared_by_r2_of_hidden_entries(tmp_path):
    data = making.one_session(n_trials=16, likelihood="gaussian")
    model = dataclasses.replace(MODEL, likelihood="gaussian")
    found = sweep(data, tmp_path, hypers={"dropout_rate": (0.1, 0.4)}, seeds=1, model=model, **QUICK)
    scores = [row["masked_r2"] for row in found.rows]
    assert json.loads((tmp_path / "sweep.json").read_text())["measure"] == "masked_r2"
    assert "masked_bps" not in found.rows[0]
    assert np.isfinite(scores).all() and marked(found, "is_best")["masked_r2"] == max(scores)
    assert any("There is one seed" in finding.sentence for finding in found.findings)


def test_a_sweep_says_what_it_cannot_do(data, tmp_path):
    with pytest.raises(ValueError, match="must describe at least 2 models, got 1"):
        sweep(data, tmp_path, sizes={"factors": (4,)})
    with pytest.raises(ValueError, match="`seeds` must be at least 1, got 0"):
        sweep(data, tmp_path, sizes={"factors": (4, 8)}, seeds=0)
    with pytest.raises(ValueError, match="`choose_by` must be one of 'prediction', 'dynamics', got 'size'"):
        sweep(data, tmp_path, sizes={"factors": (4, 8)}, choose_by="size")
    with pytest.raises(ValueError, match="`factors` must be at least 1, got 0"):
        sweep(data, tmp_path, sizes={"factors": (0, 8)})
    assert not any(tmp_path.iterdir())


# The command line


def test_sweep_and_cv_on_the_command_line(file, tmp_path, capsys):
    out = tmp_path / "sweep"
    # The programs are those of the sweep above, which saves compiling.
    lists = ["--factors", "2,3", "--dropout-rate", "0.1,0.4", "--seeds", "2", "--variant", "autonomous"]
    words = ["sweep", file, "--out", str(out), *lists, *FLAGS, "--choose-by", "dynamics"]
    assert cli.main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    last = json.loads(captured.out.strip().splitlines()[-1])
    assert last["split"] == "test" and set(last["chosen"]) == {"factors", "dropout_rate"}
    assert "the simplest with the fewest findings on its dynamics within one standard error" in captured.err
    assert {path.name for path in (out / "figures").iterdir()} == {"sweep.png", "sweep_dynamics.png"}
    with (out / "sweep.csv").open() as opened:
        assert all(0 < float(row["shown"]) <= 1 and row["checks"] for row in csv.DictReader(opened))
    assert (out / "factors_3").is_dir()
    out = tmp_path / "cv"
    words = ["cv", file, "--out", str(out), "--folds", "3", "--factors", "3", "--variant", "autonomous"]
    assert cli.main([*words, *FLAGS]) == 0
    captured = capsys.readouterr()
    assert "±" in captured.out and "95 % interval" in captured.out
    assert {path.name for path in (out / "figures").iterdir()} == {"cv.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "--factors", "4"], "must describe at least 2 models, got 1"),
        (["sweep", "--factors", "0,4"], "`--factors` must be at least 1, got 0"),
        (["sweep", "--cd-rate", "0.1,1.5"], "`--cd-rate` must be from 0 to below 1, got 1.5"),
        (
            ["cv", "--folds", "1"],
            "`--folds` must be from 2 to 24, the trials of the session with the fewest trials, got 1.",
        ),
        (
            ["cv", "--folds", "99"],
            "`--folds` must be from 2 to 24, the trials of the session with the fewest trials, got 99.",
        ),
        (
            ["cv", "--neuron-folds", "9"],
            "`--neuron-folds` must be from 2 to 5, the neurons of session 'monday' that the encoder sees, got 9.",
        ),
    ],
)
def test_mistakes_on_the_command_line_are_said(file, tmp_path, capsys, words, message):
    command, *flags = words
    assert cli.main([command, file, "--out", str(tmp_path / "out"), *flags, "--devices", "1"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("settings", [ModelConfig, HyperParams])
def test_every_number_takes_a_list(settings):
    """Also settings that follow from the data unless they are given, such as the number of inferred inputs."""
    hints = {name: kind for name, kind in get_type_hints(settings).items() if get_origin(kind) is not tuple}
    numbers = {name: kind for name, kind in hints.items() if {int, float} & {kind, *get_args(kind)}}
    assert {"inferred_inputs", "factors"} <= set(numbers) or {"dropout_rate", "kl_co_scale"} <= set(numbers)
    for name, kind in numbers.items():
        word, values = ("0.1,0.2", (0.1, 0.2)) if kind is float else ("2,3", (2, 3))
        words = ["file.h5", "--out", "runs", f"--{name.replace('_', '-')}", word]
        assert parse(Sweep, words, "lfadsx sweep").grids == {name: values}


def test_lists_of_anything_but_numbers_are_refused(file, tmp_path, capsys):
    assert cli.main(["sweep", file, "--out", str(tmp_path / "out"), "--factors", "4,x"]) == 2
    assert "`--factors` must be a whole number, got 'x'." in capsys.readouterr().err
