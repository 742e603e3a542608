"""Vectors that carry their error covariance as further columns.

``[x | lower triangle of C]``, with the triangle row by row: k values and k (k + 1) / 2
covariances. Pipelines pass such rows on like any others.
"""

import numpy as np

#: Values of highest likelihood have a prior so much wider than the population's, for
#: rows that see too little of a component.
WIDE = 100.0


def lower_triangle(matrices):
    """Return the lower triangles of symmetric matrices, row by row."""
    i, j = np.tril_indices(matrices.shape[-1])
    return matrices[..., i, j]


def symmetric(triangles, k):
    """Return symmetric matrices of order k from their lower triangles."""
    i, j = np.tril_indices(k)
    full = np.empty((*triangles.shape[:-1], k, k), triangles.dtype)
    full[..., i, j] = triangles
    full[..., j, i] = triangles
    return full


def n_packed(k):
    """Return the number of columns that vectors of k values need."""
    return k + k * (k + 1) // 2


def order(n_columns):
    """Return the number of values of vectors packed into so many columns, or None."""
    k = int((np.sqrt(9 + 8 * n_columns) - 3) / 2 + 0.5)
    return k if k > 0 and n_packed(k) == n_columns else None


def pack(x, covariance):
    """Return vectors with their covariances appended."""
    return np.concatenate([x, lower_triangle(covariance)], axis=1)


def unpack(X, k):
    """Return the vectors and covariances of packed rows."""
    return X[:, :k], symmetric(X[:, k:], k)
