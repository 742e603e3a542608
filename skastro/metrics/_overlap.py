"""Counts of stars that are likelier the same point than twins are."""

import numpy as np
from sklearn.cluster import KMeans

from ..utils import uncertain

#: Stars of one group, about; all covariances of a group have one bound.
_GROUP = 100
#: Pairs that are bounded at once, and that are computed at once.
_TABLE = 2**21
_PAIRS = 2**15


def n_nearer_overlap(z, C, y, twins):
    r"""Count strangers that overlap with a star at least as much as its twin does.

    By :math:`q_{ij} = d^T (C_i + C_j)^{-1} d + \ln |C_i + C_j|`, with
    :math:`d = z_i - z_j`. If :math:`U_g \succeq C_i` for all stars of a group g, then
    :math:`q_{ij} \ge d^T (U_g + U_h)^{-1} d + \ln |C_i + C_j|`, and by Minkowski's
    inequality for determinants the second term is at least
    :math:`k \ln (|C_i|^{1/k} + |C_j|^{1/k})`.

    Parameters
    ----------
    z : ndarray of shape (n_samples, k)
        Points.
    C : ndarray of shape (n_samples, k, k)
        Their error covariances.
    y : ndarray of shape (n_samples,)
        Labels, equal for siblings.
    twins : list of ndarray of int
        Rows of the label of each, itself among them; empty for stars without one.

    Returns
    -------
    counts : ndarray of int of shape (n_samples,)
        -1 for rows without siblings.
    """
    k = z.shape[1]
    limits = np.full(len(z), -np.inf)
    for i, group in enumerate(twins):
        near = group[group != i]
        if len(near):
            limits[i] = _overlap(z, C, np.full(len(near), i), near).min()
    known = np.isfinite(limits)
    limits[known] += 1e-10 * (1 + np.abs(limits[known]))
    root = np.exp(np.linalg.slogdet(C)[1] / k)
    groups, bounds = _groups(C)
    counts = np.where(known, 0, -1)
    for i_group, i_bound in zip(groups, bounds, strict=True):
        own = i_group[counts[i_group] >= 0]
        if not len(own):
            continue
        for j_group, j_bound in zip(groups, bounds, strict=True):
            whitening = np.linalg.cholesky(np.linalg.inv(i_bound + j_bound))
            step = max(1, _TABLE // len(j_group))
            for start in range(0, len(own), step):
                rows = own[start : start + step]
                i, j = _candidates(z, root, limits, rows, j_group, whitening)
                stranger = y[i] != y[j]
                i, j = i[stranger], j[stranger]
                for first in range(0, len(i), _PAIRS):
                    part = slice(first, first + _PAIRS)
                    near = _overlap(z, C, i[part], j[part]) <= limits[i[part]]
                    np.add.at(counts, i[part][near], 1)
    return counts


def _candidates(z, root, limits, rows, others, whitening):
    """Return pairs of rows whose bounds do not rule them out."""
    centre = z[others].mean(axis=0)
    a, b = (z[rows] - centre) @ whitening, (z[others] - centre) @ whitening
    sizes = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)
    bound = sizes - 2 * a @ b.T
    bound += z.shape[1] * np.log(root[rows][:, None] + root[others])
    # the difference of large numbers may be off by their rounding
    i, j = np.nonzero(bound <= limits[rows][:, None] + 1e-6 + 1e-12 * sizes)
    return rows[i], others[j]


def _overlap(z, C, i, j):
    """Return q for pairs of rows i and j."""
    total = C[i] + C[j]
    difference = z[i] - z[j]
    factor = np.linalg.cholesky(total)
    log_determinant = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    solved = np.linalg.solve(total, difference[..., None])[..., 0]
    return np.einsum("nk,nk->n", difference, solved) + log_determinant


def _groups(C):
    """Return groups of rows of similar covariances, and an upper bound of each."""
    mean = C.mean(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(mean))
    values, vectors = np.linalg.eigh(whitening @ C @ whitening.T)
    logs = np.matmul(vectors * np.log(values)[:, None], vectors.transpose(0, 2, 1))
    features = uncertain.lower_triangle(logs)
    n_distinct = len(np.unique(features.round(6), axis=0))
    n_groups = min(max(1, len(C) // _GROUP), n_distinct)
    labels = KMeans(n_groups, n_init=1, max_iter=20, random_state=0).fit_predict(
        features
    )
    groups, bounds = [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        centre = C[rows].mean(axis=0)
        root = np.linalg.inv(np.linalg.cholesky(centre))
        largest = np.linalg.eigvalsh(root @ C[rows] @ root.T)[:, -1].max()
        groups.append(rows)
        bounds.append(largest * (1 + 1e-9) * centre)
    return groups, bounds
