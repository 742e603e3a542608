"""Counts of false twins."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import (
    n_false_twins,
    twin_recovery_curve,
    twin_recovery_limit,
    twin_recovery_scorer,
)
from skastro.utils.uncertain import UncertainVectors


def pack(x, C):
    return UncertainVectors(x, C).pack()


def twins(n_pairs, k, scatter, seed=0):
    rng = np.random.default_rng(seed)
    points = np.repeat(rng.normal(size=(n_pairs, k)), 2, axis=0)
    return points + scatter * rng.normal(size=points.shape), np.repeat(
        np.arange(n_pairs), 2
    )


def naive(Z, y):
    counts = []
    for i in range(len(Z)):
        distance = np.sum((Z - Z[i]) ** 2, axis=1)
        sibling = (y == y[i]) & (np.arange(len(y)) != i)
        if y[i] == -1 or not sibling.any():
            counts.append(-1)
        else:
            stranger = y != y[i]
            counts.append(np.sum(distance[stranger] <= distance[sibling].min()))
    return np.array(counts)


@given(
    n_pairs=st.integers(2, 30),
    k=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    extra=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_counts_agree_with_a_plain_loop(n_pairs, k, seed, extra):
    Z, y = twins(n_pairs, k, 0.3, seed)
    rng = np.random.default_rng(seed)
    # strangers without a twin, and siblings by threes
    y[: 2 * (n_pairs // 3) : 2] = -1
    Z = np.vstack([Z, rng.normal(size=(extra, k))])
    y = np.append(y, rng.integers(0, n_pairs, extra))
    order = rng.permutation(len(y))
    Z, y = Z[order], y[order]
    if np.unique(y[y >= 0], return_counts=True)[1].max() < 2:
        return
    assert_array_equal(n_false_twins(Z, y), naive(Z, y))


@given(seed=st.integers(0, 10**6), shift=st.floats(-1e3, 1e3))
@settings(max_examples=25, deadline=None)
def test_counts_are_those_of_distances_whatever_the_frame(seed, shift):
    Z, y = twins(20, 3, 0.2, seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    assert_array_equal(n_false_twins(Z, y), n_false_twins(3 * Z @ rotation + shift, y))


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_counts_with_covariances_agree_with_densities(spread):
    Z, y = twins(150, 3, 0.0)
    rng = np.random.default_rng(1)
    # covariances of all sizes and directions
    root = rng.normal(size=(300, 3, 3)) * 10 ** rng.uniform(-1.5, 0, (300, 1, 1))
    C = spread * root @ root.transpose(0, 2, 1) + 1e-4 * np.eye(3)
    Z += np.einsum("nkl,nl->nk", np.linalg.cholesky(C), rng.normal(size=Z.shape))
    density = np.array(
        [
            [
                multivariate_normal.logpdf(Z[i] - Z[j], cov=C[i] + C[j])
                for j in range(300)
            ]
            for i in range(300)
        ]
    )
    i = np.arange(300)
    limit = density[i, i ^ 1]
    density[i, i] = density[i, i ^ 1] = -np.inf
    expected = np.sum(density >= limit[:, None], axis=1)
    found = n_false_twins(pack(Z, C), y, with_covariance=True)
    assert_array_equal(found, expected)
    assert found.max() > 0


def test_equal_covariances_are_a_metric():
    Z, y = twins(100, 2, 0.1)
    C = np.array([[2.0, 0.3], [0.3, 0.5]])
    packed = pack(Z, np.broadcast_to(C, (200, 2, 2)))
    metric = np.linalg.cholesky(np.linalg.inv(C))
    assert_array_equal(
        n_false_twins(packed, y, with_covariance=True), n_false_twins(Z @ metric, y)
    )


def test_a_constant_representation_recovers_nobody():
    y = np.repeat(np.arange(5), 2)
    assert_array_equal(n_false_twins(np.ones((10, 2)), y), np.full(10, 8))


def test_curve():
    n, fraction = twin_recovery_curve([5, 0, -1, 5, 1])
    assert_array_equal(n, [0, 1, 5])
    assert_allclose(fraction, [0.25, 0.5, 1.0])


def test_limit_agrees_with_the_chance_of_two_points():
    # one pair and one stranger at distance D, errors s: the twin is nearer with a
    # probability that a simulation of the definition gives
    s, D, n = 0.5, 1.0, 4000
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(scale=s, size=(3, n)) + [[0], [0], [D]]
    expected = np.mean(np.abs(a - b) < np.abs(a - c))
    hits = []
    points = np.array([[0.0], [0.0], [D], [D]])
    for seed in range(600):
        n_false = twin_recovery_limit(
            np.full((4, 1, 1), 1 / s**2), points, [0, 0, -1, -1], random_state=seed
        )
        hits.append(n_false[0])
    # two strangers of independent errors
    d = rng.normal(scale=s, size=n) + D
    both = np.mean(np.abs(a - b) < np.minimum(np.abs(a - c), np.abs(a - d)))
    assert both < expected
    assert abs(np.mean(np.array(hits) == 0) - both) < 4 * np.sqrt(0.25 / 600)


def test_limit_falls_with_noise_and_needs_no_regular_information():
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(200, 4)), 2, axis=0)
    y = np.repeat(np.arange(200), 2)
    information = np.broadcast_to(np.diag([1.0, 1.0, 1.0, 0.0]), (400, 4, 4))
    rates = [
        np.mean(twin_recovery_limit(f * information, points, y, random_state=0) == 0)
        for f in (1e6, 1e3, 1e1)
    ]
    assert rates[0] > 0.99 and rates[0] > rates[1] > rates[2]


def test_scorer_in_a_search():
    X, y = twins(60, 3, 0.02)
    noise = np.random.default_rng(1).normal(scale=0.3, size=(120, 10))
    X = np.hstack([3 * X, noise])
    search = GridSearchCV(
        make_pipeline(StandardScaler(with_std=False), PCA()),
        {"pca__n_components": [1, 3, 13]},
        scoring=twin_recovery_scorer,
        cv=GroupKFold(3),
    ).fit(X, y, groups=y)
    assert search.best_params_ == {"pca__n_components": 3}
    best = twin_recovery_scorer(search.best_estimator_, X, y)
    assert twin_recovery_scorer(search, X, y) == best


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="no two stars of one label"):
        n_false_twins(np.ones((3, 1)), [0, 1, -1])
    with pytest.raises(ValueError, match="no star with a twin"):
        twin_recovery_curve([-1, -1])
    with pytest.raises(ValueError, match="not k values"):
        n_false_twins(np.ones((4, 4)), [0, 0, 1, 1], with_covariance=True)
    with pytest.raises(ValueError, match="not positive definite"):
        n_false_twins(np.zeros((4, 2)), [0, 0, 1, 1], with_covariance=True)
    with pytest.raises(ValueError, match="information"):
        twin_recovery_limit(np.ones((4, 2, 2)), np.ones((4, 1)), [0, 0, 1, 1])


@pytest.mark.parametrize("c", [1e-6, 1e-10, 1e-14])
def test_ties_count_however_small_the_errors(c):
    points = np.repeat(np.random.default_rng(0).normal(size=(100, 3)), 4, axis=0)
    y = np.tile([0, 0, 1, 1], 100) + 2 * np.repeat(np.arange(100), 4)
    packed = pack(points, np.broadcast_to(c * np.eye(3), (400, 3, 3)))
    n_false = n_false_twins(packed, y, with_covariance=True)
    assert_array_equal(n_false, np.full(400, 2))


@pytest.mark.parametrize("far", [1e6, 1e9])
def test_one_outlier_does_no_harm(far):
    Z, y = twins(100, 3, 1e-3)
    Z, y = np.vstack([Z, [far, 0, 0]]), np.append(y, -1)
    assert np.mean(n_false_twins(Z, y)[:-1] == 0) > 0.97


def test_labels_of_any_kind():
    Z, y = twins(30, 2, 0.3)
    y[:10:3] = -1
    expected = n_false_twins(Z, y)
    assert_array_equal(n_false_twins(Z, y.astype(str)), expected)
    mixed = np.array([f"pair {i}" if i >= 0 else -1 for i in y], dtype=object)
    assert_array_equal(n_false_twins(Z, mixed), expected)
    assert_array_equal(n_false_twins(Z, y.astype(float)), expected)
    for missing in (None, np.nan, pd.NA):
        labels = mixed.copy()
        labels[y < 0] = missing
        assert_array_equal(n_false_twins(Z, labels), expected)
    assert_array_equal(n_false_twins(Z, np.where(y < 0, np.nan, y)), expected)
    masked = np.ma.array(np.maximum(y, 0), mask=y < 0)
    assert_array_equal(n_false_twins(Z, masked, field_label=None), expected)
    with pytest.raises(ValueError, match="1d"):
        n_false_twins(Z, np.column_stack([y, y]))


def test_rounding_of_covariances_is_forgiven():
    Z, y = twins(50, 3, 0.0)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    C = (rotation * [1e2, 1.0, 1e-6]) @ rotation.T
    packed = pack(Z, np.broadcast_to(C, (100, 3, 3))).astype(np.float32)
    assert np.all(n_false_twins(packed, y, with_covariance=True) == 0)
    negative = pack(Z, np.broadcast_to(np.diag([1, 1, -0.1]), (100, 3, 3)))
    with pytest.raises(ValueError, match="not positive definite"):
        n_false_twins(negative, y, with_covariance=True)


def test_twins_that_are_torn_apart_are_an_error():
    Z, y = twins(30, 2, 0.3)
    scaler = StandardScaler().fit(Z)
    assert 0 < twin_recovery_scorer(scaler, Z, y) <= 1
    torn = np.r_[0:60:2, 1]
    with pytest.raises(ValueError, match=r"Of 31 stars.*29 have no twin.*TwinKFold"):
        twin_recovery_scorer(scaler, Z[torn], y[torn])
    # stars that are not said to have one do not count
    alone = np.where(np.isin(np.arange(31), [0, 30]), y[torn], -1)
    assert np.isfinite(twin_recovery_scorer(scaler, Z[torn], alone))


def test_only_what_packs_covariances_is_taken_to():
    """RSCA uses covariances, and passes none on."""
    data = make_open_clusters(6, 12, n_field=60, n_features=40, random_state=0)
    pipeline = make_pipeline(
        ProbabilisticPCA(4, with_covariance=True, random_state=0),
        RSCA(n_components=2, with_covariance=True),
    ).fit(data.X, data.y)
    Z = pipeline.transform(data.X)
    expected = np.mean(n_false_twins(Z, data.y)[data.y >= 0] == 0)
    assert twin_recovery_scorer(pipeline, data.X, data.y) == expected
