"""How terms of labels that are not exact spread, and for which pixels it counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

#: Groups of pixels at most, and stars that tell them.
_MOST_GROUPS, _STARS = 4, 512
#: Share of the pixels of a group, beside that of all, which makes it one of its own.
_APART = 0.05


@dataclass
class Spread:
    """Covariances of the terms of stars whose labels are not exact.

    A pixel learns from the spread of the stars that have it. Where these are other
    stars than have another pixel, as those of another survey, sums are taken for
    groups of pixels.

    Parameters
    ----------
    sums : callable
        ``sums(rows, weights)`` are those over stars, of shape (n_weights, n_terms,
        n_terms), for weights of shape (n_rows, n_weights).
    groups : ndarray of int, of shape (n_pixels,)
        Group of each pixel.
    """

    sums: Any
    groups: np.ndarray

    def weights(self, star, weight):
        """Return weights of stars, of all pixels and then of groups of these."""
        n_groups = self.groups.max() + 1
        if n_groups == 1:
            return star[:, None]
        members = self.groups[:, None] == np.arange(n_groups)
        shares = (weight @ members.astype(weight.dtype)) / members.sum(axis=0)
        return star[:, None] * np.column_stack([np.ones(len(star)), shares])

    def through(self, sums, responses, mean_weight):
        """Return products of sums and the responses of each pixel.

        Parameters
        ----------
        sums : ndarray of shape (n_weights, n_terms, n_terms)
            Over stars, with `weights`.
        responses : ndarray of shape (n_terms, n_pixels)
        mean_weight : ndarray of shape (n_pixels,)
            Of the entries of each pixel.

        Returns
        -------
        products : ndarray of shape (n_terms, n_pixels)
        """
        if len(sums) == 1:
            return mean_weight * (sums[0] @ responses)
        out = np.empty_like(responses)
        for group, own in enumerate(sums[1:]):
            pixels = np.flatnonzero(self.groups == group)
            share = mean_weight[pixels] / max(mean_weight[pixels].mean(), 1e-300)
            out[:, pixels] = share * (own @ responses[:, pixels])
        return out


def pixel_groups(data, stars):
    """Return groups of pixels which are there, or missing, in the same stars.

    Parameters
    ----------
    data : Rows
        Spectra.
    stars : ndarray of int
        Those whose labels are not exact.

    Returns
    -------
    groups : ndarray of int, of shape (n_pixels,)
        All 0, unless pixels differ by more than chance.
    """
    chosen = np.zeros(data.n_rows, bool)
    chosen[stars[:: -(-len(stars) // _STARS)]] = True
    seen = np.concatenate(
        [~missing[chosen[rows]] for rows, _, missing, _ in data.blocks()]
    )
    single = np.zeros(seen.shape[1], int)
    patterns = seen.T.astype(np.float32)
    n_groups = min(
        _MOST_GROUPS, len(np.unique(patterns[:: 1 + len(single) // 500], axis=0))
    )
    if n_groups == 1:
        return single
    groups = KMeans(n_groups, n_init=1, random_state=0).fit_predict(patterns)
    shares = np.array([patterns[groups == g].mean(axis=0) for g in range(n_groups)])
    away = np.sqrt(((shares - patterns.mean(axis=0)) ** 2).mean(axis=1))
    return groups if away.max() > _APART else single
