r"""Likelihoods of many objects, integrated over what their lines are proportional to.

Lines :math:`y` with Gaussian errors :math:`\sigma`, whose predictions are
:math:`f\,g_l`, have a likelihood that is Gaussian in :math:`f`,

.. math:: \mu = \frac{\sum_l g_l y_l / \sigma_l^2}{\sum_l g_l^2 / \sigma_l^2}, \quad
          s^{-2} = \sum_l g_l^2 / \sigma_l^2,

so that its integral over a uniform prior of :math:`f` is a difference of two values of
the normal distribution function, and the posterior of :math:`f`, given all else, a
truncated normal distribution.
"""

from math import erfc, exp, log, pi, sqrt

import numpy as np
from numba import njit
from scipy import special

#: Log-likelihoods lower than the highest by this need not be exact.
_NEGLIGIBLE = 40.0
#: Deviates beyond which there is nothing.
_WIDE = 7.0
#: What stands for a line without a solution, and squares that only it has.
UNSOLVED = 1e120
_FAR = 1e200
#: Draws whose sums stay in the nearest cache.
_BLOCK = 512


@njit(nogil=True, cache=True)
def _log_interval(low, high):
    """Return the logarithm of the normal probability between two deviates."""
    if low > 0.0:  # the tail that has more digits
        low, high = -high, -low
    if high < -30.0:
        # nearly exponential from its upper end on
        slope = -high - 1.0 / high
        share = 1.0 - exp(-slope * (high - low)) if high - low < 50.0 / slope else 1.0
        series = 1.0 - 1.0 / (high * high)
        return -0.5 * high * high - log(-high) - 0.5 * log(2 * pi) + log(series * share)
    upper, lower = erfc(-high / sqrt(2.0)), erfc(-low / sqrt(2.0))
    return log(max(0.5 * (upper - lower), 1e-300))


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _sums(begin, n, lines, y, weight, square, mixed):
    """Write the sums over an object's lines for ``n`` draws, of a block."""
    for m in range(n):
        square[m] = mixed[m] = 0.0
    for l in range(len(y)):
        own, product = weight[l], weight[l] * y[l]
        if own > 0.0:
            for m in range(n):
                line = lines[l, begin + m]
                square[m] += own * line * line
                mixed[m] += product * line


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _highest(n, square_y, square, mixed, value):
    """Write log-likelihoods at the best scale, but for a constant."""
    for m in range(n):
        # where nothing is predicted, the scale does not matter
        value[m] = 0.5 * (mixed[m] * mixed[m] / (square[m] + 1e-300) - square_y)


@njit(nogil=True, cache=True)
def integrated_log_likelihoods(lines, y, weight, lower, upper, out):
    """Write log-likelihoods integrated over a uniform scale.

    Parameters
    ----------
    lines : ndarray of shape (n_lines, n_draws)
        Predictions at a scale of 1; `UNSOLVED` without a solution.
    y, weight : ndarray of shape (n_objects, n_lines)
        Lines of objects, and ``1 / sigma**2``, 0 where not observed.
    lower, upper : float
        Bounds of the scale.
    out : ndarray of shape (n_objects, n_draws)
        Written; minus infinity without a solution.
    """
    n_objects, n_lines = y.shape
    n_draws = lines.shape[1]
    square, mixed, high = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for i in range(n_objects):
        constant, square_y, best, scale = -log(upper - lower), 0.0, -np.inf, 0.0
        for l in range(n_lines):
            if weight[i, l] > 0.0:
                constant += 0.5 * log(weight[i, l] / (2 * pi))
                square_y += y[i, l] * y[i, l] * weight[i, l]
                scale = max(scale, weight[i, l])
        for begin in range(0, n_draws, _BLOCK):
            n = min(_BLOCK, n_draws - begin)
            _sums(begin, n, lines, y[i], weight[i], square, mixed)
            _highest(n, square_y, square, mixed, high)
            for m in range(n):
                if square[m] > scale * _FAR:
                    out[i, begin + m] = -np.inf
                    continue
                if square[m] * (upper * upper) < 1e-12:  # nothing is predicted
                    nothing = constant + log(upper - lower) - 0.5 * square_y
                    out[i, begin + m] = nothing
                    continue
                value = constant + high[m] + 0.5 * log(2 * pi / square[m])
                # what the bounds take away does not matter to what cannot count
                if value > best - _NEGLIGIBLE:
                    mean, root = mixed[m] / square[m], sqrt(square[m])
                    bounds = (lower - mean) * root, (upper - mean) * root
                    if bounds[0] > -_WIDE or bounds[1] < _WIDE:
                        value += _log_interval(*bounds)
                    best = max(best, value)
                out[i, begin + m] = value


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _chi_square(begin, n, lines, y, weight, chi):
    """Write chi-square of an object for ``n`` draws, of a block."""
    for m in range(n):
        chi[m] = 0.0
    for l in range(len(y)):
        if weight[l] > 0.0:
            for m in range(n):
                residual = lines[l, begin + m] - y[l]
                chi[m] += residual * residual * weight[l]


@njit(nogil=True, cache=True)
def log_likelihoods(lines, y, weight, out):
    """Write log-likelihoods of Gaussian errors.

    Parameters
    ----------
    lines : ndarray of shape (n_lines, n_draws)
        Predictions; `UNSOLVED` without a solution.
    y, weight, out :
        As for `integrated_log_likelihoods`.
    """
    n_objects, n_lines = y.shape
    n_draws, chi = lines.shape[1], np.empty(_BLOCK)
    for i in range(n_objects):
        constant, scale = 0.0, 0.0
        for l in range(n_lines):
            if weight[i, l] > 0.0:
                constant += 0.5 * log(weight[i, l] / (2 * pi))
                scale = max(scale, weight[i, l])
        for begin in range(0, n_draws, _BLOCK):
            n = min(_BLOCK, n_draws - begin)
            _chi_square(begin, n, lines, y[i], weight[i], chi)
            for m in range(n):
                far = chi[m] > scale * _FAR
                out[i, begin + m] = -np.inf if far else constant - 0.5 * chi[m]


def draw_scale(lines, y, weight, lower, upper, rng):
    """Draw the scale of an object, given all else.

    Parameters
    ----------
    lines : ndarray of shape (n_draws, n_lines)
        Predictions at a scale of 1.
    y, weight : ndarray of shape (n_lines,)
        The object.
    lower, upper : float
        Bounds of the scale.
    rng : numpy Generator
        Source of random numbers.

    Returns
    -------
    scale : ndarray of shape (n_draws,)
    """
    square = (lines**2) @ weight
    flat = square * upper**2 < 1e-12
    square = np.where(flat, 1.0, square)
    mean, width = (lines @ (y * weight)) / square, square**-0.5
    low, high = (lower - mean) / width, (upper - mean) / width
    v = rng.random(len(lines))
    # in the tail that has more digits
    turned = low > 0
    low, high = np.where(turned, -high, low), np.where(turned, -low, high)
    log_low, log_high = special.log_ndtr(low), special.log_ndtr(high)
    level = log_high + np.log(v + (1 - v) * np.exp(log_low - log_high))
    deviate = special.ndtri_exp(level)
    scale = mean + width * np.where(turned, -deviate, deviate)
    return np.clip(np.where(flat, lower + v * (upper - lower), scale), lower, upper)
