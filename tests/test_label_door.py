"""What LabelRegressor lets in, refuses, and says of stars that tell little."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_predict

from skastro.labels import PUBLISHED_CANNON_PARAMETERS, LabelRegressor
from skastro.labels._inference import covariances, scaled_covariances
from skastro.preprocessing import SigmaUnpacker

PLAIN = {"degree": 1, "residual_components": 0, "calibrate": False}


@pytest.fixture(scope="module")
def stars():
    """Spectra that are linear in two labels, with unit noise: X and y."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 2)) @ [[1, 0.5], [0, 1]]
    return y @ rng.normal(size=(2, 30)) + rng.normal(size=(400, 30)), y


@pytest.fixture(scope="module")
def fitted(stars):
    return LabelRegressor(**PLAIN).fit(*stars)


# -- errors of stars that tell little


def test_star_without_pixels_has_the_errors_of_the_population(stars):
    """The calibration scales what spectra give, and the prior is no spectrum."""
    rng = np.random.default_rng(6)
    y, nuisance = rng.normal(size=(2, 400, 1))
    line = rng.normal(size=(1, 30))
    X = (y + 2 * nuisance) @ line + rng.normal(size=(400, 30))
    model = LabelRegressor(degree=1, residual_components=0).fit(X, y)
    assert model.error_scale_[0] > 3
    _, covariance = model.predict(np.full((1, 30), np.nan), return_cov=True)
    assert_allclose(covariance[0], model.label_covariance_, rtol=1e-4)


def test_scale_multiplies_the_errors_of_spectra_alone():
    """Against the errors of weighted means of spectra that err more than they say."""
    rng = np.random.default_rng(7)
    root, scale = rng.normal(size=(3, 3)), 3.0
    told, precision = root @ root.T, np.diag([1.0, 2.0, 0.5])
    true = rng.normal(size=(200_000, 3)) / np.sqrt(np.diag(precision))
    error = rng.normal(size=true.shape) @ np.linalg.inv(root) * scale
    found = np.linalg.solve(told + precision, told @ (true + error).T).T
    information = (told + precision)[None]
    covariance = scaled_covariances(information, precision[None], np.full(3, scale))
    assert_allclose(covariance[0], np.cov((found - true).T), rtol=0.03, atol=0.03)
    assert_allclose(
        scaled_covariances(information, precision[None], np.ones(3)),
        covariances(information),
    )


def test_calibration_is_of_what_spectra_give():
    """Errors hold for stars like those of training, and stars with less say less."""
    held = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y, nuisance = rng.normal(size=(1200, 1)), rng.normal(size=(1200, 1))
        line = rng.normal(size=(1, 30))
        X = 0.3 * (y + 2 * nuisance) @ line + rng.normal(size=(1200, 30))
        model = LabelRegressor(degree=1, residual_components=0).fit(X[:500], y[:500])
        for n_pixels in (30, 6):
            X[500:, n_pixels:] = np.nan
            labels, error = model.predict(X[500:], return_std=True)
            held.append((np.abs(labels - y[500:]) < error).mean())
    assert np.mean(held[::2]) == pytest.approx(0.68, abs=0.05)
    assert np.mean(held[1::2]) < 0.85


def test_labels_that_bounds_hold_back_are_flagged(stars):
    X, y = stars
    bounds = [[-1, 1], [np.nan, np.nan]]
    bounded = LabelRegressor(**PLAIN, label_bounds=bounds).fit(X, y)
    free = LabelRegressor(**PLAIN, label_bounds=None).fit(X, y)
    inferred, unbounded = bounded.infer(X), free.infer(X)
    assert_array_equal(inferred.at_bound[:, 0], np.abs(unbounded.labels[:, 0]) >= 1)
    assert 50 < inferred.at_bound[:, 0].sum() < 250
    assert not inferred.at_bound[:, 1].any()
    held = inferred.at_bound[:, 0]
    assert set(inferred.labels[held, 0]) == {-1, 1}
    assert np.all(np.abs(inferred.labels[~held, 0]) < 1)
    assert_allclose(inferred.covariance, unbounded.covariance, rtol=1e-6)
    assert not unbounded.at_bound.any()
    blank = np.full((1, 30), np.nan)
    flat = LabelRegressor(**PLAIN, prior=None, label_bounds=bounds).fit(X, y)
    assert not flat.infer(blank).at_bound.any()


@pytest.mark.parametrize("parameters", [PUBLISHED_CANNON_PARAMETERS, {"prior": None}])
def test_labels_that_nothing_tells_apart(stars, parameters):
    """Errors are numbers, and spectra are about what they are without the others."""
    X, y = stars
    more = np.column_stack([y, 2 * y[:, 0] + 3, y.sum(axis=1)])
    together = LabelRegressor(**PLAIN | parameters).fit(X, more)
    alone = LabelRegressor(**PLAIN | parameters).fit(X, y)
    inferred = together.infer(X[:50])
    assert np.all(np.einsum("nii->ni", inferred.covariance) > 0)
    assert_allclose(inferred.chi2, alone.infer(X[:50]).chi2, rtol=0.1)


# -- coordinates of labels


@pytest.mark.parametrize("n_labels", [2, 3])
def test_no_rounding_decides_the_coordinates(n_labels):
    """Two labels tell as much of each other."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(150, n_labels)) + 0.7 * rng.normal(size=(150, 1))
    X = y @ rng.normal(size=(n_labels, 20)) + rng.normal(size=(150, 20))
    model = LabelRegressor(degree=2, calibrate=False).fit(X, y)
    expected, error = model.predict(X[:20], return_std=True)
    for unit in (7.0, -3.0, 0.1, 1e-20):
        found = LabelRegressor(degree=2, calibrate=False).fit(X, y * unit)
        away = (found.predict(X[:20]) / unit - expected) / error
        assert_allclose(away, 0, atol=1e-6)
    turned = LabelRegressor(degree=2, calibrate=False).fit(X, y[:, ::-1])
    away = (turned.predict(X[:20])[:, ::-1] - expected) / error
    assert_allclose(away, 0, atol=0.06)


def test_windows_hold_where_residuals_are_shared():
    """A label whose spectra change less than noise would have it has a window too."""
    rng = np.random.default_rng(3)
    y, shared = rng.normal(size=(200, 3)), rng.normal(size=(200, 1))
    slopes = np.zeros((3, 300))
    slopes[0], slopes[2, :50] = rng.normal(size=300), 1
    X = y @ slopes + rng.normal(size=(200, 300)) + 3 * shared * rng.normal(size=300)
    model = LabelRegressor(
        degree=2,
        label_windows={2: np.arange(50)},
        residual_components=0,
        calibrate=False,
        max_iter=2,
        tol=100.0,
    ).fit(X, y)
    information = model.label_information([[0.5, 1.0, 0.5]])[0, 2]
    assert np.all(information[50:] == 0)
    assert np.all(information[:50] > 0)


# -- fits that fail


def test_failed_fit_leaves_nothing_behind(stars):
    X, y = stars
    hopeless = {"degree": 8, "shrinkage": False}
    model = LabelRegressor(**hopeless)
    with pytest.raises(ValueError, match="do not determine"):
        model.fit(X[:30], y[:30])
    for ask in (model.predict, model.infer, model.predict_spectra):
        with pytest.raises(NotFittedError):
            ask(X[:2])
    model.set_params(**PLAIN, shrinkage=True).fit(X, y)
    before = model.infer(X[:20])
    with pytest.raises(ValueError, match="do not determine"):
        model.set_params(**hopeless).fit(X[:30], 1000 * y[:30])
    after = model.infer(X[:20])
    for key, value in before.items():
        assert_array_equal(after[key], value)


@pytest.mark.parametrize(("n", "n_labels"), [(2, 1), (2, 8), (3, 8), (9, 8)])
def test_too_few_stars(n, n_labels):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(30, 50)), rng.normal(size=(30, n_labels))
    least = n_labels + 2
    with pytest.raises(ValueError, match=f"{least} stars .* n_samples = {n} with"):
        LabelRegressor().fit(X[:n], y[:n])
    y[least:] = np.nan
    assert np.all(LabelRegressor().fit(X, y).predict(X[:3], return_std=True)[1] > 0)
    y[least - 1] = np.nan
    with pytest.raises(ValueError, match="any pixel and label"):
        LabelRegressor().fit(X, y)


def test_too_few_stars_to_calibrate(stars):
    X, y = stars
    for n in (39, 40):
        model = LabelRegressor(degree=1).fit(X[:n], y[:n])
        assert np.all(model.error_scale_ == 1) == (n < 40)


# -- names, windows and shapes


@pytest.mark.parametrize(
    "named",
    [lambda y: pd.Series(y, name="teff"), lambda y: Table({"teff": y})["teff"]],
)
def test_name_of_one_column_is_that_of_the_label(stars, named):
    X, y = stars
    model = LabelRegressor(**PLAIN, label_windows={"teff": np.arange(20)})
    model.fit(X, named(y[:, 0]))
    assert list(model.label_names_) == ["teff"]
    assert model.predict(X[:3]).shape == (3,)
    nameless = LabelRegressor(**PLAIN).fit(X, pd.Series(y[:, 0]))
    assert list(nameless.label_names_) == ["label0"]


def frame(y):
    return pd.DataFrame(y, columns=["teff", "logg"])


@pytest.mark.parametrize(
    ("windows", "match"),
    [
        ({1: np.arange(30) % 2}, "looks like a mask"),
        ({"logg": [1, 2], 1: [3, 4]}, "each label once, got 'logg' and 1"),
        ({1: [7, 8]}, "No star has any of the 2 pixels"),
    ],
)
def test_windows_that_are_no_windows(stars, windows, match):
    X, y = stars[0].copy(), stars[1]
    X[:, 7:9] = np.nan
    with pytest.raises(ValueError, match=match):
        LabelRegressor(**PLAIN, label_windows=windows).fit(X, frame(y))


@pytest.mark.parametrize(
    ("labels", "label_sigma", "match"),
    [
        (lambda y: y + 1j, None, "Complex data not supported: `y`"),
        (
            lambda y: pd.DataFrame(y, columns=["a", "a"]),
            None,
            "must differ, got 'a' twice",
        ),
        (frame, [0.1, np.inf], "'logg' is missing, or of infinite `label_sigma`"),
        (frame, [0.1, 1e300], "`label_sigma` of 'logg' is so large"),
        (frame, frame(np.ones((400, 2)))[["logg", "teff"]], "must be those of y"),
        (lambda y: frame(y * [1, 1e160]), None, "'logg' scatters by 1.*e.160"),
        (lambda y: frame(y * [1, 1e300]), None, "'logg' scatters by 1.*e.300"),
        (lambda y: frame(y * [1, 1e-200]), None, "'logg' scatters by 1.*e-200"),
    ],
)
def test_labels_that_are_no_labels(stars, labels, label_sigma, match):
    X, y = stars
    with pytest.raises(ValueError, match=match):
        LabelRegressor(**PLAIN).fit(X, labels(y), label_sigma=label_sigma)


def test_large_labels_are_labels(stars, fitted):
    X, y = stars
    unit = np.array([1e120, 1e-120])
    found, error = LabelRegressor(**PLAIN).fit(X, y * unit).predict(X, return_std=True)
    expected, expected_error = fitted.predict(X, return_std=True)
    assert_allclose(found / unit, expected, atol=1e-9)
    assert_allclose(error / unit, expected_error, rtol=1e-6)


@pytest.mark.parametrize("weight", [np.ones(399), np.ones((400, 1)), 1.0])
def test_weights_of_scores_are_one_for_each_star(stars, fitted, weight):
    X, y = stars
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(400,\)"):
        fitted.score(X, y, sample_weight=weight)


def test_errors_in_columns_reach_predictions_of_cross_validation(stars):
    X, y = stars
    sigma = np.random.default_rng(3).uniform(0.5, 2, X.shape)
    packed = np.hstack([X, sigma])
    model = LabelRegressor(**PLAIN)
    found = cross_val_predict(SigmaUnpacker(model), packed, y, cv=2)
    half = model.fit(X[200:], y[200:], sigma=sigma[200:])
    assert_allclose(found[:200], half.predict(X[:200], sigma=sigma[:200]))


@pytest.mark.parametrize(("dtype", "tiny"), [("f4", 1e-25), ("f8", 1e-170)])
def test_errors_below_the_rounding_of_spectra(stars, dtype, tiny):
    """They are no errors; their squares vanish."""
    X, y = stars[0].astype(dtype), stars[1]
    rounding = np.finfo(dtype).eps
    expected, error = (
        LabelRegressor(**PLAIN)
        .fit(X, y, sigma=rounding)
        .predict(X[:50], sigma=rounding, return_std=True)
    )
    model = LabelRegressor(**PLAIN).fit(X, y, sigma=tiny)
    found, found_error = model.predict(X[:50], sigma=tiny, return_std=True)
    assert_allclose(found / error, expected / error, atol=0.01)
    assert_allclose(found_error, error, rtol=0.01)
    sigma = np.full(X.shape, 0.5)
    sigma[3, 4] = sigma[5] = tiny
    model = LabelRegressor(**PLAIN).fit(X, y, sigma=sigma)
    found = model.predict(X, sigma=sigma)
    sigma[3, 4] = sigma[5] = rounding
    assert_allclose(found, model.predict(X, sigma=sigma), atol=1e-3)


def test_errors_far_below_the_scatter_say_nothing(stars, fitted):
    X, y = stars
    model = LabelRegressor(**PLAIN).fit(X, y, sigma=1e-4)
    assert_allclose(model.scatter_, fitted.scatter_, rtol=0.03)
    expected = fitted.label_information(y[:3])
    found = model.label_information(y[:3])
    assert_allclose(found, expected, atol=0.02 * expected.max())
