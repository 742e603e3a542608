r"""Rectangular profiles of lines that overlap, for a batch of models at once.

Each line is as wide as a Gaussian of the same area is, 1.0645 times its full width at
half maximum. Between the edges of all lines the gas is the same throughout: there are
segments of the velocity axis, and lines that are present in each.
"""

import numpy as np

from ._constants import GAUSSIAN_AREA, SPEED_OF_LIGHT


def equivalent_width(line_width):
    """Return the width of the rectangle for a full width at half maximum [km/s]."""
    return GAUSSIAN_AREA * line_width


def chains(frequency, width):
    """Return groups of lines, none of which overlaps with those of another.

    Parameters
    ----------
    frequency : ndarray of shape (n_lines,)
        Frequencies, in any unit.
    width : float
        Width of the profiles [km/s].

    Returns
    -------
    groups : list of ndarray
        Positions among the lines.
    """
    order = np.argsort(frequency, kind="stable")
    gaps = np.diff(_velocity(frequency[order]))
    return np.split(order, np.flatnonzero(gaps >= width) + 1)


def segments(frequency, width):
    """Cut the velocity axis at the edges of all lines.

    Parameters
    ----------
    frequency : ndarray of shape (n_lines,)
        Frequencies, in any unit.
    width : ndarray of shape (n_models,)
        Widths of the profiles [km/s].

    Returns
    -------
    length : ndarray of shape (n_models, n_segments)
        Lengths of the segments, of which a line is 1 long.
    present : ndarray of shape (n_models, n_segments, n_lines)
        1 where a line is present in a segment, 0 where it is not.
    """
    place = _velocity(frequency) / width[:, None]
    edges = np.sort(np.concatenate([place - 0.5, place + 0.5], axis=1), axis=1)
    length = np.diff(edges, axis=1)
    middle = edges[:, :-1] + length / 2
    present = np.abs(middle[:, :, None] - place[:, None, :]) < 0.5
    return length, present.astype(float)


def _velocity(frequency):
    """Return velocities [km/s] of lines from the first of them."""
    first = frequency[0]
    return np.log1p((frequency - first) / first) * (SPEED_OF_LIGHT / 1e5)
