"""Rows of an array in blocks, whether it is in memory, mapped, or in a file."""

import numpy as np
from scipy.sparse import issparse

from ..utils.arrays import named, power_of_two, refuse_cube, validate
from ..utils.sklearn_names import validate_data

#: Rows that a fit begins with; all of them, where there are no more.
START_ROWS = 2000
#: Runs of rows that the unit is judged by.
_RUNS = 20
#: Sizes of data, and their inverses, whose squares are in no danger.
_SAFE = 2.0**20


def as_rows(estimator, X, *, reset):
    """Validate the shape of X, and leave what slices like an array where it is.

    Values are not looked at here: `row_blocks` does so as they stream by.

    Parameters
    ----------
    estimator : estimator
        Its number and names of features are set or compared.
    X : array-like of shape (n_samples, n_features)
        Anything that scikit-learn takes, or an object with ``shape``, ``dtype`` and
        slices of rows, such as a dataset of h5py or zarr, which is not loaded.
    reset : bool
        Whether this is the fit.

    Returns
    -------
    X : array of two dimensions, or the object itself
    """
    bare, _ = named(X, "X")
    refuse_cube(bare)
    if is_stored(bare):
        X = bare
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        for axis, least, what in ((0, 1 + reset, "sample"), (1, 1, "feature")):
            if X.shape[axis] < least:
                raise ValueError(
                    f"Found array with {X.shape[axis]} {what}(s) (shape={X.shape})"
                    f" while a minimum of {least} is required."
                )
        return X
    return validate(
        estimator,
        X,
        allow_nan=True,
        ensure_all_finite=False,
        ensure_min_samples=2 if reset else 1,
        reset=reset,
    )


def is_stored(X):
    """Tell whether X is to be read, and converted, in slices.

    It is an array in a file, or one of another type than float32 and float64, such as
    the big-endian numbers of a FITS file.
    """
    if isinstance(X, np.ndarray):
        native = X.dtype in (np.float32, np.float64)
        return X.ndim == 2 and X.dtype.kind in "fiu" and not native
    return (
        not issparse(X)
        and not hasattr(X, "iloc")
        and not hasattr(X, "__array_namespace__")
        and hasattr(X, "__getitem__")
        and hasattr(X, "dtype")
        and len(getattr(X, "shape", ())) == 2
    )


def working_dtype(X):
    """Return float32 for data of single precision or less, else float64."""
    dtype = np.dtype(X.dtype)
    return np.dtype("f4" if dtype.kind == "f" and dtype.itemsize <= 4 else "f8")


def unit_for(X):
    """Return a power of two by which data are to be divided before they are squared.

    It is judged by some of the rows, and is 1 where squares are in no danger: a
    division by it changes no digit, but costs a copy.
    """
    n_rows = X.shape[0]
    run = -(-min(n_rows, START_ROWS) // _RUNS)
    starts = np.unique(np.linspace(0, n_rows - run, _RUNS).astype(int))
    unit = power_of_two(np.concatenate([np.asarray(X[s : s + run]) for s in starts]))
    return 1.0 if 1 / _SAFE <= unit <= _SAFE else unit


def row_blocks(X, sigma, size, columns=None, check=True, unit=1.0, kept=None):
    """Iterate over blocks of rows.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        From `as_rows`.
    sigma : array of the same shape or None
        1-sigma errors, from `broadcast_errors`; infinite ones make an entry missing.
    size : int
        Rows of a block.
    columns : ndarray of int or None
        The columns wanted; all by default.
    check : bool, default=True
        Whether to look at the values, which once is enough.
    unit : float, default=1.0
        What data and errors are divided by.
    kept : ndarray of int or None
        The rows wanted, in rising order; all by default.

    Yields
    ------
    rows : slice
        Of all rows, or of those kept.
    block : ndarray of shape (n_rows, n_columns)
        float32 or float64, NaN where missing; may be a view of X, so read only.
    missing : ndarray of bool of the same shape
    variance : ndarray of the same shape or None
        Squared errors, with 1 where missing.

    Raises
    ------
    ValueError
        If X is infinite or too large to be squared anywhere, or sigma not positive
        where X is observed.
    """
    dtype = working_dtype(X)
    n_rows = X.shape[0] if kept is None else len(kept)
    for start in range(0, n_rows, size):
        rows = slice(start, min(start + size, n_rows))
        taken = rows if kept is None else kept[rows]
        block = np.asarray(X[taken])
        if columns is not None:
            block = block[:, columns]
        block = np.asarray(block, dtype=dtype)
        missing = np.isnan(block)
        variance = None
        if sigma is not None:
            errors = np.asarray(sigma[taken])
            errors = errors if columns is None else errors[:, columns]
            errors = errors.astype(dtype, order="C")
            unseen = np.isposinf(errors) & ~missing
            if unseen.any():
                missing |= unseen
                block = np.where(unseen, dtype.type(np.nan), block)
        given = block
        if unit != 1:
            with np.errstate(over="ignore"):
                block = block / dtype.type(unit)
        if check:
            _refuse_large(block, given, start)
        if sigma is not None:
            errors[missing] = unit
            if check and not np.all(errors > 0):
                row, column = np.argwhere(~(errors > 0))[0]
                raise ValueError(
                    "`sigma` must be positive where X is observed, got"
                    f" {errors[row, column]} in row {start + row}; set such an entry"
                    " of X to NaN, or its error to infinity, if it is to be ignored."
                )
            if unit != 1:
                errors /= dtype.type(unit)
            with np.errstate(over="ignore"):
                variance = errors**2
            if check and not np.isfinite(variance).all():
                row, column = np.argwhere(~np.isfinite(variance))[0]
                raise ValueError(
                    f"`sigma` is too large beside X to be squared in {dtype}, got"
                    f" {sigma[start + row][column]} in row {start + row}; set such an"
                    " entry of X to NaN if it is to be ignored."
                )
        yield rows, block, missing, variance


def _refuse_large(block, given, start):
    """Refuse values of which a row's sum of squares would not be a number."""
    limit = np.sqrt(np.finfo(block.dtype).max / max(1, block.shape[1]))
    # fmax passes NaN over
    most, least = np.fmax.reduce(block, axis=None), np.fmin.reduce(block, axis=None)
    if not (most > limit or least < -limit):
        return
    row, column = np.argwhere(np.abs(block) > limit)[0]
    value = given[row, column]
    if np.isinf(value):
        raise ValueError(
            f"Input X contains infinity, in row {start + row}; a missing value is NaN."
        )
    raise ValueError(
        f"X is too large to be squared in {block.dtype} beside its other values, got"
        f" {value} in row {start + row}; set such an entry to NaN if it is to be"
        " ignored, or give X in float64."
    )


def column_means(X, sigma, size, unit=1.0):
    """Look at all values: count and average them, and find what tells nothing.

    Sums are of differences to the first value of a column, which are exact where it
    does not change. Raises as `row_blocks` does.

    Returns
    -------
    count : ndarray of int of shape (n_features,)
        In how many rows each column is observed.
    mean : ndarray of shape (n_features,)
        Its mean then, in the unit.
    kept : ndarray of int or None
        Rows with anything observed; None for all.
    varies : bool
        Whether any two values of any column differ.
    """
    n_features = X.shape[1]
    count, total = np.zeros(n_features, np.intp), np.zeros(n_features)
    first = np.full(n_features, np.nan, working_dtype(X))
    kept, blank, varies = [], False, False
    for rows, block, missing, _ in row_blocks(X, sigma, size, unit=unit):
        count += len(block)
        seen = np.arange(rows.start, rows.stop)
        new = np.flatnonzero(np.isnan(first))
        if len(new):
            first[new] = block[np.argmin(missing[:, new], axis=0), new]
        block = block - first
        if missing.any():
            holes = np.flatnonzero(missing)
            count -= np.bincount(holes % n_features, minlength=n_features)
            np.copyto(block, 0, where=missing)
            seen = seen[~missing.all(axis=1)]
            blank |= len(seen) < len(missing)
        kept.append(seen)
        varies = varies or bool(block.any())
        total += np.ones(len(block), block.dtype) @ block
    mean = np.nan_to_num(first) + total / np.maximum(count, 1)
    return count, mean, np.concatenate(kept) if blank else None, varies


class Rows:
    """The rows of a fit, in the columns that are observed at all.

    Parameters
    ----------
    X, sigma : array of shape (n_samples, n_features)
        From `as_rows` and `broadcast_errors`; `sigma` may be None.
    batch_size : int
        Rows of a block.
    columns : ndarray of int or None
        Columns that are observed; None for all.
    n_observed : ndarray of shape (n_columns,)
        How often.
    unit : float, default=1.0
        What data and errors are divided by.
    kept : ndarray of int or None
        Rows with anything observed; None for all.
    """

    def __init__(self, X, sigma, batch_size, columns, n_observed, unit=1.0, kept=None):
        self.n_rows = X.shape[0] if kept is None else len(kept)
        self.kept = kept
        self.X = X
        self.sigma = sigma
        self.batch_size = batch_size
        self.columns = columns
        self.n_observed = n_observed
        self.unit = unit

    @property
    def complete(self):
        """Whether nothing is missing and there are no errors."""
        return self.sigma is None and bool((self.n_observed == self.n_rows).all())

    def blocks(self, unit=1.0):
        """Iterate over blocks, in a further unit; values have been looked at before."""
        yield from row_blocks(
            self.X,
            self.sigma,
            self.batch_size,
            self.columns,
            check=False,
            unit=self.unit * unit,
            kept=self.kept,
        )

    def sample(self, rng, run=50):
        """Return some rows, drawn in runs, without errors; all if there are few."""
        if self.n_rows <= START_ROWS:
            return self
        starts = np.arange(0, self.n_rows, run)
        starts = np.sort(rng.choice(starts, START_ROWS // run, replace=False))
        runs = [slice(s, min(s + run, self.n_rows)) for s in starts]
        if self.kept is not None:
            runs = [self.kept[rows] for rows in runs]
        X = np.concatenate([np.asarray(self.X[rows]) for rows in runs])
        if self.sigma is not None:
            errors = np.concatenate([np.asarray(self.sigma[rows]) for rows in runs])
            if np.isposinf(errors).any():
                X = np.where(np.isposinf(errors), X.dtype.type(np.nan), X)
        used = X if self.columns is None else X[:, self.columns]
        n_observed = np.count_nonzero(~np.isnan(used), axis=0)
        return Rows(X, None, self.batch_size, self.columns, n_observed, self.unit)

    def typical_variance(self):
        """Return the median of the squared errors of the first rows that have any."""
        for _, _, missing, variance in self.blocks():
            if not missing.all():
                return float(np.median(variance[~missing]))
        return 0.0


def rows_of(X, sigma, batch_size):
    """Return the rows and columns of a fit in which anything is observed.

    Looks at all values.

    Parameters
    ----------
    X, sigma : array of shape (n_samples, n_features)
        From `as_rows` and `broadcast_errors`; `sigma` may be None.
    batch_size : int
        Rows of a block.

    Returns
    -------
    data : Rows
    mean : ndarray of shape (n_columns,)
        Means of what is observed, in the unit of `data`.
    n_observed : ndarray of shape (n_features,)
        In how many rows each column of X is observed.

    Raises
    ------
    ValueError
        If nothing is, or all rows are the same, or as `row_blocks` does.
    """
    unit = unit_for(X)
    n_observed, mean, kept, varies = column_means(X, sigma, batch_size, unit)
    columns = np.flatnonzero(n_observed)
    if not len(columns):
        raise ValueError("X has no observed value: all of its entries are missing.")
    if not varies:
        raise ValueError(
            "X does not vary: all rows are the same in what is observed, and have no"
            " components."
        )
    some = columns if len(columns) < len(n_observed) else None
    data = Rows(X, sigma, batch_size, some, n_observed[columns], unit, kept)
    return data, mean[columns], n_observed
