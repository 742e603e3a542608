"""How fitted estimators represent stars, and tell them apart."""

import numpy as np

from ..utils.arrays import without_names
from ..utils.sklearn_names import validate_data
from ..utils.uncertain import order


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
    field_label : int, str or None
        Of the last step.
    """
    estimator = chosen(estimator)
    *before, last = flat(estimator)
    field_label = getattr(last, "field_label", -1)
    # with equal errors the ratio falls with distance, and distance it is
    if not (hasattr(last, "pairwise_log_likelihood_ratio") and last.with_covariance):
        return estimator.transform(X, **(params or {})), None, field_label
    for step in before:
        X = step.transform(X, **(params or {}))
    # names are compared once, and not of each block of pairs
    X = np.asarray(validate_data(last, X, reset=False, skip_check_array=True))
    last = without_names(last)

    def dissimilarity(A, B):
        return -last.pairwise_log_likelihood_ratio(A, B)

    return X, dissimilarity, field_label


def chosen(estimator):
    """Return what a search has found, whose own `transform` takes no metadata."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


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
    estimator = chosen(estimator)
    Z = np.asarray(estimator.transform(X, **(params or {})))
    last = flat(estimator)[-1]
    metric = getattr(last, "latent_metric_", None)
    # others may use covariances without passing any on
    with_covariance = getattr(last, "_packs_covariance", False) and last.with_covariance
    if with_covariance and one_metric:
        Z = Z[:, : order(Z.shape[1])]
    if metric is not None and (one_metric or not with_covariance):
        Z = Z @ np.linalg.cholesky(metric)
    return Z, with_covariance and not one_metric
