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
