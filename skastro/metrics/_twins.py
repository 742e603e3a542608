"""Twins: how many strangers are nearer to a star than its twin."""

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state

from ..utils.arrays import as_matrix, plain
from ..utils.cluster_labels import MARK_ALONE, read_clusters
from ..utils.scorers import scorer
from ..utils.uncertain import WIDE, UncertainVectors
from ._overlap import n_nearer_overlap
from ._representation import latents

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
    field_label : int, str or None, default=-1
        The value of y that marks a star without a twin, as a missing label does: None,
        NaN, pandas' NA, or masked.

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
    Z = as_matrix(Z, "Z", allow_nan=False, dtype=np.float64)
    y, twins = siblings(y, field_label)
    check_consistent_length(Z, y)
    if not with_covariance:
        return _n_nearer(Z - np.median(Z, axis=0), y, twins)
    points = UncertainVectors.unpack(Z, "ConditionalFactorAnalysis", "Z")
    z, C = points.values, points.covariance
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
    y : array-like of shape (n_samples,)
        Labels.
    field_label : int, str or None
        The label of stars without a twin.

    Returns
    -------
    codes : ndarray of int of shape (n_samples,)
        -1 for stars without a twin.
    twins : list of ndarray of int
        One array serves all rows of a label; empty for stars without a twin.
    """
    clusters = read_clusters(y, field_label, guess=False)
    if not len(clusters.several):
        raise ValueError("y has no two stars of one label: give twins one label.")
    codes = clusters.codes
    twins = [np.empty(0, dtype=int)] * len(codes)
    alone = ~np.isin(codes, clusters.several)
    rows = np.argsort(codes, kind="stable")
    rows = rows[~alone[rows]]
    for group in np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1):
        for row in group:
            twins[row] = group
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
    n_false = np.asarray(plain(n_false, "n_false"))
    n_false = n_false[n_false >= 0]
    if not len(n_false):
        raise ValueError("`n_false` has no star with a twin.")
    n = np.union1d(0, n_false)
    fraction = np.searchsorted(np.sort(n_false), n, side="right") / len(n_false)
    return n, fraction


@scorer("sigma", "conditions", "condition_sigma")
def twin_recovery_scorer(estimator, X, y, **metadata):
    """Score a transformer by the share of stars whose twin is nearest of all.

    Higher is better; 1 is perfect. For `GridSearchCV` over anything that ends in a
    disentangler, with ``cv=TwinKFold()``, which keeps twins together. With metadata
    routing, it takes errors and labels along:
    ``twin_recovery_scorer.set_score_request(sigma=True)``.

    A score that cannot be had, because of a splitter that parts twins, is an error that
    says so. Searches make NaN and a warning of it, unless ``error_score="raise"``.

    Parameters
    ----------
    estimator : estimator
        Fitted, with a `transform`. The error covariances of estimators with
        ``with_covariance=True`` are used, and the ``latent_metric_`` of others.
    X : array-like of shape (n_samples, n_features)
        Stars.
    y : array-like of shape (n_samples,)
        Equal for twins; -1, or missing, for stars without one.
    **metadata : dict
        What `transform` is given too: ``sigma``, 1-sigma errors, ``conditions`` and
        ``condition_sigma``, labels of disentanglers and their errors, with a row for
        each star.

    Returns
    -------
    score : float

    Raises
    ------
    ValueError
        If most stars that are said to have a twin have none among these.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skastro.metrics import twin_recovery_scorer
    >>> X = [[0.0], [0.1], [3.0], [3.1]]
    >>> twin_recovery_scorer(StandardScaler().fit(X), X, [0, 0, 1, 1])
    1.0
    """
    clusters = read_clusters(y, remedy=MARK_ALONE)
    said = np.count_nonzero(~clusters.field)
    paired = np.count_nonzero(np.isin(clusters.codes, clusters.several))
    if 2 * paired < max(said, 1):
        raise ValueError(
            f"Of {said} stars that have a label, {said - paired} have no twin among"
            " these rows. In a cross-validation use TwinKFold of"
            f" skastro.model_selection, which keeps twins together; {MARK_ALONE}."
        )
    Z, with_covariance = latents(estimator, X, params=metadata)
    n_false = n_false_twins(Z, y, with_covariance=with_covariance)
    return float(np.mean(n_false[n_false >= 0] == 0))


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
    points = as_matrix(points, "points", allow_nan=False, dtype=np.float64)
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
    covariance = np.linalg.inv(scaled + np.eye(k) / WIDE)
    z = np.matmul(covariance, linear)[..., 0]
    packed = UncertainVectors(z, covariance).pack()
    return n_false_twins(packed, y, with_covariance=True)
