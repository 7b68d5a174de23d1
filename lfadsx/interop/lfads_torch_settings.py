"""Settings of lfads-torch and AutoLFADS as settings of this library."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lfadsx.aliases import ALIASES
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.damaged_files import readable
from lfadsx.errors import LfadsxError
from lfadsx.interop.autolfads_settings import as_lfads_torch
from lfadsx.interop.settings_flags import Settings
from lfadsx.interop.yaml_settings import class_of, read_settings

log = logging.getLogger("lfadsx")

LIKELIHOODS = {
    "Poisson": "poisson",
    "PoissonBPS": "poisson",
    "Gaussian": "gaussian",
    "MSE": "squared_error",
    "Gamma": "gamma",
    "ZeroInflatedGamma": "zero_inflated_gamma",
}
"""Likelihoods here by the class of a reconstruction there."""
CONTROLLER = ("ci_enc_dim", "con_dim", "co_dim")
REQUIRED = ("ic_enc_dim", "ic_dim", "gen_dim", "fac_dim", *CONTROLLER, "dropout_rate", "lr_init")
SHARED: dict[str, Any] = {
    "ext_input_dim": 0,
    "ic_enc_seq_len": 0,
    "ci_lag": 1,
    "ic_post_var_min": 1e-4,
    "cell_clip": 5.0,
    "loss_scale": 1e4,
    "recon_reduce_mean": True,
    "variational": True,
    "lr_scheduler": False,
    "lr_stop": 1e-5,
    "lr_decay": 0.95,
    "lr_patience": 6,
    "lr_adam_beta1": 0.9,
    "lr_adam_beta2": 0.999,
    "lr_adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    **dict.fromkeys(("kl_ic_scale", "kl_co_scale", "l2_gen_scale", "l2_con_scale"), 0.0),
}
"""Values of the model that are the same in all, or nearly all, configurations that come with lfads-torch."""
HYPER = (
    *("lr_init", "weight_decay", "dropout_rate", "kl_ic_scale", "kl_co_scale"),
    *("l2_ic_enc_scale", "l2_ci_enc_scale", "l2_gen_scale", "l2_con_scale"),
)
RAMPS = ("kl_start_epoch", "kl_increase_epoch", "l2_start_epoch", "l2_increase_epoch")


def settings_from_lfads_torch(*sources: str | Path | Mapping[str, Any]) -> Settings:
    """Returns the settings that train the same model as a configuration of lfads-torch or AutoLFADS.

    Numbers of bins and neurons follow from the data. `loss_scale` changes only the bound of the gradient and Adam's
    epsilon, which are divided by it. Where a setting has no counterpart, the log says so. Defects of these programs
    are not copied; docs/how_to/from_lfads_torch.md lists all differences.

    Example:
        >>> from lfadsx.interop import settings_from_lfads_torch
        >>> sizes = dict(ic_enc_dim=64, ci_enc_dim=64, con_dim=64, co_dim=4, ic_dim=64, gen_dim=200, fac_dim=100)
        >>> settings = settings_from_lfads_torch({"model": sizes | {"dropout_rate": 0.3, "lr_init": 4e-3}})
        >>> settings.model.factors, settings.train.reduction
        (100, 'mean')

    Args:
        *sources: YAML files, or their content: a whole configuration, or model, datamodule and callbacks one by one.

    Raises:
        OSError: If a file cannot be read.
        LfadsxError: If a file holds no such configuration, a size is missing, or a value is out of range.
    """
    settings, notes = translated(*sources)
    for note in notes:
        log.warning("%s", note)
    return settings


def translated(*sources: str | Path | Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """Returns the settings, and sentences about what has no counterpart; see `settings_from_lfads_torch`."""
    tree = read_settings(sources)
    if "MODEL" in tree or "TRAIN" in tree:
        tree = as_lfads_torch(tree)
    if not isinstance(tree.get("model"), Mapping):
        raise LfadsxError(
            f"The configuration must hold a model, got {sorted(tree)}. Give the file of the model, or that of the "
            "whole run, .hydra/config.yaml in its folder."
        )
    model = SHARED | dict(tree["model"])
    if missing := [name for name in REQUIRED if name not in model]:
        raise LfadsxError(f"The model must have `{missing[0]}`, which has no default there. Add it to the file.")
    remedy = "Give a configuration as lfads-torch or AutoLFADS wrote it."
    with readable("The configuration has values of another kind than expected", remedy, error=LfadsxError):
        parts = _Parts(tree, model)
        found = Settings(parts.architecture(), parts.hyper(), parts.train())
        found.hyper.check()
        return found, list(parts.notes())


class _Parts:
    """A configuration, from which each of the three kinds of settings is taken."""

    def __init__(self, tree: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        self.tree, self.model = tree, model
        off = [name for name in CONTROLLER if not self.number(name)]
        self.has_controller = not off
        if off and len(off) < len(CONTROLLER):
            raise LfadsxError(
                f"{', '.join(f'`{name}`' for name in CONTROLLER)} must be all 0 or all above 0, got 0 for {off}. "
                "Without a controller all three are 0."
            )
        stack = model.get("train_aug_stack") or {}
        self.transforms = {class_of(part): part for part in stack.get("transforms") or []}
        recon = model.get("reconstruction")
        recon = recon[0] if isinstance(recon, list) else recon or {}
        self.recon = recon.get("recon", recon)

    def number(self, name: str, of: Mapping[str, Any] | None = None, default: Any = None) -> Any:
        """Returns a number; YAML reads 1e-4 as text."""
        value = (self.model if of is None else of).get(name, default)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise LfadsxError(f"`{name}` must be a number, got {value!r}.") from None
        return int(number) if number.is_integer() and not isinstance(value, float) else number

    def section(self, *path: str) -> Mapping[str, Any]:
        """Returns a part of the configuration, empty if it is not there."""
        found: Any = self.tree
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def architecture(self) -> ModelConfig:
        known, window = self.number("ext_input_dim") > 0, self.number("ic_enc_seq_len")
        names = ["ic_enc_dim", "ic_dim", "gen_dim", "fac_dim", "cell_clip"]
        names += [*CONTROLLER, "ci_lag"] if self.has_controller else []
        without = {} if self.has_controller or not known else {"inferred_inputs": 0}
        return ModelConfig(
            variant="external_input" if known else "inferred_input" if self.has_controller else "autonomous",
            known_inputs_to="generator",
            ic_window=window,
            controller_sees_ic_window=not window,
            post_var_min=(self.number("ic_post_var_min"), 0.0),
            likelihood=LIKELIHOODS.get(class_of(self.recon), "poisson"),  # pyright: ignore[reportArgumentType]
            standardise=False,
            readout_scale=1.0,
            **{ALIASES.get(name, name): self.number(name) for name in names},
            **without,
            **self._readin(),
            **self._priors(),
        )

    def _readin(self) -> dict[str, Any]:
        readin = self.model.get("readin")
        if class_of(readin) != "MultisessionReadin":
            return {}
        # The encoders' width stands twice there; that of the read-in itself counts.
        return {"readin": "linear", "readin_dim": int(readin.get("out_features") or self.model["encod_data_dim"])}

    def _priors(self) -> dict[str, Any]:
        of_ic, of_inputs = self.model.get("ic_prior") or {}, self.model.get("co_prior") or {}
        found = {}
        if class_of(of_ic) == "MultivariateNormal":
            found["ic_prior_variance"] = self.number("variance", of_ic)
        kind = class_of(of_inputs)
        if kind == "AutoregressiveMultivariateNormal":
            numbers = self.number("tau", of_inputs), self.number("nvar", of_inputs)
            found |= dict(zip(("input_prior_tau", "input_prior_variance"), numbers, strict=True))
        elif kind == "MultivariateNormal":
            mean, variance = self.number("mean", of_inputs), self.number("variance", of_inputs)
            found |= dict(input_prior="gaussian", input_prior_mean=mean, input_prior_variance=variance)
            found["train_input_prior"] = ("mean",)
        elif kind == "MultivariateStudentT":
            loc, scale, df = (self.number(name, of_inputs) for name in ("loc", "scale", "df"))
            found |= dict(input_prior="student_t", input_prior_mean=loc, input_prior_variance=scale**2)
            found |= dict(input_prior_df=df, train_input_prior=("variance", "mean"))
        return found

    def hyper(self) -> HyperParams:
        """Returns the hyperparameters; augmentations that are not in the stack are off."""
        cd = self.transforms.get("CoordinatedDropout") or self.transforms.get("CoordinatedDropoutTF2") or {}
        shift, names = self.transforms.get("TemporalShift"), [name for name in HYPER if name in self.model]
        return HyperParams(
            **{ALIASES.get(name, name): self.number(name) for name in names},
            cd_rate=self.number("cd_rate", cd, 0.0),
            cd_pass_rate=self.number("cd_pass_rate", cd, 0.0),
            sv_rate=self.number("sv_rate", self.transforms.get("SampleValidation", {}), 0.0),
            temporal_shift=0.0 if shift is None else self.number("std", shift, 3.0),
            l2_readin_scale=self.number("l2_readin_scale", default=0.0),
        )

    def train(self) -> TrainConfig:
        """Returns the settings of the run; what a file leaves out has the values of lfads-torch's `single.yaml`."""
        trainer, scale = self.section("trainer"), self.number("loss_scale")
        betas = self.number("lr_adam_beta1"), self.number("lr_adam_beta2")
        jitter = self.transforms.get("SpikeJitter")
        return TrainConfig(
            epochs=self.number("max_epochs", trainer, 1000),
            batch_size=self.number("batch_size", self.section("datamodule"), 64),
            **{ALIASES[name]: self.number(name) for name in RAMPS if name in self.model},
            patience=self.number("patience", self.section("callbacks", "early_stopping"), 200),
            validate_every=1,
            schedule="plateau" if self.model["lr_scheduler"] else "constant",
            learning_rate_factor=self.number("lr_decay"),
            plateau_patience=self.number("lr_patience"),
            learning_rate_stop=self.number("lr_stop"),
            max_grad_norm=self.number("gradient_clip_val", trainer, 200) / scale,
            adam=(*betas, self.number("lr_adam_epsilon") / scale),
            reduction="mean" if self.model["recon_reduce_mean"] else "sum",
            estimator="sample",
            l2_normalize="pooled",
            train=self._trained(),
            spike_jitter=0 if jitter is None else self.number("width", jitter, 2),
            seed=self.tree.get("seed") or 0,
        )

    def _trained(self) -> tuple[str, ...]:
        """Returns the patterns of what trains; read-ins of several sessions are frozen there unless it is asked for."""
        if self.model.get("train_only"):
            return tuple(self.model["train_only"])
        maps = {"readin": ("MultisessionReadin", False), "readout": ("MultisessionReadout", True)}
        frozen = []
        for name, (kind, default) in maps.items():
            part = self.model.get(name)
            if class_of(part) == kind and not part.get("requires_grad", default):
                frozen.append(f"!{name}/*")
        return tuple(frozen) or ("*",)

    def notes(self) -> Iterator[str]:
        """Yields sentences about what has no counterpart, or another one than its name says."""
        model = self.model
        if not model["variational"]:
            yield "`variational: false` has no counterpart. Infer with --samples 0 for posterior means."
        for name in ("ic_prior", "co_prior"):
            if class_of(model.get(name)) == "Null" and model["variational"]:
                yield f"`{name}`: Null has no counterpart. Set the scale of its KL to 0."
        if class_of(model.get("ic_prior")) == "MultivariateStudentT":
            yield "`ic_prior`: Student's t becomes a normal prior. Pass StudentTPrior as `ic_prior` in Python."
        if class_of(model.get("co_prior")) == "MultivariateStudentT":
            yield "`co_prior`: the degrees of freedom of Student's t are trained here."
        if class_of(self.recon) == "PoissonBPS":
            yield "`reconstruction`: PoissonBPS becomes Poisson, where scales of KL and L2 mean something else."
        if class_of(self.recon) not in LIKELIHOODS and self.recon:
            yield f"`reconstruction`: {class_of(self.recon)} is not known, so the likelihood is Poisson."
        if "CoordinatedDropoutTF2" in self.transforms:
            yield "CoordinatedDropoutTF2: held-out neurons and predicted bins always train here."
        shift = self.transforms.get("TemporalShift")
        if shift and self.number("max_shift", shift, 6) != 2 * self.number("std", shift, 3.0):
            yield "TemporalShift: shifts end at two standard deviations here, whatever `max_shift` is."
        yield from self.tree.get("notes", ())
        samples = self.section("posterior_sampling", "fn").get("num_samples")
        if samples:
            yield f"`num_samples` is a flag of `lfadsx fit` and `infer`: --samples {samples}."
