"""LabelRegressor: exact posteriors, invariances, missing values, coverage."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import least_squares
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict, cross_validate
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from skastro.labels import PUBLISHED_CANNON_PARAMETERS, LabelRegressor
from skastro.testing import check_missing_equals_masked

NAMES = ["teff", "logg", "fe_h"]
PLAIN = {
    "degree": 1,
    "shrinkage": False,
    "residual_components": 0,
    "calibrate": False,
    "label_bounds": None,
    "n_components": None,
}


def correlated_labels(n, rng):
    covariance = np.array([[1, 0.8, 0.3], [0.8, 1, 0], [0.3, 0, 1]])
    away = rng.multivariate_normal(np.zeros(3), covariance, n)
    return np.array([4500.0, 2.5, -0.2]) + away * [300, 0.4, 0.2]


@pytest.fixture(scope="module")
def linear():
    """Spectra that are linear in their labels: X, y, and their noise."""
    rng = np.random.default_rng(0)
    y = correlated_labels(900, rng)
    slopes = rng.normal(size=(3, 40)) / [[300], [0.4], [0.2]]
    noise = rng.uniform(0.5, 1.5, 40)
    mean = rng.normal(size=40) + 10
    X = mean + (y - [4500, 2.5, -0.2]) @ slopes + noise * rng.normal(size=(900, 40))
    return X, y, slopes


def curved_flux(y):
    """Return spectra of lines that saturate, of two labels and an abundance."""
    t, m, a = (y[:, 0] - 4500) / 500, y[:, 1], y[:, 2]
    flux = np.ones((len(y), 150))
    for k, centre in enumerate(range(10, 150, 14)):
        strength = 0.5 * np.exp((0.5 - 0.15 * k) * t + 1.5 * m)
        strength *= np.exp(2 * a) if k in (2, 7) else 1
        profile = np.exp(-0.5 * ((np.arange(150) - centre) / 2) ** 2)
        flux *= np.exp(-np.log1p(strength)[:, None] * profile)
    return flux


def curved(n, rng):
    y = np.column_stack(
        [rng.uniform(4000, 5000, n), rng.normal(0, 0.3, n), rng.normal(0, 0.2, n)]
    )
    return curved_flux(y) + 0.01 * rng.normal(size=(n, 150)), y


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(1)
    return curved(800, rng), curved(800, rng)


@pytest.fixture(scope="module")
def fitted(lines):
    return LabelRegressor().fit(*lines[0])


# -- exact posteriors


def exact_posterior(model, x, variance):
    """Return mean and covariance of the labels of one spectrum, linear in them."""
    centre = model.label_mean_
    at_centre = model.predict_spectra(centre[None])[0]
    steps = np.diag(np.sqrt(np.diag(model.label_covariance_)))
    J = (model.predict_spectra(centre + steps) - at_centre) / np.diag(steps)[:, None]
    seen = ~np.isnan(x)
    weighted = J[:, seen] / variance[seen]
    precision = weighted @ J[:, seen].T + np.linalg.inv(model.label_covariance_)
    mean = centre + np.linalg.solve(precision, weighted @ (x - at_centre)[seen])
    return mean, np.linalg.inv(precision)


def test_linear_model_has_the_posterior_of_generalised_least_squares(linear):
    X, y, _ = linear
    model = LabelRegressor(**PLAIN).fit(X[:700], y[:700])
    test = X[700:705].copy()
    test[1, 3:9] = np.nan
    test[2, 5:] = np.nan
    test[3] = np.nan
    labels, covariance = model.predict(test, return_cov=True)
    for k, x in enumerate(test):
        mean, expected = exact_posterior(model, x, model.scatter_**2)
        assert_allclose(labels[k], mean, rtol=1e-7)
        assert_allclose(covariance[k], expected, rtol=1e-5, atol=1e-9)
    assert_allclose(labels[3], model.label_mean_, rtol=1e-9)


def test_errors_of_pixels_add_to_the_scatter(linear):
    X, y, _ = linear
    sigma = np.random.default_rng(2).uniform(0.3, 2, X.shape)
    noisy = X + sigma * np.random.default_rng(3).normal(size=X.shape)
    model = LabelRegressor(**PLAIN).fit(noisy[:700], y[:700], sigma=sigma[:700])
    labels, covariance = model.predict(noisy[700:704], sigma[700:704], return_cov=True)
    for k in range(4):
        variance = model.scatter_**2 + sigma[700 + k] ** 2
        mean, expected = exact_posterior(model, noisy[700 + k], variance)
        assert_allclose(labels[k], mean, rtol=1e-7)
        assert_allclose(covariance[k], expected, rtol=1e-5, atol=1e-9)
    alone = LabelRegressor(**PLAIN).fit(X[:700], y[:700])
    assert_allclose(model.scatter_, alone.scatter_, rtol=0.25)


def test_cannon_is_quadratic_least_squares_in_each_pixel(lines):
    (X, y), (X_test, _) = lines
    model = LabelRegressor(**PUBLISHED_CANNON_PARAMETERS).fit(X, y)
    scaled = (y - y.mean(axis=0)) / y.std(axis=0)
    features = PolynomialFeatures(2)
    peer = LinearRegression(fit_intercept=False).fit(features.fit_transform(scaled), X)
    assert_allclose(
        model.predict_spectra(y[:50]),
        peer.predict(features.transform(scaled[:50])),
        atol=1e-7,
    )
    labels, error = model.predict(X_test[:3], return_std=True)
    for k in range(3):

        def away(v, k=k):
            expected = peer.predict(features.transform(v[None]))[0]
            return (expected - X_test[k]) / model.scatter_

        found = least_squares(away, np.zeros(3), xtol=1e-12, ftol=1e-12)
        found = found.x * y.std(axis=0) + y.mean(axis=0)
        assert_allclose((labels[k] - found) / error[k], 0, atol=1e-3)


# -- what the default model promises


def test_intervals_hold_what_they_say(lines, fitted):
    X, y = lines[1]
    labels, error = fitted.predict(X, return_std=True)
    assert_allclose((np.abs(labels - y) < error).mean(), 0.683, atol=0.04)
    assert fitted.score(X, y) > 0.98


def test_errors_reach_the_limit_of_the_fisher_information(lines, fitted):
    X, y = lines[1]
    step = np.array([5.0, 0.01, 0.01])

    steps = np.diag(step)
    J = [(curved_flux(y + s) - curved_flux(y - s)) / (2 * s.sum()) for s in steps]
    J = np.stack(J, axis=1)
    information = np.einsum("nip,njp->nij", J, J) / 0.01**2
    limit = np.sqrt(np.einsum("nii->ni", np.linalg.inv(information)))
    away = (fitted.predict(X) - y) / limit
    assert np.all(np.median(np.abs(away), axis=0) < 1.25 * 0.6745)


def test_chi2_tells_strangers(lines, fitted):
    X, _ = lines[1]
    inferred = fitted.infer(X)
    assert_array_equal(inferred.n_observed, 150)
    assert_allclose(np.median(inferred.chi2), 147, rtol=0.06)
    strange = X[:5, ::-1]
    assert np.all(fitted.infer(strange).chi2 > 1000)


def test_labels_outside_those_of_training_are_flagged():
    rng = np.random.default_rng(4)
    y = rng.uniform(0, 1, (300, 1))
    X = y @ np.ones((1, 10)) + 0.01 * rng.normal(size=(300, 10))
    model = LabelRegressor(degree=1).fit(X, y)
    test = np.array([[0.5], [1.1], [-0.1]]) * np.ones((1, 10))
    assert_array_equal(model.infer(test).extrapolated[:, 0], [False, True, True])
    far = np.full((1, 10), 3.0)
    assert_allclose(model.predict(far), model.label_bounds_[:, 1:])
    free = LabelRegressor(degree=1, label_bounds=None).fit(X, y)
    assert_allclose(free.predict(far), 3, rtol=0.02)


def test_shrinkage_keeps_noise_out_of_the_responses():
    """Of 300 pixels, 6 respond to a label."""
    rng = np.random.default_rng(5)
    y = rng.normal(size=(80, 1))
    response = np.zeros((1, 300))
    response[0, :6] = 0.5
    X = y @ response + rng.normal(size=(80, 300))
    error = {}
    for shrinkage in (False, True):
        model = LabelRegressor(degree=1, shrinkage=shrinkage, calibrate=False)
        model.fit(X, y)
        step = model.predict_spectra([[1.0]]) - model.predict_spectra([[0.0]])
        error[shrinkage] = np.linalg.norm(step - response)
    assert error[True] < 0.5 * error[False]


def test_what_residuals_share_is_not_taken_for_labels():
    """A nuisance along the line of a label widens its errors, as it must."""
    rng = np.random.default_rng(6)
    y, nuisance = rng.normal(size=(2, 800, 1))
    line, other = rng.normal(size=(2, 1, 50))
    X = y @ line + 0.5 * nuisance @ (line + other) + rng.normal(size=(800, 50))
    model = LabelRegressor().fit(X[:500], y[:500])
    labels, error = model.predict(X[500:], return_std=True)
    assert_allclose((np.abs(labels - y[500:]) < error).mean(), 0.683, atol=0.07)
    # the limit, with the covariance of the nuisance known
    covariance = 0.25 * (line + other).T @ (line + other) + np.eye(50)
    limit = 1 / np.sqrt(line @ np.linalg.solve(covariance, line.T) + 1)[0, 0]
    assert np.std(labels - y[500:]) < 1.15 * limit
    naive = LabelRegressor(residual_components=0).fit(X[:500], y[:500])
    assert np.std(naive.predict(X[500:]) - y[500:]) > 1.5 * limit


# -- invariances


def test_units_of_labels_and_order_do_not_matter(lines, fitted):
    (X, y), (X_test, _) = lines
    expected, error = fitted.predict(X_test[:40], return_std=True)
    scale, shift = np.array([1e-3, 40.0, 1e5]), np.array([3.0, -1.0, 1e6])
    other = LabelRegressor().fit(X, y * scale + shift)
    found, other_error = other.predict(X_test[:40], return_std=True)
    assert_allclose((found - shift) / scale, expected, rtol=1e-4, atol=1e-4)
    assert_allclose(other_error / scale, error, rtol=1e-3)
    turned = LabelRegressor().fit(X, y[:, ::-1]).predict(X_test[:40])[:, ::-1]
    assert_allclose((turned - expected) / error, 0, atol=1e-2)


def test_unit_of_flux_does_not_matter(lines):
    (X, y), (X_test, _) = lines
    expected = LabelRegressor().fit(X[:200], y[:200]).predict(X_test[:20])
    other = LabelRegressor().fit(X[:200] * 2.0**40, y[:200])
    assert_allclose(other.predict(X_test[:20] * 2.0**40), expected, rtol=1e-6)


def test_single_precision_will_do(lines, fitted):
    (X, y), (X_test, _) = lines
    single = LabelRegressor().fit(X.astype("f4"), y)
    found = single.predict(X_test.astype("f4"))
    expected, error = fitted.predict(X_test, return_std=True)
    assert_allclose((found - expected) / error, 0, atol=0.05)


def test_blocks_and_files_do_not_matter(lines, fitted, tmp_path):
    (X, y), (X_test, _) = lines
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", float, X.shape)
    stored[:] = X
    other = LabelRegressor(batch_size=100).fit(stored, y)
    expected, error = fitted.predict(X_test, return_std=True)
    assert_allclose((other.predict(X_test) - expected) / error, 0, atol=1e-3)


# -- missing values and errors of labels


def test_missing_pixels_cost_little(lines):
    (X, y), (X_test, y_test) = lines
    rng = np.random.default_rng(7)
    error = []
    for share in (0, 0.1):
        holes, holes_test = X.copy(), X_test.copy()
        holes[rng.random(X.shape) < share] = np.nan
        holes_test[rng.random(X.shape) < share] = np.nan
        model = LabelRegressor().fit(holes, y)
        error.append(np.abs(model.predict(holes_test) - y_test).mean(axis=0))
    assert np.all(error[1] < 1.15 * error[0])


def test_stars_without_a_strong_label_help(lines):
    """Those whose label is guessed at first do not outvote those that have it."""
    (X, y), (X_test, y_test) = lines
    holes = y.copy()
    holes[240:, 0] = np.nan
    away = []
    for spectra, labels in ((X, holes), (X[:240], y[:240])):
        model = LabelRegressor().fit(spectra, labels)
        away.append(np.abs(model.predict(X_test) - y_test).mean(axis=0))
    assert away[0][0] < away[1][0]
    assert away[0][1] < 0.8 * away[1][1]


def test_pixels_that_are_missing_do_not_count_in_the_fit(lines):
    """Least squares of each pixel is of the stars in which it was observed."""
    X, y = lines[0][0].copy(), lines[0][1]
    X[np.random.default_rng(9).random(X.shape) < 0.2] = np.nan
    parameters = PUBLISHED_CANNON_PARAMETERS | {"tol": 0, "max_iter": 12}
    model = LabelRegressor(**parameters).fit(X, y)
    scaled = (y - y.mean(axis=0)) / y.std(axis=0)
    design = PolynomialFeatures(2).fit_transform(scaled)
    for j in (0, 10, 66):
        seen = ~np.isnan(X[:, j])
        coef = np.linalg.lstsq(design[seen], X[seen, j], rcond=None)[0]
        found = model.predict_spectra(y[:50])[:, j]
        assert_allclose(found, design[:50] @ coef, atol=1e-5)


def test_missing_is_masked_is_infinite_error(lines):
    X, y = lines[0][0][:150].copy(), lines[0][1][:150]
    X[3, 4] = X[10, 40] = np.nan
    check_missing_equals_masked(LabelRegressor(max_iter=2, tol=100.0), X, y)
    check_missing_equals_masked(
        LabelRegressor(max_iter=2, tol=100.0), X, y, sigma=np.full(X.shape, 0.01)
    )


def slopes_of(model):
    start = model.label_mean_
    steps = np.diag(np.sqrt(np.diag(model.label_covariance_)))
    away = model.predict_spectra(start + steps) - model.predict_spectra(start[None])
    return away / np.diag(steps)[:, None]


@pytest.mark.parametrize("kind", ["missing", "uncertain"])
def test_labels_are_integrated_over(linear, kind):
    """Slopes are neither attenuated nor mixed up, as filling in would have it."""
    X, y, slopes = linear
    rng = np.random.default_rng(8)
    unit = y.std(axis=0)
    if kind == "missing":
        given, label_sigma = y.copy(), None
        given[rng.random(y.shape) < 0.4] = np.nan
        filled = np.where(np.isnan(given), np.nanmean(given, axis=0), given)
    else:
        label_sigma = np.broadcast_to(0.6 * unit, y.shape)
        given = filled = y + label_sigma * rng.normal(size=y.shape)
    model = LabelRegressor(**PLAIN | {"max_iter": 20, "tol": 0.05})
    model.fit(X, given, label_sigma=label_sigma)
    error = np.linalg.norm((slopes_of(model) - slopes) * unit[:, None])
    naive = LabelRegressor(**PLAIN).fit(X, filled)
    naive_error = np.linalg.norm((slopes_of(naive) - slopes) * unit[:, None])
    best = LabelRegressor(**PLAIN).fit(X, y)
    best_error = np.linalg.norm((slopes_of(best) - slopes) * unit[:, None])
    assert error < 0.4 * naive_error
    assert error < 2 * best_error
    expected = np.cov(y.T) / np.outer(unit, unit)
    assert_allclose(model.label_covariance_ / np.outer(unit, unit), expected, atol=0.2)


def test_missing_label_is_infinite_error_and_exact_is_zero(linear):
    X, y, _ = linear
    holes, sigma = y[:200].copy(), np.zeros((200, 3))
    holes[::3, 1] = np.nan
    sigma[::3, 1] = np.inf
    model = LabelRegressor(degree=1, max_iter=3, tol=100.0)
    expected = clone(model).fit(X[:200], holes).predict(X[200:220])
    found = clone(model).fit(X[:200], y[:200], label_sigma=sigma).predict(X[200:220])
    assert_array_equal(found, expected)


def test_score_leaves_missing_labels_out(lines, fitted):
    X, y = lines[1]
    holes = y.copy()
    holes[:100, 0] = np.nan
    assert_allclose(fitted.score(X, holes), fitted.score(X, y), atol=5e-3)


# -- windows and information


def test_windows_are_all_that_a_label_acts_on(lines):
    (X, y), (X_test, y_test) = lines
    window = np.zeros(150, bool)
    window[30:46] = True
    frame = pd.DataFrame(y, columns=["teff", "m_h", "a_m"])
    model = LabelRegressor(label_windows={"a_m": window}).fit(X, frame)
    information = model.label_information(y_test[:4])
    assert np.all(information[:, 2, ~window] == 0)
    assert np.all(information[:, 2, 36:41] > 0)
    change = model.predict_spectra(y_test[:1] + [0, 0, 0.1])
    change -= model.predict_spectra(y_test[:1])
    assert_array_equal(np.flatnonzero(np.abs(change) > 1e-12) >= 30, True)
    assert np.corrcoef(model.predict(X_test)[:, 2], y_test[:, 2])[0, 1] > 0.9
    by_number = LabelRegressor(label_windows={2: np.flatnonzero(window)}).fit(X, y)
    assert_array_equal(by_number.predict(X_test), model.predict(X_test))


def test_gradients_and_information_are_those_of_the_predicted_spectra(lines, fitted):
    y = lines[1][1][:3]
    step = np.array([1.0, 1e-3, 1e-3])
    gradients = fitted.label_gradients(y)
    information = fitted.label_information(y)
    for k in range(3):
        away = np.eye(3)[k] * step
        slope = fitted.predict_spectra(y + away) - fitted.predict_spectra(y - away)
        slope /= 2 * step[k]
        atol = 1e-5 * np.abs(slope).max()
        assert_allclose(gradients[:, k], slope, rtol=1e-4, atol=atol)
        assert_allclose(
            information[:, k],
            (slope / fitted.scatter_) ** 2,
            rtol=1e-3,
            atol=1e-3 * information[:, k].max(),
        )


def test_gradients_have_units_and_gaps():
    """Of a spectrum that is linear in its label, and a pixel that never was."""
    rng = np.random.default_rng(11)
    y = rng.uniform(4000, 5000, (200, 1))
    slopes = 2.0**40 * np.array([1e-3, -2e-3, 0.5e-3])
    X = 2.0**40 + y * slopes + 2.0**30 * rng.normal(size=(200, 3))
    X = np.insert(X, 1, np.nan, axis=1)
    model = LabelRegressor(**PLAIN).fit(X, y)
    gradients = model.label_gradients([4500.0])
    assert gradients.shape == (1, 1, 4)
    assert_allclose(gradients[0, 0], np.insert(slopes, 1, np.nan), rtol=1e-2)
    information = model.label_information([4500.0])
    assert_allclose(information, (gradients / model.scatter_) ** 2, rtol=1e-6)
    with pytest.raises(ValueError, match="must not be missing"):
        model.label_gradients([np.nan])


# -- with others


def test_names_and_shapes(linear):
    X, y, _ = linear
    frame = pd.DataFrame(y, columns=NAMES)
    model = LabelRegressor(degree=1).fit(X, frame)
    assert list(model.label_names_) == NAMES
    with pytest.raises(ValueError, match="same order"):
        model.score(X, frame[NAMES[::-1]])
    one = LabelRegressor(degree=1).fit(X, y[:, 0])
    labels, error = one.predict(X, return_std=True)
    assert labels.shape == error.shape == (900,)
    assert one.predict(X, return_cov=True)[1].shape == (900, 1, 1)


def test_errors_travel_through_pipelines(linear):
    X, y, _ = linear
    sigma = np.full(X.shape, 0.5)
    with config_context(enable_metadata_routing=True):
        model = LabelRegressor(degree=1)
        model.set_fit_request(sigma=True, label_sigma=True)
        model.set_score_request(sigma=True).set_predict_request(sigma=True)
        pipeline = make_pipeline(FunctionTransformer(), model)
        given = {"sigma": sigma, "label_sigma": np.full(y.shape, 0.01)}
        found = cross_validate(pipeline, X, y, params=given, cv=3, error_score="raise")
    assert np.all(found["test_score"] > 0.9)


def test_composes(linear):
    X, y, _ = linear
    model = LabelRegressor(degree=1, calibrate=False)
    assert cross_val_predict(model, X, y, cv=KFold(3)).shape == y.shape
    both = MultiOutputRegressor(model).fit(X[:300], y[:300])
    assert both.predict(X[:5]).shape == (5, 3)
    stack = StackingRegressor([("labels", model), ("linear", LinearRegression())])
    assert stack.fit(X[:300], y[:300, 0]).score(X[300:], y[300:, 0]) > 0.9


@pytest.mark.parametrize(
    ("parameters", "fit", "match"),
    [
        ({"label_windows": {"tef": [1]}}, {}, "Did you mean 'teff'"),
        ({"label_windows": {0: [99]}}, {}, "indices of 40 pixels"),
        ({"label_windows": {0: np.ones(7, bool)}}, {}, "each of the 40 pixels"),
        ({"label_windows": {0: np.zeros(40, bool)}}, {}, "leaves no pixel"),
        ({"label_windows": {5: [1]}}, {}, "there are 3 labels"),
        ({"label_bounds": [[0, 1]]}, {}, r"shape \(3, 2\)"),
        ({"label_bounds": [[1, 0]] * 3}, {}, "must rise"),
        ({}, {"label_sigma": -np.ones(3)}, "zero or positive"),
        ({}, {"label_sigma": np.ones(7)}, "must have the shape of y"),
        ({"degree": 8, "shrinkage": False}, {}, "do not determine the 165 terms"),
    ],
)
def test_errors_say_what_would_do(linear, parameters, fit, match):
    X, y, _ = linear
    frame = pd.DataFrame(y[:100], columns=NAMES)
    with pytest.raises(ValueError, match=match):
        LabelRegressor(**parameters).fit(X[:100], frame, **fit)


def test_labels_must_tell_something(linear):
    X, y, _ = linear
    constant = y.copy()
    constant[:, 1] = 2
    with pytest.raises(ValueError, match="'label1' is the same"):
        LabelRegressor().fit(X, constant)
    constant[:, 1] = np.nan
    with pytest.raises(ValueError, match="'label1' is missing"):
        LabelRegressor().fit(X, constant)
    model = LabelRegressor(degree=1).fit(X, y)
    with pytest.raises(ValueError, match="Only one of"):
        model.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match="fitted without it"):
        model.predict(X, sigma=1.0)
    with pytest.raises(ValueError, match="must not be missing"):
        model.predict_spectra([[np.nan, 1, 2]])
    weighted = LabelRegressor(degree=1).fit(X, y, sigma=0.1)
    with pytest.raises(ValueError, match="needed here too"):
        weighted.predict(X)
