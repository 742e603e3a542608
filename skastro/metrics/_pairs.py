"""Pairs of siblings, and of siblings with strangers, that are compared by distance."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..utils.arrays import as_matrix, plain
from ..utils.cluster_labels import SPLITTERS, read_clusters

#: Pairs whose distances are held at once.
PAIRS = 2**22
#: Relative difference of two distances that are the same but for rounding.
TIE = 1e-10
#: Field stars at once.
MOST_ROWS = 2**14


def euclidean(A, B):
    """Return distances by one matrix product."""
    A, B = np.asarray(A, dtype=np.float64), np.asarray(B, dtype=np.float64)
    # from the middle of the few, so that large numbers do not cancel
    middle = A.mean(axis=0)
    A, B = A - middle, B - middle
    square = A @ (-2 * B.T)
    square += np.einsum("ij,ij->i", A, A)[:, None]
    square += np.einsum("ij,ij->i", B, B)
    return np.sqrt(np.maximum(square, 0, out=square), out=square)


@dataclass(frozen=True)
class Comparison:
    """A cluster with its pairs; those with strangers come in parts."""

    label: object
    n_stars: int
    siblings: np.ndarray
    strangers: Iterable

    def distances(self):
        """Return those of siblings and of strangers, as two arrays."""
        return self.siblings, np.concatenate(list(self.strangers))

    def rated(self):
        """Return label, rate, number of stars and of pairs with strangers."""
        limit = np.median(self.siblings)
        limit += TIE * abs(limit)
        near = n_pairs = 0
        for values in self.strangers:
            near += np.count_nonzero(values <= limit)
            n_pairs += values.size
        return self.label, near / n_pairs if n_pairs else np.nan, self.n_stars, n_pairs


def compare_clusters(
    Z,
    y,
    side=None,
    tolerance=None,
    pair_mask=None,
    dissimilarity=None,
    field_label=-1,
):
    """Yield clusters with their pairs that count; see `doppelganger_rates`."""
    clusters = read_clusters(y, field_label)
    Z = as_matrix(Z, "Z", allow_nan=False)
    if len(Z) != len(clusters.codes):
        raise ValueError(
            f"Z and y must have a row for each star, got {len(Z)} and"
            f" {len(clusters.codes)}."
        )
    side, tolerance = check_side(side, tolerance, len(Z))
    field = np.flatnonzero(clusters.field)
    if not len(field):
        raise ValueError(
            f"y has no field star, of the label {field_label!r} or without one, to"
            f" compare siblings with. {SPLITTERS}"
        )
    if not len(clusters.several):
        raise ValueError(
            "y has no cluster of two or more stars: give siblings one label."
            f" {SPLITTERS}"
        )
    strangers = Z[field]
    for cluster in clusters.several:
        members = clusters.members(cluster)
        compared = compare(
            clusters.labels[cluster],
            Z[members],
            strangers,
            dissimilarity or euclidean,
            sibling_pairs(members, pair_mask),
            resemblance(members, field, side, tolerance),
        )
        if compared is not None:
            yield compared


def sibling_pairs(members, pair_mask):
    """Return which pairs of members count, as two arrays of positions."""
    i, j = np.triu_indices(len(members), 1)
    if pair_mask is not None:
        keep = np.asarray(pair_mask(members[i], members[j]), dtype=bool)
        i, j = i[keep], j[keep]
    return i, j


def resemblance(members, field, side, tolerance):
    """Return a function of a slice of the field: which pairs with members count."""
    if side is None:
        return None

    def alike(part):
        mask = np.ones((len(members), len(field[part])), dtype=bool)
        for column, limit in zip(side.T, tolerance, strict=True):
            mask &= np.abs(column[members][:, None] - column[field[part]]) < limit
        return mask

    return alike


def compare(label, A, B, dissimilarity, pairs, alike):
    """Return the pairs of a cluster with members A and the field B, None without."""
    i, j = pairs
    if not len(i):
        return None

    def strangers():
        size = max(1, min(MOST_ROWS, PAIRS // len(A)))
        for start in range(0, len(B), size):
            part = slice(start, start + size)
            values = dissimilarity(A, B[part])
            yield values.ravel() if alike is None else values[alike(part)]

    return Comparison(label, len(A), dissimilarity(A, A)[i, j], strangers())


def check_side(side, tolerance, n_samples):
    """Validate the columns to match pairs by."""
    if side is None and tolerance is None:
        return None, None
    if side is None or tolerance is None:
        raise ValueError("`side` and `tolerance` belong together: give both or none.")
    side = np.asarray(plain(side, "side"), dtype=float)
    side = side[:, None] if side.ndim == 1 else side
    tolerance = np.atleast_1d(np.asarray(plain(tolerance, "tolerance"), dtype=float))
    if side.shape != (n_samples, len(tolerance)):
        raise ValueError(
            f"`side` must have a row for each star and a column for each tolerance,"
            f" ({n_samples}, {len(tolerance)}), got {side.shape}."
        )
    if not np.all(tolerance > 0):
        raise ValueError(f"`tolerance` must be positive, got {tolerance}.")
    return side, tolerance
