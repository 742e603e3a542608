"""Labels of clusters, and who is of the field."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils import column_or_1d

from .arrays import mask_of, refuse_units

#: A label of so many times the typical number of stars, and of most of them, is that of
#: the field.
_CROWD = 10
#: What would do, where the rows of a fold cannot be scored.
SPLITTERS = (
    "In a cross-validation use LeaveOneClusterOut or ClusterKFold of"
    " skastro.model_selection, which keep siblings together and field stars on both"
    " sides; of a halving search only with `resource` a parameter of the estimator,"
    " since rows that it draws part siblings."
)

#: What marks stars without a twin.
MARK_ALONE = "mark stars without a twin by the label -1, or none"


@dataclass(frozen=True)
class Clusters:
    """Stars by the cluster that they are of.

    Parameters
    ----------
    codes : ndarray of int of shape (n_samples,)
        Position of each star's cluster in `labels`; -1 for field stars.
    labels : ndarray of shape (n_clusters,)
        The labels of clusters, in order.
    counts : ndarray of int of shape (n_clusters,)
        Their numbers of stars.
    """

    codes: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @property
    def field(self):
        """Which stars are of the field."""
        return self.codes < 0

    @property
    def several(self):
        """Positions of the clusters of two or more stars."""
        return np.flatnonzero(self.counts > 1)

    def members(self, cluster):
        """Return the rows of the cluster at a position."""
        return np.flatnonzero(self.codes == cluster)

    def __getitem__(self, rows):
        """Return some of the stars, by the same codes."""
        codes = self.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.labels))
        return Clusters(codes, self.labels, counts)


def read_clusters(y, field_label=-1, *, guess=True, remedy=None):
    """Tell clusters and the field from labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Cluster of each star: numbers or strings. A missing label, which is None, NaN,
        pandas' NA or masked, marks a field star, whatever `field_label` is.
    field_label : int, str or None, default=-1
        The label of field stars; ``-1`` and ``"-1"`` are the same. None, or NaN, if
        only missing labels mark them.
    guess : bool, default=True
        Whether to refuse labels of which one is so common that it must be that of the
        field under another name.
    remedy : str, default=None
        What to do about that one, for the message; by default, to set `field_label`.

    Returns
    -------
    clusters : Clusters

    Raises
    ------
    ValueError
        If y is not given or not of one dimension; or, to `guess`, if no star is of the
        field, one label holds more than half of the stars and more than ten times as
        many as the median of the others, and there are three labels or more.
    """
    values, missing, field = _read(y, field_label)
    labels, inverse, counts = np.unique(
        values[~field], return_inverse=True, return_counts=True
    )
    codes = np.full(len(values), -1)
    codes[~field] = inverse
    if guess and len(labels) > 2 and not field.any():
        largest = counts.argmax()
        typical = np.median(np.delete(counts, largest))
        if counts[largest] > max(len(values) / 2, _CROWD * typical):
            name = labels[largest].item()
            raise ValueError(
                f"y has no field star, of the label {field_label!r} or without one, but"
                f" {name!r} holds {counts[largest]} of {len(values)} rows. If these"
                f" are the field, {remedy or f'set field_label={name!r}'}."
            )
    return Clusters(codes, labels, counts)


def join_pairs(clusters, pairs):
    """Put stars that pairs connect, by chains too, into one cluster.

    Parameters
    ----------
    clusters : Clusters
        Who is of which cluster already.
    pairs : array-like of int of shape (n_pairs, 2)
        Rows of the two stars of each pair.

    Returns
    -------
    clusters : Clusters
        Groups without a star of a cluster are new ones, in the order of their first
        rows: of the next numbers, or of names such as "pair 0".

    Raises
    ------
    ValueError
        If `pairs` is not of that shape, not of row numbers, pairs a star with itself,
        or connects two clusters.
    """
    n = len(clusters.codes)
    pairs = _row_pairs(pairs, n)
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(n, n))
    group = connected_components(graph, directed=False)[1]
    paired = np.unique(pairs)
    known = paired[clusters.codes[paired] >= 0]
    cluster_of = np.full(n, -1)
    cluster_of[group[known]] = clusters.codes[known]
    torn = known[cluster_of[group[known]] != clusters.codes[known]]
    if len(torn):
        a, b = clusters.codes[torn[0]], cluster_of[group[torn[0]]]
        raise ValueError(
            f"pairs connect stars of two clusters of y, {clusters.labels[a].item()!r}"
            f" and {clusters.labels[b].item()!r}, through row {torn[0]}: give those one"
            " label, or leave the pair out."
        )
    fresh, first = np.unique(group[paired], return_index=True)
    fresh = fresh[np.argsort(first)]
    fresh = fresh[cluster_of[fresh] < 0]
    cluster_of[fresh] = len(clusters.labels) + np.arange(len(fresh))
    codes = clusters.codes.copy()
    codes[paired] = cluster_of[group[paired]]
    labels = _and_more(clusters.labels, len(fresh))
    # codes are in the order of labels
    order = np.argsort(labels, kind="stable")
    place = np.append(np.argsort(order), -1)
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    return Clusters(place[codes], labels[order], counts[order])


def _row_pairs(pairs, n):
    """Check pairs of rows."""
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(
            "pairs must be of shape (n_pairs, 2), the rows of the two stars of each"
            f" pair, got an array of shape {pairs.shape}."
        )
    if pairs.dtype.kind not in "iu":
        raise ValueError(
            f"pairs must hold row numbers of X, integers, got {pairs.dtype}."
        )
    outside = (pairs < 0) | (pairs >= n)
    if outside.any():
        raise ValueError(
            f"pairs has the index {pairs[outside][0]} in row"
            f" {np.argwhere(outside)[0, 0]}, out of range: X has rows 0 to {n - 1}."
        )
    alone = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    if len(alone):
        raise ValueError(
            f"pairs pairs star {pairs[alone[0], 0]} with itself in row {alone[0]}; a"
            " pair is of two rows of X."
        )
    return pairs


def _and_more(labels, n):
    """Return labels and n more that are not among them."""
    if labels.dtype.kind in "iu" or not len(labels):
        start = labels.max() + 1 if len(labels) else 0
        return np.append(labels, np.arange(start, start + n)).astype(int)
    if labels.dtype.kind == "f":
        return np.append(labels, np.floor(labels.max()) + 1 + np.arange(n))
    return np.append(labels, [f"pair {i}" for i in range(n)])


def _read(y, field_label):
    """Return labels as an array that can be sorted, which are missing, who is field."""
    if y is None:
        # the second half is what scikit-learn's checks look for
        raise ValueError(
            "y, the cluster of each star, must be given: this requires y to be passed,"
            " but the target y is None."
        )
    refuse_units(y, "y")
    mask, y = mask_of(y)
    if isinstance(y, (list, tuple)) or hasattr(y, "iloc") or hasattr(y, "to_numpy"):
        # numpy would make text of a missing label among names
        y = np.asarray(y, dtype=object)
    values = column_or_1d(y, warn=True)
    missing = np.zeros(len(values), bool) if mask is None else np.ravel(mask).copy()
    kind = values.dtype.kind
    if kind == "f":
        missing |= np.isnan(values)
    elif kind == "O":
        missing |= np.array([_is_missing(value) for value in values], dtype=bool)
        values = _uniform(values, missing)
    elif kind == "S":
        values = np.char.decode(values, "utf-8")
    return values, missing, missing | _equal(values, field_label)


def _uniform(values, missing):
    """Return labels of any kind as numbers, if all of them are, or as text."""
    known = list(values[~missing])
    if all(isinstance(value, (int, np.integer)) for value in known):
        found = np.zeros(len(values), dtype=int)
    elif all(isinstance(value, (int, float, np.number)) for value in known):
        found = np.zeros(len(values), dtype=float)
    else:
        found = np.full(len(values), "", dtype=object)
        known = [_text(value) for value in known]
    found[~missing] = known
    return found.astype(str) if found.dtype.kind == "O" else found


def _text(value):
    """Return a label as text; -1.0 is -1."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (float, np.floating)) and value == int(value):
        return str(int(value))
    return str(value)


def _is_missing(value):
    """Whether a label is None, NaN or NA; the last of these is not equal to itself."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:
        return True


def _equal(values, field_label):
    if _is_missing(field_label):
        return np.zeros(len(values), dtype=bool)
    if values.dtype.kind in "UT":
        return values == _text(field_label)
    if isinstance(field_label, str):
        try:
            field_label = float(field_label)
        except ValueError:
            return np.zeros(len(values), dtype=bool)
    return values == field_label
