"""Settings of lfads-torch and AutoLFADS: each arrives where it belongs, from files and by its own name."""

import dataclasses
import re
from pathlib import Path

import making
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.aliases import ALIASES
from lfadsx.cli import command_flags
from lfadsx.cli.command_line import COMMANDS, find
from lfadsx.interop import settings_from_lfads_torch
from lfadsx.interop.autolfads_settings import MODEL, TRAIN
from lfadsx.interop.lfads_torch_settings import REQUIRED, SHARED, translated

PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "from_lfads_torch.md"
SIZES = dict(ic_enc_dim=7, ci_enc_dim=6, con_dim=5, co_dim=2, ic_dim=4, gen_dim=9, fac_dim=3)
BASE = SIZES | dict(dropout_rate=0.1, lr_init=0.01)


def part(name, **settings):
    return {"_target_": f"lfads_torch.some.module.{name}"} | settings


def stack(*transforms):
    return {"train_aug_stack": part("AugmentationStack", transforms=list(transforms))}


def by_name(settings):
    return {name: value for own in settings for name, value in dataclasses.asdict(own).items()}


CASES = {
    "sizes": (SIZES | {"gen_dim": 11, "fac_dim": 8}, dict(generator_dim=11, factors=8)),
    "lag": ({"ci_lag": 2}, dict(controller_lag=2)),
    "window": ({"ic_enc_seq_len": 5}, dict(ic_window=5, controller_sees_ic_window=False)),
    "off": (dict(ci_enc_dim=0, con_dim=0, co_dim=0), dict(variant="autonomous")),
    "known": ({"ext_input_dim": 2}, dict(variant="external_input")),
    "floor": ({"ic_post_var_min": "1e-3"}, dict(post_var_min=(1e-3, 0.0))),  # YAML reads 1e-3 as text
    "clip": ({"cell_clip": 3.0}, dict(cell_clip=3.0)),
    "gaussian": ({"reconstruction": [part("Gaussian")]}, dict(likelihood="gaussian")),
    "each session": (
        {"reconstruction": part("MultisessionReconstruction", recon=part("Gaussian"))},
        dict(likelihood="gaussian"),
    ),
    "prior": ({"ic_prior": part("MultivariateNormal", mean=0, variance=0.2)}, dict(ic_prior_variance=0.2)),
    "ar1": (
        {"co_prior": part("AutoregressiveMultivariateNormal", tau=4.0, nvar=0.3)},
        dict(input_prior_tau=4.0, input_prior_variance=0.3),
    ),
    "normal": (
        {"co_prior": part("MultivariateNormal", mean=0, variance=0.3)},
        dict(input_prior="gaussian", input_prior_variance=0.3, train_input_prior=("mean",)),
    ),
    "tails": (
        {"co_prior": part("MultivariateStudentT", loc=0.0, scale=0.5, df=3)},
        dict(input_prior="student_t", input_prior_variance=0.25, input_prior_df=3.0),
    ),
    "cd": (stack(part("CoordinatedDropout", cd_rate=0.4, cd_pass_rate=0.1)), dict(cd_rate=0.4, cd_pass_rate=0.1)),
    "sv": (stack(part("SampleValidation", sv_rate=0.2)), dict(sv_rate=0.2)),
    "jitter": (stack(part("SpikeJitter", width=3)), dict(spike_jitter=3)),
    "shift": (stack(part("TemporalShift")), dict(temporal_shift=3.0)),
    "readin": (
        {"readin": part("MultisessionReadin", out_features=6, pcr_init=False)},
        dict(readin="linear", readin_dim=6, train=("!readin/*",)),
    ),
    "scales": (
        dict(kl_ic_scale=1e-6, kl_co_scale=2e-6, l2_gen_scale=0.1, l2_con_scale=0.2, l2_ic_enc_scale=0.3),
        dict(kl_ic_scale=1e-6, kl_co_scale=2e-6, l2_gen_scale=0.1, l2_con_scale=0.2, l2_ic_enc_scale=0.3),
    ),
    "loss scale": ({"loss_scale": 100.0}, dict(max_grad_norm=2.0, adam=(0.9, 0.999, 1e-8 / 100))),
    "sum": ({"recon_reduce_mean": False}, dict(reduction="sum")),
    "rate": (dict(lr_init=0.02, lr_scheduler=True, lr_decay=0.9), dict(learning_rate=0.02, schedule="plateau")),
    "ramps": (dict(kl_start_epoch=3, l2_increase_epoch=7), dict(kl_ramp_start=3, l2_ramp_epochs=7)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_setting_arrives(name):
    changes, expected = CASES[name]
    found = by_name(settings_from_lfads_torch({"model": BASE | changes}))
    assert {key: found[key] for key in expected} == expected


def test_all_of_a_run_in_one_tree():
    tree = {
        "model": BASE,
        "datamodule": part("BasicDataModule", batch_size=32),
        "trainer": part("Trainer", max_epochs=500, gradient_clip_val=100),
        "callbacks": {"early_stopping": part("EarlyStoppingWithBurnInPeriod", patience=40)},
        "seed": 3,
        "posterior_sampling": {"fn": part("run_posterior_sampling", num_samples=20)},
    }
    (model, hyper, train), notes = translated(tree)
    assert (train.batch_size, train.epochs, train.patience, train.seed) == (32, 500, 40, 3)
    assert train.max_grad_norm == 100 / 1e4 and hyper.cd_rate == 0.0 and model.post_var_min[1] == 0.0
    assert notes == ["`num_samples` is a flag of `lfadsx fit` and `infer`: --samples 20."]


FILES = {
    "model/small.yaml": """
        _target_: lfads_torch.model.LFADS
        ic_enc_dim: 7
        ci_enc_dim: ${model.con_dim}
        con_dim: 5
        co_dim: 2
        ic_dim: 4
        gen_dim: 9
        fac_dim: ${model.gen_dim}
        dropout_rate: 1e-1
        lr_init: 4e-3
        """,
    "datamodule/small.yaml": """
        _target_: lfads_torch.datamodules.BasicDataModule
        datafile_pattern: ${relpath:data.h5}
        batch_size: 16
        """,
    "callbacks/small.yaml": """
        early_stopping:
          _target_: lfads_torch.extensions.tune.EarlyStoppingWithBurnInPeriod
          patience: 9
        """,
    "run.yaml": """
        defaults:
          - model: small
          - datamodule: small
          - callbacks: small
          - _self_
        model:
          gen_dim: 10
        """,
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(line[8:] for line in text.splitlines()))
    return tmp_path


def test_files_whole_and_part_by_part(folder, capsys):
    parts = [folder / name for name in FILES if "/" in name]
    apart, whole = settings_from_lfads_torch(*parts), settings_from_lfads_torch(folder / "run.yaml")
    assert (apart.model.generator_dim, apart.model.factors, apart.model.input_encoder_dim) == (9, 9, 5)
    assert (whole.model.generator_dim, whole.model.factors) == (10, 10)
    assert (apart.hyper, apart.train) == (whole.hyper, whole.train)
    assert (whole.hyper.dropout_rate, whole.train.batch_size, whole.train.patience) == (0.1, 16, 9)
    assert cli.main(["translate", *map(str, parts)]) == 0
    fit = making.parse(["fit", "data.h5", "--out", "run", *capsys.readouterr().out.split()])
    assert (fit.model, fit.hyper, fit.train) == tuple(apart)
    assert lfadsx.build(making.one_session(), apart.model, seed=0).decoder.generator.n_units == 9


def test_autolfads(tmp_path):
    file = tmp_path / "model_spec.yaml"
    file.write_text(
        "MODEL: {FAC_DIM: 11, READIN_DIM: 4, CD_RATE: 0.3, SV_RATE: 0.2, CS_DIM: 3}\nTRAIN: {KL: {IC_WEIGHT: 2e-6}}"
    )
    (model, hyper, train), notes = translated(file)
    assert (model.factors, model.generator_dim, model.readin, model.readin_dim) == (11, 200, "linear", 4)
    assert (hyper.cd_rate, hyper.sv_rate, hyper.l2_readin_scale, hyper.kl_ic_scale) == (0.3, 0.2, 5e-3, 2e-6)
    assert (train.epochs, train.batch_size, train.schedule, train.train) == (10000, 128, "plateau", ("*",))
    assert notes == ["`CS_DIM` and `FP_LEN` belong to the data here: held_out=3, forward_bins=0 in Python."]
    encoders = settings_from_lfads_torch({"MODEL": {"CO_DIM": 0}, "TRAIN": {"ENCODERS_ONLY": True}})
    assert encoders.model.variant == "autonomous" and "input_encoder/*" in encoders.train.train


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"model": {}}, "The model must have `ic_enc_dim`, which has no default there"),
        ({"trainer": {}}, r"must hold a model, got \['trainer'\]"),
        ({"model": BASE | {"con_dim": 0}}, r"must be all 0 or all above 0, got 0 for \['con_dim'\]"),
        ({"model": BASE | {"gen_dim": "big"}}, "`gen_dim` must be a number, got 'big'"),
        ({"MODEL": {"FAC_DIMS": 3}}, "setting of MODEL in AutoLFADS .* got 'FAC_DIMS' .did you mean 'FAC_DIM'"),
    ],
)
def test_what_cannot_be_translated_is_named(tree, message):
    with pytest.raises(lfadsx.LfadsxError, match=message):
        settings_from_lfads_torch(tree)


def test_a_file_that_is_not_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(lfadsx.LfadsxError, match="must be a YAML file"):
        settings_from_lfads_torch(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- 1")
    with pytest.raises(lfadsx.LfadsxError, match="must hold settings by name"):
        settings_from_lfads_torch(tmp_path / "a.yaml")


def test_names_of_other_programs_are_accepted():
    data = making.one_session()
    sizes = {name: value for name, value in making.SIZES.items() if name not in ("factors", "controller_dim")}
    model = lfadsx.build(data, **sizes, fac_dim=6, con_dim=5, seed=0)
    assert model.decoder.factor_map.weight[...].shape[1] == 6 and model.decoder.controller.n_units == 5
    with pytest.raises(lfadsx.LfadsxError, match="`fac_dim` is another name of `factors`, and both are given"):
        lfadsx.build(data, fac_dim=6, factors=5)
    words = ["fit", "a.h5", "--out", "run", "--fac-dim", "6", "--lr-init=0.1", "--set", "kl_increase_epoch=9"]
    fit = making.parse(words)
    assert (fit.model.factors, fit.hyper.learning_rate, fit.train.kl_ramp_epochs) == (6, 0.1, 9)


def test_the_page_names_everything_and_what_stands_beside_it_exists():
    text = PAGE.read_text()
    names = set(re.findall(r"`([\w./*-]+)`", text))
    config = {
        field.name
        for kind in (lfadsx.ModelConfig, lfadsx.HyperParams, lfadsx.TrainConfig)
        for field in dataclasses.fields(kind)
    }
    assert set(ALIASES.values()) <= config and set(ALIASES) <= {name.lower() for name in names}
    tf2 = {f"MODEL.{name}" for name in MODEL} | {
        f"TRAIN.{name}" + (f".{inner}" if isinstance(value, dict) else "")
        for name, value in TRAIN.items()
        for inner in (value if isinstance(value, dict) else ("",))
    }
    assert not (tf2 | set(SHARED) | set(REQUIRED)) - names
    flags = {name for command in COMMANDS for name in command_flags.flags_of(find([command])[0])} | config
    known = {f"--{name.replace('_', '-')}" for name in flags | set(ALIASES)}
    for flag in re.findall(r"`(--[\w-]+)", text):
        assert flag.replace("--no-", "--") in known, flag
