"""Cross-validation of metrics of chemical likeness, one cluster at a time."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import _safe_indexing, check_consistent_length
from tqdm.auto import tqdm

from ..metric_learning import RSCA
from ..metrics._doppelganger import collect
from ..metrics._pairs import (
    check_side,
    compare,
    euclidean,
    resemblance,
    sibling_pairs,
)
from ..metrics._representation import flat, representation
from ..utils.arrays import as_matrix
from ..utils.cluster_labels import read_clusters
from ._splitters import LeaveOneClusterOut


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
        Cluster of each star; the ``field_label`` of the last step (-1 if it has none),
        or a missing label, for field stars.
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
    field_label = getattr(flat(estimator)[-1], "field_label", -1)
    clusters = read_clusters(y, field_label)
    check_consistent_length(X, clusters.codes)
    side, tolerance = check_side(side, tolerance, len(clusters.codes))
    options = {"side": side, "tolerance": tolerance, "pair_mask": pair_mask}
    field = np.flatnonzero(clusters.field)
    each = [(clusters.labels[c], clusters.members(c)) for c in clusters.several]
    if type(estimator) is RSCA and not params:
        X = as_matrix(X, "X", allow_nan=False)
        strangers = X[field]
        fitted = estimator._leave_one_cluster_out(X, y)
        tasks = (
            delayed(_rate)(
                metric, X[members], strangers, label, members, field, options
            )
            for (label, members), (_, metric) in zip(each, fitted, strict=True)
        )
    else:
        splits = LeaveOneClusterOut(field_label).split(X, y)
        tasks = (
            delayed(_fit_and_rate)(
                clone(estimator), X, y, train, label, members, field, params, options
            )
            for (label, members), (train, _) in zip(each, splits, strict=True)
        )
    results = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    bar = tqdm(results, total=len(each), desc="clusters", disable=not verbose)
    return collect([result for result in bar if result is not None])


def _fit_and_rate(estimator, X, y, train, label, member, field, params, options):
    params = params or {}
    labels = _safe_indexing(y, train)
    estimator.fit(_safe_indexing(X, train), labels, **_rows_of(params, train))
    return _rate(
        estimator,
        _safe_indexing(X, member),
        _safe_indexing(X, field),
        label,
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
