"""RSCA against its definition, its invariants, and Gaussians integrated by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist
from scipy.stats import median_abs_deviation, multivariate_normal
from sklearn.model_selection import GridSearchCV

from skastro.metric_learning import RSCA, NuisanceProjection
from skastro.metric_learning._intrinsic import intrinsic_covariance
from skastro.metrics import doppelganger_rate
from skastro.model_selection import LeaveOneClusterOut
from skastro.testing import (
    check_missing_equals_masked,
    check_row_permutation,
    check_scale_equivariance,
    check_single_precision,
    check_tables,
    open_clusters,
)
from skastro.utils.uncertain import UncertainVectors

NOT_COMPLETE = "NaN, or is masked, in row 0.*put ProbabilisticPCA before"


def pack(x, C):
    return UncertainVectors(x, C).pack()


def make(n_field=400, n_clusters=25, size=5, k=4, seed=0, mix=True):
    """Population of unit covariance; clusters scatter by 0.1, 0.4, 0.9 and 1.5."""
    rng = np.random.default_rng(seed)
    inner = np.array([0.1, 0.4, 0.9, 1.5])[:k]
    between = np.sqrt(np.maximum(1 - inner**2, 0))
    field = rng.normal(size=(n_field, k))
    births = np.repeat(rng.normal(size=(n_clusters, k)) * between, size, axis=0)
    stars = births + rng.normal(size=births.shape) * inner
    A = rng.normal(size=(k, k)) + 2 * np.eye(k) if mix else np.eye(k)
    X = np.concatenate([field, stars]) @ A.T + rng.normal(size=k)
    y = np.concatenate([np.full(n_field, -1), np.repeat(np.arange(n_clusters), size)])
    return X, y


def published(X, y):
    """Algorithm 1 of the thesis, written out, with the factor of the MAD."""
    field, stars, labels = X[y == -1], X[y >= 0], y[y >= 0]
    w, V = np.linalg.eigh(np.cov(field, rowvar=False))
    W = V / np.sqrt(w)
    centred = np.concatenate(
        [
            stars[labels == c] - stars[labels == c].mean(axis=0)
            for c in np.unique(labels)
        ]
    )
    rotation = np.linalg.svd(centred @ W)[2].T
    T = (stars - field.mean(axis=0)) @ W @ rotation
    numerator = denominator = 0
    for c in np.unique(labels):
        members = T[labels == c]
        sigma = median_abs_deviation(members, axis=0, scale="normal")
        numerator = numerator + (len(members) - 1) * sigma**2
        denominator += len(members) - 1
    sigma = np.sqrt(numerator / denominator)
    scale = np.full(len(sigma), np.inf)
    good = sigma < 1
    scale[good] = sigma[good] / np.sqrt(1 - sigma[good] ** 2)
    return (X - field.mean(axis=0)) @ W @ rotation / scale, scale


def test_is_the_published_algorithm():
    X, y = make()
    expected, scale = published(X, y)
    rsca = RSCA().fit(X, y)
    assert_allclose(rsca.scale_, np.sort(scale), rtol=1e-4)
    assert_allclose(pdist(rsca.transform(X)[::9]), pdist(expected[::9]), rtol=1e-4)


@pytest.mark.parametrize("scale_estimator", ["mad", "std"])
def test_finds_the_scatter_within_clusters(scale_estimator):
    # of five stars, a median absolute deviation is a few per cent too small
    X, y = make(n_field=20000, n_clusters=200, size=50)
    rsca = RSCA(scale_estimator=scale_estimator).fit(X, y)
    inner = np.array([0.1, 0.4, 0.9])
    assert_allclose(rsca.scale_[:3], inner / np.sqrt(1 - inner**2), rtol=0.12)
    assert_allclose(rsca.relevance_[:3], 1 - inner**2, atol=0.05)


def test_a_dimension_without_relevance_has_weight_zero():
    X, y = make(n_field=20000, n_clusters=500)
    rsca = RSCA(scale_estimator="std").fit(X, y)
    assert rsca.scale_[3] == np.inf
    assert rsca.relevance_[3] == 0
    assert_array_equal(rsca.transform(X)[:, 3], 0)
    back = rsca.inverse_transform(rsca.transform(X))
    assert_allclose(rsca.transform(back), rsca.transform(X), atol=1e-9)


def test_strongest_dimensions_are_kept():
    X, y = make()
    full, two = RSCA().fit(X, y), RSCA(2).fit(X, y)
    assert np.all(np.diff(full.scale_) >= 0)
    assert_allclose(two.components_, full.components_[:2])
    assert two.transform(X).shape == (len(X), 2)


def test_units_of_columns_do_not_matter():
    X, y = make()
    scaled = X * [1.0, 1e-8, 1e6, 1.0]
    expected = pdist(RSCA().fit(X, y).transform(X)[::7])
    found = pdist(RSCA().fit(scaled, y).transform(scaled)[::7])
    assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(open_clusters(), st.integers(0, 10**6), st.integers(-3, 3))
def test_distances_are_invariant_under_linear_maps(data, seed, exponent):
    X, y = data
    rng = np.random.default_rng(seed)
    A = 10.0**exponent * (rng.normal(size=(3, 3)) + 3 * np.eye(3))
    names = rng.permutation(1000)[: y.max() + 1]
    relabelled = np.where(y < 0, -1, names[y])
    expected = pdist(RSCA().fit(X, y).transform(X)[::7])
    found = RSCA().fit(X @ A.T + 5, relabelled)
    assert_allclose(pdist(found.transform(X @ A.T + 5)[::7]), expected, rtol=1e-4)


def test_labels_may_be_strings():
    X, y = make()
    names = np.where(y < 0, "field", np.char.add("NGC ", y.astype(str)))
    rsca = RSCA(field_label="field").fit(X, names)
    assert rsca.clusters_[0] == "NGC 0"
    assert_allclose(rsca.transform(X), RSCA().fit(X, y).transform(X))


def test_log_likelihood_ratio_is_that_of_gaussians():
    X, y = make()
    rsca = RSCA(scale_estimator="std").fit(X, y)
    first, second = X[:50], X[50:100]
    relevant = rsca.relevance_ > 0
    variance = 1 - rsca.relevance_[relevant]
    # in sphered, rotated coordinates
    d = (first - second) @ rsca.components_[relevant].T * rsca.scale_[relevant]
    siblings = multivariate_normal(cov=np.diag(2 * variance)).logpdf(d)
    strangers = multivariate_normal(cov=2 * np.eye(relevant.sum())).logpdf(d)
    found = rsca.log_likelihood_ratio(first, second)
    assert_allclose(found, siblings - strangers, rtol=1e-7)
    matrix = rsca.pairwise_log_likelihood_ratio(first, second)
    assert_allclose(np.diag(matrix), found, rtol=1e-7)
    # the same ranking as Euclidean distance
    distance = pdist(rsca.transform(first))
    ratio = rsca.pairwise_log_likelihood_ratio(first)[np.triu_indices(50, 1)]
    assert_allclose(ratio, ratio.max() - (distance**2 - distance.min() ** 2) / 4)


def with_errors(n_field=3000, n_clusters=150, size=5, seed=0, k=3):
    """Stars with a known intrinsic scatter and errors that differ widely."""
    rng = np.random.default_rng(seed)
    X, y = make(n_field, n_clusters, size, k=k, seed=seed, mix=False)
    X = X - X.mean(axis=0)
    A = rng.normal(size=(len(X), k, k)) * rng.lognormal(-2, 1, (len(X), 1, 1))
    C = A @ A.transpose(0, 2, 1) + 1e-3 * np.eye(k)
    noisy = X + np.einsum("nij,nj->ni", np.linalg.cholesky(C), rng.normal(size=X.shape))
    return noisy, C, y, X


def test_intrinsic_covariance_is_of_maximum_restricted_likelihood():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 4)
    C = rng.lognormal(-1, 1, (48, 1, 1)) * np.eye(2)
    x = rng.normal(size=(12, 2))[groups] + rng.normal(size=(48, 2)) * [0.5, 1.0]
    x += np.sqrt(C[:, :1, 0]) * rng.normal(size=x.shape)
    S, means = intrinsic_covariance(x, C, groups, tol=1e-8, max_iter=5000)

    def loss(S):
        value = 0.0
        for g in range(12):
            P = np.linalg.inv(S + C[groups == g])
            members = x[groups == g]
            mean = np.linalg.solve(P.sum(axis=0), np.einsum("nij,nj->i", P, members))
            d = members - mean
            value += np.einsum("ni,nij,nj->", d, P, d)
            value += np.linalg.slogdet(P.sum(axis=0))[1] - np.linalg.slogdet(P)[1].sum()
        return value

    def of(theta):
        L = np.array([[theta[0], 0], [theta[1], theta[2]]])
        return loss(L @ L.T)

    best = minimize(of, [1.0, 0.0, 1.0], method="Nelder-Mead", tol=1e-10)
    L = np.array([[best.x[0], 0], [best.x[1], best.x[2]]])
    assert_allclose(S, L @ L.T, atol=1e-4)
    P = np.linalg.inv(S + C[groups == 3])
    mean = np.linalg.solve(P.sum(0), np.einsum("nij,nj->i", P, x[groups == 3]))
    assert_allclose(means[3], mean, atol=1e-6)


def test_error_aware_form_finds_the_intrinsic_scatter():
    noisy, C, y, _ = with_errors(n_clusters=1500)
    rsca = RSCA(with_covariance=True).fit(pack(noisy, C), y)
    # the typical error is known to the model: take it off again
    pairs = rsca._pairs
    siblings, strangers = pairs.siblings / 2, pairs.strangers / 2
    back = np.linalg.inv(pairs.axes)
    assert_allclose(np.diag(back.T @ siblings @ back), [0.01, 0.16, 0.81], rtol=0.2)
    assert_allclose(back.T @ strangers @ back, np.eye(3), atol=0.08)
    # axes and scales are those of stars with typical errors: the harmonic mean
    error = np.linalg.inv(np.linalg.inv(C[y < 0]).mean(axis=0))
    ratio = eigh(
        back.T @ siblings @ back + error,
        back.T @ strangers @ back + error,
        eigvals_only=True,
    )
    assert_allclose(rsca.scale_, np.sqrt(ratio / (1 - ratio)), rtol=1e-3)


def test_error_aware_ratio_is_that_of_gaussians():
    noisy, C, y, _ = with_errors(n_field=500, n_clusters=40)
    X = pack(noisy, C)
    rsca = RSCA(with_covariance=True).fit(X, y)
    found = rsca.log_likelihood_ratio(X[:20], X[500:520])
    matrix = rsca.pairwise_log_likelihood_ratio(X[:20], X[500:520])
    assert_allclose(np.diag(matrix), found, rtol=1e-8, atol=1e-10)
    axes = rsca._pairs.axes
    for i in range(20):
        d = (noisy[i] - noisy[500 + i]) @ axes
        errors = axes.T @ (C[i] + C[500 + i]) @ axes
        expected = multivariate_normal(cov=rsca._pairs.siblings + errors).logpdf(d)
        expected -= multivariate_normal(cov=rsca._pairs.strangers + errors).logpdf(d)
        assert_allclose(found[i], expected, rtol=1e-8)


def test_error_aware_form_without_errors_is_the_plain_one():
    X, y = make(n_clusters=100)
    C = np.broadcast_to(1e-10 * np.eye(4), (len(X), 4, 4))
    plain = RSCA(2, scale_estimator="std").fit(X, y)
    aware = RSCA(2, with_covariance=True).fit(pack(X, C), y)
    assert_allclose(aware.scale_, plain.scale_, rtol=0.02)
    Z, expected = aware.transform(pack(X, C)), plain.transform(X)
    assert_allclose(pdist(Z[::9]), pdist(expected[::9]), rtol=0.03)


def test_error_aware_ranking_beats_distance():
    noisy, C, y, _ = with_errors(n_clusters=300)
    X = pack(noisy, C)
    rsca = RSCA(with_covariance=True).fit(X[: 3000 + 750], y[: 3000 + 750])
    first = 3000 + 750 + 5 * np.arange(150)
    siblings = rsca.log_likelihood_ratio(X[first], X[first + 1])
    strangers = rsca.log_likelihood_ratio(X[first], X[first - 5])
    plain = RSCA().fit(noisy[: 3000 + 750], y[: 3000 + 750])
    p_siblings = plain.log_likelihood_ratio(noisy[first], noisy[first + 1])
    p_strangers = plain.log_likelihood_ratio(noisy[first], noisy[first - 5])

    def confused(near, far):
        return np.mean(far[:, None] >= near)

    assert confused(siblings, strangers) < 0.7 * confused(p_siblings, p_strangers)
    # ratios are probabilities: strangers are taken for siblings r times as often
    assert np.mean(np.exp(strangers)) < 2


def test_bad_input():
    X, y = make()
    with pytest.raises(ValueError, match="no cluster of two or more stars"):
        RSCA().fit(X, np.full(len(X), -1))
    with pytest.raises(ValueError, match="no cluster of two or more stars.*Give sibl"):
        RSCA().fit(X, np.arange(len(X)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RSCA().fit(X, y[:-1])
    holes = X.copy()
    holes[0, 0] = np.nan
    with pytest.raises(ValueError, match=NOT_COMPLETE):
        RSCA().fit(holes, y)
    with pytest.raises(ValueError, match=NOT_COMPLETE):
        RSCA().fit(X, y).transform(holes)
    with pytest.raises(ValueError, match="n_components=5 must be at most.*4"):
        RSCA(5).fit(X, y)
    few = (y < 0) | (y == 0)
    with pytest.raises(
        ValueError, match="leave 2 degrees of freedom, fewer than the 4"
    ):
        RSCA().fit(X[few][:403], y[few][:403])
    with pytest.warns(UserWarning, match=r"1 cluster\(s\) of one star"):
        alone = RSCA().fit(np.vstack([X, X[:1]]), np.append(y, 99))
    assert_allclose(alone.components_, RSCA().fit(X, y).components_)
    with pytest.raises(ValueError, match="not k values and k"):
        RSCA(with_covariance=True).fit(X[:, :3], y)
    with pytest.raises(ValueError, match="must have 4 columns"):
        RSCA().fit(X, y).inverse_transform(X[:, :2])
    C = np.broadcast_to(np.diag([1.0, 1, -1, 1]), (len(X), 4, 4))
    with pytest.raises(ValueError, match="row 0 has a negative variance, -1"):
        RSCA(with_covariance=True).fit(pack(X, C), y)
    with pytest.raises(ValueError, match="the same in every row"):
        RSCA().fit(np.ones_like(X), y)


def test_nuisance_is_removed_and_nothing_else():
    rng = np.random.default_rng(0)
    velocity = rng.uniform(-100, 100, 3000)
    chemistry = rng.normal(size=(3000, 3))
    imprint = np.array([0.5, -1.0, 2.0, 0.3])
    X = chemistry @ rng.normal(size=(3, 4)) + np.outer(velocity / 100, imprint)
    X += 0.02 * rng.normal(size=X.shape)
    group = np.digitize(velocity, np.linspace(-100, 100, 41))
    group[:500] = -1
    projection = NuisanceProjection().fit(X, group)
    Z = projection.transform(X)
    from sklearn.linear_model import LinearRegression

    def found_in(Z, target):
        return LinearRegression().fit(Z, target).score(Z, target)

    assert found_in(X, velocity) > 0.99
    assert found_in(Z, velocity) < 0.02
    assert found_in(Z, chemistry) > 0.95
    assert projection.relevance_[0] > 0.99 > 0.2 > projection.relevance_[1]
    # a projection: once is enough, and removed coordinates vanish
    assert_allclose(projection.transform(Z), Z, atol=1e-9)
    assert_allclose((Z - projection.mean_) @ projection.components_.T, 0, atol=1e-9)
    removed = (X - projection.mean_) @ projection.components_.T
    assert_allclose(removed[:500].std(), 1, rtol=0.1)
    with pytest.raises(ValueError, match="n_components=5 must be at most"):
        NuisanceProjection(5).fit(X, group)


def test_score_is_minus_the_doppelganger_rate():
    X, y = make()[:2]
    rsca = RSCA().fit(X, y)
    assert rsca.score(X, y) == -doppelganger_rate(rsca.transform(X), y)
    search = GridSearchCV(RSCA(), {"n_components": [1, 2]}, cv=LeaveOneClusterOut())
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_other_clusters_are_the_strangers_where_there_is_no_field():
    X, y = make()[:2]
    X, y = X[y >= 0], y[y >= 0]
    rsca = RSCA().fit(X, y)
    Z, near, pairs = rsca.transform(X), 0.0, 0
    for cluster in set(y):
        members, others = Z[y == cluster], Z[y != cluster]
        limit = np.median(pdist(members)) * (1 + 1e-9)
        near += (cdist(members, others) <= limit).mean()
        pairs += 1
    assert rsca.score(X, y) == pytest.approx(-near / pairs)


@pytest.mark.parametrize("kind", [RSCA(), RSCA(scale_estimator="std")])
def test_unit_does_not_matter(kind):
    X, y = make()[:2]
    check_scale_equivariance(kind, X, y, degree=0, rtol=1e-9)
    check_single_precision(kind, X, y, degree=0, rtol=1e-3)
    check_row_permutation(kind, X, y)
    check_tables(kind, X, y)
    check_missing_equals_masked(kind, np.where(X > 2.5, np.nan, X), y)


def test_vectors_and_their_errors_in_other_coordinates():
    rng = np.random.default_rng(0)
    values, A = rng.normal(size=(5, 3)), rng.normal(size=(3, 2))
    roots = rng.normal(size=(5, 3, 3))
    vectors = UncertainVectors(values, roots @ roots.transpose(0, 2, 1))
    again = UncertainVectors.unpack(vectors.pack())
    assert_array_equal(again.values, values)
    assert_array_equal(again.covariance, vectors.covariance)
    assert vectors.order == 3
    other = vectors.through(A, origin=np.ones(3))[1:3]
    assert_allclose(other.values, (values[1:3] - 1) @ A)
    for i in (0, 1):
        C = A.T @ vectors.covariance[1 + i] @ A
        assert_allclose(other.covariance[i], C)
    single = vectors.astype(np.float32)
    assert single.values.dtype == single.covariance.dtype == np.float32
    plain = UncertainVectors(values)
    assert plain.through(A).covariance is None
    assert_array_equal(plain.pack(), values)
    negative = vectors.pack()
    negative[2, 3] = -1
    with pytest.raises(ValueError, match="in row 2 has a negative variance"):
        UncertainVectors.unpack(negative)
