"""How well stars are recast to other labels."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing, check_consistent_length, gen_batches

from ..utils.arrays import as_matrix
from ._twins import siblings

#: Pairs at once.
ROWS = 512


class RecastErrors(NamedTuple):
    """Errors of stars that were recast to the labels of their twins.

    Parameters
    ----------
    source, target : ndarray of int, of shape (n_pairs,)
        Rows of the star that was recast, and of the twin whose labels it was given.
    absolute : ndarray of shape (n_pairs,)
        Mean absolute residual of each pair, over the bins.
    square : ndarray of shape (n_pairs,)
        Mean squared residual likewise.
    """

    source: np.ndarray
    target: np.ndarray
    absolute: np.ndarray
    square: np.ndarray


def recast_errors(
    estimator, X, y, *, truth=None, sigma=None, conditions=None, field_label=-1
):
    """Return how stars recast to the labels of their twins differ from these.

    Each star is recast to the labels of each of its twins, whose spectrum is the truth
    then. What is left of real or noisy twins is their noise too; of simulated ones
    `truth` may be given without.

    Parameters
    ----------
    estimator : disentangler
        Fitted.
    X : array-like of shape (n_samples, n_features)
        Spectra, with labels if those of `fit` were among the columns.
    y : array-like of shape (n_samples,)
        Equal for twins, or `field_label` for stars without one.
    truth : array-like of shape (n_samples, n_bins), default=None
        Spectra to compare with, without labels; those of X by default.
    sigma : array-like of shape (n_samples, n_features), default=None
        1-sigma errors; needed if `fit` had them.
    conditions : array-like of shape (n_samples, n_conditions), default=None
        Labels, if `fit` had them beside X.
    field_label : int, str or None, default=-1
        The value of y that marks a star without a twin.

    Returns
    -------
    errors : RecastErrors
        ``errors.absolute.mean()`` is the mean residual of the thesis, and
        ``errors.square.mean()`` its MSE.

    Raises
    ------
    ValueError
        If there is no pair of twins, or shapes do not fit.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 4.5.4, Tables 4.3
    and 4.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.datasets import make_twin_spectra
    >>> from skastro.disentangling import PolyDisentangler
    >>> from skastro.metrics import recast_errors
    >>> data = make_twin_spectra(200, snr=None, random_state=0)
    >>> model = PolyDisentangler(degree=2).fit(data.X, conditions=data.u)
    >>> errors = recast_errors(model, data.X, data.y, conditions=data.u)
    >>> bool(errors.absolute.mean() < 0.01)
    True
    >>> apart = np.ptp(data.u[[errors.source, errors.target], 0], axis=0) > 500
    >>> bool(errors.absolute[apart].mean() > errors.absolute.mean())
    True
    """
    codes, twins = siblings(y, field_label)
    check_consistent_length(X, codes)
    source = np.repeat(np.arange(len(codes)), [len(group) for group in twins])
    target = np.concatenate(twins).astype(int)
    source, target = (rows[source != target] for rows in (source, target))
    if truth is None:
        values = as_matrix(X, "X")
        truth = values[:, estimator.spectrum_indices_]
    else:
        truth = as_matrix(truth, "truth")
        check_consistent_length(X, truth)
        if truth.shape[1] != len(estimator.spectrum_indices_):
            raise ValueError(
                f"`truth` must have the {len(estimator.spectrum_indices_)} bins of the"
                f" spectra, without labels, got {truth.shape[1]} columns."
            )
    absolute, square = np.empty(len(source)), np.empty(len(source))
    for at in gen_batches(len(source), ROWS):
        given = {}
        if conditions is None:
            labels = as_matrix(_safe_indexing(X, target[at]), "X")
            labels = labels[:, estimator.condition_indices_]
        else:
            labels = _safe_indexing(conditions, target[at])
            given["conditions"] = _safe_indexing(conditions, source[at])
        if sigma is not None:
            each = np.ndim(sigma) == 2 and len(sigma) == len(codes)
            given["sigma"] = _safe_indexing(sigma, source[at]) if each else sigma
        recast = estimator.recast(_safe_indexing(X, source[at]), labels, **given)
        residual = np.asarray(recast) - truth[target[at]]
        absolute[at] = np.nanmean(np.abs(residual), axis=1, dtype=np.float64)
        square[at] = np.nanmean(np.square(residual), axis=1, dtype=np.float64)
    return RecastErrors(source, target, absolute, square)
