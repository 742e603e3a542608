"""The one door for data: masks, tables, units, errors."""

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from skastro.utils.arrays import (
    as_matrix,
    named,
    names_of,
    plain,
    power_of_two,
    refuse_errors_as_y,
    validate,
)
from skastro.utils.sigma import broadcast_errors, check_error_names, check_errors
from skastro.utils.warn import warn

BAD = 1000.0
VALUES = np.array([[1.0, BAD], [BAD, 4.0], [5.0, 6.0]])
MASK = VALUES == BAD
HOLES = np.where(MASK, np.nan, VALUES)


class Anything(BaseEstimator):
    def fit(self, X, y=None):
        return self


MASKED = {
    "numpy.ma": np.ma.array(VALUES, mask=MASK),
    "numpy.ma of integers": np.ma.array(VALUES.astype(int), mask=MASK),
    "astropy Masked": Masked(VALUES, mask=MASK),
    "list of masked rows": [np.ma.array(v, mask=m) for v, m in zip(VALUES, MASK)],  # noqa: B905
    "table": Table(
        {"a": MaskedColumn(VALUES[:, 0], mask=MASK[:, 0]), "b": [np.nan, 4.0, 6.0]}
    ),
    "table of Masked": QTable(
        {"a": Masked(VALUES[:, 0], mask=MASK[:, 0]), "b": [np.nan, 4.0, 6.0]}
    ),
}


@pytest.mark.parametrize("kind", MASKED)
def test_masks_become_nan(kind):
    assert_array_equal(plain(MASKED[kind], "X"), HOLES)


@pytest.mark.parametrize("kind", MASKED)
def test_masks_are_refused_where_nothing_may_be_missing(kind):
    if "table" in kind:
        MASKED[kind]["b"] = [2.0, 4.0, 6.0]
    with pytest.raises(ValueError, match=r"Anything cannot use missing.*`X"):
        validate(Anything(), MASKED[kind], allow_nan=False)


def test_masks_keep_single_precision_and_leave_the_data():
    data = np.ma.array(VALUES.astype(np.float32), mask=MASK)
    found = plain(data, "X")
    assert found.dtype == np.float32
    assert_array_equal(data.data, VALUES)
    clean = np.ma.array(VALUES)
    assert np.shares_memory(plain(clean, "X"), clean.data)


def test_what_carries_nothing_is_left_as_it_is():
    for values in (VALUES, VALUES.tolist(), pd.DataFrame(VALUES), None):
        assert plain(values, "X") is values
    frame = pd.DataFrame({"unit": [1.0], "mask": [2.0]})
    assert plain(frame, "X") is frame


def test_columns_that_may_be_missing():
    for values in (
        np.ma.array([1, 2], mask=[False, True]),
        MaskedColumn([1, 2], mask=[False, True]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype="Float32"),
    ):
        assert_array_equal(plain(values, "y"), [1, np.nan])


def test_tables_keep_the_names_of_their_columns():
    table = Table({"b": [1.0, 2.0], "a": [3, 4]})
    values, names = named(table, "X")
    assert_array_equal(values, [[1, 3], [2, 4]])
    assert names == ["b", "a"]
    estimator = Anything()
    validate(estimator, table)
    assert list(estimator.feature_names_in_) == ["b", "a"]
    assert estimator.n_features_in_ == 2
    validate(estimator, table, reset=False)
    assert list(estimator.feature_names_in_) == ["b", "a"]
    with pytest.raises(ValueError, match="feature names"):
        validate(estimator, table["a", "b"], reset=False)
    with pytest.warns(UserWarning, match="feature names"):
        validate(estimator, values, reset=False)
    validate(estimator, pd.DataFrame({"b": [1.0], "a": [3.0]}), reset=False)
    validate(estimator, values)  # another fit
    assert not hasattr(estimator, "feature_names_in_")


def test_tables_that_are_no_data():
    with pytest.raises(ValueError, match=r"X\['name'\].*does not hold numbers"):
        plain(Table({"name": ["M67"]}), "X")
    with pytest.raises(ValueError, match=r"pass it alone, X=table\['flux'\]"):
        plain(Table({"flux": np.ones((2, 3))}), "X")
    with pytest.raises(ValueError, match="without columns"):
        plain(Table(), "X")


def test_units_are_converted_where_one_is_known():
    assert_array_equal(plain([1, 2] * u.km, "y", unit="m"), [1000, 2000])
    hidden = Masked([1.0, 2.0] * u.km, mask=[False, True])
    assert_array_equal(plain(hidden, "y", unit="m"), [1000, np.nan])
    column = Table({"d": [1.0, 2.0]}, units={"d": "km"})["d"]
    assert_array_equal(plain(column, "y", unit="m"), [1000, 2000])
    assert_array_equal(plain([1 * u.km, 2 * u.m], "y", unit="m"), [1000, 2])
    with pytest.raises(TypeError, match=r"`y` carries the unit s, which is not m"):
        plain([1.0] * u.s, "y", unit="m")


@pytest.mark.parametrize(
    "values",
    [
        VALUES * u.Jy,
        Masked(VALUES * u.Jy, mask=MASK),
        [VALUES[0] * u.Jy, VALUES[1] * u.Jy],
        QTable({"a": [1.0] * u.Jy}),
        Table({"a": [1.0]}, units={"a": "Jy"}),
        Table({"a": [1.0]}, units={"a": "Jy"})["a"],
    ],
)
def test_units_are_refused_where_none_is_known(values):
    with pytest.raises(TypeError, match=r"`X.*carries the unit Jy.*bare values"):
        validate(Anything(), values, allow_nan=True)
    with pytest.raises(TypeError, match=r"`sigma.*carries the unit Jy"):
        broadcast_errors(values, (3, 2))


def test_cubes_are_refused_with_what_would_do():
    cube = np.ones((4, 5, 3))
    with pytest.raises(ValueError, match=r"reshape\(-1, 3\).*moveaxis.*\(-1, 4\)"):
        validate(Anything(), cube)
    assert validate(Anything(), cube.reshape(-1, 3)).shape == (20, 3)


def test_masked_targets_are_refused():
    y = np.ma.array([1.0, BAD, 3.0], mask=[0, 1, 0])
    with pytest.raises(ValueError, match=r"`y` has 1 value\(s\), the first in row 1"):
        validate(Anything(), VALUES, y)


def test_errors_are_no_targets():
    refuse_errors_as_y(Anything(), VALUES, np.arange(3))
    refuse_errors_as_y(Anything(), VALUES, None)
    with pytest.raises(ValueError, match=r"Anything learns nothing from y.*sigma="):
        refuse_errors_as_y(Anything(), VALUES, 0.1 * VALUES)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (2.0, [[2, 2], [2, 2], [2, 2]]),
        ([1.0, 2.0], [[1, 2], [1, 2], [1, 2]]),
        ([[1.0], [2.0], [3.0]], [[1, 1], [2, 2], [3, 3]]),
        (VALUES, VALUES),
    ],
)
def test_errors_are_broadcast(given, expected):
    sigma, X = check_errors(given, VALUES)
    assert_array_equal(sigma, expected)
    assert X is VALUES


def test_errors_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape of X, \(3, 2\), got \(3,\)"):
        check_errors(np.ones(3), VALUES)


@pytest.mark.parametrize("given", ["0.1", 0.1 + 1j, [None, 0.1], True])
def test_errors_are_numbers(given):
    with pytest.raises(TypeError, match="`sigma` must hold numbers"):
        check_errors(given, VALUES)


def test_infinite_errors_mean_not_observed():
    sigma = np.where(MASK, np.inf, 0.1)
    errors, X = check_errors(sigma, VALUES)
    assert_array_equal(X, HOLES)
    assert_array_equal(errors, np.where(MASK, 1, 0.1))
    again, same = check_errors(sigma, HOLES)
    assert same is HOLES
    assert_array_equal(again, errors)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, -np.inf])
def test_errors_are_positive_where_something_is_observed(bad):
    sigma = np.ones_like(VALUES)
    sigma[2, 1] = bad
    with pytest.raises(ValueError, match=r"positive.*in row 2, column 1"):
        check_errors(sigma, VALUES)
    sigma[2, 1], sigma[MASK] = 1.0, bad
    check_errors(sigma, HOLES)
    masked = np.ma.array(np.ones_like(VALUES), mask=~MASK)
    with pytest.raises(ValueError, match="positive where X is observed"):
        check_errors(masked, VALUES)


def test_matrices_of_functions():
    assert_array_equal(as_matrix(MASKED["numpy.ma"], "Z"), HOLES)
    with pytest.raises(ValueError, match="`Z` has 2"):
        as_matrix(MASKED["numpy.ma"], "Z", allow_nan=False)
    with pytest.raises(ValueError, match="Z contains NaN"):
        as_matrix(HOLES, "Z", allow_nan=False)


@given(st.integers(-90, 90), st.integers(0, 2**32 - 1))
def test_scale_is_a_power_of_two_near_the_data(exponent, seed):
    X = np.random.default_rng(seed).lognormal(size=(20, 3))
    one, other = power_of_two(X), power_of_two((X * 2.0**exponent).astype(np.float32))
    assert np.log2(other) == np.log2(one) + exponent
    assert 0.5 < np.median(X) / one < 2
    assert power_of_two(np.zeros(3)) == power_of_two(np.full(3, np.nan)) == 1.0


def test_an_estimator_keeps_its_names_while_a_table_is_validated(monkeypatch):
    """Others may be using it in another thread."""
    table = Table({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    estimator = Anything()
    validate(estimator, table)
    seen = []

    def look(other, X, **checks):
        seen.append(list(estimator.feature_names_in_))
        assert not hasattr(other, "feature_names_in_")
        return X

    monkeypatch.setattr("skastro.utils.arrays.validate_data", look)
    assert_array_equal(validate(estimator, table, reset=False), [[1, 3], [2, 4]])
    assert seen == [["a", "b"]]


def test_names_of_columns():
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]})
    assert names_of(frame) == names_of(Table.from_pandas(frame)) == ["a", "b"]
    assert names_of(frame.iloc[0]) == ["a", "b"]
    assert names_of(frame.to_numpy()) is None
    assert names_of(pd.DataFrame([[1.0, 2.0]])) is None
    assert names_of([1.0, 2.0]) is None


def test_errors_have_the_columns_of_the_data():
    errors = pd.DataFrame({"b": [0.1], "a": [0.2]})
    for sigma in (errors, Table.from_pandas(errors), errors.iloc[0]):
        with pytest.raises(ValueError, match=r"`sigma`.*\['b', 'a'\].*\['a', 'b'\]"):
            check_error_names(sigma, ["a", "b"])
        check_error_names(sigma, ["b", "a"])
        check_error_names(sigma, ["flux_a", "flux_b"])  # names of their own
        check_error_names(sigma, None)


def test_a_warning_is_at_the_line_of_the_user():
    with pytest.warns(UserWarning, match="careful") as caught:
        warn("careful")
    assert caught[0].filename == __file__
