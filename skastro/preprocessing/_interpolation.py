"""Interpolation of spectra that carries gaps and errors, compiled."""

import numpy as np
from numba import njit

#: Pixels that a value is interpolated from, where there are so many without a gap.
TAPS = 6


@njit(cache=True)
def _weights(x, nodes, first, n, out):
    """Write Lagrange's weights of n neighbouring nodes at x."""
    for a in range(n):
        w = 1.0
        for b in range(n):
            if b != a:
                w *= (x - nodes[first + b]) / (nodes[first + a] - nodes[first + b])
        out[a] = w


@njit(cache=True)
def interpolate(f, s, nodes, joined, x, effective, values, errors):
    """Interpolate a spectrum.

    By six pixels, three on either side, or four near gaps where there are as many; NaN
    where one of the two next is missing.

    Parameters
    ----------
    f, s : ndarray of shape (n,)
        Values, NaN where missing, and errors.
    nodes : ndarray of shape (n,)
        Where they are, increasing.
    joined : ndarray of bool of shape (n,)
        Whether a pixel and the next have no gap between them.
    x : ndarray of shape (m,)
        Where values are wanted, increasing.
    effective : bool
        Whether errors are those of pixels as if independent.
    values, errors : ndarray of shape (m,)
        The result.
    """
    n, m = len(f), len(x)
    starts, counts = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    weights, given = np.empty((m, TAPS)), np.zeros(n)
    i = 0
    for j in range(m):
        values[j] = errors[j] = np.nan
        if not (nodes[0] <= x[j] <= nodes[n - 1]):
            continue
        while i < n - 2 and nodes[i + 1] <= x[j]:
            i += 1
        # a pixel that is hit needs no neighbour
        if x[j] == nodes[i] or (n > 1 and x[j] == nodes[i + 1]):
            hit = i if x[j] == nodes[i] else i + 1
            if not np.isnan(f[hit]):
                starts[j], counts[j], weights[j, 0] = hit, 1, 1.0
                given[hit] += 1.0
            continue
        if n < 2 or not joined[i] or np.isnan(f[i]) or np.isnan(f[i + 1]):
            continue
        # as many on both sides, or at least four near a gap
        left, right = i, i + 1
        while right - left + 1 < TAPS:
            down = left > 0 and joined[left - 1] and not np.isnan(f[left - 1])
            up = right < n - 1 and joined[right] and not np.isnan(f[right + 1])
            if down and up:
                left, right = left - 1, right + 1
            elif right - left + 1 < 4 and down:
                left -= 1
            elif right - left + 1 < 4 and up:
                right += 1
            else:
                break
        starts[j], counts[j] = left, right - left + 1
        _weights(x[j], nodes, starts[j], counts[j], weights[j])
        for a in range(counts[j]):
            given[starts[j] + a] += weights[j, a]
    for j in range(m):
        if counts[j] == 0:
            continue
        total, variance = 0.0, 0.0
        for a in range(counts[j]):
            k, w = starts[j] + a, weights[j, a]
            total += w * f[k]
            variance += w * (given[k] if effective else w) * s[k] ** 2
        values[j] = total
        # at the edge of a gap neighbours may be anticorrelated beyond measure
        errors[j] = np.sqrt(max(variance, 0.0))
