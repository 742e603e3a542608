"""LabelRegressor's fit where stars differ: in errors, pixels, and known labels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skastro.labels import LabelRegressor
from skastro.labels._evidence import Components
from skastro.labels._misfit import Residuals, fit_misfit
from skastro.labels._moments import Noise

LINEAR = {"degree": 1, "residual_components": 0}


def straight(n, rng, n_pixels=50, n_labels=2):
    """Return spectra that are linear in their labels, with unit noise."""
    y = rng.normal(size=(n, n_labels))
    slopes = rng.normal(size=(n_labels, n_pixels))
    return y @ slopes + rng.normal(size=(n, n_pixels)), y, slopes


def slope_ratio(model, slopes, pixels):
    """Return slopes found, over the true ones, on the whole."""
    unit = np.eye(len(slopes))
    found = model.predict_spectra(unit) - model.predict_spectra(0 * unit)
    true = slopes[:, pixels]
    return np.einsum("kj,kj->k", found[:, pixels], true) / (true**2).sum(axis=1)


def coverage(model, X, y, **errors):
    labels, error = model.predict(X, return_std=True, **errors)
    return (np.abs(labels - y) < error).mean()


# -- what labels do not tell


@pytest.mark.parametrize("with_errors", [False, True])
def test_evidence_is_the_sum_over_pixels_that_are_there(with_errors):
    """Few gaps are taken away from all pixels, of many the rest is summed."""
    rng = np.random.default_rng(30)
    spectra = np.linalg.qr(rng.normal(size=(50, 4)))[0]
    noise = Noise(rng.uniform(0, 1, 50), rng.uniform(1, 2, 50))
    components = Components(spectra, rng.normal(size=50), noise, np.ones(4))
    block = rng.normal(size=(6, 50))
    missing = rng.random((6, 50)) < np.array([0, 0.02, 0.1, 0.4, 0.8, 1])[:, None]
    variance = rng.uniform(0.5, 2, (6, 50)) if with_errors else None
    information, linear, square = components.project(block, missing, variance)
    weight = np.ones(50)
    for n, seen in enumerate(~missing):
        if with_errors:
            weight = noise.typical / (variance[n] + noise.scatter)
        left = ((block[n] - components.mean) / np.sqrt(noise.typical))[seen]
        own, w = spectra[seen], weight[seen]
        assert_allclose(information[n], (own.T * w) @ own, atol=1e-12)
        assert_allclose(linear[n], (own.T * w) @ left, atol=1e-12)
        assert_allclose(square[n], w @ left**2)


@pytest.mark.parametrize("labels_known", [True, False])
def test_misfit_is_found_whatever_stars_are_observed(labels_known):
    """Stars that say nothing of a component do not invent a misfit of it."""
    rng = np.random.default_rng(31)
    n, k, d = 3000, 4, 2
    M = np.diag([3.0, 1.0, 0, 0])
    information = np.eye(k) * rng.lognormal(0, 1, (n, 1, 1))
    information[::2, 2:, :] *= 1e-6
    slopes, f = rng.normal(size=(n, d, k)), rng.normal(size=(n, k))
    covariance = np.array([[0.5, 0.2], [0.2, 0.3]])
    away = rng.multivariate_normal(np.zeros(k), M, n)
    if not labels_known:
        error = rng.multivariate_normal(np.zeros(d), covariance, n)
        away += np.einsum("nd,ndk->nk", error, slopes)
    weight = np.einsum("nii->ni", information)
    linear = weight * (f + away) + np.sqrt(weight) * rng.normal(size=(n, k))
    residuals = Residuals(k)
    for part in np.array_split(np.arange(n), 3):
        given = np.broadcast_to(covariance, (len(part), d, d))
        residuals.add(
            information[part],
            linear[part],
            f[part],
            slopes[part],
            None if labels_known else given,
        )
    assert_allclose(fit_misfit(residuals), M, atol=0.3)


def test_survey_that_few_training_stars_share():
    """A label whose lines a tenth of the stars have is as good as these make it."""
    rng = np.random.default_rng(0)
    X, y, slopes = straight(2600, rng, 60)
    X[:, :20] -= 0.3 * y @ slopes[:, :20]
    X[:, 20:] -= y[:, 1:] @ slopes[1:, 20:]
    slopes[:, :20] *= 0.7
    slopes[1, 20:] = 0
    training = X[:2000].copy()
    training[200:, :20] = np.nan
    model = LabelRegressor().fit(training, y[:2000])
    ideal = np.sqrt(np.diag(np.linalg.inv(slopes @ slopes.T + np.eye(2))))
    rms = (model.predict(X[2000:]) - y[2000:]).std(axis=0)
    assert np.all(rms < 1.15 * ideal)
    assert coverage(model, X[2000:], y[2000:]) == pytest.approx(0.68, abs=0.05)


def with_nuisance(n, rng):
    """Return spectra of one label and something else, which looks much like it."""
    y, other = rng.normal(size=(2, n, 1))
    line, more = rng.normal(size=(2, 1, 50))
    X = y @ line + 0.5 * other @ (line + more)
    return X + rng.normal(size=X.shape), y


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_missing_labels_do_no_harm_where_residuals_are_shared(share):
    rng = np.random.default_rng(6)
    X, y = with_nuisance(2500, rng)
    holes, missing = y[:1500].copy(), rng.random(1500) < share
    holes[missing] = np.nan
    alone = LabelRegressor().fit(X[:1500][~missing], y[:1500][~missing])
    model = LabelRegressor().fit(X[:1500], holes)
    rms = [(m.predict(X[1500:]) - y[1500:]).std() for m in (model, alone)]
    assert rms[0] < 1.05 * rms[1]
    assert coverage(model, X[1500:], y[1500:]) == pytest.approx(0.68, abs=0.04)


def test_errors_of_labels_as_large_as_their_scatter():
    """Labels of new stars come out better than those that were learned from."""
    rms, exact_rms, held = [], [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X, y = with_nuisance(2500, rng)
        given = y[:1500] + rng.normal(size=(1500, 1))
        model = LabelRegressor().fit(X[:1500], given, label_sigma=1.0)
        exact = LabelRegressor().fit(X[:1500], y[:1500])
        rms.append((model.predict(X[1500:]) - y[1500:]).std())
        exact_rms.append((exact.predict(X[1500:]) - y[1500:]).std())
        held.append(coverage(model, X[1500:], y[1500:]))
    assert np.mean(rms) < 1.25 * np.mean(exact_rms)
    assert np.mean(held) == pytest.approx(0.68, abs=0.1)


@pytest.mark.parametrize("with_errors", [False, True])
def test_labels_missing_where_pixels_are_missing(with_errors):
    """Of two surveys, one has neither the blue nor a label: slopes there are right."""
    rng = np.random.default_rng(10)
    X, y, slopes = straight(1200, rng, 60, 3)
    X[rng.random(X.shape) < 0.02] = np.nan
    other = rng.random(1200) < 0.6
    X[np.ix_(other, np.arange(30))] = np.nan
    y[other, 2] = np.nan
    sigma = np.ones(X.shape) if with_errors else None
    model = LabelRegressor(**LINEAR).fit(X, y, sigma=sigma)
    assert_allclose(slope_ratio(model, slopes, slice(30)), 1, atol=0.05)
    assert_allclose(slope_ratio(model, slopes, slice(30, 60)), 1, atol=0.05)


# -- pixels


def test_rare_pixels_have_their_response():
    rng = np.random.default_rng(3)
    X, y, slopes = straight(1200, rng, 60, 3)
    X[np.ix_(rng.random(1200) > 0.1, np.arange(20))] = np.nan
    for parameters in ({}, LINEAR | {"shrinkage": False}):
        model = LabelRegressor(**parameters).fit(X, y)
        assert np.all(slope_ratio(model, slopes, slice(20)) > 0.8)
        assert_allclose(model.scatter_[:20], 1, atol=0.3)


def test_missing_pixels_do_not_change_the_terms():
    rng = np.random.default_rng(4)
    y = rng.normal(size=(400, 3)) * [1, 0.5, 0.5]
    depth = np.exp(y[:, :1] + y[:, 1:2] * np.linspace(-1, 1, 80)) + y[:, 2:] * 0.1
    X = 1 - 0.1 * depth + 0.005 * rng.normal(size=(400, 80))
    complete = LabelRegressor().fit(X, y)
    X[rng.random(X.shape) < 0.1] = np.nan
    assert_allclose(LabelRegressor().fit(X, y).powers_, complete.powers_)


def test_no_scatter_is_invented_beside_uneven_errors():
    rng = np.random.default_rng(5)
    X, y, slopes = straight(600, rng, 30)
    sigma = rng.lognormal(0, 0.6, X.shape)
    X = y @ slopes + sigma * rng.normal(size=X.shape)
    with pytest.warns(match="far from convergence"):
        model = LabelRegressor(**LINEAR, max_iter=2, tol=1e-9).fit(X, y, sigma=sigma)
    model = LabelRegressor(**LINEAR).fit(X, y, sigma=sigma)
    assert np.median(model.scatter_) < 0.15
    noise = model._components.noise.typical
    assert np.median(noise * (1 / sigma**2).mean(axis=0)) < 1.1


# -- calibration


def test_tested_stars_are_forgotten_where_errors_are_uneven():
    """Least squares of many terms: errors are those of stars that were not seen."""
    held = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, y, slopes = straight(700, rng, 60, 4)
        sigma = rng.lognormal(0, 0.4, X.shape)
        X = 0.3 * y @ slopes + sigma * rng.normal(size=X.shape)
        model = LabelRegressor(degree=2, shrinkage=False)
        model.fit(X[:100], y[:100], sigma=sigma[:100])
        held.append(coverage(model, X[100:], y[100:], sigma=sigma[100:]))
    assert np.mean(held) > 0.6


def test_precise_spectra_have_small_errors():
    rng = np.random.default_rng(7)
    X, y, slopes = straight(1200, rng, 40)
    X = y @ slopes + 1e-4 * rng.normal(size=X.shape)
    model = LabelRegressor(**LINEAR).fit(X[:700], y[:700])
    assert coverage(model, X[700:], y[700:]) == pytest.approx(0.68, abs=0.05)


def test_errors_of_labels_are_no_errors_of_spectra():
    """Of a difference, the part that spectra are to blame for is calibrated."""
    rng = np.random.default_rng(8)
    X, y = with_nuisance(2500, rng)
    given = y[:1500] + 0.3 * rng.normal(size=(1500, 1))
    model = LabelRegressor(**LINEAR).fit(X[:1500], given, label_sigma=0.3)
    assert model.error_scale_[0] > 2
    assert coverage(model, X[1500:], y[1500:]) == pytest.approx(0.68, abs=0.05)


def test_bounds_of_predictions_do_not_bind_the_fit():
    rng = np.random.default_rng(9)
    X, y, slopes = straight(1000, rng, 40)
    holes = y.copy()
    holes[rng.random(1000) < 0.5, 1] = np.nan
    bounds = [[-0.5, 0.5], [np.nan, np.nan]]
    model = LabelRegressor(degree=1, label_bounds=bounds).fit(X, holes)
    assert_allclose(slope_ratio(model, slopes, slice(None)), 1, atol=0.02)
    assert np.all(model.error_scale_ < 1.5)
