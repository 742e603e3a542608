"""Pixels that are not to be used."""

import numpy as np

from ..utils.arrays import plain, refuse_cube, refuse_units
from ..utils.sigma import broadcast_errors


def censor_pixels(flux, flux_err, max_error=0.05, mask=None, bad_bits=None):
    """Return spectra with NaN where a pixel is not to be trusted.

    Parameters
    ----------
    flux : array-like of shape (n_samples, n_features)
        Spectra, normalised to their continua. Masked, NaN and infinite values are
        censored. A ``Quantity`` must be without dimension.
    flux_err : array-like of shape (n_samples, n_features)
        1-sigma errors; or one for all, or one for each column. A pixel is censored
        where its error is above `max_error`, not positive, masked or not finite.
    max_error : float, default=0.05
        Largest error of a pixel that is kept, in units of `flux`.
    mask : array-like of shape (n_samples, n_features), default=None
        True, or not zero, where a pixel is bad; or masked, where nobody knows.
    bad_bits : sequence of int, default=None
        If `mask` holds bit patterns, only these bits make a pixel bad; bit 0 is the
        lowest. All by default.

    Returns
    -------
    censored : ndarray of shape (n_samples, n_features)
        A copy of `flux`, in float32 if it is that, else in float64.

    Raises
    ------
    TypeError
        If `flux` or `flux_err` carry a unit with a dimension, or `mask` any.
    ValueError
        If shapes differ, `max_error` is not positive, or `bad_bits` are given without
        a mask of integers.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 5.4.1.

    Examples
    --------
    >>> from skastro.preprocessing import censor_pixels
    >>> censor_pixels([[1.0, 0.9, 0.8]], [[0.01, 0.2, 0.01]], mask=[[0, 0, 4]])
    array([[ 1., nan, nan]])
    """
    flux = np.asarray(plain(flux, "flux", unit=""))
    refuse_cube(flux, "flux")
    flux = flux.astype(np.float32 if flux.dtype == np.float32 else np.float64)
    flux_err = plain(flux_err, "flux_err", unit="")
    flux_err = np.asarray(broadcast_errors(flux_err, flux.shape, "flux_err", "flux"))
    if not max_error > 0:
        raise ValueError(f"`max_error` must be positive, got {max_error}.")
    # written so that a NaN error is bad
    bad = ~((flux_err > 0) & (flux_err <= max_error)) | ~np.isfinite(flux)
    if mask is not None:
        mask, unknown = _flags(mask)
        if mask.shape != flux.shape:
            raise ValueError(
                f"`mask` must have the shape of `flux`, {flux.shape}, got {mask.shape}."
            )
        if bad_bits is not None:
            if mask.dtype.kind not in "iu":
                raise ValueError(
                    f"`bad_bits` needs a `mask` of integers, got {mask.dtype}."
                )
            bad_bits = np.atleast_1d(bad_bits).tolist()
            most = 8 * mask.dtype.itemsize
            if any(not 0 <= bit < most for bit in bad_bits):
                raise ValueError(
                    f"`bad_bits` must lie in 0 to {most - 1} for a `mask` of"
                    f" {mask.dtype}, got {bad_bits}."
                )
            bits = sum(1 << int(bit) for bit in set(bad_bits))
            mask = mask & np.array(bits, dtype=np.uint64).astype(mask.dtype)
        bad |= (mask != 0) | unknown
    elif bad_bits is not None:
        raise ValueError("`bad_bits` says how to read `mask`, which is not given.")
    flux[bad] = np.nan
    return flux


def _flags(mask):
    """Return a mask's own values, and where it is masked itself.

    Patterns of 64 bits would not survive as floats with NaN.
    """
    refuse_units(mask, "mask")
    if not hasattr(mask, "filled"):
        return np.asarray(mask), False
    return np.asarray(mask.filled(0)), np.array(mask.mask)
