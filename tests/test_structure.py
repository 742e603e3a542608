"""What a forward model says of its structure, and retrievals that use it."""

import pickle
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, special, stats

from skastro.datasets import gas_prior
from skastro.molecular import LineRatioModel, MultiPhaseModel, RadexModel
from skastro.parameter_space import LogUniform, Parameter, ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval
from skastro.retrieval._amplitude import Amplitude
from skastro.retrieval._forward_model import ForwardModel
from skastro.retrieval._likelihood import Likelihood
from skastro.retrieval._mixture import seed_generator
from skastro.retrieval._sampling_importance import Mixture
from skastro.retrieval._scale_likelihood import (
    UNSOLVED,
    _log_interval,
    draw_scale,
    integrated_log_likelihoods,
)
from skastro.retrieval._structure import read_structure
from skastro.retrieval._table_integrals import NO_SOLUTION, Data
from skastro.retrieval._table_likelihood import Tables, draw_separable, log_likelihoods

# -- integrals over a separable parameter


def tables_of(curves, spreads=None, groups=None):
    """Return tables of lines that share nothing: (n_lines, n_nodes)."""
    n_lines, k = curves.shape
    filled = np.where(np.isnan(curves), NO_SOLUTION, curves).astype(np.float32)
    row = filled.reshape(1, -1)
    stds = np.empty((0, row.shape[1])) if spreads is None else spreads.reshape(1, -1)
    return Tables(
        row,
        stds.astype(np.float32),
        np.arange(n_lines) * k,
        np.full(n_lines, k),
        np.array([0, n_lines] if groups is None else groups),
        np.empty(0, np.int64),
        np.ones(1),
        0.0,
        1.0,
        True,
    ), row


def data_of(y, sigma, limit=None, seen=None, freedom=0.0):
    n = len(y)
    return Data(
        np.ones(n, bool) if seen is None else np.array(seen),
        np.array(y, float),
        np.array(sigma, float),
        np.zeros(n, bool) if limit is None else np.array(limit),
        np.full(n, -1),
        0.0,
        float(freedom),
        0.0,
    )


CURVE = np.exp(np.linspace(-2, 3, 33))
OTHER = 3.0 / (1.0 + np.linspace(-3, 2, 33) ** 2)
BROKEN = np.where(np.arange(33) > 20, np.nan, CURVE)

INTEGRALS = {
    "wide": ([CURVE], data_of([2.0], [30.0])),
    "usual": ([CURVE], data_of([2.0], [0.2])),
    "narrow": ([CURVE], data_of([2.0], [2e-4])),
    "far off": ([CURVE], data_of([-5.0], [0.5])),
    "narrow and far off": ([CURVE], data_of([0.05], [1e-3])),
    "two lines": ([CURVE, OTHER], data_of([1.0, 2.2], [0.1, 0.3])),
    "two narrow lines": ([CURVE, OTHER], data_of([1.0, 3.0], [1e-4, 3e-4])),
    "two peaks": ([OTHER], data_of([1.5], [0.01])),
    "not seen": ([CURVE, OTHER], data_of([1.0, 2.2], [0.1, 0.3], seen=[True, False])),
    "nothing seen": ([CURVE], data_of([1.0], [0.1], seen=[False])),
    "no solution": ([BROKEN], data_of([2.0], [3.0])),
    "limit": ([CURVE, OTHER], data_of([1.0, 2.0], [0.2, 0.3], [False, True])),
    "limit alone": ([CURVE], data_of([1.0], [0.2], [True])),
    "exact limit": ([CURVE, OTHER], data_of([2.0, 2.0], [0.5, 0.0], [False, True])),
    "exact limit alone": ([CURVE], data_of([3.0], [0.0], [True])),
    "narrow beside a limit": (
        [CURVE, OTHER],
        data_of([1.0, 5.0], [1e-4, 0.3], [False, True]),
    ),
    "Student's t": ([CURVE, OTHER], data_of([1.0, 0.2], [0.1, 0.1], freedom=4.0)),
    "narrow Student's t": ([CURVE], data_of([2.0], [2e-4], freedom=4.0)),
    "no solution, Student's t": ([BROKEN], data_of([2.0], [3.0], freedom=2.0)),
    "no solution, limit": ([BROKEN], data_of([2.0], [3.0], [True])),
    "own error": ([CURVE, OTHER], data_of([1.0, 2.2], [0.05, 0.1]), 0.1),
    "own error, limit": (
        [CURVE, OTHER],
        data_of([1.0, 2.2], [0.05, 0.1], [False, True]),
        0.1,
    ),
    "own error, no solution": ([BROKEN], data_of([2.0], [0.3], [True]), 0.1),
}


def log_density_of(u, curves, data, share):
    """Return log-probabilities at quantiles, of lines linear between nodes."""
    nodes, total = np.linspace(0, 1, len(curves[0])), 0.0
    for line, curve in enumerate(curves):
        if not data.seen[line]:
            continue
        f = np.interp(u, nodes, np.asarray(curve, np.float32).astype(float))
        f = np.where(np.interp(u, nodes, np.isnan(curve).astype(float)) > 0, np.nan, f)
        error = np.hypot(data.sigma[line], share * f)
        with np.errstate(divide="ignore"):
            deviate = (data.y[line] - f) / error
        if data.limit[line]:
            total = total + np.where(np.isnan(f), np.nan, special.log_ndtr(deviate))
        elif data.degrees_of_freedom:
            t = stats.t(data.degrees_of_freedom)
            total = total + t.logpdf(deviate) - np.log(error)
        else:
            total = total + stats.norm.logpdf(deviate) - np.log(error)
    return np.where(np.isnan(total), -np.inf, total) + 0 * u


@pytest.mark.parametrize("case", INTEGRALS)
def test_integral_over_a_separable_parameter(case):
    curves, data, *share = INTEGRALS[case]
    share, curves = (share or [0.0])[0], np.array(curves)
    spreads = share * np.nan_to_num(curves, nan=NO_SOLUTION) if share else None
    tables, lines = tables_of(curves, spreads)
    own = np.empty((1, 0), np.float32)
    if share:
        own = spreads.reshape(1, -1).astype(np.float32)
    z, value = np.empty((1, 0)), np.empty(1)
    log_likelihoods(tables, data, z, lines, own, value)
    # a fine sum, of cells that end where those of the table do
    edges = np.linspace(0, 1, 32 * 12_000 + 1)
    u = 0.5 * (edges[1:] + edges[:-1])
    density = log_density_of(u, curves, data, share)
    expected = special.logsumexp(density) - np.log(len(u))
    assert_allclose(value[0], expected, atol=0.005)

    # a look at fewer places finds it too
    log_likelihoods(tables._replace(exact=False), data, z, lines, own, value)
    atol = 6.0 if case == "narrow and far off" else 1.0  # at its edge, it is narrow
    assert_allclose(value[0], expected, atol=atol)

    # draws have the density, and know their likelihood
    n = 1500
    drawn, values = np.empty((n, 1)), np.empty(n)
    seed_generator(1)
    draw_separable(tables, data, z, np.array([n]), lines, own, drawn, values)
    cumulative = np.cumsum(np.exp(density - density.max()))
    cumulative = np.append(0.0, cumulative / cumulative[-1])

    def distribution(x):
        return np.interp(x, edges, cumulative)

    assert stats.kstest(drawn[:, 0], distribution).pvalue > 1e-3
    expected = log_density_of(drawn[:, 0], curves, data, share)
    assert_allclose(values, expected, rtol=1e-3, atol=0.01)


def test_groups_multiply():
    curves = np.array([CURVE, OTHER, CURVE**2])
    data = data_of([1.0, 2.2, 4.0], [0.1, 0.3, 0.2])
    own, z, value = np.empty((1, 0), np.float32), np.empty((1, 0)), np.empty(1)
    tables, lines = tables_of(curves, groups=[0, 2, 3])
    log_likelihoods(tables, data, z, lines, own, value)
    parts = np.empty(2)
    for i, part in enumerate((slice(0, 2), slice(2, 3))):
        some = data_of(data.y[part], data.sigma[part])
        tables, lines = tables_of(curves[part])
        log_likelihoods(tables, some, z, lines, own, parts[i : i + 1])
    assert_allclose(value[0], parts.sum(), rtol=1e-12)


def test_no_solution_whatever_the_amplitude():
    """A limit is no evidence for what has no solution."""
    curves = np.full((1, 33), np.nan)
    spreads = np.full((1, 33), NO_SOLUTION)
    tables, lines = tables_of(curves, spreads)
    tables = tables._replace(amplitudes=np.array([1e-6]))
    data, value = data_of([1.0], [0.1], [True]), np.empty(1)
    own = spreads.astype(np.float32)
    log_likelihoods(tables, data, np.empty((1, 0)), lines, own, value)
    assert value[0] == -np.inf


# -- a whole retrieval beside integrals on a grid


class Toy:
    """Two species, of two lines and of one, and a line of the gas alone."""

    parameter_names = ["t", "a", "f"]
    output_names = ["a1", "a2", "c"]
    scale_parameters = ["f"]
    separable_parameters = {"a": ["a1", "a2"]}
    unit = 1.0

    def lines(self, theta):
        t, a, f = np.asarray(theta).T
        a1 = np.sqrt(t) * -np.expm1(-a / t)
        a2 = 0.5 * t**0.8 * -np.expm1(-(a**0.7) / t)
        c = 0.3 * t
        return self.unit * np.stack([f * a1, f * a2, f * c], axis=1)

    def predict(self, theta):
        return self.lines(theta)


class Spread(Toy):
    """The same, with an error of its own."""

    has_spread = True

    def predict(self, theta, return_std=False):
        lines = self.lines(theta)
        return (lines, 0.15 * lines) if return_std else lines


TOY_PRIOR = ParameterSpace(
    {"t": LogUniform(5, 100), "a": LogUniform(1, 300), "f": Uniform(0.1, 1)}
)
TRUTH = np.array([20.0, 25.0, 0.6])
SIGMA = np.array([0.2, 0.25, 0.4])
CASES = {
    "plain": {},
    "limit": {"limit": True},
    "exact limit": {"limit": True, "exact": True},
    "t": {"degrees_of_freedom": 3.0},
    "calibration": {"calibration_error": 0.1},
    "spread": {"model": Spread()},
}


def toy_data(case):
    y = Toy().lines(TRUTH[None])[0] + SIGMA * [0.5, -0.8, 0.7]
    sigma = SIGMA.copy()
    limit = np.zeros(3, bool)
    if CASES[case].get("limit"):
        limit[1], y[1] = True, 2.0
        sigma[1] = np.nan if CASES[case].get("exact") else 0.25
    return y, sigma, limit


def brute_force(case, y, sigma, limit, n=(90, 90, 70)):
    """Return ln Z, mean and std of the parameters' quantiles, by sums on a grid."""
    axes = [(np.arange(m) + 0.5) / m for m in n]
    u = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=1)
    theta = TOY_PRIOR.transform(u)
    f = Toy().lines(theta)
    error = np.hypot(np.nan_to_num(sigma), 0.15 * f if case == "spread" else 0.0 * f)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, log_error = (y - f) / error, np.log(error)
    degrees = CASES[case].get("degrees_of_freedom")
    seen = ~limit & ~np.isnan(y)
    if case == "calibration":
        s, total = CASES[case]["calibration_error"], 0.0
        for band in ([0, 1], [2]):  # the covariance has one direction more
            v, g, r = sigma[band] ** 2, f[:, band], (y - f)[:, band]
            extra = 1 + s**2 * np.sum(g**2 / v, axis=1)
            chi = np.sum(r**2 / v, axis=1)
            chi -= s**2 * np.sum(g * r / v, axis=1) ** 2 / extra
            total = total - 0.5 * (chi + np.log(extra) + np.log(2 * np.pi * v).sum())
    elif degrees:
        total = (stats.t(degrees).logpdf(x) - log_error).sum(axis=1)
    else:
        total = (stats.norm.logpdf(x[:, seen]) - log_error[:, seen]).sum(axis=1)
        total += special.log_ndtr(x[:, limit]).sum(axis=1)
    log_z = special.logsumexp(total) - np.log(len(total))
    w = np.exp(total - special.logsumexp(total))
    mean = w @ u
    return log_z, mean, np.sqrt(w @ (u - mean) ** 2)


def fit_toy(case, sampler, structure="auto", **settings):
    y, sigma, limit = toy_data(case)
    own = {k: v for k, v in CASES[case].items() if k not in ("limit", "exact", "model")}
    retrieval = BayesianRetrieval(
        CASES[case].get("model", Toy()),
        TOY_PRIOR,
        sampler=sampler,
        structure=structure,
        random_state=0,
        **{"min_ess": 1000, "n_live_points": 100} | own | settings,
    )
    more = {"band": ["x", "x", "y"]} if case == "calibration" else {}
    if limit.any():
        more["upper_limit"] = limit
    return retrieval.fit(["a1", "a2", "c"], y, sigma=sigma, **more)


def assert_right(retrieval, expected, n_sigma=5):
    """Compare evidence and marginals, of quantiles, to the numbers of a grid."""
    log_z, mean, std = expected
    error = retrieval.log_evidence_err_
    assert abs(retrieval.log_evidence_ - log_z) < n_sigma * error + 0.01
    posterior = retrieval.posterior_
    u = TOY_PRIOR.inverse_transform(posterior.weighted_samples)
    ess = posterior.effective_sample_size
    own = posterior.weights @ u
    spread = np.sqrt(posterior.weights @ (u - own) ** 2)
    assert (np.abs(own - mean) < n_sigma * std / np.sqrt(ess) + 0.003).all()
    assert_allclose(spread, std, rtol=n_sigma / np.sqrt(ess) + 0.01)


@pytest.mark.parametrize("case", CASES)
def test_retrieval_beside_integrals_on_a_grid(case):
    expected = brute_force(case, *toy_data(case))
    for sampler in ("importance", "region"):
        retrieval = fit_toy(case, sampler)
        assert retrieval.integrated_parameters_ == ["a", "f"]
        assert_right(retrieval, expected)
    if case in ("plain", "spread"):
        assert_right(fit_toy(case, "importance", "ignore"), expected)


class Broken(Toy):
    """The same, without a solution where it is hot."""

    def predict(self, theta):
        return np.where(theta[:, :1] > 30.0, np.nan, self.lines(theta))


@pytest.mark.filterwarnings("ignore:.*no solution")
def test_models_without_solutions():
    """What has none counts as impossible, to a cell of the tables."""
    y, sigma, _ = toy_data("plain")
    u = (np.arange(100) + 0.5) / 100
    u = np.stack([m.ravel() for m in np.meshgrid(u, u, u, indexing="ij")], axis=1)
    f = Broken().predict(TOY_PRIOR.transform(u))
    density = stats.norm.logpdf(y, f, sigma).sum(axis=1)
    expected = special.logsumexp(density[~np.isnan(density)]) - np.log(len(u))
    retrieval = BayesianRetrieval(
        Broken(), TOY_PRIOR, sampler="importance", random_state=0, min_ess=1000
    ).fit(["a1", "a2", "c"], y, sigma=sigma)
    assert retrieval.integrated_parameters_ == ["a", "f"]
    assert (retrieval.posterior_.samples[:, 0] <= 30).all()
    assert abs(retrieval.log_evidence_ - expected) < 0.1


def test_lines_that_were_not_observed():
    """Each object has its own; of what none depends on, the prior is left."""
    y, sigma, limit = toy_data("plain")
    seen = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]], bool)
    table = np.where(seen, y, np.nan).T
    retrieval = BayesianRetrieval(
        Toy(), TOY_PRIOR, sampler="importance", random_state=0, min_ess=1000
    ).fit(["a1", "a2", "c"], table, sigma=np.tile(sigma[:, None], 4))
    for i, posterior in enumerate(retrieval.posterior_):
        log_z, mean, std = brute_force("plain", table[:, i], sigma, limit)
        assert abs(posterior.log_evidence - log_z) < 0.12
        u = TOY_PRIOR.inverse_transform(posterior.samples)
        assert_allclose(u.mean(axis=0), mean, atol=0.2 * std.max())
    assert stats.kstest(u[:, 1], "uniform").pvalue > 1e-3


def test_unit_does_not_matter():
    """Luminosities in erg/s are beyond single precision, and not beyond tables."""
    y, sigma, _ = toy_data("plain")
    found = []
    for unit in (1.0, 1e41, 1e-41):
        model = Toy()
        model.unit = unit
        retrieval = BayesianRetrieval(
            model, TOY_PRIOR, sampler="importance", random_state=0
        )
        retrieval.fit(["a1", "a2", "c"], unit * y, sigma=unit * sigma)
        found.append(retrieval.log_evidence_ + 3 * np.log(unit))
    assert_allclose(found, found[0], atol=0.01)


def test_lines_known_better_than_tables():
    """Where tables are too coarse for the errors, nothing rests on them."""
    y = Toy().lines(TRUTH[None])[0]
    retrieval = BayesianRetrieval(
        Toy(), TOY_PRIOR, sampler="importance", random_state=0
    )
    with pytest.warns(UserWarning, match="tables"):
        retrieval.fit(["a1", "a2", "c"], y, sigma=1e-4 * y)
    assert retrieval.integrated_parameters_ == ["f"]
    deviation = retrieval.posterior_.mean() - TRUTH
    assert (np.abs(deviation) < 3 * retrieval.posterior_.std()).all()


def test_log_likelihoods_of_samples():
    """What is recorded with a sample is the forward model's log-likelihood."""
    for case in ("plain", "t", "limit", "calibration", "spread"):
        y, sigma, limit = toy_data(case)
        posterior = fit_toy(case, "importance", min_ess=200).posterior_
        likelihood = Likelihood(
            y,
            sigma,
            upper_limit=limit,
            degrees_of_freedom=CASES[case].get("degrees_of_freedom"),
            calibration_error=CASES[case].get("calibration_error", 0.0),
            band=np.array([0, 0, 1]),
        )
        lines = Toy().lines(posterior.weighted_samples)
        spread = 0.15 * lines if case == "spread" else None
        expected = likelihood(lines, spread)
        difference = posterior.log_likelihoods - expected
        mean = posterior.weights @ difference
        assert abs(mean) < 0.02
        assert np.sqrt(posterior.weights @ difference**2) < 0.1


# -- a product of scales


def narrow():
    return Parameter(stats.lognorm(0.02, scale=3.0))


PAIRS = {
    "uniform, uniform": (Uniform(0.001, 1), Uniform(2, 30)),
    "from zero": (Uniform(0, 1), Uniform(0, 2)),
    "log-uniform, uniform": (LogUniform(1e-4, 1), Uniform(1, 10)),
    "uniform, log-uniform": (Uniform(1, 10), LogUniform(1e-4, 1)),
    "log-uniform": (LogUniform(1e-3, 1), LogUniform(0.1, 100)),
    "other": (Uniform(0.1, 1), Parameter(stats.gamma(3.0))),
    "narrow, uniform": (narrow(), Uniform(0.1, 10)),
    "uniform, narrow": (Uniform(0.1, 10), narrow()),
    "narrow, log-uniform": (narrow(), LogUniform(1e-3, 10)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_amplitude(pair):
    parameters, rng = PAIRS[pair], np.random.default_rng(0)
    amplitude, n = Amplitude(list(parameters)), 8000
    u = rng.random((n, 2))
    both = np.stack([p.quantile(u[:, i]) for i, p in enumerate(parameters)], axis=1)
    product = both.prod(axis=1)
    z = special.ndtri(rng.random(n))
    probits = amplitude.first_probit + amplitude.probit_step * np.arange(8001)
    values = np.interp(z, probits, amplitude.values)
    assert stats.ks_2samp(values, product).pvalue > 1e-3
    # drawn given the product of other draws, both are as the prior has them
    drawn = amplitude.draw(product, rng)
    assert_allclose(drawn.prod(axis=1), product, rtol=1e-12)
    for i, parameter in enumerate(parameters):
        assert stats.kstest(drawn[:, i], parameter.distribution.cdf).pvalue > 1e-3
        low, high = parameter.bounds
        assert (drawn[:, i] >= low * (1 - 1e-12)).all()
        assert (drawn[:, i] <= high * (1 + 1e-12)).all()
    # and they go together as two independent ones do
    ratios = [np.log(pairs[:, 1] / pairs[:, 0]) for pairs in (drawn, both)]
    assert stats.ks_2samp(*ratios).pvalue > 1e-3


def test_amplitude_of_one():
    parameter = LogUniform(0.01, 10)
    amplitude = Amplitude([parameter])
    u = special.ndtr(np.linspace(-8, 8, 8001))
    assert_allclose(amplitude.values, parameter.quantile(u), rtol=1e-6)
    values = np.array([0.5, 2.0])
    assert_array_equal(amplitude.draw(values, None), values[:, None])


# -- a scale that is integrated by itself


@pytest.mark.parametrize("low", [-80.0, -31.0, -8.0, -1.0, 0.0, 2.0, 25.0, 29.9, 35.0])
@pytest.mark.parametrize("length", [1e-4, 0.03, 0.5, 3.0, 60.0])
def test_log_of_a_normal_interval(low, length):
    high = low + length
    area, _ = (
        integrate.quad(
            lambda x: np.exp(0.5 * (near**2 - (low + length * x) ** 2)),
            0,
            1,
            points=[1e-3],
        )
        if (near := float(np.clip(0.0, low, high))) != 0
        else (
            (special.ndtr(high) - special.ndtr(low)) * np.sqrt(2 * np.pi) / length,
            0,
        )
    )
    expected = np.log(area * length) - 0.5 * near**2 - 0.5 * np.log(2 * np.pi)
    assert_allclose(_log_interval(low, high), expected, atol=1e-3)


def test_integral_over_a_scale():
    rng = np.random.default_rng(0)
    lines = rng.uniform(0.5, 3, (6, 4))
    lines[0] *= 1e-12  # predicts nothing
    lines[1] *= -1  # fits nothing
    y = np.array([[1.0, 2.0, 3.0, 0.0], [20.0, 9.0, 12.0, 1.0]])
    sigma = np.array([[0.5, 0.3, 0.4, 1.0], [0.8, 5.0, 0.5, 1.0]])
    weight = sigma**-2.0
    weight[:, 3] = 0.0  # not seen
    lower, upper = 0.2, 4.0
    value = np.empty((2, 6))
    integrated_log_likelihoods(lines.T.copy(), y, weight, lower, upper, value)
    f = lower + (upper - lower) * (np.arange(200_000) + 0.5) / 200_000
    for i in range(2):
        for m in range(6):
            x = (y[i, :3] - f[:, None] * lines[m, :3]) / sigma[i, :3]
            density = stats.norm.logpdf(x).sum(axis=1) - np.log(sigma[i, :3]).sum()
            expected = special.logsumexp(density) - np.log(len(f))
            if expected > value[i].max() - 35:  # what is far below may be less exact
                assert_allclose(value[i, m], expected, atol=1e-3)
            else:
                assert value[i, m] < value[i].max() - 30
            drawn = draw_scale(
                np.tile(lines[m], (3000, 1)), y[i], weight[i], lower, upper, rng
            )
            cumulative = np.cumsum(np.exp(density - density.max()))
            cumulative /= cumulative[-1]
            test = stats.kstest(drawn, lambda s, c=cumulative: np.interp(s, f, c))
            assert test.statistic < 0.04
    lines[2, 1] = UNSOLVED
    integrated_log_likelihoods(lines.T.copy(), y, weight, lower, upper, value)
    assert np.isneginf(value[:, 2]).all()


# -- statements


class Liar(Toy):
    def __init__(self, **statements):
        self.__dict__.update(statements)


def refused(prior=TOY_PRIOR, error=ValueError, **statements):
    retrieval = BayesianRetrieval(Liar(**statements), prior, sampler="importance")
    with pytest.raises(error) as caught:
        retrieval.fit(["a1", "a2", "c"], [1.0, 1.0, 1.0], sigma=0.1)
    return str(caught.value)


def test_statements_that_are_not_so():
    assert "'t'" in refused(scale_parameters=["t"], separable_parameters={})
    assert "'a'" in refused(scale_parameters=["f", "a"])
    word = refused(separable_parameters={"a": ["a1"]})
    assert "'a'" in word and "[1]" in word
    assert "'t'" in refused(separable_parameters={"t": ["c"]})
    word = refused(scale_parameters=["ff"])
    assert "'ff'" in word and "Did you mean 'f'" in word
    assert "'b'" in refused(separable_parameters={"b": ["a1"]})
    word = refused(separable_parameters={"a": ["a1", "a3"]})
    assert "'a3'" in word and "'a'" in word
    word = refused(separable_parameters={"a": ["a1", "a2"], "t": [1, 0, 2]})
    assert "'t'" in word and "'a'" in word
    word = refused(separable_parameters={"a": [0, 1, 3]})
    assert "3" in word and "'a'" in word
    assert "scale_parameters" in refused(error=TypeError, scale_parameters="f")


class OneSpecies:
    """A thin line, which is proportional to its column density."""

    parameter_names = ["a", "f"]
    output_names = ["a1"]
    scale_parameters = ["f", "a"]
    separable_parameters = {"a": ["a1"]}

    def predict(self, theta):
        return theta.prod(axis=1, keepdims=True)


def test_a_parameter_may_be_both():
    prior = ParameterSpace({"a": LogUniform(1, 100), "f": Uniform(0.1, 1)})
    retrieval = BayesianRetrieval(
        OneSpecies(), prior, sampler="importance", random_state=0, min_ess=1000
    )
    retrieval.fit(["a1"], [5.0], sigma=0.5)
    names = retrieval.integrated_parameters_
    assert sorted(names) == sorted(set(names))
    u = (np.arange(1000) + 0.5) / 1000
    a, f = prior["a"].quantile(u), prior["f"].quantile(u)
    density = stats.norm.pdf(5.0, np.outer(a, f), 0.5)
    assert abs(retrieval.log_evidence_ - np.log(density.mean())) < 0.1
    posterior = retrieval.posterior_
    expected = density.mean(axis=0) @ f / density.mean() / 1000
    assert abs(posterior.mean()[1] - expected) < 0.05


def state_of(model, prior):
    """Return what a model states, after it was tried."""
    structure = read_structure(ForwardModel(model, prior), prior)
    names = prior.names
    return (
        sorted(names[i] for i in structure.scales),
        sorted(names[i] for i in structure.separable),
    )


GAS = {
    "temperature": Uniform(10, 200, "K"),
    "density": LogUniform(1e4, 1e6, "cm-3"),
    "line_width": Uniform(2, 30, "km / s"),
    "filling_factor": Uniform(0.01, 1),
}


def test_radex_states_the_truth():
    """Each statement is tried before it is believed; these are all true."""
    per_width = LogUniform(1e13, 1e17, "cm-2 km-1 s")
    columns = {"column_density_CO": per_width, "column_density_HCN": per_width}
    lines = ["CO(1-0)", "CO(3-2)", "HCN(1-0)"]
    separable = list(columns)
    both = ["filling_factor", "line_width"]
    model = RadexModel(lines, column_density="per line width")
    prior = ParameterSpace(GAS | columns)
    assert state_of(model, prior) == (both, separable)
    total = LogUniform(1e14, 1e18, "cm-2")
    prior = ParameterSpace(GAS | dict.fromkeys(columns, total))
    model = RadexModel(lines, column_density="total")
    assert state_of(model, prior) == (["filling_factor"], separable)


@pytest.mark.parametrize("column_density", ["total", "per line width"])
def test_blends_and_partners(column_density):
    """Components of a blend overlap more where lines are narrow: no scale then."""
    settings = {"column_density": column_density}
    partners = RadexModel(["CO(2-1)", "CO(3-2)"], partners=("o-H2", "p-H2"), **settings)
    blend = RadexModel(["HCN-hfs(1-0)", "CO(2-1)"], overlap="include", **settings)
    for model in (partners, blend):
        prior = gas_prior(model=model).parameters
        prior = ParameterSpace(prior | {"temperature": Uniform(10, 30, "K")})
        scales, separable = state_of(model, prior)
        assert len(separable) == len(model.separable_parameters)
        free = model is partners and column_density == "per line width"
        assert scales == ["filling_factor", "line_width"][: 1 + free]


def test_models_of_models_state_nothing_false():
    one = RadexModel(["CO(2-1)", "CO(3-2)"], column_density="per line width")
    pair = [("CO(3-2)", "CO(2-1)")]
    for model in (MultiPhaseModel(one, 2), LineRatioModel(one, pair)):
        prior = gas_prior(model=one)
        if isinstance(model, MultiPhaseModel):
            prior = ParameterSpace(
                {
                    name: prior[[k for k in prior.names if name.startswith(k)][0]]
                    for name in model.parameter_names
                }
            )
        structure = read_structure(ForwardModel(model, prior), prior)
        assert structure is None or not structure.scales


# -- mixtures and shared draws


def test_mixture_is_a_density():
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [
            rng.multivariate_normal([-1.5, 0], [[0.2, 0.1], [0.1, 0.2]], 3000),
            rng.multivariate_normal([2, 1], [[0.05, 0], [0, 0.5]], 1000),
        ]
    )
    mixture = Mixture.fit(points, rng, 2)
    order = np.argsort(mixture.means[:, 0])
    assert_allclose(mixture.means[order], [[-1.5, 0], [2, 1]], atol=0.1)
    assert_allclose(mixture.weights[order], [0.75, 0.25], atol=0.03)
    for factor, inverse in zip(mixture.factors, mixture.inverses, strict=True):
        assert_allclose(factor @ inverse, np.eye(2), atol=1e-10)
    axis = np.linspace(-30, 30, 1201)
    grid = np.stack([m.ravel() for m in np.meshgrid(axis, axis, indexing="ij")], 1)
    density = np.exp(mixture.log_density(grid)).reshape(1201, 1201)
    assert_allclose(density.sum() * 0.05**2, 1.0, atol=2e-3)
    drawn = mixture.sample(20_000, rng)
    for i in range(2):
        cumulative = np.cumsum(density.sum(axis=1 - i))
        cumulative /= cumulative[-1]
        test = stats.kstest(
            drawn[:, i], lambda x, c=cumulative: np.interp(x, axis + 0.025, c)
        )
        assert test.pvalue > 1e-3


@pytest.mark.parametrize("integrated", [False, True])
def test_evidence_is_not_biased(integrated):
    """Many seeds and objects, which err to either side alike."""
    if not integrated:
        X = np.array([[1.0, 0.3], [0.2, 1.0], [1.0, -1.0]])
        prior = ParameterSpace(dict.fromkeys("ab", Parameter(stats.norm(0, 2))))
        y = X @ prior.sample(12, random_state=3).T
        covariance = 4 * X @ X.T + 0.01 * np.eye(3)
        exact = stats.multivariate_normal(cov=covariance).logpdf(y.T)

        def model(theta, X):
            return theta @ X.T

        data = X, y, 0.1
    else:
        y, sigma, limit = toy_data("plain")
        exact, _, _ = brute_force("plain", y, sigma, limit, (120, 120, 100))
        model, prior = Toy(), TOY_PRIOR
        data = ["a1", "a2", "c"], np.tile(y[:, None], 12), sigma[:, None] * np.ones(12)
    pulls, errors = [], []
    for seed in range(6):
        retrieval = BayesianRetrieval(
            model, prior, sampler="importance", random_state=seed
        )
        retrieval.fit(*data[:2], sigma=data[2])
        errors.append(retrieval.log_evidence_err_)
        pulls.append(retrieval.log_evidence_ - exact)
    # objects share the draws of a seed: the seeds alone are independent
    means = np.mean(pulls, axis=1)
    assert abs(means.mean()) < 4 * np.std(means, ddof=1) / np.sqrt(6) + 0.01
    assert np.std(pulls) < 1.5 * np.mean(errors)


# -- results on the disk


def many(n_objects=70, **settings):
    rng = np.random.default_rng(0)
    theta = ParameterSpace(
        {"t": LogUniform(10, 50), "a": LogUniform(5, 100), "f": Uniform(0.3, 1)}
    ).sample(n_objects, random_state=0)
    y = Toy().lines(theta).T + SIGMA[:, None] * rng.standard_normal((3, n_objects))
    retrieval = BayesianRetrieval(
        Toy(), TOY_PRIOR, sampler="importance", random_state=0, n_samples=100
    )
    retrieval.set_params(**settings)
    sigma = np.repeat(SIGMA[:, None], n_objects, axis=1)
    return retrieval.fit(["a1", "a2", "c"], y, sigma=sigma)


def same(one, other):
    assert_array_equal(one.log_evidence_, other.log_evidence_)
    for p, q in zip(one.posterior_, other.posterior_, strict=True):
        assert_array_equal(p.weighted_samples, q.weighted_samples)
        assert_array_equal(p.log_likelihoods, q.log_likelihoods)


def test_results_on_the_disk_are_the_same(tmp_path):
    whole = many()
    stored = many(log_dir=tmp_path / "run")
    same(whole, stored)
    same(whole, many(n_jobs=2))
    files = sorted((tmp_path / "run" / "objects").glob("*.npz"))
    assert len(files) == 2
    # as a kill leaves it: one is missing, one is half written
    files[1].unlink()
    (files[0].parent / f"partial-{files[1].name}").write_bytes(b"half")
    same(whole, many(log_dir=tmp_path / "run"))
    # samples are on the disk only, until they are asked for
    holders = vars(stored.posterior_).values()
    held = [p for values in holders if isinstance(values, list) for p in values]
    assert len(held) == 70
    assert not any(isinstance(v, np.ndarray) for p in held for v in vars(p).values())
    pickled = pickle.dumps(stored.posterior_)
    shutil.rmtree(tmp_path / "run")
    again = pickle.loads(pickled)
    assert_array_equal(again.mean(), whole.posterior_.mean())


def test_a_folder_that_is_used_again(tmp_path):
    """Another run in a folder of the same name has its own samples."""
    folder = tmp_path / "run"
    first = many(4, log_dir=folder)
    before = first.posterior_.mean()
    shutil.rmtree(folder)
    second = many(4, log_dir=folder, random_state=5)
    fresh = many(4, random_state=5)
    assert_array_equal(second.posterior_.mean(), fresh.posterior_.mean())
    assert not np.array_equal(second.posterior_.mean(), before)


# -- what tables do not take


def test_what_falls_back_is_right():
    y, sigma, _ = toy_data("plain")
    parameters = TOY_PRIOR.parameters
    normal = Parameter(stats.truncnorm(-2, 2, loc=3.0, scale=0.5))

    class Log(Toy):
        def lines(self, theta):
            theta = np.array(theta, dtype=float)
            theta[:, 0] = np.exp(theta[:, 0])
            return super().lines(theta)

    class More(Toy):
        parameter_names = ["t", "a", "f", "x", "y", "z"]

        def lines(self, theta):
            theta = np.asarray(theta)
            return super().lines(theta[:, :3]) * (1 + 0.1 * theta[:, 3:])

    more = ParameterSpace(parameters | dict.fromkeys("xyz", Uniform(-1, 1)))
    spaces = {
        "too many": (More(), more),
        "other distribution": (Log(), ParameterSpace(parameters | {"t": normal})),
        "in order": (
            Toy(),
            ParameterSpace(parameters | {"a": parameters["t"]}, ordered=[("t", "a")]),
        ),
    }
    for model, prior in spaces.values():
        fits = [
            BayesianRetrieval(
                model,
                prior,
                sampler="importance",
                structure=structure,
                random_state=0,
                min_ess=1000,
            ).fit(["a1", "a2", "c"], y, sigma=sigma)
            for structure in ("auto", "ignore")
        ]
        assert "a" not in fits[0].integrated_parameters_
        assert abs(fits[0].log_evidence_ - fits[1].log_evidence_) < 0.15
        assert_allclose(
            fits[0].posterior_.mean(),
            fits[1].posterior_.mean(),
            atol=0.2 * fits[1].posterior_.std().max(),
        )
