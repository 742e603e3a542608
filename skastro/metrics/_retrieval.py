"""Scores of a retrieval."""


def log_evidence_scorer(estimator, X, y, sample_weight=None):
    """Score a retrieval by its evidence, to compare forward models.

    For ``GridSearchCV`` over ``forward_model`` or ``prior`` with ``cv=[(rows, rows)]``,
    all rows for training and for testing: evidence needs no held-out data.

    Parameters
    ----------
    estimator : BayesianRetrieval
        Fitted.
    X, y : array-like
        Not used; the evidence is that of the data of the fit.
    sample_weight : array-like, default=None
        Not used either; the fit had it.

    Returns
    -------
    score : float
        Natural logarithm of the evidence.

    Examples
    --------
    >>> from skastro.metrics import log_evidence_scorer
    >>> class Fitted:
    ...     log_evidence_ = -12.5
    >>> log_evidence_scorer(Fitted(), None, None)
    -12.5
    """
    return float(estimator.log_evidence_)
