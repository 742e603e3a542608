"""Cross-validation of metrics of chemical likeness, one cluster at a time."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import _safe_indexing, check_consistent_length
from tqdm.auto import tqdm

from ..metric_learning import RSCA
from ..metrics._doppelganger import collect, rated_clusters, representation


class LeaveOneClusterOut(BaseCrossValidator):
    """Splits that leave one open cluster out.

    A split trains on everything but one cluster, and tests on that cluster and all
    field stars, which doppelganger rates compare it with. Field stars are on both
    sides: they teach the population, never who is born with whom.

    Parameters
    ----------
    field_label : int or str, default=-1
        The value of y that marks a field star.

    See Also
    --------
    sklearn.model_selection.LeaveOneGroupOut : Without field stars.

    Examples
    --------
    >>> from skastro.model_selection import LeaveOneClusterOut
    >>> for train, test in LeaveOneClusterOut().split(None, [-1, 0, 0, 1, 1, 2]):
    ...     print(train, test)
    [0 3 4 5] [0 1 2]
    [0 1 2 5] [0 3 4]
    """

    def __init__(self, field_label=-1):
        self.field_label = field_label

    def _clusters(self, y):
        if y is None:
            raise ValueError("y, the cluster of each star, must be given.")
        y = np.asarray(y)
        field = y.astype(str) == str(self.field_label)
        labels, counts = np.unique(y[~field], return_counts=True)
        if not np.any(counts > 1):
            raise ValueError(
                "y has no cluster of two or more stars to leave out: give siblings"
                " one label."
            )
        return y, field, labels[counts > 1]

    def split(self, X, y=None, groups=None):
        """Yield the rows to train on and to test on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Not used.
        y : array-like of shape (n_samples,)
            Cluster of each star, or `field_label`.
        groups : None
            Not used.

        Yields
        ------
        train : ndarray of int
            All rows but those of one cluster.
        test : ndarray of int
            That cluster, of two or more stars, and all field stars.
        """
        y, field, clusters = self._clusters(y)
        for cluster in clusters:
            member = y == cluster
            yield np.flatnonzero(~member), np.flatnonzero(member | field)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of clusters of two or more stars.

        Parameters
        ----------
        X : None
            Not used.
        y : array-like of shape (n_samples,)
            Cluster of each star, or `field_label`.
        groups : None
            Not used.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        return len(self._clusters(y)[2])


def cross_val_doppelganger_rates(
    estimator,
    X,
    y,
    *,
    side=None,
    tolerance=None,
    pair_mask=None,
    params=None,
    n_jobs=None,
    verbose=0,
):
    """Return the doppelganger rate of each cluster under a metric fitted without it.

    Parameters
    ----------
    estimator : estimator
        Transformer, or pipeline that ends in one; see
        :func:`~skastro.metrics.doppelganger_scorer` for how it ranks pairs. `RSCA` by
        itself whitens the field once, whichever cluster is left out.
    X : array-like of shape (n_samples, n_features)
        Stars.
    y : array-like of shape (n_samples,)
        Cluster of each star, or the ``field_label`` of the last step (-1 if it has
        none).
    side : array-like of shape (n_samples, n_columns), default=None
        Columns, such as extinction and radial velocity, in which a field star must
        resemble the member that it is compared with.
    tolerance : array-like of shape (n_columns,), default=None
        Pairs differ by less than this in each column of `side`.
    pair_mask : callable, default=None
        Which pairs of siblings count: ``pair_mask(i, j)`` with arrays of row numbers
        of X returns booleans.
    params : dict, default=None
        Arrays with a row for each star, given to `fit` and to `transform`, such as
        ``{"sigma": sigma}``; a pipeline needs metadata routing for it.
    n_jobs : int, default=None
        Clusters at once, as everywhere in scikit-learn.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    rates : DoppelgangerRates
        With the fields ``clusters``, ``rates``, ``n_stars`` and ``n_pairs``, and the
        property ``global_rate``.

    Raises
    ------
    ValueError
        As `doppelganger_rates`, and as the estimator does.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 5.4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metric_learning import RSCA
    >>> from skastro.model_selection import cross_val_doppelganger_rates
    >>> rng = np.random.default_rng(0)
    >>> births = np.repeat(rng.normal(size=(10, 2)), 5, axis=0)
    >>> X = np.concatenate([rng.normal(size=(400, 2)), births])
    >>> X[400:] += rng.normal(size=births.shape) * [0.05, 2]
    >>> y = np.concatenate([np.full(400, -1), np.repeat(np.arange(10), 5)])
    >>> rates = cross_val_doppelganger_rates(RSCA(1), X, y)
    >>> rates.clusters
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    >>> rates.global_rate < 0.1
    True
    """
    check_consistent_length(X, y)
    y = np.asarray(y)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    field_label = getattr(last, "field_label", -1)
    rows = np.arange(len(y))
    side = None if side is None else np.asarray(side, dtype=float)
    options = {"tolerance": tolerance, "pair_mask": pair_mask, "side": side}
    if isinstance(estimator, RSCA) and not params:
        tasks = (
            delayed(_rate)(
                fitted, X, y, rows[_is_any(y, cluster, field_label)], options
            )
            for cluster, fitted in estimator._leave_one_cluster_out(X, y)
        )
    else:
        tasks = (
            delayed(_fit_and_rate)(clone(estimator), X, y, train, test, params, options)
            for train, test in LeaveOneClusterOut(field_label).split(X, y)
        )
    total = LeaveOneClusterOut(field_label).get_n_splits(X, y)
    results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    bar = tqdm(results, total=total, desc="clusters", disable=not verbose)
    return collect([result for result in bar if result is not None])


def _is_any(y, cluster, field_label):
    return (y == cluster) | (y.astype(str) == str(field_label))


def _fit_and_rate(estimator, X, y, train, test, params, options):
    params = params or {}
    estimator.fit(_safe_indexing(X, train), y[train], **_rows_of(params, train))
    return _rate(estimator, X, y, test, options, _rows_of(params, test))


def _rows_of(params, rows):
    return {name: _safe_indexing(value, rows) for name, value in params.items()}


def _rate(estimator, X, y, test, options, params=None):
    """Return label, rate, number of stars and of pairs of the one cluster tested."""
    Z, dissimilarity, field_label = representation(
        estimator, _safe_indexing(X, test), params
    )
    pair_mask, side = options["pair_mask"], options["side"]
    if pair_mask is not None:
        of_all = pair_mask

        def pair_mask(i, j):
            return of_all(test[i], test[j])

    found = rated_clusters(
        Z,
        y[test],
        None if side is None else side[test],
        options["tolerance"],
        pair_mask,
        dissimilarity,
        field_label,
    )
    return found[0] if found else None
