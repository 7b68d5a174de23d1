"""Settings of AutoLFADS (the program in TensorFlow 2) by the names of lfads-torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lfadsx.data import validation

MODEL: dict[str, Any] = {
    "DATA_DIM": 50,
    "CS_DIM": 0,
    "SEQ_LEN": 100,
    "FP_LEN": 0,
    "IC_ENC_SEQ_LEN": 0,
    "EXT_INPUT_DIM": 0,
    "READIN_DIM": -1,
    "ALIGN_MODE": False,
    "IC_ENC_DIM": 128,
    "CI_ENC_DIM": 128,
    "CON_DIM": 128,
    "CO_DIM": 1,
    "IC_DIM": 64,
    "GEN_DIM": 200,
    "FAC_DIM": 50,
    "DROPOUT_RATE": 0.05,
    "CD_RATE": 0.0,
    "CD_PASS_RATE": 0.0,
    "SV_RATE": 0.0,
    "SV_SEED": 0,
    "SAMPLE_POSTERIORS": True,
    "CO_AUTOREG_PRIOR": True,
    "CO_PRIOR_TAU": 10.0,
    "CO_PRIOR_NVAR": 0.1,
    "IC_PRIOR_VAR": 0.1,
    "IC_POST_VAR_MIN": 1e-4,
    "CELL_CLIP": 5.0,
    "CI_LAG": 1,
}
"""Its settings of the model, with its defaults."""
TRAIN: dict[str, Any] = {
    "DATA": {},
    "PATIENCE": 200,
    "BATCH_SIZE": 128,
    "MAX_EPOCHS": 10000,
    "MAX_GRAD_NORM": 200.0,
    "LOSS_SCALE": 1e4,
    "NLL_MEAN": True,
    "LR": {"INIT": 0.01, "STOP": 1e-5, "DECAY": 0.95, "PATIENCE": 6},
    "ADAM_EPSILON": 1e-7,
    "L2": {
        "START_EPOCH": 0,
        "INCREASE_EPOCH": 500,
        "IC_ENC_SCALE": 0.0,
        "CI_ENC_SCALE": 0.0,
        "GEN_SCALE": 2000.0,
        "CON_SCALE": 0.0,
        "READIN_SCALE": 5e-3,
    },
    "KL": {"START_EPOCH": 0, "INCREASE_EPOCH": 500, "IC_WEIGHT": 1.0, "CO_WEIGHT": 1.0},
    "ENCODERS_ONLY": False,
    **dict.fromkeys(("EAGER_MODE", "TUNE_MODE", "PBT_MODE", "LOG_HPS", "USE_TB", "OVERWRITE"), False),
    "MODEL_DIR": "",
}
"""Its settings of training, with its defaults."""
SAME = (
    *("IC_ENC_SEQ_LEN", "EXT_INPUT_DIM", "IC_ENC_DIM", "CI_ENC_DIM", "CON_DIM", "CO_DIM", "IC_DIM", "GEN_DIM"),
    *("FAC_DIM", "DROPOUT_RATE", "IC_POST_VAR_MIN", "CELL_CLIP", "CI_LAG"),
)
"""Settings of the model that lfads-torch calls the same, in lower case."""
ENCODERS = ("ic_encoder/*", "ic_posterior/*", "input_encoder/*")


def as_lfads_torch(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration by the names of lfads-torch.

    Raises:
        LfadsxError: If a name is unknown.
    """
    model, train = _with_defaults("MODEL", tree, MODEL), _with_defaults("TRAIN", tree, TRAIN)
    rate, l2, kl = (_with_defaults(name, train, TRAIN[name]) for name in ("LR", "L2", "KL"))
    found: dict[str, Any] = {name.lower(): model[name] for name in SAME}
    if not model["CO_DIM"]:
        found |= {"ci_enc_dim": 0, "con_dim": 0}  # one setting switches the controller off there
    normal = {"_target_": "MultivariateNormal", "mean": 0.0, "variance": model["CO_PRIOR_NVAR"]}
    process = {"_target_": "AutoregressiveMultivariateNormal", "tau": model["CO_PRIOR_TAU"]}
    found |= {
        "ic_prior": {"_target_": "MultivariateNormal", "variance": model["IC_PRIOR_VAR"]},
        "co_prior": process | {"nvar": model["CO_PRIOR_NVAR"]} if model["CO_AUTOREG_PRIOR"] else normal,
        "train_aug_stack": {
            "transforms": [
                {"_target_": "CoordinatedDropout", "cd_rate": model["CD_RATE"], "cd_pass_rate": model["CD_PASS_RATE"]},
                {"_target_": "SampleValidation", "sv_rate": model["SV_RATE"]},
            ]
        },
        "loss_scale": train["LOSS_SCALE"],
        "recon_reduce_mean": train["NLL_MEAN"],
        "lr_scheduler": True,
        "lr_adam_epsilon": train["ADAM_EPSILON"],
        "kl_ic_scale": kl["IC_WEIGHT"],
        "kl_co_scale": kl["CO_WEIGHT"],
    }
    found |= {f"lr_{name.lower()}": rate[name] for name in rate}
    found |= {f"l2_{name.lower()}": l2[name] for name in l2 if name != "READIN_SCALE"}
    found |= {f"kl_{name.lower()}": kl[name] for name in ("START_EPOCH", "INCREASE_EPOCH")}
    if model["READIN_DIM"] > 0:
        width = {"out_features": model["READIN_DIM"], "requires_grad": True}
        found |= {"readin": {"_target_": "MultisessionReadin"} | width, "l2_readin_scale": l2["READIN_SCALE"]}
    if train["ENCODERS_ONLY"]:
        found["train_only"] = ENCODERS
    return {
        "model": found,
        "trainer": {"max_epochs": train["MAX_EPOCHS"], "gradient_clip_val": train["MAX_GRAD_NORM"]},
        "datamodule": {"batch_size": train["BATCH_SIZE"]},
        "callbacks": {"early_stopping": {"patience": train["PATIENCE"]}},
        "notes": list(_notes(model)),
    }


def _with_defaults(name: str, tree: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    given = tree.get(name) or {}
    for key in given:
        validation.one_of(key, list(defaults), f"A setting of {name} in AutoLFADS")
    return dict(defaults) | dict(given)


def _notes(model: Mapping[str, Any]) -> Iterator[str]:
    if model["CS_DIM"] or model["FP_LEN"]:
        held, forward = model["CS_DIM"], model["FP_LEN"]
        yield f"`CS_DIM` and `FP_LEN` belong to the data here: held_out={held}, forward_bins={forward} in Python."
    if not model["SAMPLE_POSTERIORS"]:
        yield "`SAMPLE_POSTERIORS: false` has no counterpart in training. Infer with --samples 0 for posterior means."
    if model["ALIGN_MODE"]:
        yield "`ALIGN_MODE`: pass your own read-in as `readin`, or its matrices with lfadsx.align(data, aligner=...)."
