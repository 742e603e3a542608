r"""Integrals over a separable parameter, and draws of it, compiled.

Lines are linear between the nodes of a table. Between two nodes the integrand of
Gaussian errors is a Gaussian in the quantile :math:`u`; a segment that is long beside
it is cut into pieces of a standard deviation, half of one for other errors, with two
Gauss-Legendre points each, so that the sum is right however narrow the likelihood is.
"""

from math import erfc, exp, inf, lgamma, log, log1p, pi, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

#: What stands in tables where the model has no solution: far from any data, whose unit
#: in tables is their own error. Between nodes a share of it is left.
NO_SOLUTION = 1e30
SOLVED = 1e20
#: Segments whose chi-square is higher than the lowest by this do not count.
_NEGLIGIBLE = 36.0
#: Chi-square beyond any that data have: there is no solution at one end.
_FAR = 1e40
#: Square of the deviates along a segment that is cut into pieces: the trapezium of
#: shorter ones, corrected by its slopes, is right to half a per cent at worst.
_LONG = 2.0
#: Half the distance of the two points of Gauss and Legendre in a piece of length 1.
_GAUSS = 0.5 / sqrt(3.0)
#: Standard errors along a segment, at most; what is steeper has no solution at an end.
_MOST_PIECES = 20000.0
#: What errors that change along a segment may add to its highest log-probability.
_MARGIN = 3.0
#: Tries of a rejection, which succeeds in one of two.
_TRIES = 200


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


# -- Gaussian errors: a Gaussian in each segment


@njit(nogil=True, fastmath=True, cache=True)
def gaussian_squares(first, last, k, curves, scales, data, work):
    """Write chi-square at nodes, and the terms of the parabolas between them.

    ``work`` has the rows chi-square, mixed term, square term, lowest in the segment.
    Returns the lowest of all; `_FAR` or more where there is no solution.
    """
    chi, mixed, square, low = work[0], work[1], work[2], work[3]
    for i in range(k):
        chi[i] = mixed[i] = square[i] = 0.0
    for l in range(first, last):
        if not data.seen[l]:
            continue
        scale, target = scales[l] / data.sigma[l], data.y[l] / data.sigma[l]
        curve = curves[l]
        for i in range(k - 1):
            residual = scale * curve[i] - target
            difference = scale * (curve[i + 1] - curve[i])
            chi[i] += residual * residual
            mixed[i] += residual * difference
            square[i] += difference * difference
        residual = scale * curve[k - 1] - target
        chi[k - 1] += residual * residual
    lowest = 10 * _FAR
    for i in range(k - 1):
        where = min(max(-mixed[i] / max(square[i], 1e-200), 0.0), 1.0)
        value = chi[i] + where * (2 * mixed[i] + where * square[i])
        value = 10 * _FAR if max(chi[i], chi[i + 1]) > _FAR else value
        low[i] = value
        lowest = min(lowest, value)
    return lowest


@njit(nogil=True, fastmath=True, cache=True)
def _exponentials(k, chi, lowest, out):
    """Write ``exp(-(chi - lowest) / 2)``, many at once, to nine digits.

    A power of two is made of bits, and the rest is a polynomial.
    """
    bits = out.view(np.int64)
    for i in range(k):  # powers of two, rounded by the last bits of a large number
        power = max(-0.5 * (chi[i] - lowest), -690.0) * 1.4426950408889634
        out[i] = power + 6755399441055744.0
    for i in range(k):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(k):
        power = max(-0.5 * (chi[i] - lowest), -690.0) * 1.4426950408889634
        x = (power - np.rint(power)) * 0.6931471805599453
        series = 1 + x / 6 * (1 + x / 7)
        series = 1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * series))))
        out[i] *= series


@njit(nogil=True, cache=True)
def _pieces(i, work, lowest):
    """Return where a segment counts, and how many pieces that is cut into."""
    if work[3, i] - lowest > _NEGLIGIBLE:
        return 0.0, 0.0, 0
    width = 1 / sqrt(work[2, i])
    # around the place nearest to the middle
    near = min(max(-work[1, i] / work[2, i], 0.0), 1.0)
    start, end = max(near - 11 * width, 0.0), min(near + 11 * width, 1.0)
    return start, end, 1 + int((end - start) / width)


@njit(nogil=True, cache=True)
def _integral(begin, length, chi, mixed, square):
    """Return the integral over a piece, by two points."""
    middle, total = begin + 0.5 * length, 0.0
    for sign in (-1, 1):
        t = middle + sign * _GAUSS * length
        total += exp(-0.5 * (chi + t * (2 * mixed + t * square)))
    return 0.5 * length * total


@njit(nogil=True, fastmath=True, cache=True)
def _segments(k, lowest, work):
    """Write integrals over segments to the fifth row.

    Returns their sum, and how many segments are long: these are left 0.
    """
    mixed, square, nodes, integral = work[1], work[2], work[5], work[4]
    _exponentials(k, work[0], lowest, nodes)
    total, n_long = 0.0, 0
    for i in range(k - 1):
        # the trapezium, and what the slopes at its ends add
        value = 0.5 * (nodes[i] + nodes[i + 1])
        slopes = (mixed[i] + square[i]) * nodes[i + 1] - mixed[i] * nodes[i]
        value += slopes / 12
        long = square[i] > _LONG
        value = 0.0 if long else value
        n_long += 1 if long else 0
        integral[i] = value
        total += value
    return total, n_long


@njit(nogil=True, cache=True)
def gaussian_integral(k, lowest, work):
    """Return the logarithm of the integral over u, without the errors' own factors.

    After `gaussian_squares`, which returned ``lowest``.
    """
    if lowest > _FAR:
        return -inf
    total, n_long = _segments(k, lowest, work)
    if n_long:
        for i in range(k - 1):
            if work[2, i] <= _LONG:
                continue
            start, end, n = _pieces(i, work, lowest)
            for j in range(n):
                length = (end - start) / n
                work[4, i] += _integral(
                    start + j * length,
                    length,
                    work[0, i] - lowest,
                    work[1, i],
                    work[2, i],
                )
            total += work[4, i]
    return log(total / (k - 1)) - 0.5 * lowest if total > 0.0 else -inf


@njit(nogil=True, cache=True)
def _pick(k, integrals):
    """Draw a segment by the integrals over them."""
    total = 0.0
    for i in range(k - 1):
        total += integrals[i]
    level, chosen = np.random.random() * total, 0
    for i in range(k - 1):
        if integrals[i] > 0.0:
            chosen = i
            level -= integrals[i]
            if level <= 0.0:
                break
    return chosen


@njit(nogil=True, cache=True)
def gaussian_draw(k, work):
    """Draw u from a group's conditional density, after `gaussian_integral`."""
    i = _pick(k, work[4])
    lowest = inf
    for j in range(k - 1):
        lowest = min(lowest, work[3, j])
    chi, mixed, square = work[0, i] - lowest, work[1, i], work[2, i]
    begin, length = 0.0, 1.0
    if square > _LONG:
        start, end, n = _pieces(i, work, lowest)
        level, length = np.random.random() * work[4, i], (end - start) / n
        for j in range(n):
            begin = start + j * length
            level -= _integral(begin, length, chi, mixed, square)
            if level <= 0.0:
                break
    # within a piece the density is known, and so is its highest value
    t = begin
    if square > 0.0:
        t = min(max(-mixed / square, begin), begin + length)
    top = chi + t * (2 * mixed + t * square)
    for _ in range(_TRIES):
        t = begin + length * np.random.random()
        own = chi + t * (2 * mixed + t * square)
        if np.random.random() < exp(-0.5 * (own - top)):
            break
    return (i + t) / (k - 1)


# -- errors of any kind: pieces as long as half the smallest error


@njit(nogil=True, cache=True)
def log_lines(i, t, first, last, curves, spreads, scales, data):
    """Return the log-probability of a group's lines at a place in a segment."""
    total = 0.0
    for l in range(first, last):
        if not data.seen[l]:
            continue
        low, high = curves[l, i], curves[l, i + 1]
        if not max(abs(low), abs(high)) < SOLVED:
            return -inf
        predicted, spread = scales[l] * (low + t * (high - low)), 0.0
        if len(spreads):
            low, high = spreads[l, i], spreads[l, i + 1]
            spread = abs(scales[l]) * (low + t * (high - low))
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
def _n_pieces(i, first, last, curves, spreads, scales, data):
    """Return how many pieces a segment is cut into."""
    most = 0.0
    for l in range(first, last):
        if not data.seen[l]:
            continue
        error = data.sigma[l]
        if len(spreads):
            error = sqrt(error * error + (scales[l] * spreads[l, i]) ** 2)
        low, high = scales[l] * curves[l, i], scales[l] * curves[l, i + 1]
        change = abs(high - low)
        # an exact limit is a step, of which the place is found within a hundredth
        if error > 0.0:
            most = max(most, min(change / error, _MOST_PIECES))
        elif min(low, high) < data.y[l] < max(low, high):
            most = max(most, 100.0)
    return 1 + int(2 * most)


@njit(nogil=True, cache=True)
def _bounds(i, first, last, curves, spreads, scales, data):
    """Return what the log-probability in a segment is at most, and what it reaches."""
    bound, reached = 0.0, -inf
    for l in range(first, last):
        if not data.seen[l]:
            continue
        low, high = scales[l] * curves[l, i], scales[l] * curves[l, i + 1]
        if data.limit[l] or low == high:
            t = 0.0 if low <= high else 1.0
        else:
            t = min(max((data.y[l] - low) / (high - low), 0.0), 1.0)
        bound += log_lines(i, t, l, l + 1, curves, spreads, scales, data)
        value = log_lines(i, t, first, last, curves, spreads, scales, data)
        reached = max(reached, value)
    return bound, reached


@njit(nogil=True, cache=True)
def general_group(first, last, k, curves, spreads, scales, data, work):
    """Return the logarithm of the integral over u."""
    highest = -inf
    for i in range(k - 1):
        bound, reached = _bounds(i, first, last, curves, spreads, scales, data)
        work[3, i], work[1, i] = bound, 1
        highest = max(highest, reached)
    for i in range(k - 1):
        if not work[3, i] > highest - 0.5 * _NEGLIGIBLE - _MARGIN:
            work[3, i] = -inf
            continue
        n = _n_pieces(i, first, last, curves, spreads, scales, data)
        work[1, i] = n
        best = -inf
        for j in range(n):
            value = log_lines(
                i, (j + 0.5) / n, first, last, curves, spreads, scales, data
            )
            best = max(best, value)
        work[3, i] = best
    highest = -inf
    for i in range(k - 1):
        highest = max(highest, work[3, i])
    if highest == -inf:
        return -inf
    total = 0.0
    for i in range(k - 1):
        work[4, i] = 0.0
        if not work[3, i] > highest - 0.5 * _NEGLIGIBLE:
            continue
        n, own = int(work[1, i]), 0.0
        for j in range(n):
            for sign in (-1, 1):
                t = (j + 0.5 + sign * _GAUSS) / n
                value = log_lines(i, t, first, last, curves, spreads, scales, data)
                own += exp(value - highest)
        work[4, i] = 0.5 * own / n
        total += work[4, i]
    return log(total / (k - 1)) + highest if total > 0.0 else -inf


@njit(nogil=True, cache=True)
def general_draw(first, last, k, curves, spreads, scales, data, work):
    """Draw u from a group's conditional density, after `_general_group`."""
    chosen = _pick(k, work[4])
    n, highest = int(work[1, chosen]), work[3, chosen]
    # a piece, by the integrals over them
    piece, total = 0, 0.0
    for j in range(n if n > 1 else 0):
        own = 0.0
        for sign in (-1, 1):
            t = (j + 0.5 + sign * _GAUSS) / n
            value = log_lines(chosen, t, first, last, curves, spreads, scales, data)
            own += exp(value - highest)
        total += own
        if np.random.random() * total < own:
            piece = j
    # within it the density changes by less than half between its ends and its middle
    top = -inf
    for j in range(3):
        t = (piece + 0.5 * j) / n
        value = log_lines(chosen, t, first, last, curves, spreads, scales, data)
        top = max(top, value)
    top += 0.3
    t = (piece + 0.5) / n
    for _ in range(_TRIES):
        t = (piece + np.random.random()) / n
        value = log_lines(chosen, t, first, last, curves, spreads, scales, data)
        if np.random.random() < exp(value - top):
            break
    return (chosen + t) / (k - 1)
