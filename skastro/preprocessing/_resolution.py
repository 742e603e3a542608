"""Spectra at a lower resolving power."""

import numbers

import numpy as np
from scipy import sparse
from scipy.special import erf

from ..utils.arrays import plain
from ..utils.sklearn_names import Interval, _fit_context
from ._linear import ERRORS, apply, edges_of
from ._spectra import SpectrumTransformer

#: A Gaussian's full width at half maximum in standard deviations.
FWHM = 2 * np.sqrt(2 * np.log(2))
#: Kernels end at so many standard deviations.
_REACH = 5.0


def _table():
    """Return widths of Gaussians, and of their integrals over pixels; in pixels."""
    width = np.linspace(1e-3, 3, 600)
    edges = np.arange(-20, 22) - 0.5
    shares = np.diff(erf(edges / (np.sqrt(2) * width[:, None])), axis=1) / 2
    return width, np.sqrt(shares @ np.arange(-20, 21) ** 2.0)


_WIDTH, _INTEGRATED = _table()


class ResolutionMatcher(SpectrumTransformer):
    r"""Convolves spectra to a lower resolving power.

    Spectra with a Gaussian line spread function of :math:`R = \lambda / \mathrm{FWHM}`
    are convolved with another Gaussian, so that the variances of both make that of
    `new_resolving_power`. Either may vary with wavelength, and the kernel does then
    from pixel to pixel. It is integrated over the pixels, and the weights have the
    variance that they should, however narrow it is.

    Parameters
    ----------
    wavelength : array-like of shape (n_pixels,), default=None
        Wavelengths [Angstrom]; by default the pixels' numbers, from 1.
    new_resolving_power : float or array-like of shape (n_pixels,), default=None
        That of the result. Where it is that of X, spectra stay as they are.
    resolving_power : float or array-like of shape (n_pixels,), default=None
        That of X; by default infinite.
    line_spread : array-like of shape (n_pixels, n_offsets), default=None
        In place of resolving powers, the kernel itself: weights of the pixels at an odd
        number of offsets, the middle one of which is none. One row, or an array of
        one dimension, serves for all pixels. It is made to have the sum one.
    min_coverage : float, default=0.9
        The least share of the kernel that must lie on observed pixels. The others are
        left out. A missing pixel stays missing.
    errors : {"effective", "marginal"}, default="effective"
        What is returned of the covariance of the result: errors as if pixels were
        independent, which make means right, or marginal ones; see `SpectrumResampler`.
    with_sigma : bool, default=False
        Whether `transform` appends the errors.

    Attributes
    ----------
    kernel_ : sparse array of shape (n_pixels, n_pixels)
        Weights of the pixels of X in those of the result.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if it has names.

    Notes
    -----
    The share of a kernel that lies outside of the spectrum, or in a gap between
    detectors, counts as missing. Errors take the pixels of X as independent.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.preprocessing import ResolutionMatcher
    >>> wavelength = np.geomspace(5000, 5100, 2000)
    >>> flux = 1 - 0.5 * np.exp(-0.5 * ((wavelength - 5050) / 0.2) ** 2)
    >>> matcher = ResolutionMatcher(wavelength, 5050, resolving_power=10_000)
    >>> matched = matcher.fit_transform(flux[None])
    >>> float(np.round(1 - np.nanmin(matched), 2))
    0.24
    """

    _parameter_constraints = {
        "wavelength": [None, "array-like"],
        "new_resolving_power": [
            None,
            Interval(numbers.Real, 0, None, closed="neither"),
            "array-like",
        ],
        "resolving_power": [
            None,
            Interval(numbers.Real, 0, None, closed="neither"),
            "array-like",
        ],
        "line_spread": [None, "array-like"],
        "min_coverage": [Interval(numbers.Real, 0, 1, closed="both")],
        "errors": [ERRORS],
        "with_sigma": ["boolean"],
    }

    def __init__(
        self,
        wavelength=None,
        new_resolving_power=None,
        *,
        resolving_power=None,
        line_spread=None,
        min_coverage=0.9,
        errors="effective",
        with_sigma=False,
    ):
        self.wavelength = wavelength
        self.new_resolving_power = new_resolving_power
        self.resolving_power = resolving_power
        self.line_spread = line_spread
        self.min_coverage = min_coverage
        self.errors = errors
        self.with_sigma = with_sigma

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None):
        """Make the kernels; nothing is learned from the spectra.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; with their errors beside them, of twice as many
            columns, as steps ``with_sigma=True`` give them.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; or one for all, or one for each pixel.

        Returns
        -------
        self : ResolutionMatcher
            Fitted estimator.

        Raises
        ------
        ValueError
            If X has another number of columns than `wavelength`, or the new resolving
            power is higher than the old one anywhere, or both or neither of
            `new_resolving_power` and `line_spread` are given.
        """
        self._admit(X, y, sigma)
        if (self.new_resolving_power is None) == (self.line_spread is None):
            raise ValueError(
                "Give either `new_resolving_power` or `line_spread`, got"
                f" {'neither' if self.line_spread is None else 'both'}."
            )
        if self.line_spread is None:
            self.kernel_ = gaussians(self._wavelength, self._widths())
        else:
            self.kernel_ = self._given_kernel()
        return self

    def _default_wavelength(self, n, step):
        return super()._default_wavelength(n, step) + 1

    def _widths(self):
        """Return standard deviations of the kernels, at the pixels."""
        new = self._power(self.new_resolving_power, "new_resolving_power")
        width = 1 / new**2
        if self.resolving_power is not None:
            width = (
                width - 1 / self._power(self.resolving_power, "resolving_power") ** 2
            )
        if np.any(width < 0):
            i = int(np.argmax(width < 0))
            raise ValueError(
                "`new_resolving_power` must not be above `resolving_power` anywhere,"
                f" got {new[i]:g} at pixel {i}; a convolution only lowers it."
            )
        return self._wavelength * np.sqrt(width) / FWHM

    def _power(self, values, name):
        values = np.asarray(plain(values, name), dtype=np.float64)
        n = len(self._wavelength)
        if values.shape not in ((), (n,)) or not np.all(values > 0):
            raise ValueError(
                f"`{name}` must be positive, one for all or one for each of the {n}"
                f" pixels, got shape {values.shape}."
            )
        return np.broadcast_to(values, n)

    def _given_kernel(self):
        given = np.asarray(plain(self.line_spread, "line_spread"), dtype=np.float64)
        n = len(self._wavelength)
        rows = np.atleast_2d(given)
        if (
            given.ndim > 2
            or len(rows) not in (1, n)
            or rows.shape[1] % 2 == 0
            or not np.all(rows.sum(axis=1) > 0)
        ):
            raise ValueError(
                "`line_spread` must have an odd number of weights of a positive sum,"
                f" one row for all pixels or one for each of the {n}, got shape"
                f" {given.shape}."
            )
        rows = np.broadcast_to(
            rows / rows.sum(axis=1, keepdims=True), (n, rows.shape[1])
        )
        half = rows.shape[1] // 2
        columns = np.arange(n)[:, None] + np.arange(-half, half + 1)
        inside = (columns >= 0) & (columns < n) & (rows != 0)
        of = np.broadcast_to(np.arange(n)[:, None], columns.shape)
        return sparse.csr_array(
            (rows[inside], (of[inside], columns[inside])), shape=(n, n)
        )

    def _transformed(self, flux, sigma):
        return apply(
            self.kernel_,
            flux,
            sigma,
            errors=self.errors,
            min_coverage=self.min_coverage,
            centre=np.arange(flux.shape[1]),
        )


def gaussians(wavelength, width):
    """Return Gaussian kernels, integrated over the pixels.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Wavelengths, increasing.
    width : ndarray of shape (n,)
        Standard deviation of the kernel about each.

    Returns
    -------
    kernel : sparse array of shape (n, n)
        What lies outside of the pixels is missing from the sum of a row.
    """
    n = len(wavelength)
    low, high = edges_of(wavelength)
    pixels = width / (high - low)
    wide = np.sqrt(np.maximum(pixels**2 - 1 / 12, 0))
    narrow = np.interp(pixels, _INTEGRATED, _WIDTH, left=0.0)
    width = np.where(pixels > 2.5, wide, narrow) * (high - low)
    first = np.searchsorted(high, wavelength - _REACH * width, side="right")
    last = np.searchsorted(low, wavelength + _REACH * width, side="left")
    first, last = np.minimum(first, np.arange(n)), np.maximum(last, np.arange(n) + 1)
    counts = last - first
    rows = np.repeat(np.arange(n), counts)
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = columns + np.repeat(first, counts)
    scale = np.sqrt(2) * np.maximum(width, np.finfo(float).tiny)[rows]
    centre = wavelength[rows]
    with np.errstate(over="ignore"):
        upper, lower = (high[columns] - centre) / scale, (low[columns] - centre) / scale
    weights = 0.5 * (erf(upper) - erf(lower))
    return sparse.csr_array((weights, (rows, columns)), shape=(n, n))
