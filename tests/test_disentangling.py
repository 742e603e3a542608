"""Representations of spectra apart from their labels."""

import pickle
from copy import copy

import numpy as np
import pandas as pd
import pytest
from astropy import units
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skastro.datasets import make_twin_spectra
from skastro.disentangling import (
    ConditionalFactorAnalysis,
    FactorDisentangler,
    FaderDisentangler,
    PolyDisentangler,
)
from skastro.disentangling._factor_analysis_decoder import Decoder, combine
from skastro.disentangling._factor_analysis_em import ConditionalEM, shrink
from skastro.disentangling._factor_analysis_frame import simplest_frame
from skastro.disentangling._poly import regress
from skastro.disentangling._polynomials import OrthonormalPolynomials, count
from skastro.metrics import n_false_twins, twin_recovery_scorer
from skastro.preprocessing import append_conditions
from skastro.utils.uncertain import UncertainVectors


def unpack(rows):
    vectors = UncertainVectors.unpack(rows)
    return vectors.values, vectors.covariance


LABELS = slice(-2, None)
THREE = slice(-3, None)


class Stars:
    """The model itself: two labels, and responses to three latents that grow with them.

    Each latent has bins of its own, and every bin one sensitivity to the labels.
    """

    def __init__(self, k=3, n_bins=60):
        rng = np.random.default_rng(0)
        self.first = np.zeros((k, n_bins))
        for i in range(k):
            self.first[i, i::k] = rng.normal(size=len(self.first[i, i::k]))
        self.slope = rng.uniform(-0.3, 0.3, size=(2, n_bins))
        self.mean = rng.normal(size=(3, n_bins))

    def flux(self, u, z):
        v = (u - [4500, 2.25]) / [500, 0.75]
        mean = 1 + np.column_stack([v, v[:, 0] ** 2]) @ self.mean
        return mean + 0.3 * (z @ self.first) * (1 + v @ self.slope)


def linear_stars(n=1200, noise=0.02, seed=1):
    rng = np.random.default_rng(seed)
    u = rng.uniform([4000, 1.5], [5000, 3.0], size=(n, 2))
    z = rng.normal(size=(n, 3))
    S = Stars().flux(u, z)
    return append_conditions(S + noise * rng.normal(size=S.shape), u), z


@pytest.fixture(scope="module")
def twins():
    """Spectra of 150 bins about strong lines, of stars in pairs."""
    data = make_twin_spectra(1200, random_state=0)
    bins = np.sort(np.argsort(-data.X.std(axis=0))[:300])
    return append_conditions(data.X[:, bins], data.u), data


# -- what is common to all

QUICK = {
    "variational": False,
    "disentangle_weight": 1e-3,
    "noise": 0.0,
    "encoder_layer_sizes": (64,),
    "decoder_layer_sizes": (64,),
    "max_epochs": 80,
    "batch_size": 100,
    "random_state": 0,
}

ALL = [
    PolyDisentangler(LABELS, degree=2, n_components=3),
    ConditionalFactorAnalysis(
        LABELS, n_components=3, degree=2, loading_degree=1, random_state=0
    ),
    FaderDisentangler(LABELS, n_components=3, degree=2, **QUICK),
    FactorDisentangler(LABELS, n_components=3, degree=2, **QUICK),
]


# where it does not matter how well networks are trained
BRIEF = [
    clone(m).set_params(max_epochs=3) if "max_epochs" in m.get_params() else m
    for m in ALL
]


@pytest.mark.parametrize("model", BRIEF)
def test_columns_may_be_given_in_any_way(model):
    X, _ = linear_stars(300)
    expected = clone(model).fit_transform(X)
    mask = np.zeros(X.shape[1], dtype=bool)
    mask[-2:] = True
    for columns in ([-2, -1], [60, 61], mask, lambda X: [60, 61]):
        Z = clone(model).set_params(condition_columns=columns).fit_transform(X)
        assert_array_equal(Z, expected)
    names = [f"bin{i}" for i in range(60)] + ["teff", "logg"]
    frame = pd.DataFrame(X, columns=names)
    Z = clone(model).set_params(condition_columns=["teff", "logg"]).fit_transform(frame)
    assert_array_equal(Z, expected)
    # wherever they stand
    Z = clone(model).set_params(condition_columns=[0, 1])
    assert_allclose(Z.fit_transform(np.roll(X, 2, axis=1)), expected, atol=1e-8)


@pytest.mark.parametrize("model", ALL)
def test_recast_to_its_own_labels_is_the_star(model):
    X, _ = linear_stars(600, noise=0.0)
    model = clone(model).fit(X)
    error = model.recast(X, X[:, -2:]) - X[:, :-2]
    assert np.sqrt(np.mean(error**2)) < 0.01 * X[:, :-2].std()
    assert model.score(X) > 0.995


def test_recast_gives_the_twin_at_other_labels():
    X, z = linear_stars(2400, noise=0.005)
    u = np.roll(X[:, -2:], 1, axis=0)
    truth = Stars().flux(u, z)
    error = cfa().fit(X).recast(X, u) - truth
    assert np.sqrt(np.mean(error**2)) < 0.03
    # adding a residual, which does not grow with the labels, does worse
    poly = PolyDisentangler(LABELS, degree=2, n_components=3).fit(X)
    assert np.mean(error**2) < 0.25 * np.mean((poly.recast(X, u) - truth) ** 2)


@pytest.mark.parametrize("model", BRIEF)
def test_one_row_of_labels_serves_all(model):
    X, _ = linear_stars(300)
    model = clone(model).fit(X)
    u = np.array([4500.0, 2.0])
    assert_array_equal(model.recast(X, u), model.recast(X, np.tile(u, (300, 1))))


@pytest.mark.parametrize("model", BRIEF)
def test_errors_name_what_is_wrong(model):
    X, _ = linear_stars(300)
    with pytest.raises(ValueError, match=r"condition_columns.*not columns of X"):
        clone(model).set_params(condition_columns=[70]).fit(X)
    with pytest.raises(ValueError, match=r"condition_columns.*not columns of X"):
        clone(model).set_params(condition_columns=["teff"]).fit(X)
    with pytest.raises(ValueError, match=r"selects 62 of the 62"):
        clone(model).set_params(condition_columns=slice(None)).fit(X)
    with pytest.raises(ValueError, match="twice"):
        clone(model).set_params(condition_columns=[-1, -1]).fit(X)
    constant = X.copy()
    constant[:, -1] = 2.0
    with pytest.raises(ValueError, match=r"onstant.*label 1 \(column 61 of X\)"):
        clone(model).fit(constant)
    with pytest.raises(ValueError, match=r"n_components.*at most"):
        clone(model).set_params(n_components=61).fit(X)
    with pytest.raises(ValueError, match=r"lower.*degree"):
        clone(model).set_params(degree=30).fit(X)
    missing = X.copy()
    missing[0, -1] = np.nan
    if not isinstance(model, ConditionalFactorAnalysis):
        with pytest.warns(
            UserWarning, match=r"1 row.*label 1 \(column 61.*leaves.*Conditional"
        ):
            partial = clone(model).fit(missing)
        whole = clone(model).fit(X[1:])
        assert_array_equal(partial.transform(X), whole.transform(X))
        with pytest.warns(UserWarning, match="labels are missing"):
            Z = partial.transform(missing)
        assert np.isnan(Z[0]).all()
        assert_allclose(Z[1:], whole.transform(X)[1:], rtol=1e-9, atol=1e-12)
        missing[:, -1] = np.nan
        with pytest.raises(ValueError, match="has no other rows"):
            clone(model).fit(missing)
    model = clone(model).fit(X)
    with pytest.raises(ValueError, match=r"3 latent variables.*2 label"):
        model.inverse_transform(np.ones((2, 4)))
    with pytest.raises(ValueError, match="u_new"):
        model.recast(X, [4500.0])
    X[0, -1] = 9.0
    with pytest.warns(UserWarning, match=r"1\.50412 to.*in 1 row.*label 1 \(column 61"):
        model.transform(X)


def test_append_conditions_in_pipelines_and_column_transformers(twins):
    X, data = twins
    model = PolyDisentangler(THREE, degree=2, n_components=20, random_state=0)
    scaled = make_column_transformer(
        (StandardScaler(with_std=False), slice(0, -3)), ("passthrough", THREE)
    )
    pipeline = make_pipeline(scaled, clone(model))
    Z = pipeline.fit_transform(X)
    # a constant is regressed away with the rest
    assert_allclose(np.abs(Z), np.abs(clone(model).fit_transform(X)), atol=1e-3)
    with pytest.raises(ValueError, match="one row for each star"):
        append_conditions(X, data.u[:3])
    assert append_conditions(X, data.u[:, 0]).shape == (2400, 304)
    assert append_conditions(X.astype("f4"), data.u).dtype == np.float32


def test_append_conditions_keeps_errors_in_line():
    S, u = np.ones((4, 3), dtype=np.float32), np.arange(8.0).reshape(4, 2)
    X, sigma = append_conditions(S, u, sigma=0.1)
    assert X.dtype == sigma.dtype == np.float32
    assert_allclose(sigma, np.tile([0.1, 0.1, 0.1, 0, 0], (4, 1)))
    errors = np.arange(1, 13.0).reshape(4, 3)
    _, sigma = append_conditions(S, u, sigma=errors, condition_sigma=[50.0, 0.1])
    assert_allclose(sigma[:, :3], errors)
    assert_allclose(sigma[:, 3:], np.tile([50, 0.1], (4, 1)))
    _, sigma = append_conditions(S, u[:, 0], sigma=0.1, condition_sigma=u[:, 1])
    assert_allclose(sigma[:, 3], u[:, 1])
    mask = np.zeros(S.shape, dtype=bool)
    mask[1, 2] = True
    X = append_conditions(np.ma.array(S, mask=mask), pd.DataFrame(u))
    assert_array_equal(np.isnan(X), np.pad(mask, [(0, 0), (0, 2)]))
    with pytest.raises(TypeError, match="`spectra` carries the unit"):
        append_conditions(S * units.Jy, u)
    with pytest.raises(ValueError, match="without `sigma`"):
        append_conditions(S, u, condition_sigma=0.1)
    with pytest.raises(ValueError, match="`condition_sigma` must have the shape"):
        append_conditions(S, u, sigma=0.1, condition_sigma=[1.0, 2, 3])


# -- PolyDisentangler


@given(
    degree=st.integers(1, 4),
    n_conditions=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=30, deadline=None)
def test_poly_agrees_with_lstsq(degree, n_conditions, seed):
    rng = np.random.default_rng(seed)
    U = rng.uniform(-1, 1, size=(120, n_conditions)) * 300 + 4500
    S = rng.normal(size=(120, 12)) + np.sin(U[:, :1] / 200)
    X = append_conditions(S, U)
    model = PolyDisentangler(
        slice(-n_conditions, None), degree=degree, n_components=12
    ).fit(X)
    design = PolynomialFeatures(degree).fit_transform((U - 4500) / 300)
    residual = S - design @ np.linalg.lstsq(design, S, rcond=None)[0]
    Z = model.transform(X)
    # all components: distances are those of the residuals, and PCA's
    assert_allclose(Z @ model.components_, residual, atol=1e-8)
    assert_allclose(np.abs(Z), np.abs(PCA().fit_transform(residual)), atol=1e-7)
    # nothing that is a polynomial of u is left
    assert_allclose(design.T @ Z, 0, atol=1e-7)


def test_polynomials_of_kinds_are_offsets_and_slopes():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 300)
    kind = rng.integers(0, 3, 300)
    U = np.column_stack([x, kind == 1, kind == 2]) * 2.0 - 1
    phi = OrthonormalPolynomials(4).fit(U)(U)
    # powers of x, and an offset and a slope of each level but the first
    assert phi.shape[1] == count(U, 4) == 5 + 2 + 2
    assert_allclose(phi.T @ phi / 300, np.eye(9), atol=1e-10)
    design = np.column_stack([x**p for p in range(5)])
    for level in (1, 2):
        design = np.column_stack([design, kind == level, x * (kind == level)])
    left = design - phi @ np.linalg.lstsq(phi, design, rcond=None)[0]
    assert_allclose(left, 0, atol=1e-10)
    # numbers that are all different have all powers
    U = rng.uniform(-1, 1, size=(300, 3))
    assert count(U, 4) == PolynomialFeatures(4).fit(U).n_output_features_


def test_poly_recast_adds_the_residual():
    X, _ = linear_stars(300)
    model = PolyDisentangler(LABELS, degree=2, n_components=3).fit(X)
    u = np.array([4300.0, 2.5])
    v = (X[:, -2:] - [4500, 2.25]) / [500, 0.75]
    w = (u - [4500, 2.25]) / [500, 0.75]
    features = PolynomialFeatures(2)
    design = features.fit_transform(v)
    coefficients = np.linalg.lstsq(design, X[:, :-2], rcond=None)[0]
    residual = X[:, :-2] - design @ coefficients
    expected = residual + features.transform(w[None]) @ coefficients
    assert_allclose(model.recast(X, u), expected, atol=1e-8)


def test_poly_regresses_each_bin_on_its_own_stars():
    X, _ = linear_stars(300)
    rng = np.random.default_rng(0)
    holes = rng.uniform(size=(300, 60)) < 0.2
    sigma = rng.uniform(0.02, 0.1, size=(300, 60))
    X[:, :-2][holes] = np.nan
    model = PolyDisentangler(LABELS, degree=2, n_components=3).fit(X, sigma=sigma)
    design = PolynomialFeatures(2).fit_transform((X[:, -2:] - [4500, 2.25]) / 500)
    phi = model._polynomials(model._scale_conditions(X[:, -2:]))
    found = phi @ regress(phi, X[:, :-2], sigma)
    for j in (0, 7, 59):
        seen = ~holes[:, j]
        w = 1 / sigma[seen, j]
        coef = np.linalg.lstsq(design[seen] * w[:, None], X[seen, j] * w, rcond=None)[0]
        assert_allclose(found[:, j], design @ coef, atol=1e-8)


def test_poly_finds_latents_of_incomplete_spectra_as_of_complete_ones():
    X, z = linear_stars(1500)
    full = PolyDisentangler(LABELS, degree=2, n_components=3).fit(X)
    holey = X.copy()
    holey[:, :-2][np.random.default_rng(3).uniform(size=(1500, 60)) < 0.1] = np.nan
    expected = full.transform(X)
    # fitted to complete spectra, and to incomplete ones
    other = PolyDisentangler(LABELS, degree=2, n_components=3).fit(holey)
    for model, tolerance in ((full, 0.995), (other, 0.99)):
        Z = model.transform(holey)
        assert LinearRegression().fit(Z, expected).score(Z, expected) > tolerance
    # each on its own scale: nothing is drawn towards the mean
    assert_allclose(full.transform(holey).std(axis=0), expected.std(axis=0), rtol=0.02)
    empty = X[:2].copy()
    empty[0, :-2] = np.nan
    Z = full.transform(empty)
    assert_allclose(Z[0], 0, atol=1e-12)
    assert_allclose(Z[1], expected[1], rtol=1e-3, atol=1e-3)


def test_poly_weighs_by_errors():
    X, z = linear_stars(1500)
    sigma = np.where(np.arange(1500)[:, None] % 2, 0.02, 6.0) * np.ones((1500, 60))
    X[:, :-2] += sigma * np.random.default_rng(1).normal(size=sigma.shape)
    good = slice(1, None, 2)
    scores = []
    for kw in ({}, {"sigma": sigma}):
        model = PolyDisentangler(LABELS, degree=2, n_components=3).fit(X, **kw)
        Z = model.transform(X, **kw)[good]
        scores.append(LinearRegression().fit(Z, z[good]).score(Z, z[good]))
    assert 1 - scores[1] < 0.5 * (1 - scores[0])


# -- ConditionalFactorAnalysis


def cfa(**params):
    defaults = {
        "n_components": 3,
        "degree": 2,
        "loading_degree": 1,
        "random_state": 0,
    }
    return ConditionalFactorAnalysis(LABELS, **(defaults | params))


@pytest.mark.parametrize("cut", ["none", "missing", "variance", "both"])
def test_posterior_agrees_with_dense_gaussians(cut):
    rng = np.random.default_rng(0)
    k, n_bins, n = 2, 7, 5
    decoder = Decoder(
        rng.normal(size=(3, n_bins)),
        rng.normal(size=(2, k, n_bins)),
        rng.uniform(0.1, 1, n_bins),
    )
    phi_mean, phi = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    S = rng.normal(size=(n, n_bins))
    missing = rng.uniform(size=S.shape) < 0.3 if cut in ("missing", "both") else None
    variance = rng.uniform(0.1, 2, S.shape) if cut in ("variance", "both") else None
    residual = S - phi_mean @ decoder.mean
    if missing is not None:
        residual[missing] = 0
    z, C = combine(*decoder.likelihood(residual, phi, variance, missing))
    for i in range(n):
        seen = np.ones(n_bins, bool) if missing is None else ~missing[i]
        L = np.tensordot(phi[i], decoder.loadings, 1)[:, seen]
        noise = decoder.noise + (0 if variance is None else variance[i])
        total = L.T @ L + np.diag(noise[seen])
        gain = L @ np.linalg.inv(total)
        assert_allclose(z[i], gain @ residual[i, seen], rtol=1e-9)
        assert_allclose(C[i], np.eye(k) - gain @ L.T, atol=1e-10)


def test_maximisation_is_least_squares_where_latents_are_known():
    # posterior covariances of 0: the regression of numpy
    rng = np.random.default_rng(0)
    X, z = linear_stars(400)
    S, U = X[:, :-2], (X[:, -2:] - [4500, 2.25]) / [500, 0.75]
    phi_mean, phi = (OrthonormalPolynomials(d).fit(U)(U) for d in (2, 1))
    em = ConditionalEM(S, phi_mean, phi, None, 3, np.random.RandomState(0))
    loadings = rng.normal(size=em.decoder.loadings.shape)
    em.decoder = Decoder(em.decoder.mean, loadings, np.full(60, 1e-12))
    em._maximise(z, np.zeros((400, 3, 3)))
    terms = Decoder.terms(phi_mean, phi, z)
    expected = np.linalg.lstsq(terms, S, rcond=None)[0]
    # so little noise that nothing is shrunk
    assert_allclose(em.decoder.coefficients, expected, atol=1e-5)


@given(seed=st.integers(0, 10**6), terms=st.integers(1, 6), k=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_shrinking_removes_noise_and_keeps_signal(seed, terms, k):
    rng = np.random.default_rng(seed)
    n_bins = 400
    noise = rng.normal(size=(n_bins, terms, k))
    left, rank = shrink(noise)
    assert np.sum(left**2) < 0.35 * np.sum(noise**2)
    one = rng.normal(size=(n_bins, terms, 1)) * rng.normal(size=(n_bins, 1, k))
    signal = 1e4 * one / np.linalg.norm(one, axis=(1, 2), keepdims=True)
    found, rank = shrink(signal + noise)
    assert_allclose(found, signal, atol=12)
    # better than what was given, never worse
    assert np.sum((found - signal) ** 2) < 1.01 * np.sum(noise**2)
    assert rank.mean() < 1.35 or min(terms, k) == 1
    # equivariant under rotations of the latents
    Q, _ = np.linalg.qr(rng.normal(size=(k, k)))
    turned, _ = shrink((signal + noise) @ Q.T)
    assert_allclose(turned, found @ Q.T, atol=1e-6)


def test_frame_undoes_rotations_that_change_with_the_labels():
    rng = np.random.default_rng(0)
    k, n_bins = 3, 200
    u = rng.uniform(-1, 1, size=(2000, 1))
    phi = OrthonormalPolynomials(4).fit(u)(u)
    linear = rng.normal(size=(2, k, n_bins)) * np.array([1.0, 0.8])[:, None, None]
    at_u = np.tensordot(phi[:, :2], linear, 1)
    angle = 0.5 * u[:, 0] + 0.2 * u[:, 0] ** 2
    turn = np.broadcast_to(np.eye(k), (len(u), k, k)).copy()
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0] = np.sin(angle), -np.sin(angle)
    turned = np.linalg.lstsq(phi, (turn @ at_u).reshape(len(u), -1), rcond=None)[0]
    turned = turned.reshape(-1, k, n_bins)
    back = simplest_frame(turned, np.ones(n_bins), phi)
    assert_allclose(
        back @ back.transpose(0, 2, 1),
        np.broadcast_to(np.eye(k), back.shape),
        atol=1e-10,
    )
    # up to one rotation for all labels
    total = back @ turn
    assert np.abs(total - total.mean(axis=0)).max() < 0.05
    # where the loadings that turn least are others
    assert np.abs(turn - turn.mean(axis=0)).max() > 0.4


def test_latents_of_the_model_are_found_at_all_labels():
    X, z = linear_stars(3000, noise=0.01)
    model = cfa().fit(X)
    test, truth = linear_stars(1000, noise=0.01, seed=2)
    Z = model.transform(test)
    # one linear map of the latents, whatever the labels
    fitted = LinearRegression().fit(Z, truth)
    assert fitted.score(Z, truth) > 0.995
    assert_allclose(np.cov(Z.T), np.eye(3), atol=0.15)


def test_noise_is_that_of_the_stars():
    X, _ = linear_stars(2000, noise=0.05)
    model = cfa().fit(X)
    assert_allclose(np.sqrt(model.noise_variance_), 0.05, rtol=0.12)
    assert_allclose(np.sqrt(np.median(model.noise_variance_)), 0.05, rtol=0.02)


def test_given_errors_leave_the_noise_that_is_beside_them():
    X, z = linear_stars(4000, noise=0.1)
    rng = np.random.default_rng(5)
    sigma = 0.05 * 8 ** rng.uniform(0, 1, size=(4000, 1)) * np.ones((4000, 60))
    X[:, :-2] += sigma * rng.normal(size=(4000, 60))
    model = cfa(with_covariance=True).fit(X, sigma=sigma)
    assert_allclose(np.sqrt(np.median(model.noise_variance_)), 0.1, rtol=0.05)
    Z = model.transform(X, sigma=sigma)
    values, C = unpack(Z)
    # errors are as large as they are said to be
    frame = LinearRegression().fit(z, values)
    error = values - frame.predict(z)
    ratio = np.einsum("nk,nkl,nl->n", error, np.linalg.inv(C), error) / 3
    assert 0.9 < np.mean(ratio) < 1.3


def test_frame_weighs_bins_by_the_errors_too(monkeypatch):
    """Beside given errors little noise is left, and that little is no measure."""

    X, _ = linear_stars(1000, noise=0.05)
    sigma = np.append(np.full(60, 0.05), [0, 0])
    from skastro.disentangling import _factor_analysis_em

    seen, frame = [], _factor_analysis_em.simplest_frame

    def spy(loadings, noise, phi):
        seen.append(noise)
        return frame(loadings, noise, phi)

    monkeypatch.setattr(_factor_analysis_em, "simplest_frame", spy)
    model = cfa(max_iter=6).fit(X, sigma=sigma)
    assert np.median(model.noise_variance_) < 0.1 * 0.05**2
    assert_allclose(seen[-1], 0.05**2, rtol=0.35)


def test_missing_bins_count_for_nothing():
    X, z = linear_stars(2000, noise=0.02)
    holes = np.random.default_rng(3).uniform(size=(2000, 60)) < 0.2
    holey = X.copy()
    holey[:, :-2][holes] = np.nan
    model = cfa().fit(holey)
    Z = model.transform(holey)
    assert LinearRegression().fit(Z, z).score(Z, z) > 0.98
    # what stands in a bin of infinite error does not matter either
    sigma = np.full((len(X), 60), 0.02)
    huge = sigma.copy()
    huge[holes] = 1e6
    fitted = cfa(max_iter=4).fit(X[:500], sigma=sigma[:500])
    assert_allclose(
        fitted.transform(holey, sigma=sigma),
        fitted.transform(X, sigma=huge),
        atol=1e-6,
    )


def test_a_spectrum_without_any_bin_is_the_mean_of_all():
    X, _ = linear_stars(500)
    model = cfa().fit(X)
    X[0, :-2] = np.nan
    Z = model.transform(X)
    assert_allclose(Z[0], 0, atol=1e-12)
    u = X[:1, -2:]
    average = model.inverse_transform(append_conditions(np.zeros((1, 3)), u))
    assert_allclose(model.recast(X[:1], u), average)


def test_a_bin_that_is_never_seen_has_no_part():
    X, _ = linear_stars(500)
    expected = cfa(max_iter=5).fit_transform(np.delete(X, 4, axis=1))
    X[:, 4] = np.nan
    Z = cfa(max_iter=5).fit_transform(X)
    left = LinearRegression().fit(Z, expected)
    assert left.score(Z, expected) > 1 - 1e-3


def test_packed_values_are_of_highest_likelihood():
    X, _ = linear_stars(500, noise=0.1)
    model = cfa(with_covariance=True).fit(X)
    values, C = unpack(model.transform(X[:5]))
    phi_mean, phi = model._phi(X[:5, -2:], float)
    for i in range(5):
        L = np.tensordot(phi[i], model.loadings_, 1)
        density = multivariate_normal(
            phi_mean[i] @ model.mean_coef_,
            1e2 * L.T @ L + np.diag(model.noise_variance_),
        )
        assert np.isfinite(density.logpdf(X[i, :-2]))
        information = (L / model.noise_variance_) @ L.T + np.eye(3) / 1e2
        frame = (3 + 1) / (4 * 500) * (np.sum(phi[i] ** 2) - 1)
        expected = np.linalg.inv(information) + frame * np.eye(3)
        assert_allclose(C[i], expected, rtol=1e-6)
        residual = X[i, :-2] - phi_mean[i] @ model.mean_coef_
        expected = np.linalg.solve(information, (L / model.noise_variance_) @ residual)
        assert_allclose(values[i], expected, rtol=1e-6)


@pytest.fixture(scope="module")
def fitted(twins):
    """A model of the first 1600 of the stars."""
    X, _ = twins
    return ConditionalFactorAnalysis(
        THREE, n_components=12, max_iter=12, random_state=0
    ).fit(X[:1600])


@pytest.mark.filterwarnings("ignore:Far outside")
def test_labels_cannot_be_told_from_latents_but_abundances_can(fitted, twins):
    X, data = twins
    train, test = np.arange(0, 1600), np.arange(1600, 2400)
    Z = fitted.transform(X)
    forest = RandomForestRegressor(60, min_samples_leaf=5, random_state=0)
    of_bins = clone(forest).set_params(max_features=0.1)
    for column in range(3):
        u = data.u[:, column]
        assert forest.fit(Z[train], u[train]).score(Z[test], u[test]) < 0.1
        # as they could before
        assert of_bins.fit(X[train, :-3], u[train]).score(X[test, :-3], u[test]) > 0.6
    by_name = dict(zip(data.element_names, data.abundances.T, strict=True))
    for element in ("N", "O"):
        a = by_name[element]
        linear = LinearRegression().fit(Z[train], a[train])
        assert linear.score(Z[test], a[test]) > 0.85


@pytest.mark.filterwarnings("ignore:Far outside")
def test_more_twins_are_found_than_by_polynomials(fitted, twins):
    X, data = twins
    train, test = np.arange(0, 1600), np.arange(1600, 2400)
    poly = PolyDisentangler(THREE, n_components=20).fit(X[train])
    own = copy(fitted).set_params(with_covariance=True)
    y = data.y[test]
    found = twin_recovery_scorer(own, X[test], y)
    n_false = n_false_twins(own.transform(X[test]), y, with_covariance=True)
    assert found == np.mean(n_false == 0)
    assert found > 1.5 * twin_recovery_scorer(poly, X[test], y)


@pytest.mark.filterwarnings("ignore:Far outside")
def test_search_by_recovered_twins(twins):
    X, data = twins
    search = GridSearchCV(
        ConditionalFactorAnalysis(THREE, max_iter=5, tol=0, random_state=0),
        {"n_components": [2, 8], "loading_degree": [0, 1]},
        scoring=twin_recovery_scorer,
        cv=GroupKFold(2),
    ).fit(X[:1200], data.y[:1200], groups=data.y[:1200])
    assert search.best_params_["n_components"] == 8
    again = pickle.loads(pickle.dumps(search))
    assert_array_equal(again.transform(X[:5]), search.transform(X[:5]))


def test_sigma_is_checked():
    X, _ = linear_stars(400)
    sigma = np.full((len(X), 60), 0.02)
    with pytest.raises(ValueError, match="shape of X"):
        cfa().fit(X, sigma=sigma[:, :-3])
    bad = sigma.copy()
    bad[0, 0] = -1
    with pytest.raises(ValueError, match=r"row 0, column 0 \(1 in all"):
        cfa().fit(X, sigma=bad)
    model = cfa(max_iter=2).fit(X, sigma=sigma)
    with pytest.raises(ValueError, match="sigma"):
        model.transform(X)


def test_too_many_coefficients_for_the_rows():
    X, _ = linear_stars(40)
    with pytest.raises(ValueError, match=r"35 rows do not determine the 106"):
        cfa(n_components=10, loading_degree=3).fit(X[:35])


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_no_latent_is_lost_where_most_bins_are_missing(share):
    X, z = linear_stars(1500)
    holes = np.random.default_rng(3).uniform(size=(1500, 60)) < share
    X[:, :-2][holes] = np.nan
    Z = cfa().fit(X).transform(X)
    assert LinearRegression().fit(Z, z).score(Z, z) > 0.95


def test_bins_seen_at_some_labels_only_do_no_harm():
    X, z = linear_stars(600)
    full = cfa(tol=0).fit(X)
    holey = X.copy()
    coolest = np.argsort(X[:, -2])[:540]
    holey[np.ix_(coolest, range(10))] = np.nan
    for max_iter in (10, 30):
        model = cfa(tol=0, max_iter=max_iter).fit(holey)
        assert np.abs(model.mean_coef_).max() < 30 * np.abs(full.mean_coef_).max()
        assert model.score(holey) > 0.98


def test_errors_that_go_with_labels_do_no_harm():
    X, z = linear_stars(600)
    sigma = np.full((600, 60), 0.3)
    sigma[np.argsort(X[:, -2])[-60:]] = 0.005
    rng = np.random.default_rng(0)
    X[:, :-2] += sigma * rng.normal(size=(600, 60))
    scores = []
    for max_iter in (10, 30):
        model = cfa(tol=0, max_iter=max_iter).fit(X, sigma=sigma)
        Z = model.transform(X, sigma=sigma)
        scores.append(LinearRegression().fit(Z, z).score(Z, z))
    plain = cfa().fit_transform(X)
    assert min(scores) > LinearRegression().fit(plain, z).score(plain, z) - 0.1


def test_fits_do_not_depend_on_those_before():
    X, _ = linear_stars(400)
    sigma = np.full((len(X), 60), 0.02)
    model = cfa(max_iter=3).fit(X, sigma=sigma)
    assert_array_equal(model.fit(X).transform(X), cfa(max_iter=3).fit_transform(X))
    with pytest.raises(ValueError, match="to both or to neither"):
        model.transform(X, sigma=sigma)


def test_names_follow_what_transform_returns():
    X, _ = linear_stars(400)
    model = cfa(max_iter=3).fit(X).set_output(transform="pandas")
    assert model.transform(X).shape[1] == 3
    assert model.set_params(with_covariance=True).transform(X).shape[1] == 9


def test_what_was_never_seen_is_not_made_up():
    X, _ = linear_stars(400)
    X[:, 4] = np.nan
    model = cfa(max_iter=3).fit(X)
    recast = model.recast(X, X[:, -2:])
    assert np.isnan(recast[:, 4]).all()
    assert np.isfinite(np.delete(recast, 4, axis=1)).all()
    with pytest.raises(ValueError, match="not defined"):
        model.score(X[:1])
    with pytest.raises(ValueError, match="NaN"):
        model.inverse_transform(np.full((1, 5), np.nan))


def test_stars_that_do_not_determine_the_latents_are_a_warning():
    X, _ = linear_stars(500)
    with pytest.warns(ConvergenceWarning, match=r"far from convergence after max_iter"):
        cfa(max_iter=3, tol=1e-6).fit(X)
    cfa(max_iter=3, tol=0).fit(X)
