"""Clones that keep what is fitted elsewhere."""

import copy

from sklearn.base import clone


def clone_around(estimator, kept):
    """Clone an estimator, but keep parameters that it uses and does not learn.

    Parameters
    ----------
    estimator : estimator
        What to clone.
    kept : set of str
        Parameters that the clone shares, such as fitted models.

    Returns
    -------
    cloned : estimator
    """
    parameters = {
        name: value if name in kept else clone(value, safe=False)
        for name, value in estimator.get_params(deep=False).items()
    }
    cloned = type(estimator)(**parameters)
    if hasattr(estimator, "_metadata_request"):
        cloned._metadata_request = copy.deepcopy(estimator._metadata_request)
    if hasattr(estimator, "_skl_callbacks"):
        cloned._skl_callbacks = copy.copy(estimator._skl_callbacks)
    return cloned
