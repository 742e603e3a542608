"""Twins: how many strangers are nearer to a star than its twin."""

import numpy as np
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)

from ..utils import uncertain
from ..utils.cluster_labels import is_field
from ._doppelganger import flat
from ._overlap import n_nearer_overlap

#: Distances that are held at once.
PAIRS = 2**22
#: Relative difference of two squared distances that are the same but for rounding.
TIE = 1e-12


def n_false_twins(Z, y, *, with_covariance=False, field_label=-1):
    """Return how many strangers are at least as near to a star as its twin.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_features)
        Stars in a space in which distance is to mean chemical difference. Scale it
        first if columns should weigh differently: ``Z @ cholesky(metric)``.
    y : array-like of shape (n_samples,)
        Equal for twins, or `field_label` for stars without one. A star with several
        siblings is judged by the nearest.
    with_covariance : bool, default=False
        Whether Z carries the error covariance of each row behind its k values, as
        ``ConditionalFactorAnalysis(with_covariance=True)`` appends it: k (k + 1) / 2
        columns. Then stars i and j are compared by the probability density that they
        are one point, :math:`N(z_i - z_j; 0, C_i + C_j)`, instead of the Euclidean
        distance. Errors of different stars differ, in size and direction, and much
        information is lost without them.
    field_label : int or str, default=-1
        The value of y that marks a star without a twin.

    Returns
    -------
    n_false : ndarray of int of shape (n_samples,)
        0 where the twin is nearest of all; -1 for stars without a twin. Strangers at
        the same distance as the twin count.

    Raises
    ------
    ValueError
        If there is no pair of twins, or covariances are not positive definite.

    Notes
    -----
    Every pair is compared. With covariances, bounds by groups of stars with similar
    errors decide most pairs; the others are computed one by one.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 4.5.1.

    Examples
    --------
    >>> from skastro.metrics import n_false_twins
    >>> n_false_twins([[0.0], [0.1], [0.05], [3.0]], [0, 0, 1, 1])
    array([1, 1, 2, 1])
    """
    Z = check_array(Z, dtype=np.float64)
    y = column_or_1d(y)
    check_consistent_length(Z, y)
    y, twins = siblings(y, field_label)
    if not with_covariance:
        return _n_nearer(Z - np.median(Z, axis=0), y, twins)
    k = uncertain.order(Z.shape[1])
    if k is None:
        raise ValueError(
            f"Z has {Z.shape[1]} columns, which are not k values and k (k + 1) / 2"
            " covariances for any k; with_covariance=True needs what"
            " ConditionalFactorAnalysis(with_covariance=True) returns."
        )
    z, C = uncertain.unpack(Z, k)
    values, vectors = np.linalg.eigh(C)
    # single precision does not tell the smallest errors beside the largest
    rounding = np.finfo(np.float32).eps * np.maximum(values[:, -1:], 0)
    if not np.all((values[:, -1:] > 0) & (values > -100 * rounding)):
        raise ValueError(
            "Z holds error covariances that are not positive definite; such rows"
            " cannot be compared."
        )
    if np.any(values < rounding):
        values = np.maximum(values, rounding)
        C = (vectors * values[:, None]) @ vectors.transpose(0, 2, 1)
        C = (C + C.transpose(0, 2, 1)) / 2
    return n_nearer_overlap(z, C, y, twins)


def siblings(y, field_label):
    """Return labels as numbers, and for each row the rows of its label.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels.
    field_label : int or str
        The label of stars without a twin.

    Returns
    -------
    codes : ndarray of int of shape (n_samples,)
        -1 for stars without a twin.
    twins : list of ndarray of int
        One array serves all rows of a label; empty for stars without a twin.
    """
    if y.dtype.kind == "f" and np.isnan(y).any():
        raise ValueError("y contains NaN; mark stars without a twin by `field_label`.")
    field = is_field(y, field_label)
    _, codes, counts = np.unique(
        y.astype(str) if y.dtype.kind == "O" else y,
        return_inverse=True,
        return_counts=True,
    )
    alone = field | (counts[codes] < 2)
    if alone.all():
        raise ValueError("y has no two stars of one label: give twins one label.")
    twins = [np.empty(0, dtype=int)] * len(y)
    rows = np.argsort(codes, kind="stable")
    rows = rows[~alone[rows]]
    for group in np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1):
        for row in group:
            twins[row] = group
    # every star without a twin is a stranger to all
    codes[field] = -1
    return codes, twins


def _n_nearer(Z, y, twins):
    """Count strangers by the Euclidean distance."""
    n_samples = len(Z)
    square = np.einsum("ij,ij->i", Z, Z)
    one = np.ones((n_samples, 1))
    # one product gives squared distances
    left = np.hstack([-2 * Z, square[:, None], one])
    right = np.hstack([Z, one, square[:, None]]).T
    counts = np.full(n_samples, -1)
    rows = np.flatnonzero([len(t) > 0 for t in twins])
    step = max(1, PAIRS // n_samples)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        distance = left[block] @ right
        distance[np.arange(len(block)), block] = np.inf
        limit = np.array(
            [d[twins[i]].min() for d, i in zip(distance, block, strict=True)]
        )
        limit += TIE * (np.abs(limit) + square[block])
        near = np.count_nonzero(distance <= limit[:, None], axis=1)
        own = [
            np.count_nonzero(d[twins[i]] <= t)
            for d, t, i in zip(distance, limit, block, strict=True)
        ]
        counts[block] = near - own
    return counts


def twin_recovery_curve(n_false):
    """Return the share of stars with at most so many false twins.

    Parameters
    ----------
    n_false : array-like of int of shape (n_samples,)
        From :func:`n_false_twins`; stars without a twin, -1, do not count.

    Returns
    -------
    n : ndarray of int of shape (n_steps,)
        0 and every number of false twins that occurs.
    fraction : ndarray of shape (n_steps,)
        Share of the stars with at most n false twins.

    Raises
    ------
    ValueError
        If no star has a twin.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Fig. 4.3.

    Examples
    --------
    >>> from skastro.metrics import twin_recovery_curve
    >>> n, fraction = twin_recovery_curve([0, 0, 3, -1])
    >>> n, fraction.round(2)
    (array([0, 3]), array([0.67, 1.  ]))
    """
    n_false = np.asarray(n_false)
    n_false = n_false[n_false >= 0]
    if not len(n_false):
        raise ValueError("`n_false` has no star with a twin.")
    n = np.union1d(0, n_false)
    fraction = np.searchsorted(np.sort(n_false), n, side="right") / len(n_false)
    return n, fraction


def twin_recovery_scorer(estimator, X, y, *, params=None):
    """Score a transformer by the share of stars whose twin is nearest of all.

    Higher is better; 1 is perfect. For `GridSearchCV(scoring=twin_recovery_scorer)`
    over anything that ends in a disentangler; give its splitter twins as groups, so
    that they are not parted: ``GroupKFold`` with ``groups=y``, in which a star without
    a twin should be a group of its own.

    Parameters
    ----------
    estimator : estimator
        Fitted, with a `transform`. The error covariances of estimators with
        ``with_covariance=True`` are used, and the ``latent_metric_`` of others.
    X : array-like of shape (n_samples, n_features)
        Stars.
    y : array-like of shape (n_samples,)
        Equal for twins; -1 for stars without one.
    params : dict, default=None
        Further arguments of `transform`, such as ``{"sigma": sigma}``.

    Returns
    -------
    score : float

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skastro.metrics import twin_recovery_scorer
    >>> X = [[0.0], [0.1], [3.0], [3.1]]
    >>> twin_recovery_scorer(StandardScaler().fit(X), X, [0, 0, 1, 1])
    1.0
    """
    Z, with_covariance = latents(estimator, X, params=params)
    n_false = n_false_twins(Z, y, with_covariance=with_covariance)
    return float(np.mean(n_false[n_false >= 0] == 0))


def latents(estimator, X, one_metric=False, params=None):
    """Return a star's latents as they are to be compared.

    Parameters
    ----------
    estimator : estimator
        Fitted transformer, pipeline or search.
    X : array-like of shape (n_samples, n_features)
        Stars.
    one_metric : bool, default=False
        Whether distances are to be Euclidean, also where errors are known.
    params : dict, default=None
        Further arguments of `transform`, such as `sigma`.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_columns)
        Scaled by the ``latent_metric_``, or followed by covariances.
    with_covariance : bool
        Whether they are.
    """
    Z = np.asarray(estimator.transform(X, **(params or {})))
    last = flat(estimator)[-1]
    metric = getattr(last, "latent_metric_", None)
    with_covariance = getattr(last, "with_covariance", False)
    if with_covariance and one_metric:
        Z = Z[:, : uncertain.order(Z.shape[1])]
    if metric is not None and (one_metric or not with_covariance):
        Z = Z @ np.linalg.cholesky(metric)
    return Z, with_covariance and not one_metric


def twin_recovery_limit(information, points, y, *, random_state=None):
    """Return false twins of the best representation that noise allows.

    Each star is placed at its true point, plus an error drawn from the covariance of
    Cramer and Rao, the inverse of the Fisher information. No estimator without bias
    has smaller errors. Points are compared as by
    ``n_false_twins(with_covariance=True)``.

    Parameters
    ----------
    information : array-like of shape (n_samples, k, k)
        Fisher information of each star about its coordinates:
        ``D.T @ diag(1 / sigma**2) @ D`` with the derivatives D of its spectrum.
    points : array-like of shape (n_samples, k)
        True coordinates, such as abundances.
    y : array-like of shape (n_samples,)
        Equal for twins, -1 for stars without one.
    random_state : int, RandomState instance or None, default=None
        Draws the errors.

    Returns
    -------
    n_false : ndarray of int of shape (n_samples,)
        As of :func:`n_false_twins`.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Notes
    -----
    The coordinates are scaled to unit scatter, and the population is taken for a prior
    ten times as wide, so that coordinates that a star does not constrain do no harm.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metrics import twin_recovery_limit
    >>> points = np.repeat([[0.0], [1.0], [2.0]], 2, axis=0)
    >>> information = np.full((6, 1, 1), 1e4)
    >>> y = [0, 0, 1, 1, 2, 2]
    >>> twin_recovery_limit(information, points, y, random_state=0)
    array([0, 0, 0, 0, 0, 0])
    """
    points = check_array(points, dtype=np.float64)
    information = np.asarray(information, dtype=np.float64)
    n_samples, k = points.shape
    if information.shape != (n_samples, k, k):
        raise ValueError(
            f"`information` must be of shape {(n_samples, k, k)}, a matrix for each"
            f" row of `points`, got {information.shape}."
        )
    rng = check_random_state(random_state)
    scale = points.std(axis=0)
    scale[scale == 0] = 1.0
    centred = (points - points.mean(axis=0)) / scale
    scaled = information * scale[:, None] * scale
    # the score has the information as covariance, also where that is singular
    values, vectors = np.linalg.eigh(scaled)
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    noise = np.matmul(roots, rng.normal(size=(n_samples, k, 1)))
    linear = np.matmul(scaled, centred[..., None]) + noise
    covariance = np.linalg.inv(scaled + np.eye(k) / uncertain.WIDE)
    z = np.matmul(covariance, linear)[..., 0]
    packed = uncertain.pack(z, covariance)
    return n_false_twins(packed, y, with_covariance=True)
