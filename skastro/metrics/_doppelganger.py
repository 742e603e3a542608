"""Doppelganger rates: how often strangers are as alike as siblings."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from ..utils.cluster_labels import clusters_of

#: Pairs whose distances are held at once.
PAIRS = 2**22
#: Relative difference of two distances that are the same but for rounding.
TIE = 1e-10
#: Field stars at once.
MOST_ROWS = 2**14


@dataclass(frozen=True)
class DoppelgangerRates:
    """Doppelganger rates of clusters.

    Attributes
    ----------
    clusters : ndarray of shape (n_clusters,)
        Their labels.
    rates : ndarray of shape (n_clusters,)
        Share of the pairs of a member and a field star that are at least as alike as
        the median pair of members; NaN without any pair.
    n_stars : ndarray of shape (n_clusters,)
        Numbers of members, the weights of the global rate.
    n_pairs : ndarray of shape (n_clusters,)
        Numbers of pairs with field stars that were compared.
    """

    clusters: np.ndarray
    rates: np.ndarray
    n_stars: np.ndarray
    n_pairs: np.ndarray

    @property
    def global_rate(self):
        """Mean of the rates, weighted by the numbers of members."""
        known = ~np.isnan(self.rates)
        return float(np.average(self.rates[known], weights=self.n_stars[known]))


def euclidean(A, B):
    """Return distances by one matrix product."""
    A, B = np.asarray(A, dtype=np.float64), np.asarray(B, dtype=np.float64)
    square = A @ (-2 * B.T)
    square += np.einsum("ij,ij->i", A, A)[:, None]
    square += np.einsum("ij,ij->i", B, B)
    return np.sqrt(np.maximum(square, 0, out=square), out=square)


def doppelganger_rates(
    Z,
    y,
    *,
    side=None,
    tolerance=None,
    pair_mask=None,
    dissimilarity=None,
    field_label=-1,
):
    """Return, for each cluster, the share of strangers as alike as its members.

    A cluster's rate is the share of pairs of a member and a field star whose distance
    is at most the median distance of two members. Small rates are good: 0 says that
    no stranger is taken for a sibling.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        Stars in a space in which distance is to mean chemical difference.
    y : array-like of shape (n_samples,)
        Cluster of each star, or `field_label`.
    side : array-like of shape (n_samples, n_columns), default=None
        Columns, such as extinction and radial velocity, in which a field star must
        resemble the member that it is compared with, lest a difference other than of
        chemistry tell them apart. NaN resembles nothing.
    tolerance : array-like of shape (n_columns,), default=None
        Pairs differ by less than this in each column of `side`. The thesis has 0.05
        in extinction A_K [mag] and 5 in velocity [km/s].
    pair_mask : callable, default=None
        Which pairs of *siblings* count: ``pair_mask(i, j)`` with arrays of row numbers
        returns booleans. For example, siblings observed apart:
        ``lambda i, j: field[i] != field[j]``.
    dissimilarity : callable, default=None
        ``dissimilarity(A, B)`` returns the matrix of how unlike the rows of A and of B
        are; the Euclidean distance by default.
    field_label : int or str, default=-1
        The value of y that marks a field star.

    Returns
    -------
    rates : DoppelgangerRates
        With the fields ``clusters``, ``rates``, ``n_stars`` and ``n_pairs``, and the
        property ``global_rate``. Clusters of one star, or without siblings that
        count, are not in it.

    Raises
    ------
    ValueError
        If there is no field star or no cluster of two stars, or `side` and
        `tolerance` do not fit.

    Warns
    -----
    UserWarning
        If a cluster has no pair with a field star that counts.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 5.4.2 and
    appendix B.3.

    Examples
    --------
    >>> from skastro.metrics import doppelganger_rates
    >>> Z = [[0.0], [0.1], [0.05], [3.0], [0.02], [-4.0]]
    >>> result = doppelganger_rates(Z, [0, 0, -1, -1, -1, -1])
    >>> result.rates
    array([0.5])
    """
    clusters = compare_clusters(
        Z, y, side, tolerance, pair_mask, dissimilarity, field_label
    )
    return collect([cluster.rated() for cluster in clusters])


def doppelganger_rate(
    Z,
    y,
    *,
    side=None,
    tolerance=None,
    pair_mask=None,
    dissimilarity=None,
    field_label=-1,
):
    """Return the mean of the doppelganger rates, weighted by the sizes of clusters.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        Stars in a space in which distance is to mean chemical difference.
    y : array-like of shape (n_samples,)
        Cluster of each star, or `field_label`.
    side : array-like of shape (n_samples, n_columns), default=None
        Columns in which a field star must resemble a member to be compared with it.
    tolerance : array-like of shape (n_columns,), default=None
        Pairs differ by less than this in each column of `side`.
    pair_mask : callable, default=None
        Which pairs of siblings count.
    dissimilarity : callable, default=None
        Matrix of how unlike rows are; the Euclidean distance by default.
    field_label : int or str, default=-1
        The value of y that marks a field star.

    Returns
    -------
    rate : float
        Global doppelganger rate.

    See Also
    --------
    doppelganger_rates : Rates of single clusters, and more on the parameters.

    Examples
    --------
    >>> from skastro.metrics import doppelganger_rate
    >>> Z = [[0.0], [0.1], [0.05], [3.0], [0.02], [-4.0]]
    >>> doppelganger_rate(Z, [0, 0, -1, -1, -1, -1])
    0.5
    """
    return doppelganger_rates(
        Z,
        y,
        side=side,
        tolerance=tolerance,
        pair_mask=pair_mask,
        dissimilarity=dissimilarity,
        field_label=field_label,
    ).global_rate


def intra_inter_distances(
    Z,
    y,
    *,
    side=None,
    tolerance=None,
    pair_mask=None,
    dissimilarity=None,
    field_label=-1,
):
    """Return the distances among members, and of members to field stars.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        Stars in a space in which distance is to mean chemical difference.
    y : array-like of shape (n_samples,)
        Cluster of each star, or `field_label`.
    side : array-like of shape (n_samples, n_columns), default=None
        Columns in which a field star must resemble a member to be compared with it.
    tolerance : array-like of shape (n_columns,), default=None
        Pairs differ by less than this in each column of `side`.
    pair_mask : callable, default=None
        Which pairs of siblings count.
    dissimilarity : callable, default=None
        Matrix of how unlike rows are; the Euclidean distance by default.
    field_label : int or str, default=-1
        The value of y that marks a field star.

    Returns
    -------
    distances : dict
        For each cluster a pair of arrays: distances of its pairs of members, and of
        all pairs of a member and a field star that count.

    See Also
    --------
    doppelganger_rates : What they are compared for, and more on the parameters.
    skastro.plotting.DoppelgangerDisplay : Draws their histograms.

    Examples
    --------
    >>> from skastro.metrics import intra_inter_distances
    >>> intra_inter_distances([[0.0], [1.0], [4.0]], ["a", "a", "-1"])["a"]
    (array([1.]), array([4., 3.]))
    """
    clusters = compare_clusters(
        Z, y, side, tolerance, pair_mask, dissimilarity, field_label
    )
    return {cluster.label: cluster.distances() for cluster in clusters}


def doppelganger_scorer(estimator, X, y):
    """Score a metric by minus its doppelganger rate.

    For ``GridSearchCV`` with ``cv=LeaveOneClusterOut()``, the folds of which count
    alike; :func:`~skastro.model_selection.cross_val_doppelganger_rates` weights them by
    their numbers of stars, and also takes metadata of the stars such as their errors,
    which a scorer does not.

    Parameters
    ----------
    estimator : estimator
        Fitted transformer, or pipeline that ends in one. Pairs are ranked by the
        Euclidean distance of what `transform` returns; if the last step is an `RSCA`
        with covariances, by its ``pairwise_log_likelihood_ratio``.
    X : array-like of shape (n_samples, n_features)
        Stars of one or more clusters, and field stars.
    y : array-like of shape (n_samples,)
        Cluster of each star, or the ``field_label`` of the last step (-1 if it has
        none).

    Returns
    -------
    score : float
        At most 0; higher is better.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metric_learning import RSCA
    >>> from skastro.metrics import doppelganger_scorer
    >>> rng = np.random.default_rng(0)
    >>> births = np.repeat(rng.normal(size=(10, 1)), 4, axis=0)
    >>> X = np.concatenate([rng.normal(size=(200, 1)), births])
    >>> X[200:] += 0.01 * rng.normal(size=births.shape)
    >>> y = np.concatenate([np.full(200, -1), np.repeat(np.arange(10), 4)])
    >>> -0.05 < doppelganger_scorer(RSCA().fit(X, y), X, y) < 0
    True
    """
    Z, dissimilarity, field_label = representation(estimator, X)
    return -doppelganger_rate(
        Z, y, dissimilarity=dissimilarity, field_label=field_label
    )


def representation(estimator, X, params=None):
    """Return how a fitted estimator represents stars and tells them apart.

    Parameters
    ----------
    estimator : estimator
        Fitted transformer or pipeline.
    X : array-like of shape (n_samples, n_features)
        Stars.
    params : dict, default=None
        Further arguments of `transform`.

    Returns
    -------
    Z : array of shape (n_samples, n_columns)
        Representations.
    dissimilarity : callable or None
        For `doppelganger_rates`.
    field_label : int or str
        Of the last step.
    """
    *before, last = flat(estimator)
    field_label = getattr(last, "field_label", -1)
    # with equal errors the ratio falls with distance, and distance it is
    if not (hasattr(last, "pairwise_log_likelihood_ratio") and last.with_covariance):
        return estimator.transform(X, **(params or {})), None, field_label
    for step in before:
        X = step.transform(X, **(params or {}))

    def dissimilarity(A, B):
        return -last.pairwise_log_likelihood_ratio(A, B)

    return X, dissimilarity, field_label


def flat(estimator):
    """Return the steps of nested pipelines and searches, down to the last one."""
    for name in ("best_estimator_", "estimator"):
        if hasattr(estimator, name):
            return flat(getattr(estimator, name))
    if not hasattr(estimator, "steps"):
        return [estimator]
    # a pipeline of all but the last step passes on what metadata routing asks for
    before = [estimator[:-1]] if len(estimator.steps) > 1 else []
    return [*before, *flat(estimator.steps[-1][1])]


@dataclass(frozen=True)
class _Cluster:
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
    Z = check_array(Z, dtype=[np.float64, np.float32])
    y = np.asarray(y)
    check_consistent_length(Z, y)
    side, tolerance = check_side(side, tolerance, len(y))
    of_field, labels, counts = clusters_of(y, field_label)
    field = np.flatnonzero(of_field)
    if not len(field):
        raise ValueError(
            f"y has no field star, label {field_label!r}, to compare siblings with."
        )
    if not np.any(counts > 1):
        raise ValueError(
            "y has no cluster of two or more stars: give siblings one label."
        )
    strangers = Z[field]
    for label in labels[counts > 1]:
        members = np.flatnonzero(y == label)
        cluster = compare(
            label,
            Z[members],
            strangers,
            dissimilarity or euclidean,
            sibling_pairs(members, pair_mask),
            resemblance(members, field, side, tolerance),
        )
        if cluster is not None:
            yield cluster


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

    return _Cluster(label, len(A), dissimilarity(A, A)[i, j], strangers())


def check_side(side, tolerance, n_samples):
    """Validate the columns to match pairs by."""
    if side is None and tolerance is None:
        return None, None
    if side is None or tolerance is None:
        raise ValueError("`side` and `tolerance` belong together: give both or none.")
    side = np.asarray(side, dtype=float)
    side = side[:, None] if side.ndim == 1 else side
    tolerance = np.atleast_1d(np.asarray(tolerance, dtype=float))
    if side.shape != (n_samples, len(tolerance)):
        raise ValueError(
            f"`side` must have a row for each star and a column for each tolerance,"
            f" ({n_samples}, {len(tolerance)}), got {side.shape}."
        )
    if not np.all(tolerance > 0):
        raise ValueError(f"`tolerance` must be positive, got {tolerance}.")
    return side, tolerance


def collect(found):
    """Return rates from tuples of label, rate, number of stars and of pairs.

    Parameters
    ----------
    found : list of tuple
        One for each cluster.

    Returns
    -------
    rates : DoppelgangerRates

    Raises
    ------
    ValueError
        If there is none, or none has a rate.

    Warns
    -----
    UserWarning
        If a rate is NaN.
    """
    if not found:
        raise ValueError("`pair_mask` leaves no pair of siblings in any cluster.")
    rates = DoppelgangerRates(
        *(np.array(column) for column in zip(*found, strict=True))
    )
    lonely = np.isnan(rates.rates)
    if lonely.all():
        raise ValueError(
            "No cluster has a pair with a field star: y needs the label of field stars,"
            " and if there is a `tolerance`, widen it."
        )
    if lonely.any():
        names = rates.clusters[lonely].tolist()
        warnings.warn(
            f"Cluster(s) {names} have no pair with a field star within `tolerance` and"
            " do not count in the global rate.",
            stacklevel=3,
        )
    return rates
