"""Which regressors know how uncertain they are."""

import inspect


def has_spread(estimator):
    """Whether a fitted regressor predicts a standard deviation of its own.

    Parameters
    ----------
    estimator : object
        Anything with ``predict``.

    Returns
    -------
    has_spread : bool
        What its ``has_spread`` says or, without one, whether ``predict`` takes
        ``return_std``. An ensemble of one network does not know its spread.
    """
    own = getattr(estimator, "has_spread", None)
    if own is not None:
        return bool(own)
    return "return_std" in inspect.signature(estimator.predict).parameters
