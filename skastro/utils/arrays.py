"""The one door for data: what a user gives becomes bare arrays with NaN for missing.

Every estimator and every function that takes arrays lets them in here. Masks of
``numpy.ma``, ``astropy.utils.masked`` and masked columns become NaN where that is
allowed, and are refused by name where not. Whole tables become arrays that keep the
names of their columns. What carries a unit is converted where the unit is known and
refused where none is; numpy would strip it in silence.
"""

import copy
import math

import numpy as np
from sklearn.utils import check_array

from .sklearn_names import validate_data

#: Entries that the size of data is judged by, about.
_SAMPLE = 1_000_000


# -- units


def unit_of(values):
    """Return the unit that values carry, or None."""
    if hasattr(values, "iloc"):  # a frame may have a column called "unit"
        return None
    return getattr(values, "unit", None)


def refuse_units(values, name, expected=None):
    """Raise if values carry a unit, which numpy would strip in silence.

    Parameters
    ----------
    values : object
        What a user gave.
    name : str
        The parameter's name, for the message.
    expected : str, default=None
        The unit that it should be in, as astropy spells it.

    Raises
    ------
    TypeError
        If ``values`` has a unit.
    """
    unit = unit_of(values)
    if unit is None:
        return
    remedy = "its bare values" if expected is None else f"{name}.to_value({expected!r})"
    raise TypeError(
        f"`{name}` carries the unit {unit}; inside estimators there are bare arrays, so"
        f" pass {remedy}."
    )


def _to_unit(values, name, unit):
    """Return the bare values of a quantity or column in a known unit."""
    from astropy import units as u

    try:
        if hasattr(values, "to_value"):
            return values.to_value(unit)
        return values.quantity.to_value(unit)  # a column
    except u.UnitConversionError as error:
        raise TypeError(
            f"`{name}` carries the unit {unit_of(values)}, which is not {unit or 'one'}"
            " by another name; convert it first."
        ) from error


# -- masks and tables


def is_table(values):
    """Tell astropy's tables from everything else, without importing them."""
    return hasattr(values, "colnames") and hasattr(values, "itercols")


def mask_of(values):
    """Return the mask that values carry and what is under it, or None and values."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmask(values)
        return (None if mask is np.ma.nomask else mask), values.data
    if hasattr(values, "mask") and hasattr(values, "unmasked"):
        return values.mask, values.unmasked
    return None, values


def plain(values, name, *, unit=None, allow_nan=True, owner=None):
    """Return what a user gave without mask and unit.

    What has neither, such as an array, a frame, a list of numbers or a file that
    slices like an array, is returned as it is.

    Parameters
    ----------
    values : object
        What a user gave; None stays None.
    name : str
        The parameter's name, for messages.
    unit : str, default=None
        The unit that values are converted to, as astropy spells it. Without one,
        values that carry a unit are refused.
    allow_nan : bool, default=True
        Whether masked values may become NaN.
    owner : str, default=None
        Who takes no missing values, for the message.

    Returns
    -------
    values : object
        An array of floats, with NaN where it was masked, if there was a mask or a
        unit.

    Raises
    ------
    TypeError
        If values carry a unit where none is known, or one that does not convert.
    ValueError
        If values are masked where nothing may be missing.
    """
    return named(values, name, unit=unit, allow_nan=allow_nan, owner=owner)[0]


def named(values, name, *, unit=None, allow_nan=True, owner=None):
    """Return the same as `plain`, and the names of a table's columns or None."""
    if values is None or type(values) is np.ndarray:
        return values, None
    if is_table(values):
        return _from_table(values, name, allow_nan, owner)
    if isinstance(values, (list, tuple)):
        if any(_carries_something(part) for part in values):
            parts = [
                plain(part, name, unit=unit, allow_nan=allow_nan, owner=owner)
                for part in values
            ]
            values = np.asarray(parts)
        return values, None
    if unit_of(values) is not None:
        if unit is None:
            refuse_units(values, name)
        mask, under = mask_of(values)
        bare = np.asarray(_to_unit(under, name, unit), dtype=float)
        return _filled(bare, mask, name, allow_nan, owner), None
    if _is_nullable(values):
        return values.to_numpy(dtype=float, na_value=np.nan), None
    mask, under = mask_of(values)
    if under is values:
        return values, None
    return _filled(np.asarray(under), mask, name, allow_nan, owner), None


def _carries_something(values):
    return (
        isinstance(values, np.ma.MaskedArray)
        or hasattr(values, "unmasked")
        or unit_of(values) is not None
    )


def _is_nullable(values):
    """Tell one column of pandas with numbers that may be missing."""
    dtype = getattr(values, "dtype", None)
    return (
        hasattr(values, "iloc")
        and hasattr(dtype, "na_value")
        and getattr(dtype, "kind", "O") in "iufb"
    )


def _filled(values, mask, name, allow_nan, owner):
    """Return values with NaN under the mask."""
    if mask is None or not np.any(mask):
        return values
    mask = np.broadcast_to(mask, values.shape)
    if not allow_nan:
        raise ValueError(
            f"{owner or 'This'} cannot use missing values, and {_where(mask, name)}"
            " masked. Leave those rows out, or fill them first. (A mask stands for"
            " NaN; Input contains NaN.)"
        )
    dtype = values.dtype if values.dtype.kind == "f" else float
    values = np.array(values, dtype=dtype)
    values[mask] = np.nan
    return values


def _where(mask, name):
    """Say how many entries there are, and where the first one is."""
    first = np.argwhere(mask)[0]
    place = f"row {first[0]}" if len(first) else "it"
    if len(first) > 1:
        place += f", column {first[1]}"
    n = int(np.count_nonzero(mask))
    return f"`{name}` has {n} value(s), the first in {place}, that are"


def _from_table(table, name, allow_nan, owner):
    """Return the columns of a table side by side, and their names."""
    columns = []
    for column in table.colnames:
        what = f"{name}[{column!r}]"
        values = np.asarray(
            plain(table[column], what, allow_nan=allow_nan, owner=owner)
        )
        if values.ndim != 1:
            raise ValueError(
                f"`{what}` has shape {values.shape}: a column of a table must hold one"
                f" number a row. If it holds the spectra, pass it alone,"
                f" {name}=table[{column!r}]."
            )
        if values.dtype.kind not in "fiub":
            raise ValueError(
                f"`{what}` does not hold numbers but {values.dtype}; choose the columns"
                " that are to be used, as in table[['a', 'b']]."
            )
        columns.append(values)
    if not columns:
        raise ValueError(f"`{name}` is a table without columns.")
    dtype = np.result_type(*columns)
    dtype = dtype if dtype.kind == "f" else np.dtype(float)
    return np.column_stack([c.astype(dtype) for c in columns]), list(table.colnames)


def names_of(values):
    """Return the names that the entries of a row have, or None.

    Parameters
    ----------
    values : object
        What a user gave: a frame or a table, or one row as a series.

    Returns
    -------
    names : list of str or None
        None if there are none, or not all of them are strings.
    """
    if is_table(values):
        return list(values.colnames)
    names = getattr(values, "columns", None)
    if names is None and np.ndim(getattr(values, "iloc", None) and values) == 1:
        names = values.index
    if names is None or not all(isinstance(name, str) for name in names):
        return None
    return list(names)


# -- X and y


_NO_Y = "no_validation"


def validate(
    estimator, X, y=_NO_Y, *, reset=True, allow_nan=False, remedy=None, **checks
):
    """Let X, and y if there is one, in: scikit-learn's `validate_data` behind the door.

    Parameters
    ----------
    estimator : estimator
        Its number and names of features are set or compared.
    X : array-like of shape (n_samples, n_features)
        Data, masked or not; or a table, whose names of columns are kept.
    y : array-like, default="no_validation"
        Targets, which may not be missing.
    reset : bool, default=True
        Whether this is the fit.
    allow_nan : bool, default=False
        Whether entries of X may be missing.
    remedy : str, default=None
        What to do about missing entries where they may not be, for the message.
    **checks : dict
        Further arguments of `validate_data`; by default, X is kept in float32 or made
        float64.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray
        If it was given.

    Raises
    ------
    TypeError
        If either carries a unit.
    ValueError
        If either is not what scikit-learn takes, or is masked and may not be.
    """
    owner = type(estimator).__name__
    X, names = named(X, "X", allow_nan=allow_nan or remedy is not None, owner=owner)
    refuse_cube(X)
    finite = "allow-nan" if allow_nan else True
    defaults = {"dtype": [np.float64, np.float32], "ensure_all_finite": finite}
    checks = defaults | checks | {"reset": reset}
    if not (isinstance(y, str) and y == _NO_Y):
        checks["y"] = plain(y, "y", allow_nan=False, owner=owner)
    try:
        if names is None:
            return validate_data(estimator, X, **checks)
        return _validate_named(estimator, X, names, checks)
    except ValueError as error:
        if remedy is None or "X contains NaN" not in str(error):
            raise
        row = np.flatnonzero(np.isnan(np.asarray(X, dtype=float)).any(axis=1))[0]
        raise ValueError(
            f"Input X contains NaN, or is masked, in row {row}. {remedy}"
        ) from error


def _validate_named(estimator, X, names, checks):
    """Validate a table's values, and its names as scikit-learn does a frame's."""
    known = getattr(estimator, "feature_names_in_", None)
    if checks["reset"]:
        result = validate_data(estimator, X, **checks)
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
        return result
    if known is not None and list(known) != names:
        raise ValueError(
            "The feature names should match those that were passed during fit, in the"
            f" same order. X has {names}; fit had {list(known)}."
        )
    return validate_data(without_names(estimator), X, **checks)


def without_names(estimator):
    """Return a fitted estimator, or its shallow copy, that knows no names of features.

    For arrays whose names have been compared already. The estimator itself stays as it
    is, since others may be using it.
    """
    if hasattr(estimator, "feature_names_in_"):
        estimator = copy.copy(estimator)
        del estimator.feature_names_in_
    return estimator


def refuse_cube(X, name="X"):
    """Refuse maps as they come, and say how they become rows."""
    shape = getattr(X, "shape", ())
    if len(shape) > 2:
        raise ValueError(
            f"Found array with dim {len(shape)}: `{name}` has shape {tuple(shape)}, but"
            f" rows are objects and columns are channels, (n_samples, n_features). Of a"
            f" cube with the channels last, pass"
            f" {name}.reshape(-1, {shape[-1]}); of one with the channels first,"
            f" np.moveaxis({name}, 0, -1).reshape(-1, {shape[0]})."
        )


def refuse_errors_as_y(estimator, X, y):
    """Refuse a y of X's own shape, which errors have and targets do not.

    Estimators that learn nothing from y still let one pass, since a pipeline hands it
    to all of its steps; X itself too, which a later step may learn to predict.
    """
    if y is None or y is X:
        return
    shape = _shape(X)
    if len(shape) != 2 or shape[1] < 2 or _shape(y) != shape:
        return
    if np.array_equal(np.asarray(X), np.asarray(y), equal_nan=True):
        return
    raise ValueError(
        f"`y` has the shape of X, {shape}, and {type(estimator).__name__} learns"
        " nothing from y. If these are errors, pass sigma=..., by name."
    )


def _shape(values):
    shape = getattr(values, "shape", None)
    return tuple(np.asarray(values).shape if shape is None else shape)


def as_matrix(values, name, *, allow_nan=True, **checks):
    """Let a table of numbers in where no estimator is: a function's argument.

    Parameters
    ----------
    values : array-like of two dimensions
        Masked or not, or a table.
    name : str
        The parameter's name.
    allow_nan : bool, default=True
        Whether entries may be missing.
    **checks : dict
        Further arguments of `sklearn.utils.check_array`; by default, float32 is kept.

    Returns
    -------
    values : ndarray of two dimensions
    """
    values = plain(values, name, allow_nan=allow_nan, owner="This function")
    refuse_cube(values, name)
    checks = {"dtype": [np.float64, np.float32], "input_name": name} | checks
    checks["ensure_all_finite"] = "allow-nan" if allow_nan else True
    return check_array(values, **checks)


# -- scale


def power_of_two(X):
    """Return the power of two that is nearest to the typical size of data.

    Data divided by it are of order one, to the last bit what they were: squares
    neither overflow nor vanish, whatever the unit of a flux.

    Parameters
    ----------
    X : ndarray
        Data, NaN where missing.

    Returns
    -------
    scale : float
        1.0 if all is zero or missing.
    """
    sizes = np.abs(np.asarray(X)).ravel()
    sizes = sizes[:: max(1, sizes.size // _SAMPLE)]
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)].astype(np.float64)
    if not sizes.size:
        return 1.0
    return math.ldexp(1.0, round(math.log2(np.median(sizes))))
