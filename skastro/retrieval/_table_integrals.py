r"""Integrals over a separable parameter for errors of any kind, and draws of it.

Limits, Student's t and the model's own errors: a segment between two nodes of a table
is cut into pieces as long as half the smallest error, with two Gauss-Legendre points
each.
"""

from math import erfc, exp, inf, lgamma, log, log1p, pi, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

from ._table_gaussian import GAUSS_POINT, NEGLIGIBLE, TRIES, pick_segment

#: What stands in tables where the model has no solution: far from any data, whose unit
#: in tables is their own error. Between nodes a share of it is left.
NO_SOLUTION = 1e30
SOLVED = 1e20
#: Standard errors along a segment, at most; what is steeper has no solution at an end.
_MOST_PIECES = 20000.0
#: What errors that change along a segment may add to its highest log-probability.
_MARGIN = 3.0


class Data(NamedTuple):
    """The lines of one object, in the order of the tables."""

    #: (n_lines,), bool: which were observed
    seen: np.ndarray
    #: (n_lines,): intensities or limits, any number where not observed
    y: np.ndarray
    #: (n_lines,): 1-sigma errors, 0 for exact limits
    sigma: np.ndarray
    #: (n_lines,), bool
    limit: np.ndarray
    #: (n_lines,): number of the band whose calibration error a line has; -1 for none
    band: np.ndarray
    #: scatter of the bands' factors
    calibration_error: float
    #: of Student's t; 0 for a Gaussian
    degrees_of_freedom: float
    #: logarithm of what densities are multiplied by, for the unit that lines are in
    constant: float


@njit(nogil=True, cache=True)
def _log_below(x):
    """Return the logarithm of the standard normal distribution function."""
    if x > -20.0:
        return log(0.5 * erfc(-x / sqrt(2.0)))
    square = x * x
    series = 1 - (1 - (3 - 15 / square) / square) / square
    return -0.5 * square - log(-x) - 0.5 * log(2 * pi) + log(series)


@njit(nogil=True, cache=True)
def log_density(predicted, spread, y, sigma, limit, freedom):
    """Return the log-probability of one line, given its prediction."""
    if limit:
        error = sqrt(sigma * sigma + spread * spread)
        if error == 0.0:
            return 0.0 if predicted <= y else -inf
        return _log_below((y - predicted) / error)
    variance = sigma * sigma + spread * spread
    square = (y - predicted) ** 2 / variance
    if freedom > 0.0:
        return (
            lgamma(0.5 * (freedom + 1))
            - lgamma(0.5 * freedom)
            - 0.5 * log(freedom * pi * variance)
            - 0.5 * (freedom + 1) * log1p(square / freedom)
        )
    return -0.5 * (square + log(2 * pi * variance))


@njit(nogil=True, cache=True)
def log_lines(i, t, first, last, lines, data):
    """Return the log-probability of a group's lines at a place in a segment."""
    total = 0.0
    for l in range(first, last):
        if not data.seen[l]:
            continue
        low, high = (
            lines.curve[lines.places[l] + i],
            lines.curve[lines.places[l] + i + 1],
        )
        if not max(abs(low), abs(high)) < SOLVED:
            return -inf
        predicted, spread = lines.scales[l] * (low + t * (high - low)), 0.0
        if len(lines.spread):
            low, high = (
                lines.spread[lines.places[l] + i],
                lines.spread[lines.places[l] + i + 1],
            )
            spread = abs(lines.scales[l]) * (low + t * (high - low))
        total += log_density(
            predicted,
            spread,
            data.y[l],
            data.sigma[l],
            data.limit[l],
            data.degrees_of_freedom,
        )
    return total


@njit(nogil=True, cache=True)
def _n_pieces(i, first, last, lines, data):
    """Return how many pieces a segment is cut into."""
    most = 0.0
    for l in range(first, last):
        if not data.seen[l]:
            continue
        error = data.sigma[l]
        if len(lines.spread):
            error = sqrt(
                error * error
                + (lines.scales[l] * lines.spread[lines.places[l] + i]) ** 2
            )
        low, high = (
            lines.scales[l] * lines.curve[lines.places[l] + i],
            lines.scales[l] * lines.curve[lines.places[l] + i + 1],
        )
        change = abs(high - low)
        # an exact limit is a step, of which the place is found within a hundredth
        if error > 0.0:
            most = max(most, min(change / error, _MOST_PIECES))
        elif min(low, high) < data.y[l] < max(low, high):
            most = max(most, 100.0)
    return 1 + int(2 * most)


@njit(nogil=True, cache=True)
def _bounds(i, first, last, lines, data):
    """Return what the log-probability in a segment is at most, and what it reaches."""
    bound, reached = 0.0, -inf
    for l in range(first, last):
        if not data.seen[l]:
            continue
        low, high = (
            lines.scales[l] * lines.curve[lines.places[l] + i],
            lines.scales[l] * lines.curve[lines.places[l] + i + 1],
        )
        if data.limit[l] or low == high:
            t = 0.0 if low <= high else 1.0
        else:
            t = min(max((data.y[l] - low) / (high - low), 0.0), 1.0)
        bound += log_lines(i, t, l, l + 1, lines, data)
        value = log_lines(i, t, first, last, lines, data)
        reached = max(reached, value)
    return bound, reached


@njit(nogil=True, cache=True)
def general_group(first, last, k, lines, data, work):
    """Return the logarithm of the integral over u."""
    highest = -inf
    for i in range(k - 1):
        bound, reached = _bounds(i, first, last, lines, data)
        work.low[i], work.mixed[i] = bound, 1
        highest = max(highest, reached)
    for i in range(k - 1):
        if not work.low[i] > highest - 0.5 * NEGLIGIBLE - _MARGIN:
            work.low[i] = -inf
            continue
        n = _n_pieces(i, first, last, lines, data)
        work.mixed[i] = n
        best = -inf
        for j in range(n):
            value = log_lines(i, (j + 0.5) / n, first, last, lines, data)
            best = max(best, value)
        work.low[i] = best
    highest = -inf
    for i in range(k - 1):
        highest = max(highest, work.low[i])
    if highest == -inf:
        return -inf
    total = 0.0
    for i in range(k - 1):
        work.integrals[i] = 0.0
        if not work.low[i] > highest - 0.5 * NEGLIGIBLE:
            continue
        n, own = int(work.mixed[i]), 0.0
        for j in range(n):
            for sign in (-1, 1):
                t = (j + 0.5 + sign * GAUSS_POINT) / n
                value = log_lines(i, t, first, last, lines, data)
                own += exp(value - highest)
        work.integrals[i] = 0.5 * own / n
        total += work.integrals[i]
    return log(total / (k - 1)) + highest if total > 0.0 else -inf


@njit(nogil=True, cache=True)
def general_look(first, last, k, lines, data, work):
    """Return about the logarithm of the integral over u.

    A segment counts as what is highest in it, by about the width that it has there.
    """
    highest, total = -inf, 0.0
    for i in range(k - 1):
        square = 0.0
        for l in range(first, last):
            if data.seen[l] and not data.limit[l]:
                place, scale, error = (
                    lines.places[l] + i,
                    lines.scales[l],
                    data.sigma[l],
                )
                change = scale * (lines.curve[place + 1] - lines.curve[place])
                if len(lines.spread):
                    error = sqrt(error * error + (scale * lines.spread[place]) ** 2)
                square += (change / error) ** 2
        work.low[i] = _bounds(i, first, last, lines, data)[1]
        work.low[i] -= 0.5 * log(1.0 + square / (2 * pi))
        highest = max(highest, work.low[i])
    if highest == -inf:
        return -inf
    for i in range(k - 1):
        total += exp(work.low[i] - highest)
    return log(total / (k - 1)) + highest


@njit(nogil=True, cache=True)
def general_draw(first, last, k, lines, data, work):
    """Draw u from a group's conditional density, after `_general_group`."""
    chosen = pick_segment(k, work.integrals)
    n, highest = int(work.mixed[chosen]), work.low[chosen]
    # a piece, by the integrals over them
    piece, total = 0, 0.0
    for j in range(n if n > 1 else 0):
        own = 0.0
        for sign in (-1, 1):
            t = (j + 0.5 + sign * GAUSS_POINT) / n
            value = log_lines(chosen, t, first, last, lines, data)
            own += exp(value - highest)
        total += own
        if np.random.random() * total < own:
            piece = j
    # within it the density changes by less than half between its ends and its middle
    top = -inf
    for j in range(3):
        t = (piece + 0.5 * j) / n
        value = log_lines(chosen, t, first, last, lines, data)
        top = max(top, value)
    top += 0.3
    t = (piece + 0.5) / n
    for _ in range(TRIES):
        t = (piece + np.random.random()) / n
        value = log_lines(chosen, t, first, last, lines, data)
        if np.random.random() < exp(value - top):
            break
    return (chosen + t) / (k - 1)
