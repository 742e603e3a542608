"""A catalogue: rows are objects, columns their lines."""

import numpy as np

from ..utils.arrays import is_table, plain, validate
from ..utils.sigma import check_error_names, check_errors
from ._line_names import lines_of
from ._observations import in_unit

#: How far below zero, in units of its error, a line may be by chance.
_N_SIGMA = 5.0


def check_settings(estimator):
    """Check what the constraints of single parameters cannot.

    Parameters
    ----------
    estimator : RetrievalTransformer
        Whose parameters they are.

    Raises
    ------
    ValueError
        If parameters exclude each other.
    """
    n_parameters = len(estimator.prior)
    if estimator.n_live_points <= n_parameters:
        raise ValueError(
            f"`n_live_points`={estimator.n_live_points} must be more than the"
            f" {n_parameters} parameters of `prior`; hundreds are usual."
        )
    if estimator.degrees_of_freedom is not None and estimator.calibration_error:
        raise ValueError(
            "`degrees_of_freedom` and `calibration_error` exclude each other: the"
            " integral over calibrations is that of Gaussian errors."
        )


def lines_of_columns(estimator, forward, n_columns):
    """Return the lines that the columns of a catalogue hold.

    Parameters
    ----------
    estimator : RetrievalTransformer
        Its parameter ``lines``, or the names of its features, say.
    forward : ForwardModel
        The model.
    n_columns : int
        Number of columns.

    Returns
    -------
    lines : ndarray of shape (n_columns, n_features)
        As the forward model takes them.

    Raises
    ------
    ValueError
        If columns cannot be told, or are lines that the model does not have.
    """
    model = forward.model
    names = getattr(estimator, "feature_names_in_", None)
    lines = estimator.lines
    if lines is not None:
        lines = np.asarray(lines_of(lines, model), dtype=np.float64)
        if lines.ndim != 2 or len(lines) != n_columns or not np.isfinite(lines).all():
            raise ValueError(
                "`lines` must have a row, or a name, for each column of X, of which"
                f" there are {n_columns}, and be finite; got shape {lines.shape}."
            )
        forward.check_rows(lines)
        return lines
    positions = np.arange(n_columns, dtype=np.float64).reshape(-1, 1)
    if not hasattr(model, "predict"):
        return positions
    outputs = getattr(model, "output_names", None)
    if names is not None and outputs is not None:
        return lines_of(list(names), model)
    n_outputs = forward.n_outputs()
    if n_columns != n_outputs:
        known = "" if outputs is None else f", {list(outputs)}"
        raise ValueError(
            f"X has {n_columns} columns, and `forward_model` {n_outputs} outputs"
            f"{known}. Say by `lines` which of them the columns are, or pass a frame or"
            " table with their names. (Components of a factorisation are no lines:"
            " their profiles, its `components_`, are objects.)"
        )
    return positions


def read_catalogue(estimator, forward, X, sigma, upper_limit, reset=False):
    """Let the lines of objects in.

    Parameters
    ----------
    estimator : RetrievalTransformer
        Whose data they are.
    forward : ForwardModel
        The model, with the unit of the intensities.
    X : array-like of shape (n_objects, n_lines)
        Intensities.
    sigma, upper_limit : array-like or None
        Errors, and which intensities are limits.
    reset : bool, default=False
        Whether this is the fit.

    Returns
    -------
    X : ndarray of shape (n_objects, n_lines)
        NaN where not observed.
    sigma : ndarray of shape (n_objects, n_lines)
        Errors; 0 for limits that are exact, 1 where not observed.
    limit : ndarray of bool of shape (n_objects, n_lines)

    Raises
    ------
    ValueError
        If shapes do not fit, values are not possible, or there are no errors.
    TypeError
        If a unit is not the forward model's.
    """
    X = _in_unit(X, "X", forward.unit)
    X = validate(estimator, X, allow_nan=True, reset=reset, dtype=np.float64)
    names = getattr(estimator, "feature_names_in_", None)
    limit = _limits(upper_limit, X, names)
    if sigma is None:
        sigma = estimator.sigma
        if sigma is None:
            raise ValueError(
                "No uncertainties: pass sigma=..., the 1-sigma errors of X, or set the"
                " parameter `sigma`."
            )
    else:
        check_error_names(sigma, names)
        sigma = _in_unit(sigma, "sigma", forward.unit)
    exact = np.zeros_like(limit)
    if limit.any():
        # a limit without an error, or with an infinite one, is exact
        sigma = np.array(np.broadcast_to(_of_shape(sigma, X, "sigma"), X.shape))
        exact = limit & ~np.isfinite(sigma)
        sigma[exact] = 1.0
    sigma, X = check_errors(sigma, X)
    sigma[exact] = 0.0
    _check_sign(X, sigma, forward, names)
    return X, sigma, limit


def _in_unit(values, name, unit):
    """Return values in the unit of the forward model; a table stays one."""
    if not is_table(values):
        return in_unit(values, name, unit)
    from astropy.table import Table

    columns = {
        column: in_unit(values[column], f"{name}[{column!r}]", unit)
        for column in values.colnames
    }
    return Table({column: plain(v, column) for column, v in columns.items()})


def _of_shape(values, X, name):
    """Return values that may be broadcast to the shape of X, as an array."""
    values = np.asarray(plain(values, name), dtype=float)
    shape = X.shape
    if values.shape in ((), (1,), shape[1:], (1, shape[1]), (shape[0], 1), shape):
        return values
    raise ValueError(
        f"`{name}` must have the shape of X, {shape}, got {values.shape}; or one value"
        " for all, or one for each column."
    )


def _limits(upper_limit, X, names):
    """Return which observed intensities are limits."""
    if upper_limit is None:
        return np.zeros(X.shape, dtype=bool)
    check_error_names(upper_limit, names, "upper_limit")
    given = plain(upper_limit, "upper_limit")
    mask = np.ma.getmaskarray(upper_limit) if np.ma.isMA(upper_limit) else False
    bare = np.ma.getdata(upper_limit) if np.ma.isMA(upper_limit) else np.asarray(given)
    # a table's columns of booleans come as numbers
    if bare.dtype.kind != "b" and not np.isin(bare, (0.0, 1.0)).all():
        raise ValueError(
            "`upper_limit` must be boolean, True for lines that are below their"
            f" intensity in X; got dtype {bare.dtype}."
        )
    flags = _of_shape(bare, X, "upper_limit")
    observed = ~np.isnan(X)
    unknown = np.broadcast_to(mask, X.shape) & observed
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        raise ValueError(
            f"`upper_limit` is masked in row {row}, column {column}, where X is not:"
            " say whether it is a limit, or mask X too."
        )
    return np.broadcast_to(flags == 1, X.shape) & observed


def _check_sign(X, sigma, forward, names):
    """Check that a model of non-negative outputs could have made the data."""
    if not forward.nonnegative:
        return
    with np.errstate(invalid="ignore"):
        impossible = X < -_N_SIGMA * sigma
    if impossible.any():
        row, column = np.argwhere(impossible)[0]
        line = column if names is None else repr(names[column])
        raise ValueError(
            f"X is negative by more than {_N_SIGMA:g} sigma in row {row}, column"
            f" {line}: {X[row, column]:g} ({int(impossible.sum())} in all);"
            " `forward_model` cannot be. Check the baseline and the sign, or set such"
            " entries to NaN."
        )


def read_bands(band, n_columns, calibration_error):
    """Return the receiver bands of columns, numbered.

    Parameters
    ----------
    band : array-like of shape (n_columns,) or None
        Labels.
    n_columns : int
        Number of columns.
    calibration_error : float
        The scatter of the bands' calibrations.

    Returns
    -------
    band : ndarray of int of shape (n_columns,)

    Raises
    ------
    ValueError
        If there are too few or many labels, or nothing that they are for.
    """
    if band is None:
        return np.zeros(n_columns, dtype=int)
    if not calibration_error:
        raise ValueError(
            "`band` was given, but `calibration_error` is 0: name the scatter of"
            " the bands' calibrations."
        )
    labels = np.asarray(band)
    if labels.shape != (n_columns,):
        raise ValueError(
            f"`band` must have a label for each of {n_columns} columns of X, got an"
            f" array of shape {labels.shape}."
        )
    return np.unique(labels, return_inverse=True)[1]
