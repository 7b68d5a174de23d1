"""Flags of the TensorFlow LFADS: each one has its setting here, or a reason for having none, and the page says so."""

import json
import re
from pathlib import Path

import pytest
from flax import nnx
from making import parse

import lfadsx
from lfadsx import cli
from lfadsx.cli import command_flags
from lfadsx.cli.command_line import COMMANDS, find
from lfadsx.interop import settings_from_tensorflow
from lfadsx.interop.settings_flags import flags_of
from lfadsx.interop.tensorflow.flags import FLAGS, OTHERS

PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "from_tensorflow_lfads.md"

# By flag: a value other than the default, and where it has to arrive.
CHANGED = {
    "output_dist": ("gaussian", {"likelihood": "gaussian"}),
    "ext_input_dim": (2, {"variant": "external_input", "known_inputs_to": "encoders"}),
    "inject_ext_input_to_gen": (True, {"known_inputs_to": "generator"}),
    "num_steps_for_gen_ic": (30, {"ic_window": 30}),
    "ic_dim": (200, {"ic_dim": 200, "initial_state": "identity"}),
    "ic_enc_dim": (7, {"ic_encoder_dim": 7}),
    "gen_dim": (7, {"generator_dim": 7}),
    "factors_dim": (7, {"factors": 7}),
    "co_dim": (0, {"inferred_inputs": 0, "variant": "autonomous"}),
    "ci_enc_dim": (7, {"input_encoder_dim": 7}),
    "con_dim": (7, {"controller_dim": 7}),
    "do_causal_controller": (True, {"encoder": "causal"}),
    "do_feed_factors_to_controller": (False, {"feedback": "none"}),
    "feedback_factors_or_rates": ("rates", {"feedback": "rates"}),
    "controller_input_lag": (3, {"controller_lag": 3}),
    "cell_weight_scale": (0.5, {"weight_scales": (0.5, 1.0, 1.0)}),
    "gen_cell_input_weight_scale": (0.5, {"weight_scales": (1.0, 0.5, 1.0)}),
    "gen_cell_rec_weight_scale": (0.5, {"weight_scales": (1.0, 1.0, 0.5)}),
    "cell_clip_value": (2.0, {"cell_clip": 2.0}),
    "ic_prior_var_min": (0.05, {"ic_prior_variance_bounds": (0.05, 0.1)}),
    "ic_prior_var_scale": (0.2, {"ic_prior_variance": 0.2}),
    "ic_prior_var_max": (0.3, {"ic_prior_variance_bounds": (0.1, 0.3)}),
    "ic_post_var_min": (0.01, {"post_var_min": (0.01, 0.0)}),
    "prior_ar_atau": (5.0, {"input_prior_tau": 5.0}),
    "prior_ar_nvar": (0.2, {"input_prior_variance": 0.2}),
    "do_train_prior_ar_atau": (False, {"train_input_prior": ("variance",)}),
    "do_train_prior_ar_nvar": (False, {"train_input_prior": ("tau",)}),
    "keep_prob": (0.7, {"dropout_rate": 0.3}),
    "temporal_spike_jitter_width": (2, {"spike_jitter": 2}),
    "l2_gen_scale": (10.0, {"l2_gen_scale": 10.0}),
    "l2_con_scale": (10.0, {"l2_con_scale": 10.0}),
    "co_mean_corr_scale": (0.1, {"co_corr_scale": 0.1}),
    "kl_ic_weight": (0.5, {"kl_ic_scale": 0.5}),
    "kl_co_weight": (0.5, {"kl_co_scale": 0.5}),
    "kl_start_step": (9, {"kl_ramp_start": 9}),
    "kl_increase_steps": (9, {"kl_ramp_epochs": 9}),
    "l2_start_step": (9, {"l2_ramp_start": 9}),
    "l2_increase_steps": (9, {"l2_ramp_epochs": 9}),
    "batch_size": (9, {"batch_size": 9}),
    "learning_rate_init": (0.1, {"learning_rate": 0.1}),
    "learning_rate_decay_factor": (0.9, {"learning_rate_factor": 0.9}),
    "learning_rate_stop": (1e-3, {"learning_rate_stop": 1e-3}),
    "learning_rate_n_to_compare": (3, {"plateau_patience": 3}),
    "max_grad_norm": (5.0, {"max_grad_norm": 5.0}),
    "do_train_io_only": (True, {"train": ("readin/*", "readout/*")}),
    "do_train_encoder_only": (True, {"train": ("ic_encoder/*", "ic_posterior/*")}),
    "do_train_readin": (False, {"train": ("!readin/*",)}),
    "max_ckpt_to_keep": (3, {"checkpoints": (5.0, 3)}),
}


# Further flags that a flag needs: a use of the inputs, a variance between its bounds.
CONTEXT = {
    "inject_ext_input_to_gen": {"ext_input_dim": 2},
    "ic_prior_var_min": {"ic_prior_var_scale": 0.08},
    "ic_prior_var_max": {"ic_prior_var_scale": 0.2},
}


def by_name(settings):
    return {name: value for part in settings for name, value in vars(part).items()}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_arrives_where_it_belongs_and_nowhere_else(flag):
    value, arrives = CHANGED[flag]
    context = CONTEXT.get(flag, {})
    before, after = (by_name(settings_from_tensorflow(context | own)) for own in ({}, {flag: value}))
    assert {name for name in after if before[name] != after[name]} <= set(arrives)
    assert {name: after[name] for name in arrives} == arrives


def test_all_62_flags_are_on_the_page_and_what_stands_beside_them_exists():
    section = PAGE.read_text().split("## The 62 flags")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert len(FLAGS) + len(OTHERS) == 62 and set(table) == set(FLAGS) | set(OTHERS)
    names = {*by_name(settings_from_tensorflow())}
    names |= {name for command in COMMANDS for name in command_flags.flags_of(find([command])[0])}
    known = {f"--{name.replace('_', '-')}" for name in names}
    for flag, text in table.items():
        named = re.findall(r"`(--[\w-]+)", text)
        assert set(named) <= known, (flag, set(named) - known)
        if flag in CHANGED:
            _, arrives = CHANGED[flag]
            assert {f"--{name.replace('_', '-')}" for name in arrives} & set(named), flag


def test_the_programs_file_of_settings_is_read(tmp_path):
    flags = {"gen_dim": 30, "do_causal_controller": "true", "dataset_names": ["a"], "kind": "train", "device": "gpu:0"}
    file = tmp_path / "hyperparameters-100.txt"
    file.write_text(json.dumps(flags))
    model, hyper, train = settings_from_tensorflow(file)
    assert (model.generator_dim, model.encoder, hyper.l2_gen_scale) == (30, "causal", 2000.0)
    with pytest.raises(ValueError, match="flag of .* got .gendim. .did you mean .gen_dim."):
        settings_from_tensorflow({"gendim": 3})
    # That program writes the window that it has cut to the trial.
    for window, expected in ((25, 0), (10, 10)):
        file.write_text(json.dumps({"num_steps_for_gen_ic": window, "num_steps": 25}))
        assert settings_from_tensorflow(file).model.ic_window == expected
    file.write_bytes(b"\x89HDF\xff")
    with pytest.raises(ValueError, match="must hold settings. Give the program's hyperparameters"):
        settings_from_tensorflow(file)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("gen_dim", "abc", "`gen_dim` must be a whole number, like its default 200, got .abc."),
        ("factors_dim", 20.5, "`factors_dim` must be a whole number, .* got 20.5"),
        ("keep_prob", "all", "`keep_prob` must be a number, .* got .all."),
        ("do_train_readin", 1, "`do_train_readin` must be true or false, .* got 1"),
        ("keep_prob", 1.5, "`dropout_rate` must be .*, got -0.5"),
    ],
)
def test_values_of_the_wrong_kind_are_named(flag, value, message):
    with pytest.raises(ValueError, match=message):
        settings_from_tensorflow({flag: value})


def test_a_trained_variance_may_start_at_a_bound_there():
    data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
    model, _, _ = settings_from_tensorflow({"ic_prior_var_max": 1.0, "gen_dim": 6, "ic_dim": 4, "ic_enc_dim": 5})
    prior = lfadsx.build(data, model, rngs=nnx.Rngs(0)).ic_prior
    assert float(prior.distribution().variance[0]) == pytest.approx(0.1009)


def test_ramps_of_no_steps_are_no_ramps():
    _, _, train = settings_from_tensorflow({"kl_increase_steps": 0, "l2_increase_steps": 0})
    assert train.ramp_end(10) == 0


def test_a_model_of_these_settings_builds_and_is_known_to_the_program():
    data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
    model, _, _ = settings_from_tensorflow({"gen_dim": 6, "factors_dim": 3, "ic_dim": 4, "ic_enc_dim": 5})
    arrays = lfadsx.interop.to_tensorflow(lfadsx.build(data, model, rngs=nnx.Rngs(0)))
    assert arrays["LFADS_gen_gen_2_fac_W:0"].shape == (6, 3)


def test_the_command_prints_flags_that_fit_takes(capsys):
    words = ["gen_dim=30", "do_train_readin=false", "output_dist=gaussian", "do_feed_factors_to_controller=False"]
    assert cli.main(["translate", *words]) == 0
    line = capsys.readouterr().out.split()
    fit = parse(["fit", "data.h5", "--out", "run", *line])
    flags = {"gen_dim": 30, "do_train_readin": False, "output_dist": "gaussian", "do_feed_factors_to_controller": False}
    assert (fit.model, fit.hyper, fit.train) == tuple(settings_from_tensorflow(flags))
    # Also the settings that follow from the amount of data where they are not given.
    assert fit.suited(lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)) == (fit.hyper, fit.train)
    assert cli.main(["translate", "gen_dim=30", "co_dim"]) == 2
    assert "Flags must have the form NAME=VALUE, as in gen_dim=200, got 'co_dim'" in capsys.readouterr().err
    suited = ["--dropout-rate 0.2", "--cd-pass-rate 0.0", "--epochs 120", "--patience 50", "--validate-every 2"]
    assert flags_of((lfadsx.ModelConfig(), lfadsx.HyperParams(), lfadsx.TrainConfig())) == suited
