"""Rows of an array in blocks, whether it is in memory, mapped, or in a file."""

import numpy as np
from scipy.sparse import issparse

from ..utils.sklearn_names import validate_data

#: Rows that a fit begins with; all of them, where there are no more.
START_ROWS = 2000


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
    if is_stored(X):
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        if reset and X.shape[0] < 2:
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) (shape={X.shape}) while a"
                " minimum of 2 is required."
            )
        return X
    return validate_data(
        estimator,
        X,
        dtype=[np.float64, np.float32],
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


def as_sigma(sigma, X):
    """Validate the shape of the errors of X.

    Raises
    ------
    ValueError
        If the shape is not that of X.
    """
    if sigma is None:
        return None
    if not is_stored(sigma):
        sigma = np.asarray(sigma)
    if sigma.shape != X.shape:
        raise ValueError(
            f"`sigma` must have the shape of X, {X.shape}, got {sigma.shape}: one"
            " 1-sigma error for each entry."
        )
    return sigma


def row_blocks(X, sigma, size, columns=None, check=True):
    """Iterate over blocks of rows.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        From `as_rows`.
    sigma : array of the same shape or None
        1-sigma errors, from `as_sigma`.
    size : int
        Rows of a block.
    columns : ndarray of int or None
        The columns wanted; all by default.
    check : bool, default=True
        Whether to look at the values, which once is enough.

    Yields
    ------
    rows : slice
    block : ndarray of shape (n_rows, n_columns)
        float32 or float64, NaN where missing; may be a view of X, so read only.
    missing : ndarray of bool of the same shape
    variance : ndarray of the same shape or None
        Squared errors, with 1 where missing.

    Raises
    ------
    ValueError
        If X is infinite anywhere, or sigma not positive and finite where X is
        observed.
    """
    dtype = working_dtype(X)
    for start in range(0, X.shape[0], size):
        rows = slice(start, min(start + size, X.shape[0]))
        block = np.asarray(X[rows])
        if columns is not None:
            block = block[:, columns]
        block = np.asarray(block, dtype=dtype)
        missing = np.isnan(block)
        if check and np.isinf(block).any():
            row = start + np.flatnonzero(np.isinf(block).any(axis=1))[0]
            raise ValueError(
                f"Input X contains infinity, in row {row}; a missing value is NaN."
            )
        variance = None
        if sigma is not None:
            errors = np.asarray(sigma[rows])
            errors = errors if columns is None else errors[:, columns]
            errors = errors.astype(dtype)
            errors[missing] = 1.0
            if check and not np.all((errors > 0) & np.isfinite(errors)):
                row, column = np.argwhere(~((errors > 0) & np.isfinite(errors)))[0]
                raise ValueError(
                    "`sigma` must be positive and finite where X is observed, got"
                    f" {errors[row, column]} in row {start + row}; set such an entry"
                    " of X to NaN if it is to be ignored."
                )
            with np.errstate(over="ignore"):
                variance = errors**2
            if check and not np.isfinite(variance).all():
                row, column = np.argwhere(~np.isfinite(variance))[0]
                raise ValueError(
                    f"`sigma` is too large to be squared in {dtype}, got"
                    f" {errors[row, column]} in row {start + row}; set such an entry"
                    " of X to NaN if it is to be ignored."
                )
        yield rows, block, missing, variance


def column_means(X, sigma, size):
    """Return how often each column is observed, and its mean then.

    Looks at all values, and raises as `row_blocks` does.
    """
    n_features = X.shape[1]
    count, total = np.zeros(n_features, np.intp), np.zeros(n_features)
    for _, block, missing, _ in row_blocks(X, sigma, size):
        count += len(block)
        if missing.any():
            holes = np.flatnonzero(missing)
            count -= np.bincount(holes % n_features, minlength=n_features)
            block = np.where(missing, 0, block)
        total += np.ones(len(block), block.dtype) @ block
    return count, total / np.maximum(count, 1)


class Rows:
    """The rows of a fit, in the columns that are observed at all.

    Parameters
    ----------
    X, sigma : array of shape (n_samples, n_features)
        From `as_rows` and `as_sigma`; `sigma` may be None.
    batch_size : int
        Rows of a block.
    columns : ndarray of int or None
        Columns that are observed; None for all.
    n_observed : ndarray of shape (n_columns,)
        How often.
    """

    def __init__(self, X, sigma, batch_size, columns, n_observed):
        self.X = X
        self.sigma = sigma
        self.batch_size = batch_size
        self.columns = columns
        self.n_observed = n_observed

    @property
    def complete(self):
        """Whether nothing is missing and there are no errors."""
        return self.sigma is None and bool((self.n_observed == self.X.shape[0]).all())

    def blocks(self, unit=None):
        """Iterate over blocks, in a unit; their values have been looked at before."""
        blocks = row_blocks(
            self.X, self.sigma, self.batch_size, self.columns, check=False
        )
        for rows, block, missing, variance in blocks:
            if unit is not None:
                block, variance = block / unit, variance / unit**2
            yield rows, block, missing, variance

    def sample(self, rng, run=50):
        """Return some rows, drawn in runs; all of them if there are few."""
        n_rows = self.X.shape[0]
        if n_rows <= START_ROWS:
            return self
        starts = np.arange(0, n_rows, run)
        chosen = np.sort(rng.choice(len(starts), START_ROWS // run, replace=False))
        rows = [np.asarray(self.X[s : s + run]) for s in starts[chosen]]
        X = np.concatenate(rows)
        used = X if self.columns is None else X[:, self.columns]
        n_observed = np.count_nonzero(~np.isnan(used), axis=0)
        return Rows(X, None, self.batch_size, self.columns, n_observed)

    def typical_variance(self):
        """Return the median of the squared errors of the first block."""
        _, _, missing, variance = next(iter(self.blocks()))
        return float(np.median(variance[~missing])) if not missing.all() else 0.0
