"""The range an emulator has learned, and what to do outside it."""

import copy

import numpy as np
from sklearn.base import RegressorMixin

from .warn import warn

#: Neighbouring values near an end that its distance is the mean of, at least; and their
#: share of all.
_NEIGHBOURS, _NEAR = 5, 0.02


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
        Lowest and highest values, widened by 1 % of the range, or by twice the mean
        distance of neighbouring values near that end where that is more: the samples
        of a design do not reach its bounds, but lie within about one such distance of
        them.
    """
    rounding = 1e-6 * np.abs(X).max(axis=0)  # of single precision
    values = np.sort(X, axis=0)
    k = min(len(X) - 1, max(_NEIGHBOURS, round(_NEAR * len(X))))
    near_lower = (values[k] - values[0]) / k
    near_upper = (values[-1] - values[-1 - k]) / k
    least = 0.01 * (values[-1] - values[0])
    lower = values[0] - np.maximum(2 * near_lower, least) - rounding
    return np.stack([lower, values[-1] + np.maximum(2 * near_upper, least) + rounding])


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


def check_extrapolation(X, domain, policy, names=None, inside=None):
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
    inside : ndarray of bool of shape (n_samples,), default=None
        Which samples count as within the range; those in the box by default.

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
    if inside is None:
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
    warn(message, ExtrapolationWarning)
    return None


class ScoredEverywhere(RegressorMixin):
    """Mixin of emulators whose `score` judges them outside their range too."""

    def score(self, X, y, sample_weight=None):
        """Return the coefficient of determination of predictions.

        Samples outside the training range count as they are predicted, whatever
        `extrapolation` says, and without a warning: of the folds of a cross-validation
        there are always some that hold an outermost sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Parameters of simulations.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their outputs.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of samples.

        Returns
        -------
        score : float
            R^2; 1 is perfect.
        """
        judged = copy.copy(self)
        judged.extrapolation = "ignore"
        return RegressorMixin.score(judged, X, y, sample_weight)
