r"""The likelihood of the lines of an object, integrated over separable parameters.

Given what all lines share, and the amplitude :math:`a` that all are proportional to,
each separable parameter acts on its own lines only (a column density on those of its
species). With :math:`u` its quantile under the prior,

.. math:: L(\mathrm{shared}, a) = \prod_g \int_0^1
          \prod_{l \in g} p(y_l \mid a f_l(\mathrm{shared}, u_g))\, du_g.

The :math:`f_l` are read from tables, linearly between nodes.
"""

from math import erfc, inf, log, pi, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

from ._table_integrals import (
    NO_SOLUTION,
    SOLVED,
    gaussian_draw,
    gaussian_integral,
    gaussian_squares,
    general_draw,
    general_group,
    log_density,
    log_lines,
)

#: Log-likelihoods lower than the highest by this need not be exact.
_NEGLIGIBLE = 60.0


class Tables(NamedTuple):
    """Lines as functions of what they share and of their own separable parameter."""

    #: (n_entries,), float32: for each line a grid of the shared, with nodes in u last
    values: np.ndarray
    #: the same of the model's own errors, or empty
    stds: np.ndarray
    #: (n_lines,): where each line's values begin
    offsets: np.ndarray
    #: (n_lines,): its nodes in u; 1 for a line without separable parameter
    n_nodes: np.ndarray
    #: (n_groups + 1,): lines of group g are those from starts[g] to starts[g + 1]
    starts: np.ndarray
    #: (n_shared,): nodes of each shared parameter, evenly spaced in its quantile
    axes: np.ndarray
    #: amplitudes at evenly spaced probits; one value if nothing scales the lines
    amplitudes: np.ndarray
    #: the first of these probits, and their distance
    first_probit: float
    probit_step: float


@njit(nogil=True, cache=True)
def _cumulative(z):
    """Return the standard normal distribution function."""
    return 0.5 * erfc(-z / sqrt(2.0))


@njit(nogil=True, cache=True)
def amplitude_of(tables, z):
    """Return the amplitude at a probit, linearly between those tabulated."""
    amplitudes = tables.amplitudes
    place = (z - tables.first_probit) / tables.probit_step
    i = min(max(int(place), 0), len(amplitudes) - 2)
    share = min(max(place - i, 0.0), 1.0)
    return (1.0 - share) * amplitudes[i] + share * amplitudes[i + 1]


@njit(nogil=True, cache=True)
def amplitudes_of(tables, z):
    """Return the amplitudes at probits of shape (n,)."""
    values = np.empty(len(z))
    for m in range(len(z)):
        values[m] = amplitude_of(tables, z[m])
    return values


@njit(nogil=True, cache=True)
def _read(values, tables, corners, shares, curves):
    """Write lines at the nodes in u, linearly between corners of the shared grid."""
    for l in range(len(tables.offsets)):
        k = tables.n_nodes[l]
        curve = curves[l]
        for c in range(len(corners)):
            start, share = tables.offsets[l] + corners[c] * k, shares[c]
            if c == 0:
                for i in range(k):
                    curve[i] = share * values[start + i]
            elif share > 0.0:
                for i in range(k):
                    curve[i] += share * values[start + i]


@njit(nogil=True, cache=True)
def _locate(tables, z, corners, shares):
    """Write the corners of the cell that probits lie in, and their shares."""
    n_shared = len(tables.axes)
    corners[0], shares[0] = 0, 1.0
    n = 1
    for a in range(n_shared):
        length = tables.axes[a]
        place = _cumulative(z[a]) * (length - 1)
        i = min(int(place), length - 2)
        share = place - i
        for c in range(n):
            corners[n + c] = corners[c] * length + i + 1
            shares[n + c] = shares[c] * share
            corners[c] = corners[c] * length + i
            shares[c] *= 1.0 - share
        n *= 2


@njit(nogil=True, cache=True)
def _is_gaussian(group, tables, data):
    """Tell whether errors of a group's lines are Gaussian and known beforehand."""
    if len(tables.stds) or data.degrees_of_freedom > 0.0:
        return False
    for l in range(tables.starts[group], tables.starts[group + 1]):
        if data.limit[l] and data.seen[l]:
            return False
    return True


@njit(nogil=True, cache=True)
def errors_factor(tables, data):
    """Return the logarithm of the factors that the Gaussian integrals leave out."""
    total = 0.0
    for group in range(len(tables.starts) - 1):
        alone = tables.n_nodes[tables.starts[group]] == 1
        if alone or not _is_gaussian(group, tables, data):
            continue
        for l in range(tables.starts[group], tables.starts[group + 1]):
            if data.seen[l]:
                total -= log(sqrt(2 * pi) * data.sigma[l])
    return total


@njit(nogil=True, cache=True)
def _scale(tables, data, z, scales):
    """Write what each line is multiplied by, at probits of amplitude and bands."""
    n_shared = len(tables.axes)
    amplitude = tables.amplitudes[0]
    if len(tables.amplitudes) > 1:
        amplitude = amplitude_of(tables, z[n_shared])
        n_shared += 1
    for l in range(len(scales)):
        scales[l] = amplitude
        if data.band[l] >= 0:
            scales[l] *= 1.0 + data.calibration_error * z[n_shared + data.band[l]]


@njit(nogil=True, cache=True)
def read_lines(tables, z, curves, spreads):
    """Read the lines at probits of the shared parameters.

    Parameters
    ----------
    tables : Tables
        The lines.
    z : ndarray of shape (n, d)
        Probits.
    curves : ndarray of shape (n, n_lines, n_nodes), float32
        Written: the lines.
    spreads : ndarray of that shape, or of shape (1, 0, n_nodes), float32
        Written, if the tables have them: the model's own errors.
    """
    corners = np.empty(2 ** len(tables.axes), dtype=np.int64)
    shares = np.empty(len(corners), dtype=np.float32)
    for m in range(len(z)):
        _locate(tables, z[m], corners, shares)
        _read(tables.values, tables, corners, shares, curves[m])
        if len(tables.stds):
            _read(tables.stds, tables, corners, shares, spreads[m])


@njit(nogil=True, cache=True)
def _log_group(group, tables, data, curves, spreads, scales, work):
    """Return the log-likelihood of a group, integrated over its parameter."""
    first, last = tables.starts[group], tables.starts[group + 1]
    k = tables.n_nodes[first]
    if k == 1:
        total = 0.0
        for l in range(first, last):
            if not data.seen[l]:
                continue
            if not abs(curves[l, 0]) < SOLVED:
                return -inf
            spread = abs(scales[l]) * spreads[l, 0] if len(spreads) else 0.0
            total += log_density(
                scales[l] * curves[l, 0],
                spread,
                data.y[l],
                data.sigma[l],
                data.limit[l],
                data.degrees_of_freedom,
            )
        return total
    if _is_gaussian(group, tables, data):
        lowest = gaussian_squares(first, last, k, curves, scales, data, work)
        return gaussian_integral(k, lowest, work)
    return general_group(first, last, k, curves, spreads, scales, data, work)


@njit(nogil=True, cache=True)
def log_likelihoods(tables, data, z, curves, spreads, out):
    """Write the log-likelihood of an object at probits of what is sampled.

    Parameters
    ----------
    tables : Tables
        The lines.
    data : Data
        The object.
    z : ndarray of shape (n, d)
        Probits of the shared parameters, the amplitude if there is one, and the
        factors of the bands.
    curves, spreads : ndarray
        As `read_lines` gives them.
    out : ndarray of shape (n,)
        Written; minus infinity where there is no solution.
    """
    n_lines, n_groups = len(tables.offsets), len(tables.starts) - 1
    scales = np.empty(n_lines)
    work = np.empty((n_groups, 6, tables.n_nodes.max()))
    constant, best = data.constant + errors_factor(tables, data), -inf
    lowest, gaussian = np.zeros(n_groups), np.empty(n_groups, dtype=np.bool_)
    for group in range(n_groups):
        alone = tables.n_nodes[tables.starts[group]] == 1
        gaussian[group] = not alone and _is_gaussian(group, tables, data)
    for m in range(len(z)):
        _scale(tables, data, z[m], scales)
        own = spreads[m if len(tables.stds) else 0]
        # at most this, by what fits best
        total, k = constant, 0
        for group in range(n_groups):
            if gaussian[group]:
                first, last = tables.starts[group], tables.starts[group + 1]
                k = tables.n_nodes[first]
                lowest[group] = gaussian_squares(
                    first, last, k, curves[m], scales, data, work[group]
                )
                total -= 0.5 * lowest[group]
            else:
                total += _log_group(
                    group, tables, data, curves[m], own, scales, work[group]
                )
        if not total > -NO_SOLUTION:
            out[m] = -inf
            continue
        if total > best - _NEGLIGIBLE:
            for group in range(n_groups):
                if gaussian[group]:
                    total += 0.5 * lowest[group]
                    total += gaussian_integral(k, lowest[group], work[group])
            best = max(best, total)
        out[m] = total


@njit(nogil=True, cache=True)
def draw_separable(tables, data, z, counts, curves, spreads, out, log_likelihood):
    """Draw the separable parameters, given what is sampled, by numba's generator.

    Parameters
    ----------
    tables : Tables
        The lines.
    data : Data
        The object.
    z : ndarray of shape (n, d)
        Probits of what is sampled, where there is a solution.
    counts : ndarray of int of shape (n,)
        How often to draw for each.
    curves, spreads : ndarray
        As `read_lines` gives them.
    out : ndarray of shape (counts.sum(), n_groups)
        Written: quantiles under the prior; 0.5 for a group without its own parameter.
    log_likelihood : ndarray of shape (counts.sum(),)
        Written: of the lines at what was drawn.
    """
    n_lines, n_groups = len(tables.offsets), len(tables.starts) - 1
    scales, work = np.empty(n_lines), np.empty((6, tables.n_nodes.max()))
    row = 0
    for m in range(len(z)):
        _scale(tables, data, z[m], scales)
        own, end = spreads[m if len(tables.stds) else 0], row + counts[m]
        log_likelihood[row:end] = data.constant
        for group in range(n_groups):
            first, last = tables.starts[group], tables.starts[group + 1]
            k = tables.n_nodes[first]
            value = _log_group(group, tables, data, curves[m], own, scales, work)
            gaussian = _is_gaussian(group, tables, data)
            for r in range(row, end):
                if k == 1:
                    out[r, group] = 0.5
                    log_likelihood[r] += value
                    continue
                if gaussian:
                    u = gaussian_draw(k, work)
                else:
                    u = general_draw(first, last, k, curves[m], own, scales, data, work)
                out[r, group] = u
                place = u * (k - 1)
                i = min(int(place), k - 2)
                log_likelihood[r] += log_lines(
                    i, place - i, first, last, curves[m], own, scales, data
                )
        row = end
