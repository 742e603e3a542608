"""Linear maps of spectra, with gaps and errors."""

import numpy as np

from ..utils.sklearn_names import StrOptions
from ._spectra import stretches

#: What `errors` may be, for the parameter checks.
ERRORS = StrOptions({"effective", "marginal"})
#: Rows that are mapped at once.
_ROWS = 256


def apply(matrix, flux, sigma, *, errors, min_coverage, centre=None):
    """Return spectra, and errors, under a linear map whose rows have the sum one.

    Missing pixels are left out, and the weights of the others are raised in turn.

    Parameters
    ----------
    matrix : sparse array of shape (n_out, n_in)
        Weights.
    flux : ndarray of shape (n_samples, n_in)
        Spectra, NaN where missing.
    sigma : ndarray of shape (n_samples, n_in) or None
        1-sigma errors.
    errors : {"effective", "marginal"}
        Marginal errors of pixels, or those that make means of pixels right: the sum
        of a row of the covariance instead of its diagonal.
    min_coverage : float
        Least sum of the weights of observed pixels.
    centre : ndarray of int of shape (n_out,), default=None
        The pixel that must itself be observed.

    Returns
    -------
    flux : ndarray of shape (n_samples, n_out)
    sigma : ndarray of shape (n_samples, n_out) or None
    """
    matrix = matrix.tocsr()
    n_out = matrix.shape[0]
    out = np.full((len(flux), n_out), np.nan, dtype=flux.dtype)
    out_sigma = None if sigma is None else np.ones_like(out)
    squares = matrix.power(2)
    for start in range(0, len(flux), _ROWS):
        rows = slice(start, start + _ROWS)
        block = flux[rows].T.astype(np.float64)
        seen = ~np.isnan(block)
        coverage = matrix @ seen.astype(np.float64)
        good = coverage >= max(min_coverage, 1e-12) * (1 - 1e-9)
        if centre is not None:
            good &= seen[centre]
        share = np.where(good, coverage, 1.0)
        values = matrix @ np.where(seen, block, 0.0) / share
        out[rows] = np.where(good, values, np.nan).T
        if sigma is None:
            continue
        variance = np.where(seen, sigma[rows].T.astype(np.float64) ** 2, 0.0)
        if errors == "marginal":
            variance = squares @ variance / share**2
        else:
            # what each pixel gives to all that there are
            given = matrix.T @ (good / share)
            variance = matrix @ (variance * given) / share
        out_sigma[rows] = np.where(good, np.sqrt(variance), 1.0).T
    return out, out_sigma


def edges_of(wavelength):
    """Return the edges of pixels, half way between their centres.

    At gaps, as `stretches` finds them, a pixel is as wide as its other neighbour says.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Centres, increasing.

    Returns
    -------
    low, high : ndarray of shape (n,)
    """
    low, high = np.empty_like(wavelength), np.empty_like(wavelength)
    for part in stretches(wavelength):
        centres = wavelength[part]
        if len(centres) == 1:
            half = 0.5 * np.median(np.diff(wavelength)) if len(wavelength) > 1 else 0.5
            low[part], high[part] = centres - half, centres + half
            continue
        middle = 0.5 * (centres[1:] + centres[:-1])
        first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
        low[part], high[part] = np.r_[first, middle], np.r_[middle, last]
    return low, high
