"""What many factorisations agree on."""

import numpy as np
from scipy.optimize import linear_sum_assignment

#: Rounds of alignment and average.
_ROUNDS = 10


def consensus(profiles, kept):
    """Bring profiles of many runs into one order; return them and their median.

    Parameters
    ----------
    profiles : ndarray of shape (n_runs, k, n_lines)
        Non-negative, in any order and scale.
    kept : ndarray of bool of shape (n_runs,)
        Runs that the median is of.

    Returns
    -------
    profiles : ndarray of the same shape
        In one order, scaled to unit mean.
    common : ndarray of shape (k, n_lines)
        Their median.
    deviation : ndarray of shape (k, n_lines)
        Their spread: 1.4826 times the median absolute deviation.
    stability : float
        Mean cosine of the profiles that are kept with the median.
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
    deviation = 1.4826 * np.median(np.abs(profiles[kept] - common), axis=0)
    lengths = np.linalg.norm(profiles[kept], axis=2) * np.linalg.norm(common, axis=1)
    cosine = np.sum(profiles[kept] * common, axis=2) / np.where(lengths > 0, lengths, 1)
    return profiles, common, deviation, float(cosine.mean())
