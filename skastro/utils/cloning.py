"""Clones that keep what is fitted elsewhere."""

import copy

from sklearn.base import clone


def clone_around(estimator, kept):
    """Clone an estimator, but keep what parameters hold that it uses and never fits.

    Parameters
    ----------
    estimator : estimator
        What to clone.
    kept : set of str
        Parameters that stay fitted in the clone, such as models. What they learned is
        shared, and their own parameters are not: a search that sets these leaves the
        models of the user as they are.

    Returns
    -------
    cloned : estimator
    """
    parameters = {
        name: _fitted_copy(value) if name in kept else clone(value, safe=False)
        for name, value in estimator.get_params(deep=False).items()
    }
    cloned = type(estimator)(**parameters)
    if hasattr(estimator, "_metadata_request"):
        cloned._metadata_request = copy.deepcopy(estimator._metadata_request)
    if hasattr(estimator, "_skl_callbacks"):
        cloned._skl_callbacks = copy.copy(estimator._skl_callbacks)
    return cloned


def _fitted_copy(value):
    """Return a model with parameters of its own, all the way down."""
    if type(value) in (list, tuple):
        return type(value)(_fitted_copy(part) for part in value)
    if not hasattr(value, "get_params") or isinstance(value, type):
        return value
    copied = copy.copy(value)
    for name, part in value.get_params(deep=False).items():
        replaced = _fitted_copy(part)
        if replaced is not part:
            setattr(copied, name, replaced)
    return copied
