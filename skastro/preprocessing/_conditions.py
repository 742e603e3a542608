"""Labels as columns beside the bins of a spectrum."""

import numpy as np

from ..utils.arrays import as_matrix, plain
from ..utils.sigma import broadcast_errors


def append_conditions(spectra, conditions, *, sigma=None, condition_sigma=None):
    """Return spectra with known labels as further columns.

    Disentanglers take their data so: columns go through pipelines, searches and
    cross-validation with the rows that they belong to. Their ``condition_columns`` is
    then ``slice(-n_conditions, None)``.

    Parameters
    ----------
    spectra : array-like of shape (n_samples, n_bins)
        Spectra, or latent variables for `inverse_transform`; NaN where missing, or
        masked.
    conditions : array-like of shape (n_samples, n_conditions) or (n_samples,)
        Labels, which are numbers; likewise.
    sigma : array-like, default=None
        1-sigma errors of the spectra: of their shape, one for each bin, or one for all.
    condition_sigma : array-like, default=None
        1-sigma errors of the labels: of their shape, one for each label, or one for
        all. By default 0, for exact labels.

    Returns
    -------
    X : ndarray of shape (n_samples, n_bins + n_conditions)
        In float32 if the spectra are that, else in float64.
    sigma : ndarray of shape (n_samples, n_bins + n_conditions)
        Errors, in the same columns; only if they are given.

    Raises
    ------
    TypeError
        If one carries a unit.
    ValueError
        If numbers of rows differ, or errors are of another shape.

    Examples
    --------
    >>> from skastro.preprocessing import append_conditions
    >>> append_conditions([[1.0, 0.9], [0.8, 1.0]], [4500.0, 4700.0])
    array([[1.0e+00, 9.0e-01, 4.5e+03],
           [8.0e-01, 1.0e+00, 4.7e+03]])
    >>> X, sigma = append_conditions([[1.0, 0.9]], [4500.0], sigma=0.01)
    >>> sigma
    array([[0.01, 0.01, 0.  ]])
    """
    spectra = as_matrix(spectra, "spectra")
    conditions = plain(conditions, "conditions")
    if np.ndim(conditions) == 1:
        conditions = np.asarray(conditions)[:, None]
    if np.ndim(conditions) != 2 or len(conditions) != len(spectra):
        raise ValueError(
            "`spectra` and `conditions` must be tables with one row for each star, got"
            f" shapes {spectra.shape} and {np.shape(conditions)}."
        )
    conditions = as_matrix(conditions, "conditions")
    dtype = np.float32 if spectra.dtype == np.float32 else np.float64
    X = np.hstack([spectra.astype(dtype), conditions.astype(dtype)])
    if sigma is None:
        if condition_sigma is None:
            return X
        raise ValueError(
            "`condition_sigma` is given without `sigma`, and an array holds both; give"
            " `sigma` too, or condition_sigma=... to `fit`."
        )
    errors = [np.asarray(broadcast_errors(sigma, spectra.shape))]
    of_labels = 0 if condition_sigma is None else condition_sigma
    if (
        np.ndim(of_labels) == 1
        and len(of_labels) == len(spectra) != conditions.shape[1]
    ):
        of_labels = np.asarray(plain(of_labels, "condition_sigma"))[:, None]
    errors.append(broadcast_errors(of_labels, conditions.shape, "condition_sigma"))
    return X, np.hstack([np.asarray(e).astype(dtype) for e in errors])
