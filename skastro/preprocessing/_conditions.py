"""Labels as columns beside the bins of a spectrum."""

import numpy as np


def append_conditions(spectra, conditions):
    """Return spectra with known labels as further columns.

    Disentanglers take their data so: columns go through pipelines, searches and
    cross-validation with the rows that they belong to.

    Parameters
    ----------
    spectra : array-like of shape (n_samples, n_bins)
        Spectra, latent variables for `inverse_transform`, or errors of spectra (whose
        labels do not matter: give zeros).
    conditions : array-like of shape (n_samples, n_conditions) or (n_samples,)
        Labels.

    Returns
    -------
    X : ndarray of shape (n_samples, n_bins + n_conditions)
        In float32 if the spectra are that, else in float64. ``slice(-n_conditions,
        None)`` selects the labels.

    Raises
    ------
    ValueError
        If numbers of rows differ.

    Examples
    --------
    >>> from skastro.preprocessing import append_conditions
    >>> append_conditions([[1.0, 0.9], [0.8, 1.0]], [4500.0, 4700.0])
    array([[1.0e+00, 9.0e-01, 4.5e+03],
           [8.0e-01, 1.0e+00, 4.7e+03]])
    """
    spectra, conditions = np.asarray(spectra), np.asarray(conditions)
    if conditions.ndim == 1:
        conditions = conditions[:, None]
    if spectra.ndim != 2 or conditions.ndim != 2 or len(spectra) != len(conditions):
        raise ValueError(
            "`spectra` and `conditions` must be tables with one row for each star, got"
            f" shapes {spectra.shape} and {conditions.shape}."
        )
    dtype = np.float32 if spectra.dtype == np.float32 else np.float64
    return np.hstack([spectra.astype(dtype), conditions.astype(dtype)])
