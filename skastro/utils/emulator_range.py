"""The range an emulator has learned, and what to do outside it."""

import warnings

import numpy as np


class ExtrapolationWarning(UserWarning):
    """An emulator was asked outside the range that it has learned."""


def training_domain(X):
    """Return the box that training samples cover.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Training samples.

    Returns
    -------
    domain : ndarray of shape (2, n_features)
        Lowest and highest values, widened by 1 % of the range, or by
        ``1 / n_samples`` of it where that is more: the samples of a design do not
        reach its bounds, but lie within about one n-th of them.
    """
    rounding = 1e-6 * np.abs(X).max(axis=0)  # of single precision
    span = np.ptp(X, axis=0) * max(0.01, 1 / len(X)) + rounding
    return np.stack([X.min(axis=0) - span, X.max(axis=0) + span])


def in_box(X, domain):
    """Whether rows lie in a box.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    domain : ndarray of shape (2, n_features)
        Lower and upper bounds.

    Returns
    -------
    inside : ndarray of shape (n_samples,), dtype bool
    """
    return ((X >= domain[0]) & (X <= domain[1])).all(axis=1)


def check_extrapolation(X, domain, policy, names=None, stacklevel=4):
    """Raise, warn or do nothing where samples lie outside the training range.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    domain : ndarray of shape (2, n_features)
        The box of :func:`training_domain`.
    policy : {"raise", "warn", "nan", "ignore"}
        What to do; with ``"nan"`` it is left to the caller to write them.
    names : sequence of str, default=None
        Names of the features.
    stacklevel : int, default=4
        Whose line the warning shows.

    Returns
    -------
    outside : ndarray of shape (n_samples,), dtype bool, or None
        The samples to be NaN, with the policy ``"nan"`` and if there are any.

    Raises
    ------
    ValueError
        With the policy ``"raise"``; the message names the first offender.
    """
    if policy == "ignore":
        return None
    inside = in_box(X, domain)
    if inside.all():
        return None
    if policy == "nan":
        return ~inside
    lower, upper = domain
    row = int(np.argmin(inside))
    column = int(np.argmax((X[row] < lower) | (X[row] > upper)))
    name = f"feature {column}" if names is None else names[column]
    message = (
        f"{int((~inside).sum())} of {len(X)} samples lie outside the training range;"
        f" the first, row {row}, has {name} = {X[row, column]:.6g} where"
        f" [{lower[column]:.6g}, {upper[column]:.6g}] was learned. An emulator only"
        " interpolates: train it on a wider range, or set `extrapolation`."
    )
    if policy == "raise":
        raise ValueError(message)
    warnings.warn(message, ExtrapolationWarning, stacklevel=stacklevel)
    return None
