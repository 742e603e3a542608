"""Cross-validation of metrics of chemical likeness, one cluster at a time."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import _safe_indexing, check_array, check_consistent_length
from tqdm.auto import tqdm

from ..metric_learning import RSCA
from ..metrics._doppelganger import (
    check_side,
    collect,
    compare,
    euclidean,
    flat,
    representation,
    resemblance,
    sibling_pairs,
)
from ..utils.cluster_labels import clusters_of, is_field


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
        field, labels, counts = clusters_of(y, self.field_label)
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
    last = flat(estimator)[-1]
    field_label = getattr(last, "field_label", -1)
    cv = LeaveOneClusterOut(field_label)
    side, tolerance = check_side(side, tolerance, len(y))
    options = {"side": side, "tolerance": tolerance, "pair_mask": pair_mask}
    if type(estimator) is RSCA and not params:
        field = np.flatnonzero(is_field(y, field_label))
        X = check_array(X, dtype=[np.float64, np.float32])
        strangers = X[field]
        tasks = (
            delayed(_rate)(
                fitted,
                X[y == cluster],
                strangers,
                cluster,
                np.flatnonzero(y == cluster),
                field,
                options,
            )
            for cluster, fitted in estimator._leave_one_cluster_out(X, y)
        )
    else:
        tasks = (
            delayed(_fit_and_rate)(
                clone(estimator), X, y, train, test, field_label, params, options
            )
            for train, test in cv.split(X, y)
        )
    results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    total = cv.get_n_splits(X, y)
    bar = tqdm(results, total=total, desc="clusters", disable=not verbose)
    return collect([result for result in bar if result is not None])


def _fit_and_rate(estimator, X, y, train, test, field_label, params, options):
    params = params or {}
    estimator.fit(_safe_indexing(X, train), y[train], **_rows_of(params, train))
    of_field = is_field(y[test], field_label)
    member, field = test[~of_field], test[of_field]
    return _rate(
        estimator,
        _safe_indexing(X, member),
        _safe_indexing(X, field),
        y[member[0]],
        member,
        field,
        options,
        (_rows_of(params, member), _rows_of(params, field)),
    )


def _rows_of(params, rows):
    return {name: _safe_indexing(value, rows) for name, value in params.items()}


def _rate(
    estimator, members, strangers, label, member, field, options, params=({}, {})
):
    """Return label, rate, number of stars and of pairs of one cluster."""
    if type(estimator) is RSCA and not estimator.with_covariance:
        # the fit has looked at every value
        A, B = estimator._project(members), estimator._project(strangers)
        dissimilarity = euclidean
    else:
        A, dissimilarity, _ = representation(estimator, members, params[0])
        B, _, _ = representation(estimator, strangers, params[1])
    cluster = compare(
        label,
        A,
        B,
        dissimilarity or euclidean,
        sibling_pairs(member, options["pair_mask"]),
        resemblance(member, field, options["side"], options["tolerance"]),
    )
    return None if cluster is None else cluster.rated()
