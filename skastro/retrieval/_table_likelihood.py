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

from ._table_gaussian import (
    Lines,
    gaussian_draw,
    gaussian_group,
    make_work,
)
from ._table_integrals import (
    NO_SOLUTION,
    SOLVED,
    general_draw,
    general_group,
    general_look,
    log_density,
    log_lines,
)

#: Log-likelihoods lower than the highest by this need not be exact.
_FAR_BELOW = 60.0


class Tables(NamedTuple):
    """Lines as functions of what they share and of their own separable parameter."""

    #: (n_cells, n_entries), float32: rows are places on the grid of the shared, in
    #: which each line has its nodes in u
    values: np.ndarray
    #: the same of the model's own errors, or of shape (0, n_entries)
    stds: np.ndarray
    #: (n_lines,): where in a row each line begins
    places: np.ndarray
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
    #: whether integrals are exact, or only tell where to look
    exact: bool


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
def _read(values, corners, shares, curve):
    """Write lines at the nodes in u, linearly between corners of the shared grid."""
    for c in range(len(corners)):
        corner, share = corners[c], shares[c]
        if c == 0:
            for i in range(len(curve)):
                curve[i] = share * values[corner, i]
        elif share > 0.0:
            for i in range(len(curve)):
                curve[i] += share * values[corner, i]


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
    curves : ndarray of shape (n, n_entries), float32
        Written: the lines.
    spreads : ndarray of that shape, or of shape (1, 0), float32
        Written, if the tables have them: the model's own errors.
    """
    corners = np.empty(2 ** len(tables.axes), dtype=np.int64)
    shares = np.empty(len(corners), dtype=np.float32)
    for m in range(len(z)):
        _locate(tables, z[m], corners, shares)
        _read(tables.values, corners, shares, curves[m])
        if len(tables.stds):
            _read(tables.stds, corners, shares, spreads[m])


def thinned(tables, least):
    """Return tables with up to four times fewer nodes in u, for a first look.

    Parameters
    ----------
    tables : Tables
        The lines.
    least : int
        Nodes to leave at least.

    Returns
    -------
    thinned : Tables
    """
    step, most = 1, int(tables.n_nodes.max()) - 1
    while step < 4 and most % (2 * step) == 0 and most // (2 * step) + 1 >= least:
        step *= 2
    n_nodes = (tables.n_nodes - 1) // step + 1
    kept = [
        begin + step * np.arange(n)
        for begin, n in zip(tables.places, n_nodes, strict=True)
    ]
    kept = np.concatenate(kept)
    return tables._replace(
        values=np.ascontiguousarray(tables.values[:, kept]),
        stds=np.ascontiguousarray(tables.stds[:, kept]),
        places=np.cumsum([0, *n_nodes])[:-1],
        n_nodes=n_nodes,
        exact=False,
    )


def lines_at(tables, z):
    """Return the lines, and the model's own errors, at probits: see `read_lines`."""
    n_entries = tables.values.shape[1]
    curves = np.empty((len(z), n_entries), dtype=np.float32)
    shape = (len(z), n_entries) if len(tables.stds) else (1, 0)
    spreads = np.empty(shape, dtype=np.float32)
    read_lines(tables, z, curves, spreads)
    return curves, spreads


@njit(nogil=True, cache=True)
def _alone(first, last, lines, data):
    """Return the log-likelihood of lines without a parameter of their own."""
    total = 0.0
    for l in range(first, last):
        if not data.seen[l]:
            continue
        predicted, spread = lines.curve[lines.places[l]], 0.0
        if not abs(predicted) < SOLVED:
            return -inf
        if len(lines.spread):
            spread = abs(lines.scales[l]) * lines.spread[lines.places[l]]
        total += log_density(
            lines.scales[l] * predicted,
            spread,
            data.y[l],
            data.sigma[l],
            data.limit[l],
            data.degrees_of_freedom,
        )
    return total


@njit(nogil=True, cache=True)
def _highest(group, tables, data):
    """Return the log-likelihood of a group that no model of it surpasses."""
    total = 0.0
    for l in range(tables.starts[group], tables.starts[group + 1]):
        if data.seen[l] and not data.limit[l]:
            y, sigma = data.y[l], data.sigma[l]
            total += log_density(y, 0.0, y, sigma, False, data.degrees_of_freedom)
    return total


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
        Written; minus infinity where there is no solution, a bound where it is far
        below the highest.
    """
    n_groups, n_lines = len(tables.starts) - 1, len(tables.n_nodes)
    scales, work = np.empty((len(z), n_lines)), make_work(tables.n_nodes.max())
    for m in range(len(z)):
        _scale(tables, data, z[m], scales[m])
        out[m] = data.constant + errors_factor(tables, data)
    # groups that take long are asked last, where what they are at most still counts
    late, highest, n_late = np.zeros(n_groups, dtype=np.bool_), np.zeros(n_groups), 0
    for group in range(n_groups):
        first, last = tables.starts[group], tables.starts[group + 1]
        k = tables.n_nodes[first]
        if k > 1 and _is_gaussian(group, tables, data):
            gaussian_group(
                0,
                len(z),
                first,
                last,
                k,
                curves,
                tables.places,
                scales,
                data,
                work,
                tables.exact,
                out,
            )
        elif k > 1:
            late[group], highest[group] = True, _highest(group, tables, data)
            n_late += 1
        else:
            for m in range(len(z)):
                own = spreads[m if len(tables.stds) else 0]
                lines = Lines(curves[m], own, tables.places, scales[m])
                out[m] += _alone(first, last, lines, data)
    best = -inf
    for m in range(len(z)):
        total = out[m] + highest.sum()
        own = spreads[m if len(tables.stds) else 0]
        lines = Lines(curves[m], own, tables.places, scales[m])
        for group in range(n_groups if n_late else 0):
            if not total > max(best - _FAR_BELOW, -NO_SOLUTION):
                break
            if late[group]:
                first, last = tables.starts[group], tables.starts[group + 1]
                k, total = tables.n_nodes[first], total - highest[group]
                if tables.exact:
                    total += general_group(first, last, k, lines, data, work)
                else:
                    total += general_look(first, last, k, lines, data, work)
        out[m] = total if total > -NO_SOLUTION else -inf
        best = max(best, total)


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
    n_groups, n_lines = len(tables.starts) - 1, len(tables.n_nodes)
    scales, work = np.empty((len(z), n_lines)), make_work(tables.n_nodes.max())
    value, row = np.zeros(len(z)), 0
    for m in range(len(z)):
        _scale(tables, data, z[m], scales[m])
        own, end = spreads[m if len(tables.stds) else 0], row + counts[m]
        lines = Lines(curves[m], own, tables.places, scales[m])
        log_likelihood[row:end] = data.constant
        for group in range(n_groups):
            first, last = tables.starts[group], tables.starts[group + 1]
            k, places = tables.n_nodes[first], tables.places
            if k == 1:
                out[row:end, group] = 0.5
                log_likelihood[row:end] += _alone(first, last, lines, data)
                continue
            gaussian = _is_gaussian(group, tables, data)
            if gaussian:
                gaussian_group(
                    m,
                    m + 1,
                    first,
                    last,
                    k,
                    curves,
                    places,
                    scales,
                    data,
                    work,
                    tables.exact,
                    value,
                )
            else:
                general_group(first, last, k, lines, data, work)
            for r in range(row, end):
                if gaussian:
                    u = gaussian_draw(k, work)
                else:
                    u = general_draw(first, last, k, lines, data, work)
                out[r, group] = u
                place = u * (k - 1)
                i = min(int(place), k - 2)
                log_likelihood[r] += log_lines(i, place - i, first, last, lines, data)
        row = end
