"""Scores of a retrieval."""

import numpy as np

from ..utils.scorers import scorer


@scorer()
def log_evidence_scorer(estimator, X, y):
    """Score a retrieval by its evidence, to compare forward models.

    For ``GridSearchCV`` over ``forward_model`` or ``prior`` with ``cv=[(rows, rows)]``,
    all rows for training and for testing: evidence needs no held-out data.

    Parameters
    ----------
    estimator : BayesianRetrieval
        Fitted.
    X, y : array-like
        Not used; the evidence is that of the data of the fit, with their errors.

    Returns
    -------
    score : float
        Natural logarithm of the evidence; of several objects, of all together.

    Raises
    ------
    ValueError
        If an object has no evidence.

    Examples
    --------
    >>> from skastro.metrics import log_evidence_scorer
    >>> class Fitted:
    ...     log_evidence_ = -12.5
    >>> log_evidence_scorer(Fitted(), None, None)
    -12.5
    """
    evidence = np.atleast_1d(estimator.log_evidence_)
    if not np.isfinite(evidence).all():
        raise ValueError(
            f"{int((~np.isfinite(evidence)).sum())} of {len(evidence)} objects have no"
            " evidence, without data or without a solution; leave them out."
        )
    return float(evidence.sum())
