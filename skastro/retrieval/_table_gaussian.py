r"""Integrals over a separable parameter where errors are Gaussian, and draws of it.

Lines are linear between the nodes of a table, so that between two nodes the integrand
is a Gaussian in the quantile :math:`u`: the trapezium, corrected by its slopes, is
right for a segment that is short beside it, and the error function for one that is
long.

Loops are such as compilers make vectors of: no view of an array is made within them,
and no division is looked at for zeros.
"""

from math import erfc, exp, log, pi, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

from ._exponentials import exponentials

#: Segments whose chi-square is higher than the lowest by this do not count.
NEGLIGIBLE = 36.0
#: Half the distance of the two points of Gauss and Legendre in a piece of length 1.
GAUSS_POINT = 0.5 / sqrt(3.0)
#: Chi-square beyond any that data have: there is no solution at one end.
_FAR = 1e40
#: Square of the deviates along a segment that is long: the trapezium of shorter ones,
#: corrected by its slopes, is right to half a per cent at worst.
_LONG = 2.0
#: Chi-square whose exponential has all its digits, and a sum of these that has.
_SAFE, _LEAST = 1200.0, 1e-260
#: Slope of the log-likelihood along a segment that is steep: the trapezium is wrong.
_STEEP = 3.0
#: Shares of the integral that long and steep segments may have and not be looked at.
_SHARE, _STEEP_SHARE = 1e-4, 0.05
#: Tries of a rejection, which succeeds in one of two.
TRIES = 200


class Lines(NamedTuple):
    """All lines at one draw of what they share.

    Parameters
    ----------
    curve : ndarray of shape (n_entries,)
        The lines at their nodes in u, one after the other.
    spread : ndarray of that shape, or empty
        The model's own errors, if it states them.
    places : ndarray of int of shape (n_lines,)
        Where each line begins.
    scales : ndarray of shape (n_lines,)
        What each is multiplied by.
    """

    curve: np.ndarray
    spread: np.ndarray
    places: np.ndarray
    scales: np.ndarray


class Work(NamedTuple):
    """What is known of a group at the nodes in u, and between them.

    Parameters
    ----------
    chi : ndarray of shape (n_nodes,)
        Chi-square at nodes.
    mixed, square : ndarray of shape (n_nodes,)
        At a share t of a segment chi-square is ``chi + t * (2 * mixed + t * square)``.
    low : ndarray of shape (n_nodes,)
        Lowest chi-square of the segment.
    nodes : ndarray of shape (n_nodes,)
        Likelihoods at nodes.
    bits : ndarray of int of shape (n_nodes,)
        The same memory, as integers.
    integrals : ndarray of shape (n_nodes,)
        Over segments.
    """

    chi: np.ndarray
    mixed: np.ndarray
    square: np.ndarray
    low: np.ndarray
    nodes: np.ndarray
    bits: np.ndarray
    integrals: np.ndarray


@njit(nogil=True, cache=True)
def make_work(n_nodes):
    """Return room for a group of at most ``n_nodes`` nodes."""
    nodes = np.empty(n_nodes)
    return Work(
        np.empty(n_nodes),
        np.empty(n_nodes),
        np.empty(n_nodes),
        np.empty(n_nodes),
        nodes,
        nodes.view(np.int64),
        np.empty(n_nodes),
    )


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _add_line(k, curve, begin, scale, target, chi, mixed, square):
    """Add a line to chi-square at nodes, and to the parabolas between them."""
    for i in range(k - 1):
        residual = scale * curve[begin + i] - target
        difference = scale * (curve[begin + i + 1] - curve[begin + i])
        chi[i] += residual * residual
        mixed[i] += residual * difference
        square[i] += difference * difference
    residual = scale * curve[begin + k - 1] - target
    chi[k - 1] += residual * residual


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _lowest(k, chi, mixed, square, low):
    """Write the lowest chi-square of each segment, and return that of all.

    It is `_FAR` or more where there is no solution.
    """
    for i in range(k - 1):
        where = min(max(-mixed[i] / (square[i] + 1e-200), 0.0), 1.0)
        own = chi[i] + where * (2 * mixed[i] + where * square[i])
        low[i] = 10 * _FAR if max(chi[i], chi[i + 1]) > _FAR else own
    lowest = 10 * _FAR
    for i in range(k - 1):
        lowest = min(lowest, low[i])
    return lowest


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _trapezia(k, mixed, square, nodes, integrals):
    """Write integrals over segments, given the likelihoods at nodes.

    Returns
    -------
    total : float
        Sum of the integrals over short segments; those over long ones are left 0.
    n_hidden : float
        Long segments that the likelihood has its maximum in.
    more : float
        What the other long segments add at most.
    steep : float
        What steep segments have at most.
    """
    total = n_hidden = more = steep = 0.0
    for i in range(k - 1):
        # the trapezium, and what the slopes at its ends add
        value = 0.5 * (nodes[i] + nodes[i + 1])
        value += ((mixed[i] + square[i]) * nodes[i + 1] - mixed[i] * nodes[i]) / 12
        long = 1.0 if square[i] > _LONG else 0.0
        hidden = 1.0 if mixed[i] * (mixed[i] + square[i]) < 0.0 else 0.0
        n_hidden += long * hidden
        more += long * (nodes[i] + nodes[i + 1])
        slope = max(abs(mixed[i]), abs(mixed[i] + square[i]))
        steep += nodes[i] + nodes[i + 1] if slope > _STEEP else 0.0
        value = 0.0 if square[i] > _LONG else max(value, 0.0)
        integrals[i] = value
        total += value
    return total, n_hidden, more, steep


@njit(nogil=True, cache=True)
def _is_sharp(mixed, square):
    """Tell whether a segment is long or steep."""
    return square > _LONG or max(abs(mixed), abs(mixed + square)) > _STEEP


@njit(nogil=True, cache=True)
def _mills(x):
    """Return Mills' ratio of a positive deviate: the tail over the density."""
    if x > 20.0:
        square = x * x
        return (1.0 - (1.0 - 3.0 / square) / square) / x
    return sqrt(pi / 2) * exp(0.5 * x * x) * erfc(x / sqrt(2.0))


@njit(nogil=True, cache=True)
def _integral(chi, mixed, square):
    """Return the integral over a segment, a Gaussian between two deviates."""
    root = sqrt(square)
    begin, end = mixed / root, (mixed + square) / root
    if begin < 0.0 < end:
        share = 2.0 - erfc(-begin / sqrt(2.0)) - erfc(end / sqrt(2.0))
        return sqrt(pi / 2) / root * exp(-0.5 * (chi - begin * begin)) * share
    near, far = begin, end
    if end <= 0.0:
        near, far, chi = -end, -begin, chi + 2 * mixed + square
    rest = exp(0.5 * (near * near - far * far)) * _mills(far)
    return exp(-0.5 * chi) / root * (_mills(near) - rest)


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _widths(k, square, nodes):
    """Return the sum of likelihoods of segments, times about their widths."""
    total = 0.0
    for i in range(k - 1):
        total += nodes[i] / np.sqrt(1.0 + square[i] / (2 * pi))
    return total


@njit(nogil=True, cache=True)
def gaussian_group(
    begin, end, first, last, k, curves, places, scales, data, work, exact, values
):
    """Add the log-likelihoods of a group, integrated over its parameter.

    Parameters
    ----------
    begin, end : int
        Draws to do.
    first, last : int
        Lines of the group.
    k : int
        Nodes.
    curves : ndarray of shape (n, n_entries)
        All lines at their nodes, of each draw.
    places : ndarray of int of shape (n_lines,)
        Where each line begins.
    scales : ndarray of shape (n, n_lines)
        What each is multiplied by.
    data : Data
        The object.
    work : Work
        Left as it is for the last draw.
    exact : bool
        Whether integrals are exact; or a segment counts as what is highest in it, by
        about the width that it has there.
    values : ndarray of shape (n,)
        Added to, without the errors' own factors; minus infinity where there is no
        solution.
    """
    chi, mixed, square, low = work.chi, work.mixed, work.square, work.low
    nodes, bits, integrals = work.nodes, work.bits, work.integrals
    for m in range(begin, end):
        for i in range(k):
            chi[i] = mixed[i] = square[i] = 0.0
        for l in range(first, last):
            if data.seen[l]:
                scale, target = scales[m, l] / data.sigma[l], data.y[l] / data.sigma[l]
                _add_line(k, curves[m], places[l], scale, target, chi, mixed, square)
        least = 0.0
        if exact:
            exponentials(k, chi, -0.5, 0.0, nodes, bits)
            total, n_hidden, more, steep = _trapezia(k, mixed, square, nodes, integrals)
            right = more < _SHARE * total and steep < _STEEP_SHARE * total
            if n_hidden == 0 and right and total > _LEAST:
                values[m] += log(total / (k - 1))
                continue
        lowest = _lowest(k, chi, mixed, square, low)
        if lowest > _FAR:
            values[m] = -np.inf
            continue
        if not exact:
            exponentials(k - 1, low, -0.5, lowest, nodes, bits)
            values[m] += log(_widths(k, square, nodes) / (k - 1)) - 0.5 * lowest
            continue
        if lowest > _SAFE:
            least = lowest
            exponentials(k, chi, -0.5, least, nodes, bits)
            _trapezia(k, mixed, square, nodes, integrals)
        total = 0.0
        for i in range(k - 1):
            if low[i] - lowest < NEGLIGIBLE and _is_sharp(mixed[i], square[i]):
                integrals[i] = _integral(chi[i] - least, mixed[i], square[i])
            total += integrals[i]
        values[m] += log(total / (k - 1)) - 0.5 * least if total > 0.0 else -np.inf


@njit(nogil=True, fastmath=True, cache=True)
def _sum(n, values):
    """Return the sum of the first values."""
    total = 0.0
    for i in range(n):
        total += values[i]
    return total


@njit(nogil=True, cache=True)
def pick_segment(k, integrals):
    """Draw a segment by the integrals over them."""
    level, chosen = np.random.random() * _sum(k - 1, integrals), 0
    for i in range(k - 1):
        if integrals[i] > 0.0:
            chosen = i
            level -= integrals[i]
            if level <= 0.0:
                break
    return chosen


@njit(nogil=True, cache=True)
def gaussian_draw(k, work):
    """Draw u from a group's conditional density, after `gaussian_group`."""
    i = pick_segment(k, work.integrals)
    mixed, square = work.mixed[i], work.square[i]
    begin, length = 0.0, 1.0
    if _is_sharp(mixed, square):
        # pieces as wide as it is there, around the place nearest to the middle
        near = min(max(-mixed / square, 0.0), 1.0)
        width = 1 / max(sqrt(square), abs(mixed + near * square))
        start, end = max(near - 11 * width, 0.0), min(near + 11 * width, 1.0)
        n, total = 1 + int((end - start) / width), 0.0
        length = (end - start) / n
        highest = near * (2 * mixed + near * square)
        for j in range(n):  # one after the other, by their share of all so far
            own = 0.0
            for sign in (-1, 1):
                t = start + (j + 0.5 + sign * GAUSS_POINT) * length
                own += exp(-0.5 * (t * (2 * mixed + t * square) - highest))
            total += own
            if np.random.random() * total < own:
                begin = start + j * length
    # within a piece the density is known, and so is its highest value
    t = begin
    if square > 0.0:
        t = min(max(-mixed / square, begin), begin + length)
    top = t * (2 * mixed + t * square)
    for _ in range(TRIES):
        t = begin + length * np.random.random()
        own = t * (2 * mixed + t * square)
        if np.random.random() < exp(-0.5 * (own - top)):
            break
    return (i + t) / (k - 1)
