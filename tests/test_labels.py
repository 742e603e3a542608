"""Labels of disentanglers: both ways that they are given, missing, uncertain, kinds."""

import functools
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skastro.disentangling import ConditionalFactorAnalysis, PolyDisentangler
from skastro.disentangling._factor_analysis_decoder import Decoder
from skastro.disentangling._factor_analysis_labels import (
    Block,
    LabelPrior,
    Likelihood,
    UncertainLabels,
    cubature,
)
from skastro.preprocessing import append_conditions
from skastro.utils.uncertain import UncertainVectors

U_LOW, U_HIGH = np.array([4000, 1.5]), np.array([5000, 3.0])
NAMES = ["Teff", "logg"]


def stars(n=600, noise=0.02, seed=1, k=3, n_bins=60):
    """Spectra whose responses to latents grow with two labels."""
    rng = np.random.default_rng(0)
    first = np.zeros((k, n_bins))
    for i in range(k):
        first[i, i::k] = rng.normal(size=len(first[i, i::k]))
    slope = rng.uniform(-0.3, 0.3, size=(2, n_bins))
    mean = rng.normal(size=(3, n_bins))
    rng = np.random.default_rng(seed)
    u = rng.uniform(U_LOW, U_HIGH, size=(n, 2))
    z = rng.normal(size=(n, k))
    v = (u - [4500, 2.25]) / [500, 0.75]
    S = 1 + np.column_stack([v, v[:, 0] ** 2]) @ mean
    S = S + 0.3 * (z @ first) * (1 + v @ slope)
    return S + noise * rng.normal(size=S.shape), u, z


def cfa(columns=None, **params):
    defaults = {"n_components": 3, "degree": 2, "loading_degree": 1, "random_state": 0}
    return ConditionalFactorAnalysis(columns, **(defaults | params))


def poly(columns=None, **params):
    return PolyDisentangler(
        columns, **({"degree": 2, "n_components": 3, "random_state": 0} | params)
    )


both = pytest.mark.parametrize("make", [cfa, poly])


# -- two ways, and no guess


@both
def test_both_ways_are_the_same(make):
    S, u, _ = stars()
    X, sigma = append_conditions(S, u, sigma=0.02)
    columns, beside = make(slice(-2, None)), make()
    Z = columns.fit(X, sigma=sigma).transform(X, sigma=sigma)
    other = beside.fit(S, sigma=np.full(S.shape, 0.02), conditions=u)
    assert_array_equal(Z, other.transform(S, sigma=0.02, conditions=u))
    assert_array_equal(Z, clone(beside).fit_transform(S, sigma=0.02, conditions=u))
    assert columns.score(X, sigma=sigma) == beside.score(S, sigma=0.02, conditions=u)
    new = u[::-1]
    expected = columns.recast(X, new, sigma=sigma)
    assert_array_equal(beside.recast(S, new, sigma=0.02, conditions=u), expected)
    assert beside.condition_indices_.size == 0
    # errors of the spectra alone
    assert_array_equal(columns.transform(X, sigma=np.full(S.shape, 0.02)), Z)
    assert_array_equal(columns.transform(X, sigma=0.02), Z)


@both
def test_no_pixel_is_taken_for_a_label(make):
    S, u, z = stars()
    X = append_conditions(S, u)
    with pytest.raises(ValueError, match=r"conditions=u.*condition_columns=slice"):
        make().fit(X)
    with pytest.raises(ValueError, match=r"condition_columns.*and `conditions`"):
        make(slice(-2, None)).fit(X, conditions=u)
    for labels in (u, u[:, 0]):
        with pytest.raises(ValueError, match=r"`y` has shape.*conditions="):
            make().fit(S, labels)
    with pytest.raises(ValueError, match=r"pass sigma=\.\.\., by name"):
        make(slice(-2, None)).fit(X, np.full(X.shape, 0.02))
    # of a later step, as two targets of a regressor are
    later = make().fit(S, np.column_stack([u, u]), conditions=u)
    assert_array_equal(
        later.transform(S, conditions=u),
        make().fit(S, S, conditions=u).transform(S, conditions=u),
    )
    ids = np.arange(600) // 2
    Z = make().fit(S, ids, conditions=u).transform(S, conditions=u)
    assert_array_equal(
        Z, make().fit(S, ids.astype(str), conditions=u).transform(S, conditions=u)
    )
    model = make().fit(S, conditions=u)
    with pytest.raises(ValueError, match="for these stars too"):
        model.transform(S)
    with pytest.raises(ValueError, match="give them once"):
        make(slice(-2, None)).fit(X).transform(X, conditions=u)
    with pytest.raises(ValueError, match=r"one row for each of the 600.*599"):
        make().fit(S, conditions=u[1:])


@both
def test_labels_are_routed_through_pipelines_and_searches(make):
    S, u, _ = stars(240)
    with config_context(enable_metadata_routing=True):
        model = make().set_fit_request(conditions=True)
        model.set_transform_request(conditions=True)
        model.set_score_request(conditions=True)
        pipeline = make_pipeline(StandardScaler(with_std=False), model)
        Z = pipeline.fit(S, conditions=u).transform(S, conditions=u)
        found = cross_validate(
            model, S, params={"conditions": pd.DataFrame(u)}, cv=KFold(2)
        )
        assert (found["test_score"] > 0.99).all()
        grid = {"n_components": [1, 3]}
        search = GridSearchCV(model, grid, cv=KFold(2)).fit(S, conditions=u)
        assert search.best_params_ == {"n_components": 3}
    assert_allclose(Z, make().fit_transform(S - S.mean(axis=0), conditions=u))


@both
def test_latents_alone_are_decoded_at_the_mean_labels(make):
    S, u, _ = stars()
    model = make().fit(S, conditions=u)
    Z = model.transform(S, conditions=u)
    expected = model.inverse_transform(Z, conditions=u.mean(axis=0))
    assert_allclose(model.inverse_transform(Z), expected, rtol=1e-12)
    at_labels = model.inverse_transform(append_conditions(Z, u))
    assert_array_equal(at_labels, model.inverse_transform(Z, conditions=u))
    assert np.abs(at_labels - expected).max() > 0.1
    with pytest.raises(ValueError, match="leave out one"):
        model.inverse_transform(append_conditions(Z, u), conditions=u)


# -- names and kinds


@both
def test_messages_name_labels(make):
    S, u, _ = stars()
    frame = pd.DataFrame(u, columns=NAMES)
    model = make().fit(S, conditions=frame)
    assert list(model.condition_names_) == NAMES
    with pytest.warns(UserWarning, match=r"400\d\.\d+ to.*label 'Teff'"):
        model.transform(S[:1], conditions=[[9000.0, 2.0]])
    with pytest.raises(ValueError, match=r"\['logg', 'Teff'\].*in this order"):
        model.transform(S, conditions=frame[NAMES[::-1]])
    frame["logg"] = 2.0
    with pytest.raises(ValueError, match="onstant.*label 'logg'"):
        make().fit(S, conditions=frame)
    table = Table(u, names=NAMES)
    table["Teff"].unit = units.K
    with pytest.raises(TypeError, match=r"conditions\['Teff'\].*unit K"):
        make().fit(S, conditions=table)
    wide = pd.DataFrame(S, columns=[f"bin{i}" for i in range(60)]).assign(fibre="a")
    with pytest.raises(ValueError, match="conditions="):
        make(["fibre"]).fit(wide)


def test_poly_leaves_out_stars_without_labels_and_refuses_uncertain_ones():
    S, u, _ = stars()
    holey = u.copy()
    holey[:7, 1] = np.nan
    with pytest.warns(UserWarning, match=r"7 row.*'logg'.*ConditionalFactorAnalysis"):
        found = poly().fit(S, conditions=pd.DataFrame(holey, columns=NAMES))
    expected = poly().fit(S[7:], conditions=u[7:])
    np.testing.assert_array_equal(found.components_, expected.components_)
    X, sigma = append_conditions(S, u, sigma=0.02, condition_sigma=[50.0, 0])
    with pytest.raises(ValueError, match=r"label 0 \(column 60 of X\)"):
        poly([-2, -1]).fit(X, sigma=sigma)


@both
@pytest.mark.parametrize("how", ["strings", "category", "masked", "bool"])
def test_kinds_are_offsets(make, how):
    S, u, z = stars(900)
    level = np.random.default_rng(0).integers(0, 2 if how == "bool" else 3, 900)
    S = S + 0.5 * level[:, None] * np.sin(np.arange(60))
    names = np.array(["apo", "lco", "other"])
    kind = {
        "strings": names[level],
        "category": pd.Categorical(level),
        "masked": MaskedColumn(names[level], mask=np.zeros(900, dtype=bool)),
        "bool": level == 1,
    }[how]
    if how == "masked":
        given = Table([u[:, 0], u[:, 1], kind], names=[*NAMES, "telescope"])
    else:
        given = pd.DataFrame(u, columns=NAMES).assign(telescope=kind)
    model = make().fit(S, conditions=given)
    Z = model.transform(S, conditions=given)
    assert LinearRegression().fit(Z, z).score(Z, z) > 0.97
    # nothing is left of the telescope
    one_hot = level[:, None] == np.arange(3)
    assert LinearRegression().fit(one_hot, Z).score(one_hot, Z) < 0.01
    other = make().fit(S, conditions=u).transform(S, conditions=u)
    assert LinearRegression().fit(one_hot, other).score(one_hot, other) > 0.01
    # one row of labels, as they are given
    row = given[:1] if how != "masked" else given[[0]]
    one = model.recast(S, row, conditions=given)
    assert_allclose(one[0], model.recast(S, given, conditions=given)[0])


@both
def test_levels_that_the_fit_did_not_see(make):
    S, u, _ = stars(300)
    given = pd.DataFrame(u, columns=NAMES).assign(fibre=["a", "b", "c"] * 100)
    model = make().fit(S, conditions=given)
    with pytest.raises(ValueError, match=r"'fibre' has level.*'d'.*'a', 'b', 'c'"):
        model.transform(S, conditions=given.assign(fibre="d"))
    given.loc[3, "fibre"] = None
    with pytest.raises(ValueError, match=r"'fibre' is missing in 1 row"):
        model.transform(S, conditions=given)
    with pytest.raises(ValueError, match="not all numbers"):
        model.inverse_transform(np.zeros((1, 6)))


# -- labels that are missing or uncertain


def test_prior_is_that_of_all_that_is_known():
    rng = np.random.default_rng(0)
    P = np.array([[1.0, 0.6, 0], [0.6, 0.8, 0.2], [0, 0.2, 0.5]])
    truth = rng.multivariate_normal([0, 0.5, -1], P, size=20000)
    sigma = np.zeros(truth.shape)
    sigma[:10000, 1] = 0.7
    U = truth + sigma * rng.normal(size=truth.shape)
    U[5000:15000, 2] = np.nan
    prior = LabelPrior().fit(U, sigma)
    assert_allclose(prior.covariance, P, atol=0.04)
    assert_allclose(prior.mean, [0, 0.5, -1], atol=0.03)
    # against the formula of conditional Gaussians
    mean, covariance = prior.given(U[5000:5001], sigma[5000:5001])
    C, m, seen = prior.covariance, prior.mean, [0, 1]
    inverse = np.linalg.inv(C[:2, :2] + np.diag([0, 0.49]))
    assert_allclose(mean[0], m + C[:, :2] @ inverse @ (U[5000] - m)[seen])
    expected = C - C[:, :2] @ inverse @ C[:2]
    assert_allclose(covariance[0], expected, atol=1e-12)
    assert_array_equal(mean[0, 0], U[5000, 0])
    with_all = prior.given(U[-1:], sigma[-1:])
    assert_array_equal(with_all[0], U[-1:])
    assert_array_equal(with_all[1], 0)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6])
def test_cubature_has_the_moments_of_gaussians(d):
    nodes, weights = cubature(d)
    assert (weights > 0).all()
    assert_allclose(weights.sum(), 1)
    assert_allclose(weights @ nodes, 0, atol=1e-12)
    assert_allclose((nodes.T * weights) @ nodes, np.eye(d), atol=1e-12)
    if d <= 4:
        assert_allclose(weights @ nodes**4, 3)
        cross = (weights[:, None] * nodes**2).T @ nodes**2
        assert_allclose(cross, np.ones((d, d)) + 2 * np.eye(d), atol=1e-12)


def toy(n=3, k=2, n_bins=9, seed=0):
    rng = np.random.default_rng(seed)
    decoder = Decoder(
        rng.normal(size=(3, n_bins)) * [[1], [1], [0.1]],
        0.5 * rng.normal(size=(2, k, n_bins)),
        rng.uniform(0.3, 1, n_bins),
    )

    def terms(U):
        one = np.ones((len(U), 1))
        return np.hstack([one, U, U**2]), np.hstack([one, U])

    S = rng.normal(size=(n, n_bins))
    weights = np.where(rng.uniform(size=S.shape) < 0.2, 0, 1 / decoder.noise)
    likelihood = Likelihood(decoder, terms, lambda i: (S[i], weights[i]), precision=1.0)
    return decoder, terms, S, weights, likelihood


def test_densities_are_those_of_dense_gaussians():
    decoder, terms, S, weights, likelihood = toy()
    roots = np.full((3, 1, 1), 0.7)
    block = Block(likelihood, np.arange(3), np.array([[0.1], [0.0], [-0.2]]), roots)
    x = np.random.default_rng(1).normal(size=(3, 4, 1))
    found = block.log_densities(x)
    U = block.labels(x)
    for i in range(3):
        seen = weights[i] > 0
        expected = []
        for j in range(4):
            phi_mean, phi = terms(U[i, j : j + 1])
            L = np.tensordot(phi[0], decoder.loadings, 1)[:, seen]
            density = multivariate_normal(
                (phi_mean @ decoder.mean)[0, seen],
                L.T @ L + np.diag(decoder.noise[seen]),
            )
            log_prior = -np.square(x[i, j]).sum() / 2
            expected.append(density.logpdf(S[i, seen]) + log_prior)
        assert_allclose(found[i] - found[i, 0], np.array(expected) - expected[0])


def test_nodes_integrate_over_labels():
    """Against a fine grid over the one label that is missing."""
    decoder, terms, S, weights, likelihood = toy(n=40)
    mean, covariance = np.zeros((40, 1)), np.full((40, 1, 1), 0.25)
    covariance[0] = 0
    star, U, weight = UncertainLabels(mean, covariance).nodes(likelihood, 8)
    assert_array_equal(np.bincount(star), [1] + 39 * [5])
    assert_allclose(np.bincount(star, weights=weight), 1)
    block = Block(likelihood, np.arange(40), mean, np.full((40, 1, 1), 0.5))
    grid = np.broadcast_to(np.linspace(-6, 6, 2001)[:, None], (40, 2001, 1))
    dense = block.log_densities(grid)
    dense = np.exp(dense - dense.max(axis=1, keepdims=True))
    dense /= dense.sum(axis=1, keepdims=True)
    labels = block.labels(grid)[..., 0]
    centre = (dense * labels).sum(axis=1)
    scatter = np.sqrt((dense * (labels - centre[:, None]) ** 2).sum(axis=1))
    found = np.bincount(star, weights=weight * U[:, 0])[1:]
    spread = np.bincount(star, weights=weight * U[:, 0] ** 2)[1:] - found**2
    error = np.abs(found - centre[1:]) / scatter[1:]
    assert np.median(error) < 0.02 and np.mean(error < 0.2) > 0.85
    assert_allclose(np.median(np.sqrt(spread) / scatter[1:]), 1, rtol=0.05)


def quality(model, S, u, z, **params):
    """Return how much is found, and how large errors are to what they are said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noisy labels may lie outside
        Z = model.transform(S, conditions=u, **params)
    vectors = UncertainVectors.unpack(Z)
    values, C = vectors.values, vectors.covariance
    error = values - LinearRegression().fit(z, values).predict(z)
    ratio = np.einsum("nk,nkl,nl->n", error, np.linalg.inv(C), error) / 3
    return LinearRegression().fit(values, z).score(values, z), ratio.mean()


def test_spectra_tell_labels_that_are_missing():
    S, u, z = stars(2000, noise=0.3)
    holey = u.copy()
    holey[:400, 0] = np.nan
    holey[300:500, 1] = np.nan
    full = cfa(with_covariance=True).fit(S, conditions=u)
    model = cfa(with_covariance=True).fit(S, conditions=holey)
    few = cfa(with_covariance=True).fit(S[500:], conditions=u[500:])
    S, u, z = stars(1000, noise=0.3, seed=2)
    without = np.full_like(u, np.nan)
    found, ratio = quality(full, S, u, z)
    assert 0.9 < ratio < 1.1
    for labels in (u, without):
        own, own_ratio = quality(model, S, labels, z)
        assert own > found - 0.002
        assert 0.9 < own_ratio < 1.1
        # and those stars are of use
        assert quality(few, S, labels, z)[0] < own
    assert model.score(S, conditions=without) > 0.9
    at_mean = full.transform(S, conditions=np.tile(full.condition_mean_, (1000, 1)))
    assert LinearRegression().fit(at_mean, z).score(at_mean, z) < 0.8


def test_few_bins_that_do_not_tell_labels_give_larger_errors():
    """Where neither spectrum nor label says much, the covariance says so."""
    S, u, z = stars(2000, noise=0.1)
    model = cfa(with_covariance=True).fit(S, conditions=u)
    S, u, z = stars(2000, noise=0.1, seed=2)
    S[:, 9:] = np.nan
    without = u.copy()
    without[:, 0] = np.nan
    found, ratio = quality(model, S, u, z)
    blind, blind_ratio = quality(model, S, without, z)
    assert blind < found
    assert 0.7 < blind_ratio < 1.4
    Z, Z_blind = (model.transform(S, conditions=c)[:, 3:] for c in (u, without))
    assert np.median(Z_blind[:, 0] / Z[:, 0]) > 1


def test_errors_of_labels_are_integrated_over():
    S, u, z = stars(2000, noise=0.1)
    sigma = np.array([30.0, 0.05])
    rng = np.random.default_rng(0)
    noisy = u + sigma * rng.normal(size=u.shape)
    told = cfa(with_covariance=True).fit(S, conditions=noisy, condition_sigma=sigma)
    not_told = cfa(with_covariance=True).fit(S, conditions=noisy)
    S, u, z = stars(1000, noise=0.1, seed=2)
    noisy = u + sigma * rng.normal(size=u.shape)
    found, ratio = quality(told, S, noisy, z, condition_sigma=sigma)
    assert found > 0.985
    assert 0.8 < ratio < 1.4
    assert 1 - found < 0.6 * (1 - quality(not_told, S, noisy, z)[0])
    assert_allclose(np.sqrt(np.median(told.noise_variance_)), 0.1, rtol=0.03)


def test_exact_labels_are_what_they_were():
    S, u, _ = stars(300)
    expected = cfa().fit(S, conditions=u)
    zero = cfa().fit(S, conditions=u, condition_sigma=np.zeros(u.shape))
    assert_array_equal(zero.loadings_, expected.loadings_)
    X, sigma = append_conditions(S, u, sigma=0.02, condition_sigma=[30.0, 0.05])
    columns = cfa([-2, -1]).fit(X, sigma=sigma)
    beside = cfa().fit(S, sigma=0.02, conditions=u, condition_sigma=[30.0, 0.05])
    assert_array_equal(columns.loadings_, beside.loadings_)
    # an infinite error is that of a label that is not known
    holey, infinite = u.copy(), np.zeros(u.shape)
    holey[:20, 0], infinite[:20, 0] = np.nan, np.inf
    a = cfa(max_iter=5).fit(S, conditions=holey)
    b = cfa(max_iter=5).fit(S, conditions=u, condition_sigma=infinite)
    assert_array_equal(a.loadings_, b.loadings_)
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match=r"error of label 1 is negative or NaN"):
            cfa().fit(S, conditions=u, condition_sigma=[0, bad])
    with pytest.raises(ValueError, match="both give errors of labels"):
        cfa([-2, -1]).fit(X, sigma=sigma, condition_sigma=[1.0, 1])


# -- what is absent


@both
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.5))
@settings(max_examples=8, deadline=None)
def test_masked_is_nan_is_absent(make, seed, share):
    rng = np.random.default_rng(seed)
    S, u, _ = stars(120)
    holes = rng.uniform(size=S.shape) < share
    empty = rng.uniform(size=len(S)) < 0.1
    holes[empty] = True
    nan = np.where(holes, np.nan, S)
    sigma = np.where(holes, rng.choice([-1, 0, np.nan, np.inf], S.shape), 0.02)
    infinite = np.where(holes, np.inf, 0.02)
    kw = {"conditions": u}
    params = {} if make is poly else {"max_iter": 4, "tol": 0}
    masked = np.ma.array(np.where(holes, 7.0, S), mask=holes)

    def fitted(X, keep=slice(None), **errors):
        model = make(**params).fit(X[keep], conditions=u[keep], **errors)
        return model, [model.components_ if make is poly else model.loadings_]

    model, expected = fitted(nan)
    for X, keep in ((masked, slice(None)), (nan, ~empty)):
        assert_array_equal(fitted(X, keep)[1], expected)
    assert_array_equal(model.transform(masked, **kw), model.transform(nan, **kw))
    assert_allclose(model.transform(nan, **kw)[empty], 0, atol=1e-12)
    model, expected = fitted(nan, sigma=sigma)
    for X, errors in ((masked, sigma), (S, infinite), (nan, 0.02)):
        other, found = fitted(X, sigma=errors)
        assert_array_equal(found, expected)
        Z = model.transform(nan, sigma=sigma, **kw)
        assert_array_equal(other.transform(X, sigma=errors, **kw), Z)


@both
def test_data_that_say_nothing(make):
    S, u, _ = stars(100)
    with pytest.raises(ValueError, match="missing in all rows"):
        make().fit(np.full(S.shape, np.nan), conditions=u)
    for constant in (0.0, 1.0):
        with pytest.raises(ValueError, match="does not vary"):
            make().fit(np.full(S.shape, constant), conditions=u)


def test_labels_that_say_the_same_are_named_by_the_polynomials():
    S, u, _ = stars(200)
    u = np.column_stack([u, u[:, 0]])
    u[:5, 1] = np.nan
    with pytest.raises(ValueError, match="not determined"):
        cfa().fit(S, conditions=u)


def test_masked_labels_are_missing():
    S, u, _ = stars(200)
    mask = np.zeros(u.shape, dtype=bool)
    mask[:30, 1] = True
    a = cfa(max_iter=5).fit(S, conditions=np.ma.array(u, mask=mask))
    b = cfa(max_iter=5).fit(S, conditions=np.where(mask, np.nan, u))
    assert_array_equal(a.loadings_, b.loadings_)


# -- any unit, any size


@functools.cache
def in_unit(make, with_sigma, dtype, unit):
    """Return a fitted model, its spectra in a unit, and what goes with them."""
    S, u, _ = stars(300)
    S = (S.astype(dtype).astype(float) * unit).astype(dtype)
    kw = {"conditions": u} | ({"sigma": 0.02 * unit} if with_sigma else {})
    params = {} if make is poly else {"max_iter": 4, "tol": 0}
    return make(**params).fit(S, **kw), S, kw


@both
@pytest.mark.parametrize("with_sigma", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [2.0**-60, 2.0**50, 1e-30, 1e-18, 1e30])
def test_any_unit_of_flux(make, with_sigma, dtype, unit):
    model, S, kw = in_unit(make, with_sigma, dtype, 1.0)
    other, scaled, other_kw = in_unit(make, with_sigma, dtype, unit)
    Z = model.transform(S, **kw)
    found = other.transform(scaled, **other_kw)
    assert found.dtype == dtype
    Z = Z.astype(float) * (unit if make is poly else 1)
    found = found.astype(float)
    if unit in (2.0**-60, 2.0**50):
        assert_array_equal(found, Z)
    else:
        # the axes of noise-like components may turn a little
        left = LinearRegression().fit(found / found.std(), Z / Z.std())
        tolerance = 1e-4 if dtype == np.float32 else 1e-9
        assert 1 - left.score(found / found.std(), Z / Z.std()) < tolerance
    labels = kw["conditions"][0]
    expected = model.recast(S, labels, **kw).astype(float)
    recast = other.recast(scaled, labels, **other_kw).astype(float) / unit
    assert_allclose(recast, expected, atol=2e-3 if dtype == np.float32 else 1e-6)
    assert other.noise_variance_ is not None
    ratio = np.median(other.noise_variance_) / np.median(model.noise_variance_)
    assert_allclose(ratio / unit / unit, 1, rtol=1e-2)
    assert_allclose(other.score(scaled, **other_kw), model.score(S, **kw), atol=1e-5)


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("cls", [PolyDisentangler, ConditionalFactorAnalysis])
def test_defaults_fit_small_samples(cls, n):
    S, u, z = stars(n)
    u = np.column_stack([u, np.random.default_rng(0).normal(size=n)])
    model = cls(random_state=0).fit(S, conditions=u)
    Z = model.transform(S, conditions=u)
    assert np.isfinite(Z).all()
    if n >= 60:  # the mean at the labels takes some of the rest away
        assert LinearRegression().fit(Z, z).score(Z, z) > 0.8


@pytest.mark.parametrize(
    ("n", "n_components", "loading_degree"),
    [(60, 6, 0), (150, 6, 1), (850, 7, 1), (850, 5, 2), (850, 3, 3)],
)
def test_loadings_leave_ten_stars_for_each_coefficient(n, n_components, loading_degree):
    """Or five if they are linear; the mean's are counted, too."""
    S, u, _ = stars(n, n_bins=12)
    u = np.column_stack([u, np.random.default_rng(0).normal(size=n)])
    model = ConditionalFactorAnalysis(
        n_components=n_components, max_iter=1, tol=0, random_state=0
    )
    model.fit(S, conditions=u)
    assert model.loading_degree_ == loading_degree


def test_latents_of_a_few_hundred_stars_hold_the_chemistry():
    """Of new stars; loadings of degree 3, of 250 coefficients, reach 0.58."""

    def three_labels(n, seed):
        S, u, z = stars(n, noise=0.2, seed=seed, n_bins=12)
        return np.column_stack([S, u, np.random.default_rng(seed).normal(size=n)]), z

    (X, z), (X_new, z_new) = three_labels(400, 1), three_labels(300, 2)
    model = ConditionalFactorAnalysis(
        slice(-3, None), max_iter=4, tol=0, random_state=0
    ).fit(X)
    linear = LinearRegression().fit(model.transform(X), z)
    assert linear.score(model.transform(X_new), z_new) > 0.68


def test_defaults_of_polynomials_of_large_samples():
    S, u, _ = stars(450)
    u = np.column_stack([u, np.random.default_rng(0).normal(size=450)])
    model = PolyDisentangler(random_state=0).fit(S, conditions=u)
    assert (model.degree_, len(model.components_)) == (4, 50)


class Stop:
    """A callback that ends a fit after some passes."""

    def __init__(self, after):
        self.after, self.seen = after, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.seen += context.task_name == "pass"
        return self.seen >= self.after


def test_callbacks_see_the_passes_and_may_end_the_fit(capsys):
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
    S, u, _ = stars(200)
    expected = cfa(max_iter=3, tol=0).fit(S, conditions=u)
    stopped = cfa(max_iter=9, tol=0).set_callbacks(Stop(3)).fit(S, conditions=u)
    assert stopped.n_iter_ == 3
    assert_array_equal(stopped.loadings_, expected.loadings_)
    cfa(max_iter=2, verbose=1).fit(S, conditions=u)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(("k", "n_labels"), [(1, 1), (2, 2), (3, 2)])
def test_covariances_are_not_taken_for_labels(k, n_labels):
    """Also where they are as many: a value and its variance, a value and a label."""
    S, u, _ = stars(400)
    u = u[:, :n_labels]
    model = ConditionalFactorAnalysis(
        n_components=k,
        degree=1,
        loading_degree=1,
        max_iter=4,
        with_covariance=True,
        random_state=0,
    ).fit(S, conditions=u)
    packed = model.transform(S, conditions=u)
    mean = model.inverse_transform(packed)
    np.testing.assert_array_equal(model.inverse_transform(packed[:, :k]), mean)
    own = model.inverse_transform(packed, conditions=u)
    appended = append_conditions(packed, u)
    np.testing.assert_allclose(model.inverse_transform(appended), own)
    assert np.var(S - own) < np.var(S - mean)
