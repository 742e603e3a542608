"""What many factorisations agree on."""

import numpy as np
from scipy.optimize import linear_sum_assignment

#: Rounds of alignment and average.
_ROUNDS = 10
#: Misfit, as a share of the sum of squares, that counts for nothing: 0.3 % of the
#: intensities, which no telescope is calibrated to.
_NEGLIGIBLE = 1e-5


def overlap(V, H):
    """Return how much the components of a factorisation are alike.

    The sum, over pairs of components, of the square of the cosine of their maps plus
    the cosine of their profiles. A component without intensity is like all others.
    """
    cosine = _cosines(V) + _cosines(H)
    return float(np.sum(cosine[np.triu_indices(len(V), 1)] ** 2))


def _cosines(A):
    lengths = np.linalg.norm(A, axis=1)
    products = lengths[:, None] * lengths
    return np.where(products > 0, A @ A.T / np.where(products > 0, products, 1), 1.0)


def fits_equally(problem, losses, k):
    """Return which losses are no more than the truth would be expected to have.

    The best fit has fitted noise with k parameters a pixel, by which its loss is below
    that of the truth.
    """
    n_lines, n_pixels = problem.lines.shape
    count = (
        n_lines * n_pixels if problem.complete else np.count_nonzero(problem.weights)
    )
    losses = np.asarray(losses)
    left = count - k * n_pixels
    if left <= 0:
        return np.ones(len(losses), dtype=bool)
    return losses <= losses.min() * count / left + _NEGLIGIBLE * problem.square


def consensus(profiles, kept, spread=None):
    """Bring profiles of many runs into one order; return them and their median.

    Parameters
    ----------
    profiles : ndarray of shape (n_runs, k, n_lines)
        Non-negative, in any order and scale.
    kept : ndarray of bool of shape (n_runs,)
        Runs that the median is of.
    spread : ndarray of bool of shape (n_runs,), default=None
        Runs that the spread and stability are of; the same by default.

    Returns
    -------
    profiles : ndarray of the same shape
        In one order, scaled to unit mean.
    common : ndarray of shape (k, n_lines)
        Their median.
    deviation : ndarray of shape (k, n_lines)
        1.4826 times the median absolute deviation from it.
    stability : float
        Mean cosine of profiles with the median.
    """
    mean = profiles.mean(axis=2, keepdims=True)
    profiles = profiles / np.where(mean > 0, mean, 1)
    kept = np.flatnonzero(kept)
    common = profiles[kept[0]]
    for _ in range(_ROUNDS):
        distance = np.abs(common[None, :, None] - profiles[:, None]).mean(axis=3)
        orders = [linear_sum_assignment(d)[1] for d in distance]
        profiles = np.array(
            [run[order] for run, order in zip(profiles, orders, strict=True)]
        )
        last, common = common, np.median(profiles[kept], axis=0)
        if np.array_equal(common, last):
            break
    spread = profiles[kept if spread is None else spread]
    deviation = 1.4826 * np.median(np.abs(spread - common), axis=0)
    lengths = np.linalg.norm(spread, axis=2) * np.linalg.norm(common, axis=1)
    cosine = np.sum(spread * common, axis=2) / np.where(lengths > 0, lengths, 1)
    return profiles, common, deviation, float(cosine.mean())
