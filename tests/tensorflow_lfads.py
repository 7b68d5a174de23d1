"""The TensorFlow LFADS in plain NumPy, trial by trial and bin by bin, from its arrays by its own names.

Written from the mathematics of that program alone, and sharing no code with the library: what the tests compare with.
"""

import numpy as np

LOG_2PI = np.log(2 * np.pi)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Program:
    """Parameters and settings of a model, and its computations on trials.

    Args:
        arrays: Parameters by the names of the program, ":0" included.
        settings: Its flags.
        session: Name of the session that the trials belong to.
    """

    def __init__(self, arrays, settings, session):
        self.arrays, self.settings, self.session = arrays, settings, session

    def get(self, name):
        return np.asarray(self.arrays[f"LFADS_{name}:0"], np.float64)

    def has(self, name):
        return f"LFADS_{name}:0" in self.arrays

    def encoder_cell(self, place, x, h):
        both = np.concatenate([x, h])
        n = len(h)
        gates = both @ self.get(f"{place}_GRU_Gates_xh_2_ru_W") + self.get(f"{place}_GRU_Gates_xh_2_ru_b")[0]
        reset, update = sigmoid(gates[:n]), sigmoid(gates[n:] + 1)
        candidate = np.concatenate([x, reset * h]) @ self.get(f"{place}_GRU_Candidate_xrh_2_c_W")
        candidate = np.tanh(candidate + self.get(f"{place}_GRU_Candidate_xrh_2_c_b")[0])
        return self.clip(update * h + (1 - update) * candidate)

    def generator_cell(self, place, x, h):
        n = len(h)
        gates = h @ self.get(f"{place}_GenGRU_Gates_h_2_ru_W") + self.get(f"{place}_GenGRU_Gates_h_2_ru_b")[0]
        if len(x):
            gates = gates + x @ self.get(f"{place}_GenGRU_Gates_x_2_ru_W")
        reset, update = sigmoid(gates[:n]), sigmoid(gates[n:] + 1)
        candidate = (reset * h) @ self.get(f"{place}_GenGRU_Candidate_rh_2_c_W")
        candidate = candidate + self.get(f"{place}_GenGRU_Candidate_rh_2_c_b")[0]
        if len(x):
            candidate = candidate + x @ self.get(f"{place}_GenGRU_Candidate_x_2_c_W")
        return self.clip(update * h + (1 - update) * np.tanh(candidate))

    def clip(self, h):
        return np.clip(h, -self.settings["cell_clip_value"], self.settings["cell_clip_value"])

    def run_encoder(self, name, direction, sequence):
        """States after each bin, in the order of the bins."""
        h = self.get(f"{name}_{direction}_{name}_t0_{direction}")[0]
        states = [None] * len(sequence)
        bins = range(len(sequence))
        for t in bins if direction == "fwd" else reversed(bins):
            states[t] = h = self.encoder_cell(f"{name}_{direction}", sequence[t], h)
        return states

    def posterior(self, place, x):
        mean, logvar = (
            x @ self.get(f"{place}_{part}_W") + self.get(f"{place}_{part}_b")[0] for part in ("mean", "logvar")
        )
        return mean, logvar

    def output(self, factors):
        """Parameters of the likelihood of one bin, and the rates that are fed back."""
        if self.has(f"glm_fac_2_means_{self.session}_W"):
            mean, logvar = (
                factors @ self.get(f"glm_fac_2_{part}_{self.session}_W")
                + self.get(f"glm_fac_2_{part}_{self.session}_b")[0]
                for part in ("means", "logvars")
            )
            return (mean, logvar), mean
        log_rates = factors
        if self.has(f"glm_fac_2_logrates_{self.session}_W"):
            log_rates = factors @ self.get(f"glm_fac_2_logrates_{self.session}_W")
            log_rates = log_rates + self.get(f"glm_fac_2_logrates_{self.session}_b")[0]
        return (log_rates,), np.exp(log_rates)

    def trial(self, data, ext_input=None, noise_g0=None, noise_u=None):
        """Everything of one trial, data of shape (time, channel); without noise the means are pushed through."""
        data = np.asarray(data, np.float64)
        n_bins, settings = len(data), self.settings
        sequence = data
        if self.has(f"x_2_infac_{self.session}_W"):
            sequence = data @ self.get(f"x_2_infac_{self.session}_W") + self.get(f"x_2_infac_{self.session}_b")[0]
        to_generator = settings.get("inject_ext_input_to_gen", False)
        if ext_input is not None and not to_generator:
            sequence = np.concatenate([sequence, ext_input], axis=1)
        found = {}
        kl_g0 = 0.0
        if self.has("z_prior_g0_mean"):
            window = sequence[: settings.get("num_steps_for_gen_ic") or n_bins]
            ends = [self.run_encoder("ic_enc", "fwd", window)[-1], self.run_encoder("ic_enc", "rev", window)[0]]
            mean, logvar = self.posterior("z_ic_enc_2_post_g0", np.concatenate(ends))
            logvar = np.log(np.exp(logvar) + settings["ic_post_var_min"])
            z = mean if noise_g0 is None else mean + np.exp(logvar / 2) * noise_g0
            prior_mean, prior_logvar = self.get("z_prior_g0_mean")[0], self.get("z_prior_g0_logvar")[0]
            if settings.get("ic_prior_var_max", 0.1) > settings.get("ic_prior_var_min", 0.1):
                low, high = settings["ic_prior_var_min"], settings["ic_prior_var_max"]
                prior_logvar = np.log(sigmoid(np.exp(prior_logvar)) * (high - low) + low)
            kl_g0 = 0.5 * np.sum(
                prior_logvar
                - logvar
                + np.exp(logvar - prior_logvar)
                + (mean - prior_mean) ** 2 / np.exp(prior_logvar)
                - 1
            )
            found |= {"post_g0_mean": mean, "post_g0_logvar": logvar}
            g = z
            if self.has("gen_g0_2_gen_ic_W"):
                g = z @ self.get("gen_g0_2_gen_ic_W") + self.get("gen_g0_2_gen_ic_b")[0]
        else:
            g = self.get("gen_g0")[0]
        found["gen_ics"] = g
        to_factors = self.get("gen_gen_2_fac_W")
        to_factors = to_factors / np.sqrt((to_factors**2).sum(0))
        f = g @ to_factors
        rates = self.output(f)[1]
        has_controller = self.has("con_c0")
        if has_controller:
            forward = self.run_encoder("ci_enc", "fwd", sequence)
            causal = not self.has("ci_enc_rev_ci_enc_t0_rev")
            backward = None if causal else self.run_encoder("ci_enc", "rev", sequence)
            c, lag = self.get("con_c0")[0], settings["controller_input_lag"]
            zeros = np.zeros_like(forward[0])
        series = {name: [] for name in ("controller_outputs", "gen_states", "factors", "post_u_mean", "post_u_logvar")}
        params, kl_u, last_u = [], 0.0, None
        for t in range(n_bins):
            drive = []
            if has_controller:
                seen = [forward[t - lag] if t - lag >= 0 else zeros]
                if backward is not None:
                    seen.append(backward[t + lag] if t + lag < n_bins else zeros)
                if settings.get("do_feed_factors_to_controller", True):
                    seen.append(f if settings.get("feedback_factors_or_rates", "factors") == "factors" else rates)
                c = self.generator_cell("con", np.concatenate(seen), c)
                mean, logvar = self.posterior("con_con_to_post_co", c)
                u = mean if noise_u is None else mean + np.exp(logvar / 2) * noise_u[t]
                kl_u += self.kl_of_bin(u, mean, logvar, last_u)
                last_u = u
                drive.append(u)
                series["controller_outputs"].append(u)
                series["post_u_mean"].append(mean)
                series["post_u_logvar"].append(logvar)
            if ext_input is not None and to_generator:
                drive.append(ext_input[t])
            g = self.generator_cell("gen", np.concatenate(drive) if drive else np.zeros(0), g)
            f = g @ to_factors
            own, rates = self.output(f)
            series["gen_states"].append(g)
            series["factors"].append(f)
            params.append(own)
        found |= {name: np.array(values) for name, values in series.items() if values}
        found["params"] = [np.array(values) for values in zip(*params, strict=True)]
        found |= {"kl_g0": kl_g0, "kl_u": kl_u, "logp": self.log_likelihood(data, found["params"])}
        return found

    def kl_of_bin(self, u, mean, logvar, last):
        """The log ratio of one sample in one bin."""
        logevar, logatau = self.get("z_u_prior_ar1_logevars")[0], self.get("z_u_prior_ar1_logatau")[0]
        phi = np.exp(-np.exp(-logatau))
        log_q = -0.5 * (logvar + LOG_2PI + (u - mean) ** 2 / np.exp(logvar))
        if last is None:
            centre, logvar_p = 0.0, logevar - np.log(1 - phi) - np.log(1 + phi)
        else:
            centre, logvar_p = phi * last, logevar
        log_p = -0.5 * (logvar_p + LOG_2PI + (u - centre) ** 2 / np.exp(logvar_p))
        return np.sum(log_q - log_p)

    def log_likelihood(self, data, params):
        if len(params) == 2:
            mean, logvar = params
            return np.sum(-0.5 * (logvar + LOG_2PI + ((data - mean) / np.exp(logvar / 2)) ** 2))
        (log_rates,) = params
        log_factorial = np.vectorize(lambda k: np.sum(np.log(np.arange(1, k + 1))))(data)
        return np.sum(data * log_rates - np.exp(log_rates) - log_factorial)


def random_arrays(
    rng,
    *,
    sessions,
    features,
    ic=4,
    ic_enc=5,
    ci_enc=3,
    con=4,
    gen=6,
    factors=3,
    inferred=2,
    known=0,
    inject=False,
    causal=False,
    feedback="factors",
    gaussian=False,
    readin=True,
    readout=True,
):
    """Arrays of a model by the names of the program, with values away from special ones.

    Args:
        rng: Source of the values.
        sessions: Number of channels by session.
        features: Width of the read-in.
        ic: Width of the initial condition; 0 for a trained state, the generator's width for no map between.
        ic_enc: Units per direction.
        ci_enc: Units per direction.
        con: Units of the controller.
        gen: Units of the generator.
        factors: Number of factors.
        inferred: Number of inferred inputs; 0 for no controller.
        known: Number of external inputs.
        inject: Whether these go to the generator.
        causal: Whether the controller's encoder only goes forward.
        feedback: "factors", "rates" or "none".
        gaussian: Whether there are means and variances.
        readin: Whether there are matrices of a read-in.
        readout: Whether there are matrices of a read-out.
    """
    shapes = {}
    n_channels = next(iter(sessions.values()))
    if readin:
        for name, n in sessions.items():
            shapes |= {f"x_2_infac_{name}_W": (n, features), f"x_2_infac_{name}_b": (1, features)}
    n_in = (features if readin else n_channels) + (known if not inject else 0)

    def encoder(name, n, directions):
        for d in directions:
            place = f"{name}_{d}"
            shapes.update(
                {
                    f"{place}_{name}_t0_{d}": (1, n),
                    f"{place}_GRU_Gates_xh_2_ru_W": (n_in + n, 2 * n),
                    f"{place}_GRU_Gates_xh_2_ru_b": (1, 2 * n),
                    f"{place}_GRU_Candidate_xrh_2_c_W": (n_in + n, n),
                    f"{place}_GRU_Candidate_xrh_2_c_b": (1, n),
                }
            )

    def cell(place, n_x, n):
        if n_x:
            shapes.update(
                {f"{place}_GenGRU_Gates_x_2_ru_W": (n_x, 2 * n), f"{place}_GenGRU_Candidate_x_2_c_W": (n_x, n)}
            )
        shapes.update(
            {
                f"{place}_GenGRU_Gates_h_2_ru_W": (n, 2 * n),
                f"{place}_GenGRU_Gates_h_2_ru_b": (1, 2 * n),
                f"{place}_GenGRU_Candidate_rh_2_c_W": (n, n),
                f"{place}_GenGRU_Candidate_rh_2_c_b": (1, n),
            }
        )

    def posterior(place, n_x, n):
        for part in ("mean", "logvar"):
            shapes.update({f"{place}_{part}_W": (n_x, n), f"{place}_{part}_b": (1, n)})

    if ic:
        encoder("ic_enc", ic_enc, ("fwd", "rev"))
        shapes |= {"z_prior_g0_mean": (1, ic), "z_prior_g0_logvar": (1, ic)}
        posterior("z_ic_enc_2_post_g0", 2 * ic_enc, ic)
        if ic != gen:
            shapes |= {"gen_g0_2_gen_ic_W": (ic, gen), "gen_g0_2_gen_ic_b": (1, gen)}
    else:
        shapes["gen_g0"] = (1, gen)
    if inferred:
        directions = ("fwd",) if causal else ("fwd", "rev")
        encoder("ci_enc", ci_enc, directions)
        shapes |= {"z_u_prior_ar1_logevars": (1, inferred), "z_u_prior_ar1_logatau": (1, inferred), "con_c0": (1, con)}
        cell("con", len(directions) * ci_enc + {"factors": factors, "rates": n_channels, "none": 0}[feedback], con)
        posterior("con_con_to_post_co", con, inferred)
    cell("gen", inferred + (known if inject else 0), gen)
    shapes["gen_gen_2_fac_W"] = (gen, factors)
    if readout:
        for name, n in sessions.items():
            for part in ("means", "logvars") if gaussian else ("logrates",):
                shapes |= {f"glm_fac_2_{part}_{name}_W": (factors, n), f"glm_fac_2_{part}_{name}_b": (1, n)}
    return {f"LFADS_{name}:0": 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}
