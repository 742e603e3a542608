"""Likelihoods against numerical integrals and scipy's distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats

from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval
from skastro.retrieval._likelihood import Likelihood

Y = np.array([1.0, 2.0, 0.5, 4.0])
SIGMA = np.array([0.1, 0.3, 0.2, 0.4])
LIMIT = np.array([False, False, True, False])
BAND = np.array([0, 0, 1, 1])


@pytest.fixture
def predicted():
    rng = np.random.default_rng(0)
    return Y * np.exp(0.2 * rng.standard_normal((50, 4)))


def test_gaussian(predicted):
    values = Likelihood(Y, SIGMA)(predicted)
    assert_allclose(values, stats.norm(predicted, SIGMA).logpdf(Y).sum(axis=1))


def test_variances_add(predicted):
    std = 0.3 * predicted
    values = Likelihood(Y, SIGMA)(predicted, std)
    both = np.hypot(SIGMA, std)
    assert_allclose(values, stats.norm(predicted, both).logpdf(Y).sum(axis=1))
    zero = Likelihood(Y, SIGMA)(predicted, np.zeros_like(std))
    assert_allclose(zero, Likelihood(Y, SIGMA)(predicted))


@pytest.mark.parametrize("degrees_of_freedom", [None, 3.0])
def test_limits_are_probabilities(predicted, degrees_of_freedom):
    values = Likelihood(
        Y, SIGMA, upper_limit=LIMIT, degrees_of_freedom=degrees_of_freedom
    )(predicted)
    family = stats.norm if degrees_of_freedom is None else stats.t(degrees_of_freedom)
    deviate = (Y - predicted) / SIGMA
    found = family.logpdf(deviate) - np.log(SIGMA)
    expected = np.where(LIMIT, family.logcdf(deviate), found).sum(axis=1)
    assert_allclose(values, expected)


def test_student_becomes_gaussian(predicted):
    heavy = Likelihood(Y, SIGMA, degrees_of_freedom=1e7)(predicted)
    assert_allclose(heavy, Likelihood(Y, SIGMA)(predicted), rtol=1e-4)


@pytest.mark.parametrize("limit", [np.zeros(4, bool), LIMIT])
@pytest.mark.parametrize("scatter", [0.02, 0.15, 0.5])
def test_calibration_is_integrated_over(predicted, limit, scatter):
    """Against an integral over the factor of each band."""
    values = Likelihood(
        Y, SIGMA, upper_limit=limit, calibration_error=scatter, band=BAND
    )(predicted[:5])

    def of_factor(c, f, band):
        rows = band == BAND
        deviate = (Y - f * (1 + c)) / SIGMA
        density = stats.norm.pdf(deviate) / SIGMA
        terms = np.where(limit, stats.norm.cdf(deviate), density)[rows]
        return terms.prod() * stats.norm.pdf(c, scale=scatter)

    for value, f in zip(values, predicted, strict=False):
        parts = [
            integrate.quad(
                of_factor,
                -9 * scatter,
                9 * scatter,
                args=(f, band),
                points=np.linspace(-1, 1, 9) * scatter,
                limit=400,
            )[0]
            for band in (0, 1)
        ]
        assert_allclose(value, np.log(parts).sum(), rtol=1e-5)


@pytest.mark.parametrize("degrees_of_freedom", [None, 3.0])
def test_exact_limits_are_steps(predicted, degrees_of_freedom):
    sigma = np.where(LIMIT, 0.0, SIGMA)
    kind = {"degrees_of_freedom": degrees_of_freedom}
    values = Likelihood(Y, sigma, upper_limit=LIMIT, **kind)(predicted)
    found = ~LIMIT
    alone = Likelihood(Y[found], SIGMA[found], **kind)(predicted[:, found])
    below = predicted[:, 2] <= Y[2]
    assert 10 < below.sum() < 40
    assert_allclose(values[below], alone[below])
    assert np.isneginf(values[~below]).all()
    # where the model has an error of its own, nothing is exact
    soft = Likelihood(Y, sigma, upper_limit=LIMIT, **kind)(predicted, 0.1 * predicted)
    assert np.isfinite(soft).all()


@pytest.mark.parametrize("scatter", [0.02, 0.3])
@pytest.mark.parametrize(
    ("limit", "sigma"),
    [
        # bands of a detection and an exact limit, and of limits of either kind
        ([0, 0, 1, 0], [0.1, 0.3, 0.0, 0.4]),
        ([1, 1, 1, 0], [0.0, 0.3, 0.0, 0.4]),
        ([1, 1, 1, 1], [0.0, 0.0, 0.0, 0.4]),
    ],
)
def test_calibration_with_exact_limits(predicted, limit, sigma, scatter):
    """Against an integral over the factors that exact limits leave."""
    limit, sigma = np.array(limit, dtype=bool), np.array(sigma)
    predicted = predicted[:6].copy()
    predicted[0, 0] *= -1  # a limit of the factor from below
    likelihood = Likelihood(
        Y, sigma, upper_limit=limit, calibration_error=scatter, band=BAND
    )
    c = np.linspace(-9, 9, 400_001) * scatter

    def of_band(f, band):
        log_density = stats.norm.logpdf(c, scale=scatter)
        for i in np.flatnonzero(BAND == band):
            line = f[i] * (1 + c)
            if limit[i] and sigma[i] == 0:
                log_density = np.where(line <= Y[i], log_density, -np.inf)
            elif limit[i]:
                log_density = log_density + stats.norm.logcdf((Y[i] - line) / sigma[i])
            else:
                log_density = log_density + stats.norm.logpdf(Y[i], line, sigma[i])
        return np.log(np.sum(np.exp(log_density)) * (c[1] - c[0]))

    with np.errstate(divide="ignore"):
        expected = np.array([of_band(f, 0) + of_band(f, 1) for f in predicted])
    possible = np.isfinite(expected)
    assert possible.sum() >= 4
    assert_allclose(likelihood(predicted)[possible], expected[possible], rtol=2e-3)


def test_calibration_far_beyond_exact_limits():
    """The likelihood goes on falling where the limits are many sigma away."""
    likelihood = Likelihood(
        Y, np.zeros(4), upper_limit=np.ones(4, bool), calibration_error=0.02, band=BAND
    )
    values = likelihood(np.array([1.1, 10.0, 1e3, 1e8])[:, None] * Y)
    assert np.isfinite(values).all() and (np.diff(values) < 0).all()
    # of band 0 all predictions exceed by 10 %: one tail, far out, of the factor
    expected = 2 * stats.norm.logcdf((1 / 1.1 - 1) / 0.02)
    assert_allclose(values[0], expected, rtol=1e-6)


def test_excluded_models_climb_to_the_limits():
    likelihood = Likelihood(Y, np.where(LIMIT, 0.0, SIGMA), upper_limit=LIMIT)
    far = np.tile(Y, (4, 1))
    far[:, 2] = Y[2] + np.array([1e-3, 1.0, 30.0, 1e25])
    values = likelihood.excluded(far)
    assert (np.diff(values) < 0).all() and (values < -1e89).all()


def test_calibration_is_a_covariance(predicted):
    """Without limits it is a Gaussian whose covariance has a common part."""
    values = Likelihood(Y, SIGMA, calibration_error=0.2, band=BAND)(predicted)
    same = BAND[:, None] == BAND
    for value, f in zip(values, predicted, strict=True):
        covariance = np.diag(SIGMA**2) + 0.04 * np.outer(f, f) * same
        assert_allclose(value, stats.multivariate_normal(f, covariance).logpdf(Y))


@given(st.integers(0, 2**31 - 1), st.floats(0.5, 20))
@settings(deadline=None, max_examples=30)
def test_units_only_shift_the_likelihood(seed, unit):
    rng = np.random.default_rng(seed)
    predicted = Y * np.exp(rng.standard_normal((3, 4)))
    for extra in ({}, {"degrees_of_freedom": 4.0}, {"calibration_error": 0.1}):
        first = Likelihood(Y, SIGMA, upper_limit=LIMIT, **extra)(predicted)
        scaled = Likelihood(unit * Y, unit * SIGMA, upper_limit=LIMIT, **extra)
        shift = (~LIMIT).sum() * np.log(unit)
        assert_allclose(scaled(unit * predicted), first - shift, rtol=1e-9)


def test_nan_stays_nan(predicted):
    predicted[3, 1] = np.nan
    for extra in ({}, {"degrees_of_freedom": 4.0}, {"calibration_error": 0.1}):
        values = Likelihood(Y, SIGMA, upper_limit=LIMIT, **extra)(predicted)
        assert np.isnan(values).nonzero()[0].tolist() == [3]


# -- in a retrieval


LEVEL = ParameterSpace({"level": Uniform(-10, 10)})


def level(theta, X):
    return np.repeat(theta, len(X), axis=1)


def fit_level(y, sigma=1.0, fit_params=None, **parameters):
    retrieval = BayesianRetrieval(
        level, LEVEL, sigma=sigma, random_state=0, **parameters
    )
    return retrieval.fit(np.zeros((len(y), 1)), y, **(fit_params or {}))


def test_outliers_are_forgiven():
    y = np.array([1.0, 1.1, 0.9, 1.05, 8.0])
    gaussian = fit_level(y, 0.1).posterior_
    student = fit_level(y, 0.1, degrees_of_freedom=3).posterior_
    assert gaussian.mean()[0] > 2.3
    assert abs(student.mean()[0] - 1.0) < 0.15


def test_upper_limits_hold_from_above_only():
    y = np.array([2.0, 2.0, 2.0])
    limits = fit_level(y, 0.1, {"upper_limit": [True] * 3}).posterior_
    low, high = limits.quantile([0.01, 0.99])
    assert low[0] < -9 and 1.7 < high[0] < 2.1


@pytest.mark.parametrize("sampler", ["region", "slice", "importance"])
@pytest.mark.parametrize("limit", [0.5, -9.98])
def test_limits_without_errors(sampler, limit):
    """The posterior is the prior below the limit, be that a thousandth of it."""
    found = fit_level(
        np.array([limit, 3.0]),
        None,
        {"upper_limit": [True, True], "sigma": [np.nan, np.inf]},
        sampler=sampler,
    )
    samples = found.posterior_.samples
    assert samples.max() <= limit
    assert_allclose(samples.mean(), (limit - 10) / 2, atol=0.07 * (limit + 10))
    log_evidence = np.log((limit + 10) / 20)
    assert abs(found.log_evidence_ - log_evidence) < 4 * found.log_evidence_err_ + 0.01


def test_limits_without_errors_in_every_likelihood():
    y = np.array([4.0, 4.0, 3.0])
    limit = {"upper_limit": [False, False, True]}
    also = limit | {"sigma": np.ma.masked_invalid([1.0, 1.0, np.nan])}
    for parameters in ({}, {"degrees_of_freedom": 3}):
        samples = fit_level(y, None, also, **parameters).posterior_.samples
        assert 2.8 < samples.max() <= 3.0
    # against sums over level and factor, of a band of its own or the detections'
    level, c = np.meshgrid(np.linspace(-10, 10, 2001), np.linspace(-2, 2, 2001))
    line, prior = level * (1 + c), stats.norm.pdf(c, scale=0.3)
    found, below = stats.norm.pdf(4.0, line) ** 2 * prior, line <= 3.0
    together = (found * below).sum(axis=0)
    apart = found.sum(axis=0) * (prior * below).sum(axis=0)
    for band, density in (([0, 0, 0], together), ([0, 0, 1], apart)):
        posterior = fit_level(
            y, None, also | {"band": band}, calibration_error=0.3
        ).posterior_
        mean = np.average(level[0], weights=density)
        std = np.average((level[0] - mean) ** 2, weights=density) ** 0.5
        n = posterior.effective_sample_size
        assert abs(posterior.mean()[0] - mean) < 4 * std * n**-0.5
        assert abs(posterior.std()[0] / std - 1) < 0.1
    # below the prior, there is nothing
    with pytest.raises(ValueError, match="below all upper limits that"):
        fit_level(np.array([-11.0]), None, {"upper_limit": [True], "sigma": [np.inf]})
    for error in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"`sigma` must be positive.* for line 2"):
            fit_level(y, None, limit | {"sigma": [1.0, 1.0, error]})
    # of weight zero, it is no limit but left out
    left_out = fit_level(y, None, limit | {"sample_weight": [1, 1, 0]})
    assert np.mean(left_out.posterior_.samples > 3.5) > 0.3


def test_common_calibration_does_not_average_down():
    y = np.full(16, 5.0)
    alone = fit_level(y, 0.5).posterior_.std()[0]
    common = fit_level(y, 0.5, calibration_error=0.2).posterior_.std()[0]
    bands = fit_level(
        y, 0.5, {"band": list("aaaabbbbccccdddd")}, calibration_error=0.2
    ).posterior_.std()[0]
    assert abs(alone - 0.125) < 0.02
    assert common > 0.9
    assert common > 1.5 * bands > 3 * alone


class Spread:
    """A model that states its own error."""

    parameter_names = ["level"]
    has_spread = True

    def predict(self, theta, return_std=False):
        mean = np.repeat(theta, 2, axis=1)
        return (mean, np.full_like(mean, 2.0)) if return_std else mean


def test_spread_of_the_model_counts():
    y, X = np.array([1.0, 1.0]), [[0], [1]]

    def width(**parameters):
        retrieval = BayesianRetrieval(
            Spread(), LEVEL, sigma=0.5, random_state=0, **parameters
        )
        return retrieval.fit(X, y).posterior_.std()[0]

    assert abs(width() - np.sqrt((0.25 + 4) / 2)) < 0.15
    assert abs(width(model_spread=False) - np.sqrt(0.25 / 2)) < 0.03


@pytest.mark.parametrize(
    ("parameters", "fit_params", "message"),
    [
        ({"n_live_points": 10}, {}, None),
        (
            {"degrees_of_freedom": 3, "calibration_error": 0.1},
            {},
            "exclude each other",
        ),
        ({}, {"upper_limit": [True]}, "`upper_limit` must have the shape of `y`"),
        ({}, {"upper_limit": [0.1, 0.2]}, "`upper_limit` must be boolean"),
        ({}, {"band": ["a", "b"]}, "`calibration_error` is 0"),
        ({"calibration_error": 0.1}, {"band": ["a"]}, "a label for each of 2 lines"),
    ],
)
def test_bad_arguments(parameters, fit_params, message):
    if message is None:
        prior = ParameterSpace({f"p{i}": Uniform(0, 1) for i in range(12)})
        retrieval = BayesianRetrieval(level, prior, sigma=1.0, **parameters)
        with pytest.raises(ValueError, match="must be more than the 12 parameters"):
            retrieval.fit([[0]], [1.0])
        return
    with pytest.raises(ValueError, match=message):
        fit_level(np.array([1.0, 2.0]), fit_params=fit_params, **parameters)
