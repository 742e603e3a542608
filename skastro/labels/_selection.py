"""Which polynomials of labels are the terms of a model."""

import numpy as np

from ._moments import accumulate
from ._responses import least_squares
from ._terms import Terms, products

#: What "auto" tries in turn: the degree in strong labels, and that which goes with a
#: weak one. Stars that each term must have, and each of strong labels alone: high
#: powers of a label are all about a few extreme stars.
_LADDER = ((6, 3), (5, 2), (4, 2), (3, 1), (2, 1), (1, 0))
MAX_DEGREE, STARS_PER_TERM, STARS_PER_STRONG_TERM = 6, 8, 25
#: Mean chi2 by which spectra change with a strong label.
_STRONG = 300.0
#: Passes of least squares, where pixels are missing.
_PASSES = 3


def fixed_terms(polynomials, degree, windowed):
    """Return all products up to a degree."""
    d = len(windowed)
    return Terms(polynomials, products(d, degree, polynomials.allowed, windowed))


def label_energy(data, mean, u, terms, allowed, noise, worth=None):
    """Return by how much spectra change with each label, in chi2 for its scatter.

    Parameters
    ----------
    data, mean, noise : Rows, ndarray, Noise or None
        As for `accumulate`.
    u : ndarray of shape (n_samples, n_labels)
        Coordinates of labels.
    terms : Terms
        The linear ones.
    allowed : ndarray of bool, of shape (n_terms, n_pixels)
        Which may act on which pixel.
    worth : ndarray of shape (n_samples,) or None
        Weights of stars.

    Returns
    -------
    energy : ndarray of shape (n_labels,)
        Less what noise gives.
    """
    coef, phi = np.zeros(allowed.shape), terms(u)
    for _ in range(1 if data.complete else _PASSES):  # gaps are filled by the last one
        moments = accumulate(data, mean, phi, None, coef, noise, worth)
        gram, linear = moments.gram.sum(axis=0), moments.linear.sum(axis=0)
        coef, used = least_squares(gram, linear, allowed)
    square = moments.square_of(coef) + 1e-8 * moments.square + np.finfo(float).tiny
    left = np.maximum(moments.count - used, 0.1 * moments.count)
    chi2 = (coef**2 / (square / np.maximum(left, 1e-300))).sum(axis=1)
    chi2 -= allowed.sum(axis=1) / np.diag(gram)
    single = np.flatnonzero(terms.powers.sum(axis=1) == 1)
    energy = np.empty(u.shape[1])
    energy[terms.powers[single].argmax(axis=1)] = chi2[single]
    return energy


def strong_labels(energy, windowed):
    """Return which labels change spectra so much that their responses curve."""
    strong = (energy > _STRONG) & ~windowed
    if not strong.any() and not windowed.all():
        strong[np.argmax(np.where(windowed, -np.inf, energy))] = True
    return strong


def auto_terms(polynomials, strong, n_samples):
    """Return products of strong labels, and those of each weak one with few of them.

    Of the highest degrees that the stars determine.

    Parameters
    ----------
    polynomials : LabelPolynomials
    strong : ndarray of bool, of shape (n_labels,)
    n_samples : int

    Returns
    -------
    terms : Terms
    """
    d = len(strong)
    for degree, beside in _LADDER:
        powers = _products(d, degree, beside, polynomials.allowed, strong)
        alone = np.count_nonzero((powers[:, ~strong] == 0).all(axis=1))
        needed = max(len(powers) * STARS_PER_TERM, alone * STARS_PER_STRONG_TERM)
        if needed <= n_samples:
            break
    return Terms(polynomials, powers)


def _products(d, degree, beside, allowed, strong):
    strongest, weak = np.flatnonzero(strong), np.flatnonzero(~strong)
    none = np.zeros(len(strongest), bool)
    rows = products(len(strongest), degree, allowed[strong], none)
    rows = _spread(rows, strongest, d)
    few = rows[rows.sum(axis=1) <= beside]
    parts = [rows]
    for j in weak:
        own = few.copy() if len(few) else np.zeros((1, d), int)
        own[:, j] = 1
        parts.append(own)
        if beside and allowed[j] >= 2:
            parts.append(2 * np.eye(d, dtype=int)[[j]])
    return np.concatenate(parts)


def _spread(rows, columns, d):
    out = np.zeros((len(rows), d), int)
    out[:, columns] = rows
    return out
