"""Doppelganger rates: how often strangers are as alike as siblings."""

from dataclasses import dataclass

import numpy as np

from ..utils.scorers import scorer
from ..utils.warn import warn
from ._pairs import compare_clusters
from ._representation import representation


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
        Cluster of each star; `field_label`, or missing, for field stars.
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
    field_label : int, str or None, default=-1
        The value of y that marks a field star, as a missing label does.

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
        Cluster of each star; `field_label`, or missing, for field stars.
    side : array-like of shape (n_samples, n_columns), default=None
        Columns in which a field star must resemble a member to be compared with it.
    tolerance : array-like of shape (n_columns,), default=None
        Pairs differ by less than this in each column of `side`.
    pair_mask : callable, default=None
        Which pairs of siblings count.
    dissimilarity : callable, default=None
        Matrix of how unlike rows are; the Euclidean distance by default.
    field_label : int, str or None, default=-1
        The value of y that marks a field star, as a missing label does.

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
        Cluster of each star; `field_label`, or missing, for field stars.
    side : array-like of shape (n_samples, n_columns), default=None
        Columns in which a field star must resemble a member to be compared with it.
    tolerance : array-like of shape (n_columns,), default=None
        Pairs differ by less than this in each column of `side`.
    pair_mask : callable, default=None
        Which pairs of siblings count.
    dissimilarity : callable, default=None
        Matrix of how unlike rows are; the Euclidean distance by default.
    field_label : int, str or None, default=-1
        The value of y that marks a field star, as a missing label does.

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


@scorer("sigma", "conditions")
def doppelganger_scorer(estimator, X, y, **metadata):
    """Score a metric by minus its doppelganger rate.

    For ``GridSearchCV`` with ``cv=LeaveOneClusterOut()`` or ``ClusterKFold()``, the
    folds of which count alike;
    :func:`~skastro.model_selection.cross_val_doppelganger_rates` weights clusters by
    their numbers of stars. With metadata routing, it takes errors along:
    ``doppelganger_scorer.set_score_request(sigma=True)``.

    A score that cannot be had, because of a splitter that parts siblings, is an error
    that says so. Searches make NaN and a warning of it, unless ``error_score="raise"``.

    Parameters
    ----------
    estimator : estimator
        Fitted transformer, or pipeline that ends in one. Pairs are ranked by the
        Euclidean distance of what `transform` returns; if the last step is an `RSCA`
        with covariances, by its ``pairwise_log_likelihood_ratio``.
    X : array-like of shape (n_samples, n_features)
        Stars of one or more clusters, and field stars.
    y : array-like of shape (n_samples,)
        Cluster of each star; the ``field_label`` of the last step (-1 if it has none),
        or a missing label, for field stars.
    **metadata : dict
        What `transform` is given too: ``sigma``, 1-sigma errors, and ``conditions``,
        labels of disentanglers, with a row for each star.

    Returns
    -------
    score : float
        At most 0; higher is better.

    Raises
    ------
    ValueError
        If there is no field star, or no two siblings.

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
    Z, dissimilarity, field_label = representation(estimator, X, metadata)
    return -doppelganger_rate(
        Z, y, dissimilarity=dissimilarity, field_label=field_label
    )


def rate_among_clusters(Z, clusters, dissimilarity=None):
    """Return the global rate where members of other clusters are the strangers.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
        Representations.
    clusters : Clusters
        Who is of which; there is no field.
    dissimilarity : callable, default=None
        As of `doppelganger_rates`.

    Returns
    -------
    rate : float
    """
    rates = []
    for cluster in clusters.several:
        y = np.where(clusters.codes == cluster, cluster, -1)
        rates.append(doppelganger_rate(Z, y, dissimilarity=dissimilarity))
    return float(np.average(rates, weights=clusters.counts[clusters.several]))


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
        warn(
            f"Cluster(s) {names} have no pair with a field star within `tolerance` and"
            " do not count in the global rate.",
        )
    return rates
