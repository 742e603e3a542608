"""Labels from latent variables with errors, their calibration, and their errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skastro.decomposition import ProbabilisticPCA
from skastro.disentangling import ConditionalFactorAnalysis, PolyDisentangler
from skastro.labels import LabelRegressor, LatentRegressor
from skastro.metrics import label_errors
from skastro.model_selection import CalibratedRegressor
from skastro.preprocessing import append_conditions
from skastro.utils.uncertain import UncertainVectors

MEAN = np.array([3.0, -20.0, 0.5])
ROOT = np.array([[2.0, 0, 0], [0.5, 10.0, 0], [0.02, 0.03, 0.1]])
SLOPES = np.array([[0.1, 0.02, 0.0], [0.0, -0.03, 2.0]])
SCATTER = np.array([0.05, 0.2])
NAMES = ["Mg", "Mn"]


def latents(n, seed=0):
    """Return latents of which half have ten times the errors, labels, covariances."""
    rng = np.random.default_rng(seed)
    true = MEAN + rng.normal(size=(n, 3)) @ ROOT.T
    size = np.where(np.arange(n) % 2, 1.0, 0.1)
    roots = size[:, None, None] * (ROOT @ rng.normal(size=(n, 3, 3)))
    C = roots @ roots.transpose(0, 2, 1) + 1e-6 * np.diag(np.diag(ROOT) ** 2)
    Z = true + np.einsum("nij,nj->ni", np.linalg.cholesky(C), rng.normal(size=(n, 3)))
    y = 0.3 + true @ SLOPES.T + SCATTER * rng.normal(size=(n, 2))
    return UncertainVectors(Z, C), y


@pytest.fixture(scope="module")
def train():
    return latents(6000)


@pytest.fixture(scope="module")
def fitted(train):
    model = LatentRegressor(with_covariance=True)
    return model.fit(train[0].pack(), pd.DataFrame(train[1], columns=NAMES))


def test_exact_posterior_of_gaussians(fitted):
    vectors, _ = latents(500, seed=1)
    S = ROOT @ ROOT.T
    gain = S @ np.linalg.inv(S + vectors.covariance)
    true = MEAN + np.einsum("nij,nj->ni", gain, vectors.values - MEAN)
    spread = SLOPES @ (S - gain @ S) @ SLOPES.T
    expected = 0.3 + true @ SLOPES.T
    error = np.sqrt(np.einsum("nii->ni", spread) + SCATTER**2)
    labels, std = fitted.predict(vectors.pack(), return_std=True)
    assert np.sqrt(np.mean(((labels - expected) / error) ** 2)) < 0.06
    assert_allclose(std, error, rtol=0.06)


def test_slopes_are_not_diluted_by_errors(train, fitted):
    diluted = LinearRegression().fit(train[0].values, train[1]).coef_
    assert np.abs(diluted[1, 2] / SLOPES[1, 2] - 1) > 0.2
    units = np.diag(ROOT)
    assert_allclose(fitted.coef_ * units, SLOPES * units, atol=0.015)
    assert_allclose(fitted.scatter_, SCATTER, rtol=0.1)
    assert_allclose(fitted.latent_mean_, MEAN, atol=0.05 * units.max())
    at_mean = fitted.intercept_ + fitted.coef_ @ fitted.latent_mean_
    assert_allclose(at_mean, 0.3 + SLOPES @ MEAN, atol=0.02)


def test_errors_hold_of_good_and_of_bad_stars(fitted):
    vectors, y = latents(4000, seed=2)
    labels, std = fitted.predict(vectors.pack(), return_std=True)
    assert (std[1::2].mean(axis=0) > 1.3 * std[::2].mean(axis=0)).all()
    for half in (slice(0, None, 2), slice(1, None, 2)):
        errors = label_errors(y[half], labels[half], std[half])
        assert_allclose(errors.within, 0.683, atol=0.035)
        assert_allclose(errors.pull, 1, atol=0.05)


def test_without_errors_it_is_bayesian_ridge():
    """Of coordinates of unit variance, with flat priors of both precisions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8)) @ rng.normal(size=(8, 8))
    y = 0.2 * X @ rng.normal(size=8) + 10 * rng.normal(size=600)
    flat = dict.fromkeys(["alpha_1", "alpha_2", "lambda_1", "lambda_2"], 0.0)
    unit = PCA(whiten=True).fit_transform(X)
    peer = BayesianRidge(tol=1e-10, max_iter=5000, **flat).fit(unit, y)
    expected, error = peer.predict(unit, return_std=True)
    labels, std = LatentRegressor(calibrate=False).fit(X, y).predict(X, return_std=True)
    assert_allclose(labels, expected, atol=0.02)
    plain = LinearRegression().fit(X, y).predict(X)
    assert np.abs(plain - expected).max() > 0.2
    # which leaves out the error of the mean
    assert_allclose(std**2, error**2 + 1 / peer.alpha_ / 600, rtol=5e-3)


def test_coordinates_and_units_do_not_matter(train, fitted):
    A = np.random.default_rng(5).normal(size=(3, 3)) * [1e3, 1.0, 1e-3]
    vectors, _ = latents(50, seed=1)
    turned = LatentRegressor(with_covariance=True).fit(
        train[0].through(A, 7.0).pack(), 1e3 * train[1] + 5
    )
    labels, std = fitted.predict(vectors.pack(), return_std=True)
    found, errors = turned.predict(vectors.through(A, 7.0).pack(), return_std=True)
    assert_allclose(found, 1e3 * labels + 5, rtol=1e-5)
    assert_allclose(errors, 1e3 * std, rtol=1e-5)


def test_missing_labels_are_no_matter_of_the_others():
    vectors, y = latents(400)
    holey = y.copy()
    holey[::3, 0] = np.nan
    X = vectors.pack()
    whole, part = (LatentRegressor(with_covariance=True).fit(X, v) for v in (y, holey))
    assert_array_equal(part.predict(X)[:, 1], whole.predict(X)[:, 1])
    away = part.predict(X)[:, 0] - whole.predict(X)[:, 0]
    assert 0 < np.abs(away).max() < 0.1
    assert part.score(X, holey) == pytest.approx(part.score(X, y), abs=0.05)
    # what stands in the place of a label that is not known does not count
    unknown = np.where(np.isnan(holey), np.inf, 0)
    same = LatentRegressor(with_covariance=True).fit(X, y, label_sigma=unknown)
    assert_array_equal(same.predict(X), part.predict(X))


def test_errors_of_labels_are_not_scatter(train):
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0, 0.6, train[1].shape)
    noisy = train[1] + sigma * rng.normal(size=sigma.shape)
    model = LatentRegressor(with_covariance=True)
    model.fit(train[0].pack(), noisy, label_sigma=sigma)
    assert_allclose(model.scatter_, SCATTER, rtol=0.2)
    vectors, y = latents(3000, seed=4)
    errors = label_errors(y, *model.predict(vectors.pack(), return_std=True))
    assert_allclose(errors.within, 0.683, atol=0.035)


def test_stars_without_latents():
    vectors, y = latents(200)
    X = vectors.pack()
    holey = X.copy()
    holey[[3, 5]] = np.nan
    model = LatentRegressor(with_covariance=True)
    with pytest.warns(UserWarning, match="2 of 200 stars"):
        model.fit(holey, y)
    kept = np.delete(np.arange(200), [3, 5])
    expected = clone(model).fit(X[kept], y[kept]).predict(X[kept], return_std=True)
    labels, std = model.predict(holey, return_std=True)
    assert np.isnan(labels[[3, 5]]).all() and np.isnan(std[[3, 5]]).all()
    assert_array_equal((labels[kept], std[kept]), expected)


@pytest.mark.parametrize("kind", ["laplace", "few stars"])
def test_calibrated_errors_hold_of_new_stars(kind):
    """Of distributions that are not normal, and where slopes are most of the error."""
    rng = np.random.default_rng(0)
    n, k = (2000, 3) if kind == "laplace" else (80, 40)
    within = []
    for _ in range(1 if kind == "laplace" else 30):
        X = rng.normal(size=(n + 2000, k))
        noise = (rng.laplace if kind == "laplace" else rng.normal)(size=n + 2000)
        y = X @ rng.normal(size=k) + noise
        model = LatentRegressor().fit(X[:n], y[:n])
        labels, std = model.predict(X[n:], return_std=True)
        within.append(np.mean(np.abs(labels - y[n:]) < std))
    assert np.mean(within) == pytest.approx(0.683, abs=0.04)


def test_names_shapes_and_copies(fitted):
    vectors, y = latents(50, seed=1)
    X = vectors.pack()
    assert list(fitted.label_names_) == NAMES
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    one = LatentRegressor(with_covariance=True).fit(X, y[:, 0])
    labels, std = one.predict(X, return_std=True)
    assert labels.shape == std.shape == (50,)
    assert_allclose(labels, clone(one).fit(X, y).predict(X)[:, 0], rtol=1e-12)


def test_what_it_refuses():
    vectors, y = latents(20)
    aware = LatentRegressor(with_covariance=True)
    with pytest.raises(ValueError, match=r"with_covariance=True.*ConditionalFactor"):
        aware.fit(np.ones((20, 4)), y)
    with pytest.raises(ValueError, match="'Mn' is the same in all"):
        frame = pd.DataFrame({"Mg": y[:, 0], "Mn": 1.0})
        aware.fit(vectors.pack(), frame)


# -- pipelines


def spectra(n=500, seed=0):
    """Spectra linear in one label and two abundances, more so in cool stars."""
    loadings = 0.1 * np.random.default_rng(1).normal(size=(3, 30))
    rng = np.random.default_rng(seed)
    u, y = rng.uniform(4000, 5000, size=(n, 1)), rng.normal(size=(n, 2))
    v = (u - 4500) / 500
    S = 1 + v * loadings[0] + (y * (1 - 0.5 * v)) @ loadings[1:]
    return S + 0.05 * rng.normal(size=S.shape), u, y


DISENTANGLERS = {
    "poly": PolyDisentangler(degree=2, n_components=4, random_state=0),
    "cfa": ConditionalFactorAnalysis(
        n_components=2,
        degree=2,
        loading_degree=1,
        max_iter=4,
        tol=0,
        with_covariance=True,
        random_state=0,
    ),
}


def pipeline(kind, columns=None):
    before = clone(DISENTANGLERS[kind]).set_params(condition_columns=columns)
    return make_pipeline(before, LatentRegressor(with_covariance=kind == "cfa"))


@pytest.mark.parametrize("kind", DISENTANGLERS)
def test_pipelines_carry_conditions_and_errors(kind):
    """As columns, without any setting, or routed, they are the same; and they hold."""
    S, u, y = spectra(300)
    y = np.where(np.random.default_rng(3).random(y.shape) < 0.1, np.nan, y)
    new, u_new, truth = spectra(seed=2)
    X, X_new = append_conditions(S, u), append_conditions(new, u_new)
    model = pipeline(kind, columns=-1).fit(X, y)
    labels, std = model.predict(X_new, return_std=True)
    assert_allclose(label_errors(truth, labels, std).within, 0.683, atol=0.06)
    assert cross_val_score(model, X, y, cv=ShuffleSplit(1, random_state=0))[0] > 0.7
    with config_context(enable_metadata_routing=True):
        routed = pipeline(kind)
        routed[0].set_fit_request(conditions=True).set_transform_request(
            conditions=True
        )
        routed.fit(S, y, conditions=u)
        found = routed.predict(new, conditions=u_new, return_std=True)
        assert_allclose(found, (labels, std), rtol=1e-6)
        around = CalibratedRegressor(routed, cv=ShuffleSplit(1, random_state=0))
        around.fit(S, y, conditions=u)
        found = around.predict(new, conditions=u_new, return_std=True)
    assert_allclose(found, (labels, std * around.error_scale_), rtol=1e-6)


def test_other_regressors_give_errors_at_the_end_of_routed_pipelines():
    S, _, y = spectra(100)
    model = make_pipeline(FunctionTransformer(), LabelRegressor(degree=1)).fit(S, y)
    expected = model.predict(S, return_std=True)
    with config_context(enable_metadata_routing=True):
        assert_array_equal(model.predict(S, return_std=True), expected)


def test_components_with_errors():
    """Spectra of which most is missing have larger errors, and they hold."""
    S, _, y = spectra(800)
    S[::2, :24] = np.nan
    components = ProbabilisticPCA(3, with_covariance=True, random_state=0)
    model = make_pipeline(components, LatentRegressor(with_covariance=True))
    labels, std = model.fit(S[:400], y[:400]).predict(S[400:], return_std=True)
    assert (std[::2].mean(axis=0) > 1.2 * std[1::2].mean(axis=0)).all()
    for half in (0, 1):
        errors = label_errors(y[400 + half :: 2], labels[half::2], std[half::2])
        assert_allclose(errors.within, 0.683, atol=0.11)


# -- calibration by stars that no step has seen


class Boastful(RegressorMixin, BaseEstimator):
    """A regressor whose errors are too small, by 2 and by 5."""

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        self.mean_ = np.nanmean(y, axis=0)
        return self

    def predict(self, X, return_std=False):
        labels = np.tile(self.mean_, (len(X), 1))
        return (labels, np.ones_like(labels)) if return_std else labels


def test_errors_are_scaled_to_what_is_seen():
    y = np.random.default_rng(0).normal(size=(3000, 2)) * [2, 5]
    y[::7, 0] = np.nan
    X = np.zeros((3000, 1))
    model = CalibratedRegressor(Boastful()).fit(X, y)
    assert_allclose(model.error_scale_, [2, 5], rtol=0.06)
    labels, std = model.predict(X, return_std=True)
    assert_array_equal(std[0], model.error_scale_)
    assert_array_equal(model.predict(X), labels)


def test_calibration_knows_what_steps_before_have_followed():
    """Components of a few stars hold less of others."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(2, 400))
    y = rng.normal(size=(1080, 2))
    X = y @ loadings * 0.15 + rng.normal(size=(1080, 400))
    inner = make_pipeline(PCA(10, random_state=0), LatentRegressor())
    cv = KFold(5, shuffle=True, random_state=0)
    model = CalibratedRegressor(inner, cv=cv).fit(X[:80], y[:80])
    plain = label_errors(y[80:], *model.estimator_.predict(X[80:], return_std=True))
    errors = label_errors(y[80:], *model.predict(X[80:], return_std=True))
    assert plain.within.mean() < 0.6
    assert errors.within.mean() == pytest.approx(0.683, abs=0.08)


def test_groups_reach_the_splitter_and_frames_the_estimator():
    S, _, y = spectra(90)
    frame = pd.DataFrame(S, columns=[f"bin {i}" for i in range(30)])
    groups = np.repeat(np.arange(45), 2)
    labels = pd.DataFrame(y, columns=NAMES)
    with config_context(enable_metadata_routing=True):
        model = CalibratedRegressor(LatentRegressor(), cv=GroupKFold(3))
        model.fit(frame, labels, groups=groups)
    assert list(model.feature_names_in_) == list(frame)
    assert list(model.estimator_.label_names_) == NAMES
    folds = list(GroupKFold(3).split(S, y, groups))
    same = CalibratedRegressor(LatentRegressor(), cv=folds).fit(S, y)
    assert_array_equal(model.error_scale_, same.error_scale_)


def test_what_calibration_refuses():
    S, _, y = spectra(60)
    with pytest.raises(TypeError, match="return_std=True"):
        CalibratedRegressor(LinearRegression()).fit(S, y)
    y[:, 1] = np.where(np.arange(60) < 30, y[:, 1], np.nan)
    cv = [(np.arange(40), np.arange(40, 60))]
    with pytest.raises(ValueError, match="Target 1 .*none of 20"):
        CalibratedRegressor(LatentRegressor(), cv=cv).fit(S, y)
    exact = CalibratedRegressor(Boastful(), cv=ShuffleSplit(1, random_state=0))
    with pytest.warns(UserWarning, match="cannot be calibrated"):
        exact.fit(S, np.ones((60, 2)))
    assert_array_equal(exact.error_scale_, 1)


# -- errors by label


def test_label_errors_are_what_they_say():
    rng = np.random.default_rng(0)
    truth, away = rng.normal(size=(2, 4000, 2)) * [[[1.0, 3.0]], [[0.1, 0.2]]]
    away[:, 1] += 0.05
    labels, std = truth + away, np.full((4000, 2), 0.1)
    truth[::4, 0] = np.nan
    labels[1::4, 0] = np.nan
    frame = pd.DataFrame(truth, columns=NAMES)
    errors = label_errors(frame, labels, std)
    has = np.arange(4000) % 4 > 1
    assert errors.names == NAMES
    assert_array_equal(errors.n_stars, [2000, 4000])
    rmse = [np.sqrt(np.mean(away[has, 0] ** 2)), np.sqrt(np.mean(away[:, 1] ** 2))]
    assert_allclose(errors.rmse, rmse)
    assert_allclose(errors.bias, [away[has, 0].mean(), away[:, 1].mean()])
    assert_allclose(errors.typical[0], 0.1, rtol=0.06)
    assert_allclose(errors.scatter, [1, 3], rtol=0.05)
    assert_allclose(errors.within[0], 0.683, atol=0.03)
    assert_allclose(errors.within[1], np.mean(np.abs(away[:, 1]) < 0.1))
    assert_allclose(errors.pull, np.array(rmse) / 0.1)
    one = label_errors(frame["Mg"], labels[:, 0])
    assert one.names == ["label0"] and one.within is None
    assert one.rmse[0] == errors.rmse[0]
    lines = repr(errors).splitlines()
    assert [line.split()[0] for line in lines] == ["label", *NAMES]
    assert "in 68 %" in lines[0] and "in 68 %" not in repr(one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_pred": np.zeros((5, 3))}, "`y_pred` must have the shape of `y_true`"),
        ({"y_std": np.zeros((5, 2))}, "`y_std` must be positive .* of 'label0' in"),
        ({"names": ["Mg"]}, "one name for each of 2 labels"),
        ({"y_true": np.full((5, 2), np.nan)}, "No star has both"),
        ({"y_true": np.zeros((5, 2, 1))}, "`y_true` must have shape"),
        (
            {"y_pred": pd.DataFrame(np.zeros((5, 2)), columns=["Mn", "Mg"])},
            r"`y_pred` must be the labels in the same order, \['Mg', 'Mn'\]",
        ),
    ],
)
def test_label_errors_refuse(change, message):
    given = {"y_true": np.zeros((5, 2)), "y_pred": np.zeros((5, 2))}
    if isinstance(change.get("y_pred"), pd.DataFrame):
        given["names"] = NAMES
    with pytest.raises(ValueError, match=message):
        label_errors(**given | change)
