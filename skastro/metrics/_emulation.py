"""How wrong an emulator is."""

import numpy as np
from sklearn.utils import check_consistent_length


def error_factor(y_true, y_pred, *, q=0.95, log10=False, minimum=0.0):
    r"""Factor within which a share of the predictions agree with the truth.

    Quantiles of :math:`\max(\hat y / y,\ y / \hat y)`: 1.02 at ``q=0.95`` says that 95
    of 100 predictions are right within 2 %.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        True values.
    y_pred : array-like of the same shape
        Predictions.
    q : float or array-like of shape (n_quantiles,), default=0.95
        Shares, in [0, 1]; 0.5 is the median factor and 1 the worst.
    log10 : bool, default=False
        Whether both are decimal logarithms, as abundances often are.
    minimum : float, default=0.0
        True values (not their logarithms) of this and less do not count.

    Returns
    -------
    factor : ndarray
        Factors of at least 1, of shape (n_quantiles,) + (n_outputs,), without the axes
        that the arguments lack; infinite where a prediction is not positive, NaN where
        no true value counts.

    Raises
    ------
    ValueError
        If shapes differ, values are NaN, or ``minimum`` is negative.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 2.3, Fig. 2.2.

    Examples
    --------
    >>> from skastro.metrics import error_factor
    >>> error_factor([1.0, 2.0, 4.0], [1.0, 2.2, 2.0], q=[0.5, 1.0])
    array([1.1, 2. ])
    """
    y_true, y_pred = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    check_consistent_length(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"`y_true` and `y_pred` must have one shape, got {y_true.shape} and"
            f" {y_pred.shape}."
        )
    if np.isnan(y_true).any() or np.isnan(y_pred).any():
        raise ValueError("`y_true` or `y_pred` holds NaN; leave those samples out.")
    if minimum < 0:
        raise ValueError(f"`minimum` must not be negative, got {minimum}.")
    if log10:
        with np.errstate(over="ignore"):
            factor = 10.0 ** np.abs(y_true - y_pred)
            counts = 10.0**y_true > minimum
    else:
        counts = y_true > minimum
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = y_pred / y_true
            factor = np.where(ratio > 0, np.maximum(ratio, 1.0 / ratio), np.inf)
    columns = [
        np.quantile(f[c], q, method="higher")
        if c.any()
        else np.full(np.shape(q), np.nan)
        for f, c in zip(
            factor.reshape(len(factor), -1).T,
            counts.reshape(len(factor), -1).T,
            strict=True,
        )
    ]
    return np.stack(columns, axis=-1) if y_true.ndim == 2 else columns[0]
