"""Labels of clusters, and splitters that keep clusters and twins together."""

import warnings

import numpy as np
import pandas as pd
import polars
import pytest
from astropy import units as u
from astropy.table import MaskedColumn
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from sklearn.preprocessing import StandardScaler

from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_rates, twin_recovery_scorer
from skastro.model_selection import ClusterKFold, LeaveOneClusterOut, TwinKFold
from skastro.utils.cluster_labels import read_clusters

CODES = np.array([-1, 1, 0, 0, -1, 1, 1, -1])


def names(missing):
    labels = np.array(["M67", "NGC 188"], dtype=object)[CODES]
    labels[CODES < 0] = missing
    return labels


KINDS = {
    "numbers": CODES,
    "floats": np.where(CODES < 0, np.nan, CODES),
    "strings of numbers": CODES.astype(str),
    "None": names(None),
    "NaN": names(np.nan),
    "NA": names(pd.NA),
    "list": list(names(None)),
    "bytes": np.where(CODES < 0, "-1", names("")).astype("S7"),
    "masked": np.ma.array(np.abs(CODES), mask=CODES < 0),
    "masked column": MaskedColumn(names("x").astype(str), mask=CODES < 0),
    "series": pd.Series(names(None)),
    "category": pd.Series(names(None)).astype("category"),
    "nullable": pd.Series(np.where(CODES < 0, None, CODES), dtype="Int64"),
    "pandas strings": pd.Series(names(None), dtype="string"),
    "polars": polars.Series(names(None).tolist()),
    "list with NaN": [x if x is not None else np.nan for x in names(None)],
    "list of strings": CODES.astype(str).tolist(),
    "beside floats": pd.Series([x if x is not None else -1.0 for x in names(None)]),
    "beside numbers": np.where(CODES < 0, -1, names("")).astype(object),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_kind(kind):
    clusters = read_clusters(KINDS[kind])
    assert_array_equal(clusters.codes, CODES)
    assert_array_equal(clusters.field, CODES < 0)
    assert_array_equal(clusters.counts, [2, 3])
    assert clusters.labels.dtype.kind in "ifU"


def test_only_missing_labels_are_of_the_field_where_none_is_named():
    y = np.array([-1.0, -1.0, 0.0, 0.0, np.nan])
    assert_array_equal(read_clusters(y, None).codes, [0, 0, 1, 1, -1])
    assert_array_equal(read_clusters(y, np.nan).codes, [0, 0, 1, 1, -1])
    assert_array_equal(read_clusters(y).codes, [-1, -1, 0, 0, -1])


def test_large_numbers_are_told_apart():
    a = 2**60
    assert_array_equal(read_clusters([a, a + 1, a, a + 1], a).codes, [-1, 0, -1, 0])


def test_a_field_under_another_name_is_noticed():
    y = np.array(["field"] * 60 + ["M67"] * 5 + ["NGC 188"] * 4 + ["M92"] * 2)
    with pytest.raises(ValueError, match=r"holds 60 of 71.*field_label='field'"):
        read_clusters(y)
    assert_array_equal(read_clusters(y, "field").field, y == "field")
    numbers = np.unique(y, return_inverse=True)[1]
    with pytest.raises(ValueError, match="field_label=3"):
        read_clusters(numbers)
    # what may well be clusters alone
    for few in ([0] * 30 + [1] * 3, [0] * 30 + [1] * 20 + [2] * 9, [0] * 5 + [1, 2]):
        assert not read_clusters(few).field.any()
    assert not read_clusters(y, guess=False).field.any()


def test_what_is_no_column_of_labels():
    with pytest.raises(ValueError, match="must be given"):
        read_clusters(None)
    with pytest.raises(TypeError, match="`y` carries the unit"):
        read_clusters([1.0, 2.0] * u.m)
    with pytest.raises(ValueError, match="1d"):
        read_clusters(np.zeros((3, 2)))


def test_metrics_and_rates_of_any_kind_of_labels():
    rng = np.random.default_rng(0)
    codes = np.r_[np.full(60, -1), np.repeat(np.arange(5), 4)]
    X = rng.normal(size=(80, 2))
    X[60:] = np.repeat(rng.normal(size=(5, 2)), 4, axis=0) + 0.1 * X[60:]
    labels = np.array([f"cluster {i}" for i in codes], dtype=object)
    labels[codes < 0] = None
    expected = RSCA().fit(X, codes)
    found = RSCA().fit(X, labels)
    assert_array_equal(found.components_, expected.components_)
    assert found.clusters_.tolist() == [f"cluster {i}" for i in range(5)]
    Z = found.transform(X)
    assert_array_equal(
        doppelganger_rates(Z, labels).rates, doppelganger_rates(Z, codes).rates
    )
    assert found.score(X, labels) == expected.score(X, codes)


labels = st.lists(st.integers(-1, 6), min_size=4, max_size=40).map(np.array)


@given(labels, st.integers(2, 4), st.booleans(), st.integers(0, 99))
def test_clusters_are_tested_once_and_whole(y, n_splits, shuffle, seed):
    several = [c for c in set(y) - {-1} if np.sum(y == c) > 1]
    assume(len(several) >= n_splits)
    cv = ClusterKFold(n_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    splits = list(cv.split(None, y))
    assert len(splits) == cv.get_n_splits(None, y) == n_splits
    tested = []
    for (train, test), (same, _) in zip(splits, cv.split(None, y), strict=True):
        assert_array_equal(train, same)
        both = np.intersect1d(train, test)
        assert_array_equal(both, np.flatnonzero(y == -1))
        assert_array_equal(np.union1d(train, test), np.arange(len(y)))
        here = set(y[test]) - {-1}
        assert here
        tested.extend(here)
    assert sorted(tested) == sorted(several)


@given(labels)
def test_folds_are_of_like_sizes(y):
    counts = [np.sum(y == c) for c in set(y) - {-1} if np.sum(y == c) > 1]
    assume(len(counts) >= 2)
    sizes = [np.sum(y[test] >= 0) for _, test in ClusterKFold(2).split(None, y)]
    assert abs(sizes[0] - sizes[1]) <= max(counts)


def test_one_cluster_a_fold_is_leave_one_out():
    y = KINDS["None"]
    for one, other in zip(
        sorted(ClusterKFold(2).split(None, y), key=lambda s: s[1].tolist()),
        sorted(LeaveOneClusterOut().split(None, y), key=lambda s: s[1].tolist()),
        strict=True,
    ):
        assert_array_equal(one[0], other[0])
        assert_array_equal(one[1], other[1])
    stars = np.flatnonzero(CODES >= 0)
    for (_, test), (_, expected) in zip(
        LeaveOneClusterOut().split(None, CODES),
        LeaveOneGroupOut().split(stars, groups=CODES[stars]),
        strict=True,
    ):
        assert_array_equal(test[CODES[test] >= 0], stars[expected])


@given(labels, st.booleans())
def test_twins_are_together(y, shuffle):
    n_groups = len(set(y) - {-1}) + np.sum(y == -1)
    assume(n_groups >= 3)
    cv = TwinKFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    tested = []
    for train, test in cv.split(None, y):
        assert not (set(y[train]) & set(y[test])) - {-1}
        assert not np.intersect1d(train, test).size
        tested.extend(test)
    assert sorted(tested) == list(range(len(y)))


def test_twins_are_groups():
    y = np.repeat(np.arange(10), 2)
    for one, other in zip(
        TwinKFold(4).split(None, y), GroupKFold(4).split(y, groups=y), strict=True
    ):
        assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("cv", [ClusterKFold, TwinKFold])
def test_splitters_say_what_is_wrong(cv):
    with pytest.raises(ValueError, match="`n_splits` must be an integer of at least 2"):
        cv(1)
    with pytest.raises(ValueError, match=r"`n_splits`=50 is more than the \d"):
        list(cv(50).split(None, CODES))
    with pytest.raises(ValueError, match="no effect with shuffle=False"):
        cv(2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(cv(3)).startswith(cv.__name__)


@pytest.mark.parametrize("cv", [ClusterKFold(2), TwinKFold(2), LeaveOneClusterOut()])
def test_groups_are_not_dropped_in_silence(cv):
    with pytest.warns(UserWarning, match=f"groups.* ignored by {type(cv).__name__}"):
        folds = list(cv.split(None, CODES, groups=np.arange(8)))
    for one, other in zip(folds, cv.split(None, CODES), strict=True):
        assert_array_equal(one[1], other[1])


def test_stars_without_a_twin_are_marked_in_one_way():
    """A splitter and a scorer that are used together agree on it."""
    y = np.array(["field"] * 30 + ["a", "a", "b", "b"], dtype=object)
    X = np.arange(68.0).reshape(34, 2)
    remedy = r"'field' holds 30 of 34 rows.*by the label -1, or none"
    with pytest.raises(ValueError, match=remedy):
        list(TwinKFold(2).split(X, y))
    with pytest.raises(ValueError, match=remedy):
        twin_recovery_scorer(StandardScaler().fit(X), X, y)
    y[:30] = None
    assert len(list(TwinKFold(2).split(X, y))) == 2
    assert 0 <= twin_recovery_scorer(StandardScaler().fit(X), X, y) <= 1
