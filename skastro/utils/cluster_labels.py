"""Labels of clusters, and the one that marks a field star."""

import numpy as np


def is_field(y, field_label):
    """Tell which stars are of the field.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Cluster of each star, numbers or strings.
    field_label : int or str
        The label of field stars; ``-1`` and ``"-1"`` are the same.

    Returns
    -------
    field : ndarray of bool of shape (n_samples,)
    """
    if y.dtype.kind in "OUST":
        return y.astype(str) == str(field_label)
    try:
        return y == float(field_label)
    except ValueError:
        return np.zeros(len(y), dtype=bool)


def clusters_of(y, field_label):
    """Tell the field from the clusters, and count these.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Cluster of each star, numbers or strings.
    field_label : int or str
        The label of field stars.

    Returns
    -------
    field : ndarray of bool of shape (n_samples,)
        Which stars are of the field.
    labels : ndarray of shape (n_clusters,)
        The other labels, in order.
    counts : ndarray of int of shape (n_clusters,)
        Their numbers of stars.
    """
    field = is_field(y, field_label)
    return field, *np.unique(y[~field], return_counts=True)
