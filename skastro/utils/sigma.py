"""The door for errors: 1 sigma, one for each entry, infinite where there is none."""

import numpy as np

from .arrays import names_of, plain


def check_error_names(sigma, names, name="sigma", of="X"):
    """Refuse errors whose columns have the names of X's in another order.

    Parameters
    ----------
    sigma : object
        Errors as a user gave them. Names that X does not have at all, such as
        ``e_flux``, say nothing, and columns are taken as they come.
    names : sequence of str, or None
        Names of the columns of X that these are errors of, if they have any.
    name : str, default="sigma"
        The parameter's name.
    of : str, default="X"
        The name of X.

    Raises
    ------
    ValueError
        If they do.
    """
    own = None if names is None else names_of(sigma)
    if own is None or own == list(names) or not set(own) & set(names):
        return
    raise ValueError(
        f"The columns of `{name}` must be those of {of}, in the same order, got"
        f" {_some(own)} where {of} has {_some(names)}."
    )


def _some(names):
    names = list(names)
    return f"{names[:6]}{' …' if len(names) > 6 else ''}"


def broadcast_errors(sigma, shape, name="sigma", of="X"):
    """Return errors of the shape of X, of which one may serve for many entries.

    Parameters
    ----------
    sigma : array-like
        One value; one for each column, of shape (n_features,); one for each row, of
        shape (n_samples, 1); or one for each entry. A file that slices like an array
        is left as it is.
    shape : tuple of int
        Of X.
    name : str, default="sigma"
        The parameter's name.
    of : str, default="X"
        The name of X.

    Returns
    -------
    sigma : array of shape (n_samples, n_features)
        NaN where masked; may be a view that repeats values, so read only.

    Raises
    ------
    TypeError
        If it carries a unit, or holds no numbers.
    ValueError
        If it has another shape.
    """
    sigma = plain(sigma, name)
    if not (hasattr(sigma, "shape") and hasattr(sigma, "dtype")):
        sigma = np.asarray(sigma)
    if sigma.dtype.kind not in "fiu":
        raise TypeError(
            f"`{name}` must hold numbers, one 1-sigma error for each entry, got"
            f" {sigma.dtype}."
        )
    given, shape = tuple(sigma.shape), tuple(shape)
    if given == shape:
        return sigma
    if given in ((), (1,), shape[1:], (1, *shape[1:]), (shape[0], 1)):
        return np.broadcast_to(np.asarray(sigma), shape)
    raise ValueError(
        f"`{name}` must have the shape of {of}, {shape}, got {given}: one 1-sigma error"
        " for each entry; or one for all, or one for each column."
    )


def check_errors(sigma, X, name="sigma", allow_zero=False):
    """Let errors in, and say of which entries they tell that nothing was observed.

    Parameters
    ----------
    sigma : array-like
        1-sigma errors, in a shape that `broadcast_errors` takes. Infinity means not
        observed, as an inverse variance of 0 does. Any value will do where X is NaN.
    X : ndarray of shape (n_samples, n_features)
        Data, NaN where missing.
    name : str, default="sigma"
        The parameter's name.
    allow_zero : bool, default=False
        Whether an error may be zero.

    Returns
    -------
    sigma : ndarray of shape (n_samples, n_features)
        In the precision of X; 1 where X, as returned, is NaN.
    X : ndarray of shape (n_samples, n_features)
        With NaN where `sigma` is infinite; the same array if it is nowhere.

    Raises
    ------
    TypeError
        If it carries a unit.
    ValueError
        If it has another shape, or is not positive where X is observed.
    """
    sigma = np.array(broadcast_errors(sigma, X.shape, name), dtype=X.dtype, order="C")
    unseen = np.isposinf(sigma)
    observed = ~np.isnan(X)
    if np.any(unseen & observed):
        X = np.where(unseen, np.asarray(np.nan, dtype=X.dtype), X)
        observed &= ~unseen
    good = (sigma >= 0) if allow_zero else (sigma > 0)
    bad = observed & ~good
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"`{name}` must be {'zero or positive' if allow_zero else 'positive'} where"
            f" X is observed, got {sigma[row, column]} in row {row}, column {column}"
            f" ({int(bad.sum())} in all); set such an entry of X to NaN, or its error"
            " to infinity, if it is to be ignored."
        )
    sigma[~observed] = 1
    return sigma, X
