"""Priors and likelihoods: against scipy and other implementations, as densities, and as seams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from lfadsx.distributions import (
    AbstractLikelihood,
    AbstractPrior,
    AutoregressivePrior,
    Bernoulli,
    DiagonalGaussian,
    Gamma,
    Gaussian,
    GaussianByChannel,
    GaussianPrior,
    LogNormal,
    MixturePrior,
    NegativeBinomial,
    PointPrior,
    Poisson,
    SmoothPrior,
    SquaredError,
    SquaredErrorByChannel,
    StudentTPrior,
    ZeroInflatedGamma,
    ZeroInflatedPoisson,
    exp_soft_clip,
    soft_clip,
)
from lfadsx.models.serialization import PARTS
from lfadsx.testing import check

PRIORS = {
    "gaussian": lambda: GaussianPrior(3, mean=0.4, variance=0.3, train_variance=True, prior_var_min=0.01),
    "bounded": lambda: GaussianPrior(3, mean=0.4, variance=0.3, train_variance=True, variance_bounds=(0.1, 0.5)),
    "ar1": lambda: AutoregressivePrior(3, tau=4.0, variance=0.2, mean=0.3, train_mean=True),
    "smooth": lambda: SmoothPrior(3, tau=4.0, variance=0.2, mean=0.3, train_mean=True),
    "student_t": lambda: StudentTPrior(3, df=3.0, scale=0.5, mean=0.2, train_mean=True),
    "mixture": lambda: MixturePrior(3, components=4, variance=0.3, rngs=nnx.Rngs(0)),
}
SAMPLED = ("mixture",)
"""Priors whose divergence is estimated from the sample."""
LIKELIHOODS = {
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "zero_inflated_poisson": ZeroInflatedPoisson,
    "bernoulli": Bernoulli,
    "gaussian": lambda: Gaussian(variance_min=0.01),
    "gaussian_by_channel": lambda: GaussianByChannel(variance_min=0.01),
    "squared_error": lambda: SquaredError(noise_variance=0.7),
    "squared_error_by_channel": lambda: SquaredErrorByChannel(variance_min=0.01),
    "log_normal": LogNormal,
    "gamma": Gamma,
    "zero_inflated_gamma": lambda: ZeroInflatedGamma(loc=0.25),
}
COUNTS, REAL, POSITIVE = np.array([0.0, 1, 3, 40]), np.array([-4.0, 0, 0.3, 25]), np.array([1e-30, 0.3, 1, 25])
DATA = dict.fromkeys(LIKELIHOODS, COUNTS) | {"bernoulli": np.array([0.0, 1])}
DATA |= dict.fromkeys(("gaussian", "gaussian_by_channel", "squared_error", "squared_error_by_channel"), REAL)
DATA |= {"log_normal": POSITIVE, "gamma": POSITIVE, "zero_inflated_gamma": np.array([0, 0.26, 1, 25])}


def logistic(x):
    return 1 / (1 + np.exp(-x))


SCIPY = {
    "poisson": lambda a: stats.poisson(np.exp(a)),
    "negative_binomial": lambda a, b: stats.nbinom(np.exp(b), 1 / (1 + np.exp(a - b))),
    "zero_inflated_poisson": lambda a, b: stats.poisson(np.exp(a)),
    "bernoulli": lambda a: stats.bernoulli(logistic(a)),
    "gaussian": lambda a, b: stats.norm(a, np.sqrt(np.exp(b) + 0.01)),
    "gaussian_by_channel": lambda a, b: stats.norm(a, np.sqrt(np.exp(b) + 0.01)),
    "squared_error_by_channel": lambda a, b: stats.norm(a, np.sqrt(np.exp(b) + 0.01)),
    "squared_error": lambda a: stats.norm(a, np.sqrt(0.7)),
    "log_normal": lambda a, b: stats.lognorm(np.exp(b / 2), scale=np.exp(a)),
    "gamma": lambda a, b: stats.gamma(np.exp(b), scale=np.exp(a - b)),
    "zero_inflated_gamma": lambda a, b, c: stats.gamma(np.exp(c), loc=0.25, scale=np.exp(a - c)),
}
"""Distributions of the parameters; of those with extra zeros, the distribution of the rest."""
EXTRA_ZEROS = {"zero_inflated_poisson": lambda p: logistic(p[1]), "zero_inflated_gamma": lambda p: logistic(-p[1])}


@pytest.fixture
def arrays(fixtures):
    return dict(np.load(fixtures / "torch_components.npz"))


@pytest.fixture(params=PRIORS)
def prior(request):
    return PRIORS[request.param]()


@pytest.fixture(params=LIKELIHOODS)
def likelihood(request):
    return LIKELIHOODS[request.param]()


def close(ours, theirs, tolerance=1e-5):
    """Within a tolerance relative to the array's largest entry."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def agree_on_average(left, right, axis=0):
    """The means of paired samples differ by less than 5 standard errors of their difference."""
    difference = np.asarray(left, np.float64) - np.asarray(right, np.float64)
    error = difference.std(axis) / np.sqrt(difference.shape[axis])
    assert np.all(error > 0)
    assert np.all(np.abs(difference.mean(axis)) < 5 * error)


def params_of(prior, mean, variance):
    """Parameters of the posterior with these means and variances."""
    unit = prior.unit if isinstance(prior, SmoothPrior) else 1.0
    return jnp.concatenate([jnp.asarray(mean), jnp.log(jnp.asarray(variance) / unit - prior.post_var_min)], -1)


def random_params(prior, shape, seed=0):
    """Posterior parameters with moderate means and variances."""
    return 0.5 * jax.random.normal(jax.random.key(seed), (*shape, prior.n_params)) - 0.5


# Densities and divergences


@jax.jit
def gaussian_kl(q, p):
    return DiagonalGaussian(*q).kl(DiagonalGaussian(*p))


@jax.jit
def prior_kls(params, path):
    return [make().kl(params, path) for name, make in PRIORS.items() if name not in SAMPLED]


def triples(low, high):
    return st.lists(st.floats(low, high), min_size=3, max_size=3).map(np.array)


@given(triples(-5, 5), triples(-8, 4), triples(-5, 5), triples(-8, 4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_kl_is_never_negative_and_zero_for_equal(mean_q, log_v_q, mean_p, log_v_p):
    q, p = (mean_q, np.exp(log_v_q)), (mean_p, np.exp(log_v_p))
    with jax.enable_x64(True):
        assert np.all(np.asarray(gaussian_kl(q, p)) >= -1e-15)
        assert np.all(np.asarray(gaussian_kl(q, q)) == 0)


@given(triples(-3, 3), triples(-3, 3), st.integers(0, 2**31 - 1))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_kl_of_priors_is_never_negative(mean, log_variance, seed):
    path = np.random.default_rng(seed).standard_normal((2, 6, 3))
    params = np.broadcast_to(np.concatenate([mean, log_variance]), (2, 6, 6))
    with jax.enable_x64(True):
        assert all(np.all(np.asarray(kl) >= -1e-14) for kl in prior_kls(params, path))


def test_kl_of_a_posterior_equal_to_the_prior_is_zero():
    with jax.enable_x64(True):
        for prior in (PRIORS["ar1"](), PRIORS["smooth"]()):
            path = prior.draw(jax.random.key(0), (4, 9))
            same = prior.transition(path)
            params = params_of(prior, same.mean, same.variance)
            assert np.abs(np.asarray(prior.kl(params, path))).max() < 1e-12

        prior = MixturePrior(3, components=1, variance=0.3, rngs=nnx.Rngs(0))
        params = params_of(prior, prior.loc[0], prior.gaussians().variance[0])
        assert np.abs(np.asarray(prior.kl(params, prior.loc[0] + 0.3))) < 1e-12

        prior = PRIORS["gaussian"]()
        p = prior.distribution()
        params = jnp.concatenate([p.mean, jnp.log(p.variance - prior.post_var_min)])
        assert np.abs(np.asarray(prior.kl(params, p.mean))) < 1e-14


def test_sampled_kl_tends_to_the_closed_form():
    q = DiagonalGaussian(jnp.array([0.5, -1.0, 0.0]), jnp.array([0.2, 1.5, 3.0]))
    p = DiagonalGaussian(jnp.array([0.0, 0.5, 0.1]), jnp.array([0.7, 1.0, 0.5]))
    samples = q.sample(jax.random.normal(jax.random.key(1), (40_000, 3)))
    ratio = np.asarray(q.log_prob(samples) - p.log_prob(samples))
    agree_on_average(ratio, np.broadcast_to(q.kl(p), ratio.shape))


def test_log_prob_is_that_of_scipy():
    mean, variance, value = np.random.default_rng(0).uniform(0.1, 3, (3, 50))
    ours = DiagonalGaussian(jnp.asarray(mean), jnp.asarray(variance)).log_prob(jnp.asarray(value))
    close(ours, stats.norm.logpdf(value, mean, np.sqrt(variance)))


# Priors


def dense(prior, n_bins, input_):
    """Mean and covariance of one input's whole path under a correlated prior, by its definition."""
    tau, variance = (float(np.exp(np.asarray(x[...], np.float64)[input_])) for x in (prior.log_tau, prior.log_variance))
    phi, lag = np.exp(-1 / tau), np.abs(np.subtract.outer(np.arange(n_bins), np.arange(n_bins)))
    if isinstance(prior, SmoothPrior):
        covariance = variance * (1 + lag * np.tanh(1 / tau)) * phi**lag
    else:
        covariance = variance / (1 - phi**2) * phi**lag
    return np.full(n_bins, np.asarray(prior.loc[...])[input_]), covariance


CORRELATED = [AutoregressivePrior, SmoothPrior]


def uneven(kind):
    """A correlated prior whose inputs differ in every parameter."""
    prior = kind(3, train_mean=True)
    prior.log_tau[...] = jnp.log(jnp.array([0.7, 4.0, 30.0]))
    prior.log_variance[...] = jnp.log(jnp.array([0.5, 0.05, 1.5]))
    prior.loc[...] = jnp.array([0.0, -0.4, 1.0])
    return prior


@pytest.mark.parametrize("kind", CORRELATED)
def test_log_prob_of_a_path_is_that_of_the_dense_gaussian(kind):
    with jax.enable_x64(True):
        prior = uneven(kind)
        path = np.random.default_rng(0).standard_normal((4, 7, 3))
        ours = np.cumsum(np.asarray(prior.log_prob(jnp.asarray(path))), axis=1)
    theirs = np.zeros((4, 7))
    for input_ in range(3):
        mean, covariance = dense(prior, 7, input_)
        for t in range(1, 8):  # the sum up to t is the density of the first t bins
            gaussian = stats.multivariate_normal(mean[:t], covariance[:t, :t])
            theirs[:, t - 1] += gaussian.logpdf(path[:, :t, input_])
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_ar1_log_prob_is_that_of_lfads_torch(arrays):
    prior = AutoregressivePrior(3)
    prior.log_tau[...] = jnp.asarray(arrays["ar1/log_tau"])
    prior.log_variance[...] = jnp.asarray(arrays["ar1/log_nvar"])
    close(prior.log_prob(jnp.asarray(arrays["ar1/sample"])).sum(-1), arrays["ar1/log_prob"])


def test_gaussian_kl_is_that_of_lfads_torch(arrays):
    prior = GaussianPrior(4, post_var_min=0.0, train_variance=True)
    prior.loc[...] = jnp.asarray(arrays["mvn/prior_mean"])
    prior.log_variance[...] = jnp.asarray(arrays["mvn/prior_logvar"])
    params = np.concatenate([arrays["mvn/post_mean"], 2 * np.log(arrays["mvn/post_std"])], axis=-1)
    close(prior.kl(jnp.asarray(params), jnp.zeros((5, 4))).mean(), arrays["mvn/kl_batch_mean"])


@pytest.mark.parametrize("n_bins", [1, 2, 3])
@pytest.mark.parametrize("kind", CORRELATED)
def test_short_paths_are_the_beginning_of_long_ones(kind, n_bins):
    prior = uneven(kind)
    long, short = (np.asarray(prior.draw(jax.random.key(0), (n,))) for n in (6, n_bins))
    close(short, long[:n_bins], 1e-6)
    close(prior.log_prob(jnp.asarray(short)), np.asarray(prior.log_prob(jnp.asarray(long)))[:n_bins])


@pytest.mark.parametrize("kind", CORRELATED)
def test_draws_have_the_stationary_moments(kind):
    prior, n = uneven(kind), 4000
    paths = np.asarray(prior.draw(jax.random.key(2), (n, 10)), np.float64)
    for input_ in range(3):
        mean, covariance = dense(prior, 10, input_)
        deviation = paths[:, :, input_] - mean
        error = np.sqrt(np.diag(covariance) / n)
        assert np.all(np.abs(deviation.mean(0)) < 5 * error)
        variances = np.diag(covariance)
        spread = np.sqrt((covariance**2 + np.outer(variances, variances)) / n)
        assert np.all(np.abs(deviation.T @ deviation / n - covariance) < 5 * spread)


def test_stationary_variance_keeps_its_digits_for_a_long_time_constant():
    prior = AutoregressivePrior(1, tau=1e6, variance=1e-3)
    np.testing.assert_allclose(np.asarray(prior.stationary_variance), 1e-3 / -np.expm1(-2e-6), rtol=1e-4)


@pytest.mark.parametrize("kind", CORRELATED)
def test_path_kl_has_the_expectation_of_the_log_ratio(kind):
    """With a posterior that looks at its own past, as a controller's does."""
    prior, n, n_bins = uneven(kind), 8000, 5
    noise = np.asarray(prior.noise(jax.random.key(3), (n, n_bins)))
    slope, offset, variance = 0.6, 0.3, 0.4
    path, means, last = [], [], np.zeros((n, 3))
    for t in range(n_bins):
        means.append(slope * last + offset)
        last = means[-1] + np.sqrt(variance) * noise[:, t]
        path.append(last)
    path, means = np.stack(path, 1), np.stack(means, 1)
    params, path = params_of(prior, means, np.full_like(means, variance)), jnp.asarray(path)
    kl = np.asarray(prior.kl(params, path).sum(1))
    ratio = np.asarray((prior.posterior_log_prob(params, path) - prior.log_prob(path)).sum(1))
    agree_on_average(kl, ratio)
    assert kl.std() < ratio.std()
    # The whole path is Gaussian under both, so that the divergence is also known in one piece.
    recursion = np.eye(n_bins) - slope * np.eye(n_bins, k=-1)
    covariance_q = variance * np.linalg.inv(recursion.T @ recursion)
    mean_q = np.linalg.solve(recursion, np.full(n_bins, offset))
    exact = 0.0
    for input_ in range(3):
        mean_p, covariance_p = dense(prior, n_bins, input_)
        away = mean_p - mean_q
        exact += 0.5 * (
            np.trace(np.linalg.solve(covariance_p, covariance_q))
            + away @ np.linalg.solve(covariance_p, away)
            - n_bins
            + np.linalg.slogdet(covariance_p)[1]
            - np.linalg.slogdet(covariance_q)[1]
        )
    assert abs(kl.mean() - exact) < 5 * kl.std() / np.sqrt(n)


def test_a_smooth_input_has_no_jumps():
    """The steps of a smooth input follow each other; those of an AR(1) input of the same variance do not."""
    steps = {}
    for kind, variance in ((AutoregressivePrior, 1 - np.exp(-2 / 20)), (SmoothPrior, 1.0)):
        path = np.asarray(kind(1, tau=20.0, variance=variance).draw(jax.random.key(0), (2000, 50)))[..., 0]
        assert path.var() == pytest.approx(1.0, abs=0.1)
        steps[kind] = np.diff(path, axis=1)
    pairs = {kind: np.corrcoef(of[:, :-1].ravel(), of[:, 1:].ravel())[0, 1] for kind, of in steps.items()}
    assert abs(pairs[AutoregressivePrior]) < 0.05 and pairs[SmoothPrior] > 0.9


def uneven_mixture(dim=1):
    """A mixture whose components differ in every parameter."""
    prior = MixturePrior(dim, components=3, rngs=nnx.Rngs(0))
    prior.logits[...] = jnp.array([0.0, 1.0, -0.5])
    prior.loc[...] = jnp.array([[-2.0], [0.3], [1.0]]) * jnp.ones(dim)
    prior.log_variance[...] = jnp.log(jnp.array([[0.2], [1.0], [0.05]]) * jnp.ones(dim))
    return prior


def test_a_mixture_is_a_density_with_the_moments_of_its_draws():
    with jax.enable_x64(True):
        prior = uneven_mixture()
        grid = np.linspace(-8, 8, 20_001)
        density = np.exp(np.asarray(prior.log_prob(jnp.asarray(grid)[:, None])))
        weights = np.exp([0.0, 1.0, -0.5]) / np.exp([0.0, 1.0, -0.5]).sum()
        laws = [stats.norm(m, np.sqrt(v)) for m, v in ((-2.0, 0.2), (0.3, 1.0), (1.0, 0.05))]
        np.testing.assert_allclose(density, sum(w * p.pdf(grid) for w, p in zip(weights, laws, strict=True)), 1e-9)
        assert integrate.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-9)
        draws = np.asarray(prior.draw(jax.random.key(0), (100, 40))).ravel()
        shares = np.asarray(prior.responsibilities(jnp.asarray(grid)[:, None]))
    assert stats.kstest(draws, lambda x: sum(w * p.cdf(x) for w, p in zip(weights, laws, strict=True))).pvalue > 1e-4
    np.testing.assert_allclose(shares.sum(-1), 1.0, rtol=1e-12)


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 0.3), (-2.0, 0.1), (0.8, 2.0)])
def test_the_divergence_from_a_mixture_has_the_integral_as_expectation(mean, variance):
    with jax.enable_x64(True):
        prior, n = uneven_mixture(), 40_000
        params = jnp.broadcast_to(params_of(prior, [mean], [variance]), (n, 2))
        samples = prior.sample(params, prior.noise(jax.random.key(2), (n,)))
        found = np.asarray(prior.kl(params, samples))
        plain = np.asarray(prior.posterior_log_prob(params, samples) - prior.log_prob(samples))
        q = stats.norm(mean, np.sqrt(variance))
        grid = np.linspace(mean - 10 * q.std(), mean + 10 * q.std(), 20_001)
        log_p = np.asarray(prior.log_prob(jnp.asarray(grid)[:, None]))
    exact = integrate.trapezoid(q.pdf(grid) * (q.logpdf(grid) - log_p), grid)
    assert abs(found.mean() - exact) < 5 * found.std() / np.sqrt(n)
    assert found.std() < plain.std()


def test_the_divergence_from_a_mixture_is_exact_where_one_component_counts():
    with jax.enable_x64(True):
        params = jnp.broadcast_to(jnp.array([0.2, 0.4, -1.0, -2.0]), (6, 4))
        path = jnp.asarray(np.random.default_rng(0).standard_normal((6, 2)))
        one, several = MixturePrior(2, components=1, rngs=nnx.Rngs(0)), MixturePrior(2, components=3, rngs=nnx.Rngs(0))
        exact = np.asarray(one.posterior(params[0]).kl(DiagonalGaussian(one.loc[0], jnp.full(2, 0.1))).sum())
        np.testing.assert_allclose(one.kl(params, path), exact, rtol=1e-12)
        several.loc[...] = jnp.tile(one.loc[...], (3, 1))
        np.testing.assert_allclose(several.kl(params, path), exact, rtol=1e-12)
        several.loc[...] = one.loc[...] + jnp.array([[0.0], [40.0], [-40.0]])
        np.testing.assert_allclose(several.kl(params, path), exact + np.log(3), rtol=1e-12)


def uneven_student_t():
    """A Student's t prior whose inputs differ in every parameter."""
    prior = StudentTPrior(3, train_mean=True)
    prior.log_df[...] = jnp.log(jnp.array([1.0, 2.5, 40.0]))
    prior.log_scale[...] = jnp.log(jnp.array([0.3, 1.0, 2.0]))
    prior.loc[...] = jnp.array([0.0, -0.4, 1.0])
    laws = [stats.t(df, loc, scale) for df, loc, scale in ((1.0, 0.0, 0.3), (2.5, -0.4, 1.0), (40.0, 1.0, 2.0))]
    return prior, laws


def test_student_t_is_that_of_scipy():
    with jax.enable_x64(True):
        prior, laws = uneven_student_t()
        path = 5 * np.random.default_rng(0).standard_normal((4, 7, 3))
        expected = sum(law.logpdf(path[..., i]) for i, law in enumerate(laws))
        np.testing.assert_allclose(np.asarray(prior.log_prob(jnp.asarray(path))), expected, rtol=1e-10)
        draws = np.asarray(prior.draw(jax.random.key(0), (100, 40))).reshape(-1, 3)
    for i, law in enumerate(laws):
        assert stats.kstest(draws[:, i], law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("mean", [0.0, 0.5, 3.0])
@pytest.mark.parametrize(("width", "tolerance"), [(0.1, 1e-6), (1.0, 2e-4), (3.0, 0.02)])
def test_student_t_divergence_is_the_integral(mean, width, tolerance):
    """Of posteriors narrower than the prior, as wide, and wider, in units of its scale."""
    with jax.enable_x64(True):
        _, laws = uneven_student_t()
        for law in laws:
            df, loc, scale = law.args
            prior = StudentTPrior(1, df=df, mean=loc, scale=scale)
            q = stats.norm(mean, width * scale)
            params = jnp.array([mean, np.log(q.var() - prior.post_var_min)])
            span, kinks = (mean - 12 * q.std(), mean + 12 * q.std()), (loc, mean)
            ratio = lambda u, q=q, law=law: q.pdf(u) * (q.logpdf(u) - law.logpdf(u))  # noqa: E731
            exact, _ = integrate.quad(ratio, *span, points=kinks, limit=400)
            assert float(prior.kl(params, jnp.zeros(1))) == pytest.approx(exact, abs=tolerance)


def test_a_pulse_is_cheap_under_heavy_tails_and_dear_under_a_normal_law():
    pulse = jnp.array([3.0, -4.0])
    heavy = float(StudentTPrior(1, scale=0.1).kl(pulse, pulse[:1]))
    light = float(GaussianPrior(1, variance=0.01).kl(pulse, pulse[:1]))
    assert 0 < heavy < 15 < 400 < light


def test_gaussian_prior_log_prob_and_kl():
    prior = PRIORS["gaussian"]()
    values = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    scale = np.sqrt(0.3 + 0.01)
    close(prior.log_prob(jnp.asarray(values)), stats.norm.logpdf(values, 0.4, scale).sum(-1))
    params = jnp.broadcast_to(random_params(prior, (1,)), (20_000, 6))
    samples = prior.sample(params, prior.noise(jax.random.key(0), (20_000,)))
    ratio = prior.posterior_log_prob(params, samples) - prior.log_prob(samples)
    agree_on_average(ratio, prior.kl(params, samples))


# Likelihoods


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_mean_and_variance_are_those_of_scipy(name):
    """From hardly any scatter to a lot, for data that are typical and for data that are not."""
    rng, likelihood = np.random.default_rng(0), LIKELIHOODS[name]()
    params = rng.uniform(-3, 3, (likelihood.n_params, 200))
    if name in ("negative_binomial", "gamma", "zero_inflated_gamma"):
        params[-1] = rng.uniform(-2, 9.5, 200)  # sizes and shapes
    rest, extra = SCIPY[name](*params), EXTRA_ZEROS.get(name, lambda p: np.zeros(200))(params)
    data = np.where(rng.random(200) < 0.5, rest.rvs(random_state=rng), rng.choice(DATA[name], 200))
    data = np.where(data > 0, np.maximum(data, min(DATA[name][DATA[name] > 0])), data)  # as float32 too
    data = np.where(rng.random(200) < 0.3 * (extra > 0), 0.0, data)
    log_prob = rest.logpmf(data) if likelihood.support == "counts" else rest.logpdf(data)
    log_prob = np.log1p(-extra) + log_prob
    log_prob = np.where((data == 0) & (extra > 0), np.logaddexp(np.log(np.maximum(extra, 1e-300)), log_prob), log_prob)
    mean = (1 - extra) * rest.mean()
    for double, tolerance in ((True, 1e-9), (False, 2e-4)):
        with jax.enable_x64(double):
            made, given = LIKELIHOODS[name](), jnp.asarray(params.T)
            np.testing.assert_allclose(made.log_prob(given, jnp.asarray(data)), log_prob, tolerance, tolerance)
            np.testing.assert_allclose(made.mean(given), mean, tolerance)
            variance = (1 - extra) * (rest.var() + extra * rest.mean() ** 2)
            np.testing.assert_allclose(made.variance(given), variance, tolerance)


def test_poisson_log_prob_is_that_of_scipy():
    log_rate, counts = np.broadcast_arrays(np.linspace(-15, 8, 24)[:, None], [0.0, 1, 2, 5, 30, 1000])
    with jax.enable_x64(True):
        ours = np.asarray(Poisson().log_prob(jnp.asarray(log_rate)[..., None], jnp.asarray(counts)))
    np.testing.assert_allclose(ours, stats.poisson.logpmf(counts, np.exp(log_rate)), rtol=1e-9)


def test_poisson_log_prob_is_that_of_lfads_torch(arrays):
    params, counts = jnp.asarray(arrays["poisson/log_rate"])[..., None], jnp.asarray(arrays["poisson/count"])
    close(-Poisson().log_prob(params, counts), arrays["poisson/nll_exact"])
    integers = counts.astype(jnp.uint8)
    np.testing.assert_array_equal(np.asarray(integers), arrays["poisson/count"])
    close(-Poisson().log_prob(params, integers), arrays["poisson/nll_exact"])


def test_gaussian_log_prob_is_that_of_scipy():
    rng = np.random.default_rng(0)
    mean, data, log_variance = rng.standard_normal((3, 60)) * np.array([2, 3, 1.5])[:, None]
    for floor in (0.0, 0.5):
        with jax.enable_x64(True):
            params = jnp.asarray(np.stack([mean, log_variance], -1))
            ours = Gaussian(variance_min=floor).log_prob(params, jnp.asarray(data))
        theirs = stats.norm.logpdf(data, mean, np.sqrt(np.exp(log_variance) + floor))
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-10)


def test_gaussian_log_prob_is_that_of_lfads_torch(arrays):
    params = jnp.asarray(arrays["gaussian/params_mean_logvar"])
    ours = -np.asarray(Gaussian(variance_min=0.0).log_prob(params, jnp.asarray(arrays["gaussian/data"])))
    close(ours - 0.5 * np.log(2 * np.pi), arrays["gaussian/loss_without_constant"])


def test_squared_error_is_that_of_lfads_torch(arrays):
    means = jnp.asarray(arrays["gaussian/params_mean_logvar"])[..., :1]
    loss = -np.asarray(SquaredError(noise_variance=0.5).log_prob(means, jnp.asarray(arrays["gaussian/data"])))
    close(loss - 0.5 * np.log(np.pi), arrays["mse/loss"])


def test_gamma_is_that_of_lfads_torch(arrays):
    alpha, beta = np.moveaxis(arrays["gamma/params_logalpha_logbeta"], -1, 0)
    params = jnp.asarray(np.stack([alpha - beta, alpha], -1))
    close(-Gamma().log_prob(params, jnp.asarray(arrays["gamma/data"])), arrays["gamma/loss"])
    close(Gamma().mean(params), arrays["gamma/mean"])


def test_zero_inflated_gamma_is_that_of_lfads_torch(arrays):
    """There each parameter is a sigmoid, at least 1e-5; shape and rate have a trained factor for each channel."""
    bounded = np.maximum(logistic(arrays["zig/params"].astype(np.float64)), 1e-5)
    alpha, beta = np.moveaxis(bounded[..., :2] * arrays["zig/scale_alpha_beta"].T, -1, 0)
    q = bounded[..., 2]
    params = jnp.asarray(np.stack([np.log(alpha / beta), np.log(q / (1 - q)), np.log(alpha)], -1), jnp.float32)
    likelihood = ZeroInflatedGamma(loc=0.1)
    close(-likelihood.log_prob(params, jnp.asarray(arrays["zig/data"])), arrays["zig/loss"])
    close(likelihood.mean(params), arrays["zig/mean"])


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_samples_have_the_mean_and_variance_of_the_likelihood(name):
    n, likelihood = 20_000, LIKELIHOODS[name]()
    params = jnp.array([[-2.0, 0.5, 1.0], [0.0, -1.0, 2.0], [1.5, 1.0, -0.5]])[:, : likelihood.n_params]
    drawn = np.asarray(likelihood.sample(jax.random.key(0), jnp.broadcast_to(params, (n, *params.shape))), np.float64)
    mean, variance = np.asarray(likelihood.mean(params)), np.asarray(likelihood.variance(params))
    assert np.all(likelihood.inside(drawn))
    assert (likelihood.support == "counts") == np.all(drawn == np.floor(drawn))
    assert np.all(np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(variance / n))
    spread = (drawn - mean) ** 2
    assert np.all(np.abs(spread.mean(0) - variance) <= 5 * spread.std(0) / np.sqrt(n))


def test_soft_clip():
    inside = jnp.linspace(-15, 8, 400)
    np.testing.assert_array_equal(np.asarray(soft_clip(inside)), np.asarray(inside))
    edges = np.array([[-15 - 1e-4, -15 + 1e-4], [8 - 1e-4, 8 + 1e-4]], np.float32)
    assert np.all(np.abs(np.diff(np.asarray(soft_clip(jnp.asarray(edges))))) < 3e-4)
    far = np.concatenate([-np.logspace(-3, 6, 60)[::-1] - 15, np.linspace(-15, 8, 30), np.logspace(-3, 6, 60) + 8])
    far = jnp.asarray(far, jnp.float32)
    values, slopes = jax.vmap(jax.value_and_grad(soft_clip))(far)
    assert np.all(np.diff(np.asarray(values)) >= 0)
    assert np.all(np.asarray(slopes) > 0) and np.all(np.asarray(slopes) <= 1)
    assert np.all(np.isfinite(np.exp(np.asarray(values)))) and np.all(np.exp(np.asarray(values)) > 0)
    rates, slopes_of_rates = jax.vmap(jax.value_and_grad(exp_soft_clip))(far)
    expected = np.exp(np.asarray(values, np.float64))
    np.testing.assert_allclose(np.asarray(rates), expected, rtol=2e-5)
    np.testing.assert_allclose(np.asarray(slopes_of_rates), expected * np.asarray(slopes), rtol=2e-5)


@pytest.mark.parametrize("log_rate", [-1e6, -40.0, 40.0, 1e6])
def test_rates_that_have_run_off_come_back(log_rate):
    """The gradient is finite and points to the data."""
    for likelihood in (Poisson(), NegativeBinomial(), ZeroInflatedPoisson(), LogNormal(), Gamma(), ZeroInflatedGamma()):
        params, data = jnp.array([log_rate, 0.0, 0.0][: likelihood.n_params]), jnp.array(3.0)
        slope = jax.grad(lambda p, of=likelihood, data=data: of.log_prob(p, data))(params)[0]
        assert np.isfinite(slope) and np.sign(slope) == -np.sign(log_rate)
    data = jnp.array(float(log_rate < 0))
    slope = jax.grad(lambda a: Bernoulli().log_prob(a[None], data))(jnp.array(log_rate))
    assert np.isfinite(slope) and np.sign(slope) == -np.sign(log_rate)
    params = jnp.array([0.0, log_rate])
    slope = jax.grad(lambda p: Gaussian().log_prob(p, jnp.array(3.0)))(params)
    assert np.all(np.isfinite(np.asarray(slope)))
    assert slope[1] < 0 if log_rate > 0 else slope[1] >= 0


def test_read_out_of_poisson_and_gaussian_starts_at_the_statistics_of_the_data():
    total, squared, n = jnp.array([30.0, 0.0, 0.0]), jnp.array([90.0, 0.0, 0.0]), jnp.array([20.0, 20.0, 0.0])
    poisson = np.asarray(Poisson().initial_params(total, squared, n))
    close(poisson[:, 0], np.log([30.5 / 20, 0.5 / 20, 0.5]))
    gaussian = np.asarray(Gaussian().initial_params(total, squared, n))
    close(gaussian[0], [1.5, np.log(90 / 20 - 1.5**2)])
    assert np.all(np.isfinite(gaussian))
    # Reached as rates: a silent neuron starts at half a count over the recording.
    close(Poisson().mean(jnp.asarray(poisson)), [30.5 / 20, 0.5 / 20, 0.5])


# Seams


def test_every_built_in_part_of_the_seams_is_tested_here():
    built_in = {part for part in PARTS.values() if issubclass(part, AbstractPrior | AbstractLikelihood)}
    assert built_in == {PointPrior} | {type(make()) for make in (*PRIORS.values(), *LIKELIHOODS.values())}


def all_finite(tree):
    return all(np.all(np.isfinite(np.asarray(leaf))) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_does_what_its_seam_promises(name):
    check(PRIORS[name]())


def test_without_noise_a_sample_is_the_mean(prior):
    params = random_params(prior, (2, 6))
    mean, std = prior.posterior_mean(params), prior.posterior_std(params)
    np.testing.assert_array_equal(np.asarray(prior.sample(params, jnp.zeros((2, 6, 3)))), np.asarray(mean))
    assert np.all(np.asarray(std) > 0)


def test_noise_of_fewer_bins_is_the_beginning_of_that_of_more(prior):
    key = jax.random.key(0)
    np.testing.assert_array_equal(np.asarray(prior.noise(key, (9,)))[:4], np.asarray(prior.noise(key, (4,))))


def test_posterior_samples_have_the_posterior_moments(prior):
    n = 20_000
    params = jnp.broadcast_to(random_params(prior, (1, 3)), (n, 3, 6))
    samples = prior.sample(params, prior.noise(jax.random.key(5), (n, 3)))
    log_prob = np.asarray(prior.posterior_log_prob(params, samples))
    mean, std = (np.asarray(f(params[0])) for f in (prior.posterior_mean, prior.posterior_std))
    samples = np.asarray(samples)
    assert np.all(np.abs(samples.mean(0) - mean) < 5 * std / np.sqrt(n))
    assert np.all(np.abs(samples.std(0) / std - 1) < 5 / np.sqrt(2 * n))
    # The density of `posterior_log_prob` has these moments.
    close(log_prob, stats.norm.logpdf(samples, mean, std).sum(-1))


@pytest.mark.parametrize("make", [GaussianPrior, AutoregressivePrior, SmoothPrior, StudentTPrior])
def test_the_variance_floor_is_added(make):
    params = jnp.array([0.0, -30.0])
    for floor in (0.0, 0.25):
        prior = make(1, post_var_min=floor)
        unit = prior.unit if isinstance(prior, SmoothPrior) else 1.0
        np.testing.assert_allclose(prior.posterior_std(params), np.sqrt(unit * (np.exp(-30) + floor)), rtol=1e-5)


def test_settings_say_what_trains():
    prior = GaussianPrior(2, train_mean=False, train_variance=True)
    assert set(nnx.state(prior, nnx.Param)) == {"log_variance"}
    prior = AutoregressivePrior(2, train_tau=False, train_variance=False, train_mean=True)
    assert set(nnx.state(prior, nnx.Param)) == {"loc"}
    prior = StudentTPrior(2, train_df=False)
    assert set(nnx.state(prior, nnx.Param)) == {"log_scale"}


def test_a_point_is_the_same_for_all_trials_and_tells_nothing():
    prior = PointPrior(3)
    prior.value[...] = jnp.array([1.0, -2.0, 0.5])
    shape = (2, 6)
    params, noise = jnp.zeros((*shape, prior.n_params)), prior.noise(jax.random.key(0), shape)
    path = prior.sample(params, noise)
    for values in (path, prior.posterior_mean(params), prior.draw(jax.random.key(1), shape)):
        np.testing.assert_array_equal(np.asarray(values), np.broadcast_to([1.0, -2.0, 0.5], (2, 6, 3)))
    for values in (prior.kl(params, path), prior.log_prob(path), prior.posterior_log_prob(params, path)):
        np.testing.assert_array_equal(np.asarray(values), np.zeros(shape))
    assert noise.shape == (2, 6, 3) and np.all(np.asarray(prior.posterior_std(params)) == 0)
    graphdef, state = nnx.split(prior)
    gradient = jax.grad(lambda state: nnx.merge(graphdef, state).sample(params, noise).sum())(state)
    np.testing.assert_array_equal(np.asarray(gradient["value"][...]), 12 * np.ones(3))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_does_what_its_seam_promises(name):
    check(LIKELIHOODS[name]())


@pytest.mark.parametrize("precision", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_parameters_that_have_run_off_stay_finite(name, precision):
    with jax.enable_x64(precision == jnp.float64):
        likelihood = LIKELIHOODS[name]()
        data = jnp.asarray(DATA[name])
        extremes = jnp.array([-1e6, -1.0, 0.5, 1e6])
        params = jnp.tile(extremes[:, None, None], (1, len(data), likelihood.n_params))
        entries = jnp.broadcast_to(data, params.shape[:2])
        log_prob, mean = likelihood.log_prob(params, entries), likelihood.mean(params)
        assert log_prob.dtype == mean.dtype == params.dtype == precision and all_finite((log_prob, mean))
        gradient = jax.grad(lambda params: likelihood.log_prob(params, entries).sum())(params)
        assert gradient.dtype == precision and all_finite(gradient)
        assert np.any(np.asarray(gradient[1:3]) != 0)


def test_a_read_out_starts_at_the_mean_of_the_data(likelihood):
    values = np.random.default_rng(0).choice([0.0, 1.0] if isinstance(likelihood, Bernoulli) else [0, 0.5, 1, 4], 1000)
    values = np.floor(values) if likelihood.support == "counts" else values
    sums = (np.array([values.sum(), 0.0, 0.0]), np.array([(values**2).sum(), 0.0, 0.0]), np.array([1000.0, 1000, 0]))
    params = likelihood.initial_params(*sums)
    mean, variance = np.asarray(likelihood.mean(params)), np.asarray(likelihood.variance(params))
    np.testing.assert_allclose(mean[0], values.mean(), rtol=2e-3)
    if isinstance(likelihood, NegativeBinomial | ZeroInflatedPoisson):
        # A fifth of the variance beyond Poisson counts: the rest may be that of the rates.
        np.testing.assert_allclose(variance[0], 0.8 * values.mean() + 0.2 * values.var(), rtol=0.02)
    elif not isinstance(likelihood, Poisson | SquaredError | ZeroInflatedGamma):
        np.testing.assert_allclose(variance[0], values.var(), rtol=0.02)
    assert np.all(np.isfinite(mean)) and np.all(np.isfinite(variance))


def test_log_prob_is_a_density(likelihood):
    """It sums or integrates to 1 over the data, with the mean and the variance."""
    params = jnp.full(likelihood.n_params, 1.2)
    if likelihood.support == "counts":
        values, weights = np.arange(2.0 if isinstance(likelihood, Bernoulli) else 255.0), 1.0
    else:
        is_positive = not np.all(likelihood.inside(-np.ones(1)))
        values = np.geomspace(1e-6, 1e12, 8001) if is_positive else np.linspace(-60, 60, 4001)
        values = values + getattr(likelihood, "loc", 0.0)
        weights = np.gradient(values)
        if isinstance(likelihood, ZeroInflatedGamma):
            values, weights = np.append(values, 0.0), np.append(weights, 1.0)
    of_values = likelihood.log_prob(
        jnp.broadcast_to(params, (len(values), len(params))), jnp.asarray(values, jnp.float32)
    )
    mass = weights * np.exp(np.asarray(of_values, np.float64))
    mean = (mass * values).sum()
    np.testing.assert_allclose(mass.sum(), 1, rtol=1e-4)
    np.testing.assert_allclose(mean, likelihood.mean(params), rtol=1e-3)
    np.testing.assert_allclose((mass * (values - mean) ** 2).sum(), likelihood.variance(params), rtol=1e-3)


# What is wrong is said


@pytest.mark.parametrize("abstract", [AbstractPrior, AbstractLikelihood])
def test_an_unfinished_part_cannot_be_made(abstract):
    class Unfinished(abstract):
        def mean(self, params):
            return params[..., 0]

    with pytest.raises(TypeError, match="Unfinished.*abstract"):
        Unfinished()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SquaredError(0.0), "`noise_variance` of SquaredError must be above 0, got 0.0"),
        (lambda: ZeroInflatedGamma(loc=-0.1), "`loc` of ZeroInflatedGamma must be at least 0, got -0.1"),
        (lambda: GaussianPrior(0), "`dim` of the prior must be above 0, got 0"),
        (lambda: GaussianPrior(2, variance=-1.0), "`variance` of the prior must be above 0, got -1.0"),
        (lambda: AutoregressivePrior(-2), "`dim` of the prior must be above 0, got -2"),
        (lambda: AutoregressivePrior(2, tau=0.0), "`tau` of the prior must be above 0, got 0.0"),
        (lambda: StudentTPrior(2, df=0.0), "`df` of the prior must be above 0, got 0.0"),
        (lambda: StudentTPrior(2, scale=-1.0), "`scale` of the prior must be above 0, got -1.0"),
        (
            lambda: AutoregressivePrior(2, variance=float("nan")),
            "`variance` of the prior must be above 0, got nan",
        ),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_counts_of_every_integer_type_have_the_same_log_likelihood():
    """The smallest integers take log k! from a table."""
    counts, params = np.arange(256), jnp.full((256, 1), 0.7)
    table = np.asarray(Poisson().log_prob(params, jnp.asarray(counts, jnp.uint8)))
    for dtype in (jnp.uint16, jnp.int32, jnp.float32):
        np.testing.assert_allclose(table, np.asarray(Poisson().log_prob(params, jnp.asarray(counts, dtype))), rtol=1e-5)
    np.testing.assert_allclose(table, stats.poisson.logpmf(counts, np.exp(0.7)), rtol=1e-6)
