"""Known labels: their names, their levels, and the numbers that models see of them."""

from numbers import Integral, Real

import numpy as np

from ..utils.arrays import is_table, plain, refuse_units
from ..utils.sklearn_names import _get_column_indices


class Labels:
    """The labels of a fit.

    Numbers stay as they are. Of kinds, such as a fibre or a telescope, each level but
    the first becomes a column of zeros and ones.

    Parameters
    ----------
    columns : list of ndarray of shape (n_samples,)
        One for each label: float64 with NaN where missing, or objects with None.
    names : list of str or None
        What they are called.
    places : ndarray of int or None
        The columns of X that they were.

    Attributes
    ----------
    n_given : int
        Number of labels.
    owner : ndarray of int
        The label that each encoded column is of.
    """

    def __init__(self, columns, names, places=None):
        self.names, self.places, self.n_given = names, places, len(columns)
        self.levels = [_levels(column) for column in columns]
        sizes = [1 if x is None else max(len(x) - 1, 1) for x in self.levels]
        self.owner = np.repeat(np.arange(self.n_given), sizes)

    @property
    def has_kinds(self):
        """Whether any label is a kind instead of a number."""
        return any(levels is not None for levels in self.levels)

    def describe(self, which):
        """Return how messages call labels.

        Parameters
        ----------
        which : int or array of bool of shape (n_given,)
        """
        if np.ndim(which):
            return ", ".join(self.describe(i) for i in np.flatnonzero(which))
        place = "" if self.places is None else f" (column {self.places[which]} of X)"
        if self.names is None:
            return f"label {which}{place}"
        return f"label {str(self.names[which])!r}"

    def of_given(self, encoded):
        """Return for each label whether any of its encoded columns is marked."""
        return np.bincount(self.owner, weights=encoded, minlength=self.n_given) > 0

    def encode(self, columns, parameter):
        """Return labels as numbers.

        Parameters
        ----------
        columns : list of ndarray
            As of `__init__`.
        parameter : str
            Where they come from, for messages.

        Returns
        -------
        U : ndarray of float64, of shape (n_samples, n_encoded)
            NaN where missing.

        Raises
        ------
        ValueError
            If there are more or fewer labels than in the fit, a number is infinite, or
            a level was not in the fit.
        """
        if len(columns) != self.n_given:
            raise ValueError(
                f"`{parameter}` has {len(columns)} label(s) in each row; the fit had"
                f" {self.n_given}."
            )
        parts = []
        for i, (column, levels) in enumerate(zip(columns, self.levels, strict=True)):
            if levels is None:
                parts.append(self._numbers(i, column, parameter)[:, None])
            else:
                parts.append(self._indicators(i, column, levels, parameter))
        return np.hstack(parts)

    def errors(self, errors, U):
        """Check errors of labels.

        Parameters
        ----------
        errors : ndarray of shape (n_samples, n_given)
            1-sigma errors, 0 for exact labels; infinite for those that are not known.
            Any value will do where a label is missing.
        U : ndarray of shape (n_samples, n_encoded)
            The labels.

        Returns
        -------
        U : ndarray of shape (n_samples, n_encoded)
            With NaN where an error is infinite.
        U_sigma : ndarray of float64, of shape (n_samples, n_encoded), or None
            0 where missing; None if all is exact.

        Raises
        ------
        ValueError
            If one is negative or NaN, or positive of a kind.
        """
        sigma = errors[:, self.owner].astype(np.float64)
        observed = ~np.isnan(U)
        kinds = np.array([levels is not None for levels in self.levels])[self.owner]
        for bad, what in (
            (observed & ~(sigma >= 0), "negative or NaN"),
            (observed & (sigma > 0) & kinds, "not 0, as it must be of what is a kind,"),
        ):
            if bad.any():
                which = self.of_given(bad.any(axis=0))
                raise ValueError(
                    f"The error of {self.describe(which)} is {what} in"
                    f" {int(bad.any(axis=1).sum())} row(s); 0 stands for an exact"
                    " label, infinity for one that is not known."
                )
        unknown = observed & np.isinf(sigma)
        if unknown.any():
            U = np.where(unknown, np.nan, U)
        sigma[~observed | unknown] = 0
        return U, sigma if sigma.any() else None

    def _numbers(self, i, column, parameter):
        if column.dtype == object:
            raise ValueError(
                f"`{parameter}`: {self.describe(i)} was a number in the fit, got"
                f" {_shown(_levels(column))}."
            )
        if np.isinf(column).any():
            raise ValueError(
                f"`{parameter}`: {self.describe(i)} is infinite in"
                f" {int(np.isinf(column).sum())} row(s)."
            )
        return column

    def _indicators(self, i, column, levels, parameter):
        if column.dtype != object:
            column = np.array(
                [None if np.isnan(v) else v for v in column], dtype=object
            )
        missing = sum(value is None for value in column)
        if missing:
            raise ValueError(
                f"`{parameter}`: {self.describe(i)} is missing in {missing} row(s), and"
                " only numbers may be; give those rows a level of their own, such as"
                " 'unknown', or leave them out."
            )
        unseen = set(column) - set(levels)
        if unseen:
            raise ValueError(
                f"`{parameter}`: {self.describe(i)} has level(s)"
                f" {_shown(sorted(unseen, key=str))} that the fit did not see; it saw"
                f" {_shown(levels)}."
            )
        others = levels[1:] or [None]  # a single level does not vary
        return np.column_stack(
            [[float(v == level) for v in column] for level in others]
        )


def find_columns(columns, values, names):
    """Return which columns of X are labels.

    Parameters
    ----------
    columns : int, slice, str, list or mask
        As `ColumnTransformer` takes columns.
    values : ndarray of shape (n_samples, n_features)
        X.
    names : ndarray of str or None
        Of its columns.

    Returns
    -------
    indices : ndarray of int
    """
    n_features = values.shape[1]
    try:
        indices = np.atleast_1d(_indices(columns, values, names)).astype(int)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`condition_columns` is {columns!r}, which are not columns of X with"
            f" {n_features} columns: {error}"
        ) from error
    if not 0 < len(indices) < n_features:
        raise ValueError(
            f"`condition_columns` selects {len(indices)} of the {n_features} columns of"
            " X; there must be one or more labels, and one or more bins beside them."
        )
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"`condition_columns` names a column twice: {columns!r}.")
    return indices


def _indices(columns, values, names):
    if isinstance(columns, slice) and columns == slice(None):
        return np.arange(values.shape[1])
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, Integral) and not isinstance(columns, bool):
        columns = [int(columns)]
    by_name = isinstance(columns, slice) and isinstance(
        columns.start or columns.stop, str
    )
    if by_name or (not isinstance(columns, slice) and isinstance(columns[0], str)):
        if names is None:
            raise ValueError("X has no names of columns.")
        names = list(names)
        if not by_name:
            return [names.index(name) for name in columns]
        first = 0 if columns.start is None else names.index(columns.start)
        last = len(names) - 1 if columns.stop is None else names.index(columns.stop)
        return np.arange(first, last + 1)[:: columns.step]
    columns = columns if isinstance(columns, slice) else list(columns)
    return _get_column_indices(values, columns)


def label_columns(conditions, parameter="conditions"):
    """Let labels in: numbers and kinds, masked or not, with or without names.

    Parameters
    ----------
    conditions : array-like of shape (n_samples, n_conditions) or (n_samples,)
        An array, a list, a data frame or series, or an astropy Table or column.
    parameter : str, default="conditions"
        The parameter's name.

    Returns
    -------
    columns : list of ndarray of shape (n_samples,)
        float64 with NaN where missing for numbers; objects with None where missing
        for strings, bools and pandas' categories.
    names : list of str or None

    Raises
    ------
    TypeError
        If one carries a unit.
    ValueError
        If it is not a table, or has no column.
    """
    names, columns = _parted(conditions, parameter)
    if not columns:
        raise ValueError(f"`{parameter}` has no column.")
    called = names or range(len(columns))
    return [
        _column(c, f"{parameter}[{n!r}]" if len(columns) > 1 or names else parameter)
        for c, n in zip(columns, called, strict=True)
    ], names


def check_names(names, known, parameter):
    """Refuse labels of other names, or in another order, than those known."""
    if names is None or known is None or list(names) == list(known):
        return
    raise ValueError(
        f"`{parameter}` has the labels {list(names)}; they must be {list(known)}, in"
        " this order."
    )


def label_errors(errors, shape, known):
    """Let errors of labels in.

    Parameters
    ----------
    errors : array-like
        Of the shape of the labels; one row for all; or one for all, of a single label.
    shape : tuple of int
        Of the labels.
    known : list of str or None
        Their names.

    Returns
    -------
    errors : ndarray of float64, of that shape
    """
    if np.ndim(errors) == 0 or (len(errors) == shape[1] > 1 and np.ndim(errors) == 1):
        errors = np.reshape(plain(errors, "condition_sigma"), (1, -1))
    columns, names = label_columns(errors, "condition_sigma")
    check_names(names, known, "condition_sigma")
    if len(columns) != shape[1] or len(columns[0]) not in (1, shape[0]):
        raise ValueError(
            f"`condition_sigma` must have the shape of the labels, {shape}, or one row"
            f" for all, got {(len(columns[0]), len(columns))}."
        )
    if any(column.dtype == object for column in columns):
        raise ValueError("`condition_sigma` must hold numbers, 0 for exact labels.")
    return np.broadcast_to(np.column_stack(columns), shape)


def _parted(conditions, parameter):
    """Return names, or None, and the columns as they are given."""
    if is_table(conditions):
        return list(conditions.colnames), list(conditions.itercols())
    if hasattr(conditions, "iloc"):
        if getattr(conditions, "ndim", 2) == 1:
            name = conditions.name
            return ([name] if isinstance(name, str) else None), [conditions]
        columns = [conditions.iloc[:, i] for i in range(conditions.shape[1])]
        names = list(conditions.columns)
        return (names if all(isinstance(n, str) for n in names) else None), columns
    if hasattr(conditions, "columns"):  # a frame of another library
        names = list(conditions.columns)
        return names, [conditions[name] for name in names]
    name = getattr(conditions, "name", None)
    names = [name] if isinstance(name, str) and hasattr(conditions, "dtype") else None
    if not hasattr(conditions, "dtype"):
        conditions = _array(conditions, parameter)
    if conditions.ndim == 1:
        return names, [conditions]
    if conditions.ndim != 2:
        raise ValueError(
            f"`{parameter}` must be a table with one row for each star, got shape"
            f" {conditions.shape}."
        )
    return None, [conditions[:, i] for i in range(conditions.shape[1])]


def _array(values, parameter):
    """Return lists as an array, of objects if numbers and strings are mixed."""
    values = plain(values, parameter)
    array = np.asarray(values)
    return np.asarray(values, dtype=object) if array.dtype.kind in "US" else array


def _column(values, name):
    """Return one label as float64 with NaN, or as objects with None."""
    dtype = getattr(values, "dtype", None)
    is_category = getattr(dtype, "name", "") == "category"
    if getattr(dtype, "kind", "O") in "iuf" and not is_category:
        return np.asarray(plain(values, name), dtype=np.float64)
    masked = np.ma.isMaskedArray(values)
    refuse_units(values, name)
    column = np.array(values.data if masked else values, dtype=object)
    if column.ndim != 1:
        raise ValueError(
            f"`{name}` must have one value for each star, got shape {column.shape}."
        )
    missing = np.array([_is_missing(value) for value in column], dtype=bool)
    column[missing | np.ma.getmaskarray(values) if masked else missing] = None
    numbers = [value for value in column if value is not None]
    if not is_category and all(_is_number(value) for value in numbers):
        return np.array([np.nan if v is None else v for v in column], dtype=np.float64)
    return column


def _is_missing(value):
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return value is None or value is np.ma.masked or type(value).__name__ == "NAType"


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def _levels(column):
    """Return the levels of a kind, in order; None for numbers."""
    if column.dtype != object:
        return None
    return sorted({value for value in column if value is not None}, key=str)


def _shown(levels):
    return ", ".join(repr(x.item() if hasattr(x, "item") else x) for x in levels)
