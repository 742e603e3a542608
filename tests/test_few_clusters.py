"""RSCA from few clusters and from pairs: limits, gains, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skastro.metric_learning import RSCA
from skastro.metric_learning._intrinsic import intrinsic_covariance, intrinsic_variances
from skastro.metric_learning._shrinkage import _log_shares
from skastro.metrics import doppelganger_rate
from skastro.model_selection import cross_val_doppelganger_rates
from skastro.utils.cluster_labels import join_pairs, read_clusters
from skastro.utils.uncertain import UncertainVectors


def abundances(n_clusters, size, seed=0, k=8, n_field=500):
    """Correlated elements, half of them measured ten times better than others."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(k, k)) + 2 * np.eye(k)
    field = rng.normal(size=(n_field, k)) @ mix
    births = np.repeat(rng.normal(size=(n_clusters, k)) @ mix, size, axis=0)
    X = np.concatenate([field, births])
    X += rng.normal(size=X.shape) * np.where(np.arange(k) < k // 2, 0.2, 2)
    y = np.concatenate([np.full(n_field, -1), np.repeat(np.arange(n_clusters), size)])
    return X, y


def pack(X, variance):
    C = np.broadcast_to(np.diag(variance), (len(X), X.shape[1], X.shape[1]))
    return UncertainVectors(X, C).pack()


def scatter(X, y):
    centred = [X[y == c] - X[y == c].mean(axis=0) for c in np.unique(y[y >= 0])]
    centred = np.concatenate(centred)
    return centred.T @ centred / (len(centred) - y.max() - 1)


def test_a_number_is_the_weight_of_the_diagonal():
    X, y = abundances(12, 5)
    for weight in (0.3, 1):
        rsca = RSCA(shrinkage=weight, scale_estimator="std").fit(X, y)
        S, T = scatter(X, y), np.cov(X[y < 0], rowvar=False)
        W = (1 - weight) * S + weight * np.diag(np.diag(S))
        ratio, axes = np.linalg.eig(np.linalg.solve(T, W))
        assert_allclose(rsca.relevance_, np.sort(1 - ratio)[::-1].clip(0), atol=1e-9)
        # the distance is W^-1 - T^-1, where that is positive
        D = np.linalg.inv(W) - np.linalg.inv(T)
        if np.all(ratio < 1):
            assert_allclose(rsca.components_.T @ rsca.components_, D, atol=1e-8)
        assert rsca.shrinkage_ == weight
        assert rsca.evenness_ == 0
    assert_array_equal(
        RSCA(shrinkage=0).fit(X, y).components_, RSCA().fit(X, y).components_
    )
    assert RSCA().fit(X, y).shrinkage_ == 0


def test_the_error_aware_form_shrinks_in_the_same_way():
    X, y = abundances(12, 5)
    tiny = pack(X, np.full(8, 1e-10))
    for weight in (0.3, 1):
        plain = RSCA(shrinkage=weight, scale_estimator="std").fit(X, y)
        aware = RSCA(shrinkage=weight, with_covariance=True).fit(tiny, y)
        assert_allclose(aware.relevance_, plain.relevance_, atol=0.02)


def test_prior_of_the_intrinsic_covariance_counts_as_stars():
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(9, 4)), np.repeat(np.arange(3), 3)
    D = np.diag([1.0, 2, 3, 4])
    S, _ = intrinsic_covariance(
        x,
        np.tile(1e-9 * np.eye(4), (9, 1, 1)),
        groups,
        prior=(5.0, D),
        tol=1e-9,
        max_iter=5000,
    )
    assert_allclose(S, (6 * scatter(x, groups) + 5 * D) / 11, atol=1e-6)


def test_intrinsic_variances_are_of_maximum_restricted_likelihood():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 3)
    c = rng.lognormal(-1, 1, 30)
    x = 0.8 * rng.normal(size=30) + np.sqrt(c) * rng.normal(size=30)

    def loss(s):
        value = 0.0
        for g in range(10):
            P, members = 1 / (s + c[groups == g]), x[groups == g]
            left = members - P @ members / P.sum()
            value += P @ left**2 - np.log(P).sum() + np.log(P.sum())
        return value

    found = intrinsic_variances(x[:, None], c[:, None], groups, tol=1e-8)
    best = minimize_scalar(loss, bounds=(0, 5), method="bounded")
    assert_allclose(found, best.x, rtol=1e-3)


def test_it_fits_whatever_there_is():
    X, y = abundances(2, 2)
    for rows in (y < 2, y < 1):  # two pairs of stars, and one, in eight dimensions
        with pytest.raises(ValueError, match='fewer than the 8.*shrinkage="auto"'):
            RSCA().fit(X[rows], y[rows])
        rsca = RSCA(shrinkage="auto").fit(X[rows], y[rows])
        assert 0 < rsca.shrinkage_ < 1
        assert np.isfinite(rsca.components_).all()
    packed = pack(X, np.full(8, 0.04))
    rsca = RSCA(shrinkage="auto", with_covariance=True).fit(packed, y)
    assert np.isfinite(rsca.log_likelihood_ratio(packed[:3], packed[3:6])).all()


@pytest.mark.parametrize("aware", [False, True])
def test_few_clusters_are_better_than_scaled_columns(aware):
    scaled, found = [], []
    for seed in range(4):
        X, y = abundances(5, 3, seed=seed, n_field=300)
        scaled.append(doppelganger_rate(X / X[y < 0].std(axis=0), y))
        # errors that are the same for all elements tell no more than the data do
        data = pack(X, np.full(8, 0.01)) if aware else X
        rsca = RSCA(shrinkage="auto", with_covariance=aware)
        found.append(cross_val_doppelganger_rates(rsca, data, y).global_rate)
    assert np.mean(found) < 0.7 * np.mean(scaled)


def test_the_weight_vanishes_where_clusters_are_many():
    # siblings differ in a direction oblique to all columns, which a diagonal cannot say
    X, y = abundances(60, 5, k=4)
    rng = np.random.default_rng(1)
    X += rng.normal(size=(len(X), 1)) * [5, -5, 5, 5]
    many = RSCA(shrinkage="auto").fit(X, y)
    few = RSCA(shrinkage="auto").fit(X[y < 3], y[y < 3])
    assert many.shrinkage_ < 0.01 < few.shrinkage_
    rates = [doppelganger_rate(m.transform(X), y) for m in (many, RSCA().fit(X, y))]
    assert_allclose(*rates, rtol=0.02)


def test_units_of_columns_do_not_matter():
    X, y = abundances(4, 3)
    expected = RSCA(shrinkage="auto").fit(X, y)
    found = RSCA(shrinkage="auto").fit(X * np.logspace(-6, 6, 8), y)
    assert found.shrinkage_ == pytest.approx(expected.shrinkage_)
    assert_allclose(found.scale_, expected.scale_, rtol=1e-6)


def test_log_shares_count_strangers_that_are_nearer():
    members = np.array([[[0.0], [1.0], [5.0]]])
    strangers = np.array([[[0.5], [-0.5], [9.0]]])
    # of each pair (i, j): strangers as near to i as j is, of three and one more
    nearer = np.array([2, 2, 1, 2, 2, 1])  # (0, 1), (0, 2), (1, 0), (1, 2), …
    expected = np.log((1 + nearer) / 4).mean()
    assert_allclose(_log_shares(members, strangers), expected)


def test_pairs_are_groups_of_two():
    X, y = abundances(15, 2)
    pairs = np.flatnonzero(y >= 0).reshape(-1, 2)
    expected = RSCA().fit(X, y)
    found = RSCA().fit(X, pairs=pairs[::-1])
    assert_allclose(found.components_, expected.components_)
    assert_array_equal(found.clusters_, np.arange(15))
    assert_allclose(RSCA().fit(X, y, pairs=pairs).components_, expected.components_)
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), RSCA().set_fit_request(pairs=True))
        pipeline.fit(X, pairs=pairs.tolist())
    assert_allclose(pipeline[-1].relevance_, expected.relevance_)


def test_chains_of_pairs_make_groups():
    clusters = read_clusters(np.array([-1, -1, -1, -1, 7, 7, 3, -1, -1]))
    joined = join_pairs(clusters, [[3, 1], [1, 0], [4, 2], [8, 7]])
    assert_array_equal(joined.labels, [3, 7, 8, 9])
    assert_array_equal(joined.codes, [2, 2, 1, 2, 1, 1, 0, 3, 3])
    assert_array_equal(joined.counts, [1, 3, 3, 2])
    named = read_clusters(["M67", "field", "field", "M67", "zz"], "field")
    joined = join_pairs(named, [[1, 2]])
    names = joined.labels[joined.codes]
    assert_array_equal(names, ["M67", "pair 0", "pair 0", "M67", "zz"])


def test_bad_pairs():
    X, y = abundances(4, 4)

    def fails(match, pairs, y=None):
        with pytest.raises(ValueError, match=match):
            RSCA().fit(X, y, pairs=pairs)

    fails(r"index 516 in row 1, out of range.* 0 to 515", [[1, 2], [3, 516]])
    fails(r"index -1 in row 0", [[-1, 2]])
    fails(r"pairs star 5 with itself in row 1", [[1, 2], [5, 5]])
    fails(r"of shape \(n_pairs, 2\).*got an array of shape \(3,\)", [1, 2, 3])
    fails(r"integers, got float64", [[0.5, 1]])
    fails(r"of two clusters of y, (0 and 1|1 and 0)", [[500, 504]], y)
    with pytest.raises(ValueError, match="y to be passed"):
        RSCA().fit(X)
