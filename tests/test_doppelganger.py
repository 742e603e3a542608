"""Doppelganger rates: counted by hand, and cross-validated without short cuts."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import (
    doppelganger_rate,
    doppelganger_rates,
    doppelganger_scorer,
    intra_inter_distances,
)
from skastro.model_selection import LeaveOneClusterOut, cross_val_doppelganger_rates


def count(Z, y, side=None, tolerance=None, mask=None):
    """The definition, pair by pair."""
    rates, weights = {}, {}
    field = np.flatnonzero(y == -1)
    for c in np.unique(y[y != -1]):
        members = np.flatnonzero(y == c)
        siblings = [
            np.linalg.norm(Z[i] - Z[j])
            for n, i in enumerate(members)
            for j in members[n + 1 :]
            if mask is None or mask(i, j)
        ]
        if not siblings:
            continue
        strangers = [
            np.linalg.norm(Z[i] - Z[j])
            for i in members
            for j in field
            if side is None or np.all(np.abs(side[i] - side[j]) < tolerance)
        ]
        rates[c] = np.mean(np.array(strangers) <= np.median(siblings))
        weights[c] = len(members)
    if not rates:
        return {}, np.nan
    return rates, np.average(list(rates.values()), weights=list(weights.values()))


def scene(seed=0, n_field=60):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.full(n_field, -1), [0, 0, 0, 1, 1, 2, 3, 3, 3, 3]])
    Z = rng.normal(size=(len(y), 3))
    Z[n_field:] = 0.5 * Z[n_field:] + rng.normal(size=(4, 3))[y[n_field:]]
    side = rng.normal(size=(len(y), 2))
    return Z, y, side


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_rates_are_those_counted_by_hand(seed, match, apart):
    Z, y, side = scene(seed)
    night = np.random.default_rng(seed).integers(0, 2, len(y))
    night[60:62] = 0, 1  # some siblings are apart
    options = {"side": side, "tolerance": [1.0, 1.5]} if match else {}
    mask = (lambda i, j: night[i] != night[j]) if apart else None
    rates, expected = count(Z, y, mask=mask, **options)
    found = doppelganger_rates(Z, y, pair_mask=mask, **options)
    assert_array_equal(found.clusters, list(rates))
    assert_allclose(found.rates, list(rates.values()))
    assert_allclose(found.global_rate, expected)
    assert_array_equal(found.n_stars, [np.sum(y == c) for c in rates])
    assert doppelganger_rate(Z, y, pair_mask=mask, **options) == found.global_rate


def test_field_stars_come_in_parts(monkeypatch):
    Z, y, side = scene()
    expected = doppelganger_rates(Z, y, side=side, tolerance=[1.0, 1.0])
    monkeypatch.setattr("skastro.metrics._pairs.MOST_ROWS", 7)
    found = doppelganger_rates(Z, y, side=side, tolerance=[1.0, 1.0])
    assert_array_equal(found.rates, expected.rates)
    assert_array_equal(found.n_pairs, expected.n_pairs)


def test_equal_distance_counts():
    # a stranger exactly as far as the siblings is a doppelganger
    rates = doppelganger_rates([[0.0], [2.0], [4.0], [9.0]], [0, 0, -1, -1]).rates
    assert rates[0] == 0.25
    # and rounding does not matter
    rates = doppelganger_rates([[0.0], [0.1], [0.2], [9.0]], [0, 0, -1, -1]).rates
    assert rates[0] == 0.25


def test_intra_inter_distances():
    Z, y, side = scene()
    found = intra_inter_distances(Z, y, side=side, tolerance=[1.0, 1.0])
    assert set(found) == {0, 1, 3}
    intra, inter = found[1]
    assert_allclose(intra, np.linalg.norm(Z[63] - Z[64]))
    assert (
        len(inter)
        == doppelganger_rates(Z, y, side=side, tolerance=[1.0, 1.0]).n_pairs[1]
    )
    assert np.all(inter > 0)


def test_cluster_without_a_stranger_within_tolerance():
    Z, y, side = scene()
    side[60:63] = np.nan
    with pytest.warns(UserWarning, match=r"Cluster\(s\) \[.*0.*\] have no pair"):
        rates = doppelganger_rates(Z, y, side=side, tolerance=[1.0, 1.0])
    assert np.isnan(rates.rates[0])
    assert np.isfinite(rates.global_rate)
    with pytest.raises(ValueError, match="if there is a `tolerance`, widen it"):
        doppelganger_rates(Z, y, side=side, tolerance=[1e-9, 1e-9])


def test_leave_one_cluster_out():
    _, y, _ = scene()
    cv = LeaveOneClusterOut()
    splits = list(cv.split(None, y))
    assert len(splits) == cv.get_n_splits(None, y) == 3
    for cluster, (train, test) in zip([0, 1, 3], splits, strict=True):
        assert set(y[test]) == {-1, cluster}
        assert cluster not in y[train]
        assert 2 in y[train]
        assert np.union1d(train, test).size == len(y)
        assert np.sum(y[test] == -1) == 60
    with pytest.raises(ValueError, match="must be given"):
        cv.get_n_splits(None)
    with pytest.raises(ValueError, match="no cluster of two or more"):
        next(cv.split(None, [-1, 0, 1]))


@pytest.fixture(scope="module")
def clusters():
    return make_open_clusters(
        n_field=400, n_clusters=12, n_cluster_stars=90, n_features=150, random_state=0
    )


@pytest.mark.parametrize("with_covariance", [False, True])
def test_shared_whitening_changes_nothing(clusters, with_covariance):
    ppca = ProbabilisticPCA(8, with_covariance=with_covariance, random_state=0)
    Z, y = ppca.fit_transform(clusters.X).astype(float), clusters.y
    rsca = RSCA(with_covariance=with_covariance)
    fast = cross_val_doppelganger_rates(rsca, Z, y)
    slow = []
    for train, test in LeaveOneClusterOut().split(Z, y):
        fitted = clone(rsca).fit(Z[train], y[train])
        slow.append(-doppelganger_scorer(fitted, Z[test], y[test]))
        if not with_covariance:
            by_distance = doppelganger_rate(fitted.transform(Z[test]), y[test])
            assert_allclose(by_distance, slow[-1])
    assert_allclose(fast.rates, slow)
    assert fast.global_rate < doppelganger_rate(Z[:, :8], y) / 2


def hand_loop(estimator, X, y, side, tolerance, mask):
    """Cross-validation, pair by pair, with row numbers of all of X."""
    rates = {}
    for c in np.unique(y[y >= 0]):
        fitted = clone(estimator).fit(X[y != c], y[y != c])
        # other clusters become clusters of one star, which have no rate
        others = (y >= 0) & (y != c)
        alone = np.where(others, 1000 + np.arange(len(y)), y)
        rates |= count(fitted.transform(X), alone, side, tolerance, mask)[0]
    return rates


@pytest.mark.parametrize("with_pca", [False, True])
def test_cross_validation_is_the_loop_by_hand(clusters, with_pca):
    # shuffled rows: numbers of rows, members and side columns must stay together
    Z = ProbabilisticPCA(6, random_state=0).fit_transform(clusters.X).astype(float)
    rows = np.random.default_rng(0).permutation(len(Z))
    rows = rows[(clusters.y[rows] >= 0) | (rows < 150)]
    X, y, side = Z[rows], clusters.y[rows], clusters.side[rows, :1]
    night = np.random.default_rng(1).integers(0, 2, len(y))

    def apart(i, j):
        return night[i] != night[j]

    estimator = make_pipeline(PCA(5, random_state=0), RSCA()) if with_pca else RSCA()
    found = cross_val_doppelganger_rates(
        estimator, X, y, side=side, tolerance=[0.1], pair_mask=apart, n_jobs=2
    )
    expected = hand_loop(estimator, X, y, side, np.array([0.1]), apart)
    assert len(expected) == len(found.clusters)
    assert_allclose(found.rates, [expected[c] for c in found.clusters])


def test_wrapped_metrics_rank_as_they_do_bare(clusters):
    Z = ProbabilisticPCA(6, with_covariance=True, random_state=0).fit_transform(
        clusters.X
    )
    y = np.where(clusters.y < 0, 99, clusters.y)
    rsca = RSCA(with_covariance=True, field_label=99)
    bare = cross_val_doppelganger_rates(rsca, Z, y).rates
    search = GridSearchCV(
        make_pipeline(make_pipeline(rsca)),
        {"pipeline__rsca__n_components": [None]},
        cv=LeaveOneClusterOut(99),
        scoring=doppelganger_scorer,
    )
    assert_allclose(-search.fit(Z, y).best_score_, bare.mean())
    assert_allclose(
        doppelganger_scorer(search, Z, y), doppelganger_scorer(rsca.fit(Z, y), Z, y)
    )


def test_cross_validation_validates(clusters):
    Z = ProbabilisticPCA(5, random_state=0).fit_transform(clusters.X)
    with pytest.raises(ValueError, match="scale_estimator"):
        cross_val_doppelganger_rates(RSCA(scale_estimator="foo"), Z, clusters.y)
    one = clusters.y < 1
    with pytest.raises(ValueError, match="No other cluster of two or more"):
        cross_val_doppelganger_rates(RSCA(), Z[one], clusters.y[one])


def test_sigma_travels_by_metadata_routing(clusters):
    X, sigma, y = clusters.X, clusters.sigma, clusters.y
    with config_context(enable_metadata_routing=True):
        ppca = ProbabilisticPCA(8, random_state=0, tol=1e-3)
        ppca.set_fit_request(sigma=True).set_transform_request(sigma=True)
        pipeline = make_pipeline(ppca, RSCA())
        rates = cross_val_doppelganger_rates(pipeline, X, y, params={"sigma": sigma})
    assert rates.global_rate < 0.1


def test_grid_search(clusters):
    search = GridSearchCV(
        make_pipeline(ProbabilisticPCA(random_state=0), RSCA()),
        {"probabilisticpca__n_components": [2, 8], "rsca__n_components": [1, 2]},
        cv=LeaveOneClusterOut(),
        scoring=doppelganger_scorer,
        n_jobs=2,
    ).fit(clusters.X, clusters.y)
    assert search.best_params_["probabilisticpca__n_components"] == 8
    assert np.all(search.cv_results_["mean_test_score"] <= 0)
    assert search.n_splits_ == 12


def test_scorer_takes_any_transformer(clusters):
    X = np.nan_to_num(clusters.X, nan=1.0)
    pca = PCA(5, random_state=0).fit(X)
    expected = -doppelganger_rate(pca.transform(X), clusters.y)
    assert doppelganger_scorer(pca, X, clusters.y) == expected


def test_progress_bar(clusters, capsys):
    Z = ProbabilisticPCA(5, random_state=0).fit_transform(clusters.X)
    cross_val_doppelganger_rates(RSCA(), Z, clusters.y, verbose=1)
    assert "clusters" in capsys.readouterr().err
    cross_val_doppelganger_rates(RSCA(), Z, clusters.y)
    assert not capsys.readouterr().err


def test_bad_input():
    Z, y, side = scene()
    with pytest.raises(ValueError, match="no field star, of the label -1"):
        doppelganger_rates(Z[60:], y[60:])
    with pytest.raises(ValueError, match="no cluster of two or more"):
        doppelganger_rates(Z[:60], y[:60])
    with pytest.raises(ValueError, match="belong together"):
        doppelganger_rates(Z, y, side=side)
    with pytest.raises(ValueError, match=r"a column for each tolerance, \(70, 1\)"):
        doppelganger_rates(Z, y, side=side, tolerance=[1.0])
    with pytest.raises(ValueError, match="must be positive"):
        doppelganger_rates(Z, y, side=side, tolerance=[1.0, 0.0])
    with pytest.raises(ValueError, match="a row for each star, got 70 and 69"):
        doppelganger_rates(Z, y[1:])
    with pytest.raises(ValueError, match="NaN"):
        doppelganger_rates(np.where(np.arange(70)[:, None] == 5, np.nan, Z), y)
    with pytest.raises(ValueError, match="leaves no pair of siblings"):
        doppelganger_rates(Z, y, pair_mask=lambda i, j: i < 0)
    with pytest.raises(ValueError, match="leaves no pair of siblings"):
        cross_val_doppelganger_rates(PCA(2), Z, y, pair_mask=lambda i, j: i < 0)


def test_real_open_clusters(shared_data):
    """Abundances of seven clusters, beside APOGEE's field (thesis Fig. 5.4)."""
    import pandas as pd

    field = pd.read_csv(shared_data / "stellar/apogee_dr12_field_abundances.csv.gz")
    stars = pd.read_csv(shared_data / "stellar/cannon_dr10_cluster_labels_553.csv")
    names = ["N6819", "M67", "N6791", "N2158", "N2420", "N7789", "N188"]
    stars = stars[stars.cluster.isin(names)]
    assert len(stars) == 104
    metals = field.PARAM_M_H
    columns = [metals, field.C_H - metals, field.N_H - metals, field.PARAM_ALPHA_M]
    X = np.concatenate(
        [np.column_stack(columns), stars[["m_h", "c_m", "n_m", "alpha_m"]]]
    )
    y = np.concatenate([np.full(len(field), "field"), stars.cluster.astype(str)])
    good = np.isfinite(X).all(axis=1) & (np.abs(X) < 10).all(axis=1)
    X, y = X[good], y[good]
    raw = doppelganger_rate(X, y, field_label="field")
    learned = cross_val_doppelganger_rates(RSCA(field_label="field"), X, y)
    assert set(learned.clusters) == set(names)
    assert 0.01 < raw < 0.1
    assert learned.global_rate < raw / 2


def test_an_origin_far_away_does_not_matter():
    Z, y, _ = scene(3)
    assert doppelganger_rate(np.ldexp(np.round(Z * 64), -6) + 2**26, y) == (
        doppelganger_rate(np.ldexp(np.round(Z * 64), -6), y)
    )


def test_names_are_compared_once(clusters):
    X, y = pd.DataFrame(clusters.X).rename(columns=str), clusters.y
    pipeline = make_pipeline(
        ProbabilisticPCA(5, with_covariance=True, random_state=0),
        RSCA(with_covariance=True),
    )
    expected = doppelganger_scorer(pipeline.fit(clusters.X, y), clusters.X, y)
    pipeline.set_output(transform="pandas").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doppelganger_scorer(pipeline, X, y) == pytest.approx(expected)
        Z = pipeline[0].transform(X)
        assert pipeline[1].score(Z, y) == pytest.approx(expected)
    with pytest.raises(ValueError, match="feature names should match"):
        pipeline[1].score(Z[Z.columns[::-1]], y)
